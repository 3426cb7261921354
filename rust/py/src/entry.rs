//! `rolecore.Entry` and `rolecore.Hit`: what a cache found, by key and by vector.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rolecore_core::cache::{self, Face, Item, Shown, Value};

use crate::buffers::array;
use crate::cache_arguments::NANOSECONDS;
use crate::text::from_bytes;

/// What a key stands for. It stays as it is when the entry is evicted or replaced, and holds its memory until then.
#[pyclass(frozen, module = "rolecore")]
#[repr(C)]
pub(crate) struct Entry {
    shown: Shown,
    expires_in_ns: Option<u64>,
}

/// The entry that a cache keeps, and returns for each look-up.
pub(crate) struct Kept(Py<Entry>);

/// An entry that was looked up.
pub(crate) enum Got {
    /// As it was put in: the same object for each look-up, which takes half the time.
    Same(Py<Entry>),
    /// One that has an end, or was found without the GIL.
    New(Arc<Item>, Option<u64>),
}

/// An entry that was found by its vector.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Hit {
    pub(crate) inner: cache::Hit,
}

/// A value as it was given.
#[derive(IntoPyObject)]
pub(crate) enum Given<'py> {
    Bytes(Bound<'py, PyBytes>),
    Text(Bound<'py, PyString>),
}

#[pymethods]
impl Entry {
    /// The key it was put in with.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        from_bytes(py, self.shown.item().key())
    }

    /// The value: bytes, a string or None.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Given<'py>>> {
        value_of(py, self.shown.item())
    }

    /// The stored vector: a read-only float32 array of shape (dim,), of unit length. It is a view and copies nothing.
    #[getter]
    fn vector<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        array(py, self.shown.item())
    }

    /// Seconds it was still good for when it was looked up; None without an end.
    #[getter]
    #[expect(clippy::cast_precision_loss, reason = "seconds need no more digits than a float has")]
    fn expires_in_s(&self) -> Option<f64> {
        self.expires_in_ns.map(|ns| ns as f64 / NANOSECONDS)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Entry(key={})", self.key(py)?.repr()?))
    }
}

#[pymethods]
impl Hit {
    /// The key of the entry.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        from_bytes(py, self.inner.item.key())
    }

    /// The float64 dot product of the vector that was looked for, at unit length, with the stored one.
    ///
    /// It is their cosine to within 3e-6: that of equal vectors may be a little below or above 1.
    #[getter]
    fn score(&self) -> f64 {
        self.inner.score
    }

    /// The value: bytes, a string or None.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Option<Given<'py>>> {
        value_of(py, &self.inner.item)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Hit(key={}, score={:?})", self.key(py)?.repr()?, self.inner.score))
    }
}

impl Got {
    #[inline]
    pub(crate) fn same(py: Python<'_>, found: &cache::Entry<'_, Kept>) -> Self {
        if let cache::Entry::Shown(kept) = found { Self::Same(kept.0.clone_ref(py)) } else { Self::new(found) }
    }

    pub(crate) fn new(found: &cache::Entry<'_, Kept>) -> Self {
        let expires_in_ns = match found {
            cache::Entry::Shown(_) => None,
            cache::Entry::Faceless { expires_in_ns, .. } => *expires_in_ns,
        };
        Self::New(Arc::clone(found.item()), expires_in_ns)
    }
}

impl Kept {
    pub(crate) fn new(py: Python<'_>, item: &Arc<Item>, is_pinned: bool) -> PyResult<Self> {
        let entry = Entry { shown: Shown::new(Arc::clone(item), is_pinned), expires_in_ns: None };
        Ok(Self(Py::new(py, entry)?))
    }
}

impl Face for Kept {
    #[inline]
    fn shown(&self) -> &Shown {
        &self.0.get().shown
    }
}

impl<'py> IntoPyObject<'py> for Got {
    type Target = Entry;
    type Output = Bound<'py, Entry>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, Entry>> {
        match self {
            Self::Same(entry) => Ok(entry.into_bound(py)),
            Self::New(item, expires_in_ns) => Bound::new(py, Entry { shown: Shown::new(item, false), expires_in_ns }),
        }
    }
}

fn value_of<'py>(py: Python<'py>, item: &Item) -> PyResult<Option<Given<'py>>> {
    Ok(match item.value() {
        Value::Nothing => None,
        Value::Bytes(bytes) => Some(Given::Bytes(PyBytes::new(py, bytes))),
        Value::Text(text) => Some(Given::Text(from_bytes(py, text)?)),
    })
}
