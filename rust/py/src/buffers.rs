//! Buffers: stored rows for NumPy, bytes of others that are read in place, and new bytes that are written in place; nothing is copied.
#![allow(unsafe_code, reason = "the buffer protocol is filled in through pointers")]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::raw::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{ptr, slice};

use pyo3::buffer::PyBuffer;
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyCapsule, PyType};
use rolecore_core::cache::Item;
use rolecore_core::codec::{Plan, Vectors};
use rolecore_core::file::Mapped;

use crate::arguments::wrong_kind;
use crate::codec::Snapshot;
use crate::errors::CoreError;

/// Numbers of a row, held for as long as somebody looks at them.
#[pyclass(frozen, module = "rolecore")]
struct Numbers {
    item: Arc<Item>,
}

/// A float32 array over the item's row.
pub(crate) fn array<'py>(py: Python<'py>, item: &Arc<Item>) -> PyResult<Bound<'py, PyAny>> {
    let numpy = py.import(intern!(py, "numpy"))?;
    let numbers = Numbers { item: Arc::clone(item) };
    numpy.call_method1(intern!(py, "frombuffer"), (numbers, numpy.getattr(intern!(py, "float32"))?))
}

#[pymethods]
impl Numbers {
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let row: &[f32] = slf.get().item.row();
        let len = isize::try_from(size_of_val(row)).expect("a slice is at most isize::MAX bytes long");
        let start = row.as_ptr().cast_mut().cast();
        // SAFETY: Python gives a `view` to fill in, or null, which is refused. The row is never written or moved while its item
        // lives: the view holds `slf`, which holds the item, and is read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// Bytes of somebody else, held for as long as anything reads them.
pub(crate) enum Owner {
    /// What most give, which needs no buffer protocol.
    Bytes(PyBackedBytes),
    Buffer(PyBuffer<u8>),
    /// Some of a file.
    File {
        map: Arc<Mapped>,
        range: Range<usize>,
    },
}

impl Owner {
    /// Holds a buffer; `copy` says whether as a copy, and None that one is made where the bytes can be written to.
    pub(crate) fn of(given: &Bound<'_, PyAny>, copy: Option<bool>) -> PyResult<Self> {
        if let (Ok(bytes), None | Some(false)) = (given.cast_exact::<PyBytes>(), copy) {
            return Ok(Self::Bytes(bytes.clone().into()));
        }
        let py = given.py();
        let buffer = PyBuffer::<u8>::get(given).ok().filter(|buffer| buffer.is_c_contiguous());
        let buffer = buffer.ok_or_else(|| wrong_kind(given, "buffer", "contiguous bytes"))?;
        if copy.unwrap_or(!buffer.readonly()) {
            return Ok(Self::Bytes(PyBytes::new(py, &buffer.to_vec(py)?).into()));
        }
        Ok(Self::Buffer(buffer))
    }

    /// Holds a file of which `bytes` are some.
    pub(crate) fn of_file(map: &Arc<Mapped>, bytes: &[u8]) -> Self {
        Self::File { map: Arc::clone(map), range: range_within(map.bytes(), bytes) }
    }

    /// The bytes. Whoever asked for no copy of what can be written to has been told not to.
    pub(crate) fn bytes(&self) -> &[u8] {
        let buffer = match self {
            Self::Bytes(bytes) => return bytes,
            Self::Buffer(buffer) => buffer,
            Self::File { map, range } => return &map.bytes()[range.clone()],
        };
        let len = buffer.len_bytes();
        if len == 0 {
            return &[];
        }
        // SAFETY: the buffer is contiguous and has so many bytes, which stay where they are while it is held.
        unsafe { slice::from_raw_parts(buffer.buf_ptr().cast(), len) }
    }
}

/// Numbers that Python writes while they are read: each is read whole, at the moment it is asked for.
pub(crate) struct Doubles(PyBuffer<f64>);

impl Doubles {
    /// Holds an array of float64, which keeps its size as long as it is held.
    pub(crate) fn of(given: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let buffer = PyBuffer::<f64>::get(given).ok();
        let fits = |buffer: &PyBuffer<f64>| {
            matches!(buffer.format().to_bytes(), b"d" | b"@d" | b"=d")
                && buffer.is_c_contiguous()
                && buffer.buf_ptr().addr().is_multiple_of(align_of::<AtomicU64>())
        };
        buffer.filter(fits).map(Self).ok_or_else(|| wrong_kind(given, name, "a contiguous array of float64"))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.item_count()
    }

    /// The number in a place.
    pub(crate) fn get(&self, place: usize) -> f64 {
        assert!(place < self.len(), "a place in the array");
        let start: *mut u64 = self.0.buf_ptr().cast();
        // SAFETY: the array has so many numbers, which stay where they are while it is held.
        let number = unsafe { start.add(place) };
        // SAFETY: it is aligned, as was checked, and lives as long as the array is held.
        let number = unsafe { AtomicU64::from_ptr(number) };
        f64::from_bits(number.load(Ordering::Relaxed))
    }
}

/// Some of a snapshot's bytes, as a read-only buffer.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Stretch {
    snapshot: Py<Snapshot>,
    range: Range<usize>,
}

impl Stretch {
    /// `bytes` are some of the snapshot's.
    pub(crate) fn of(snapshot: &Bound<'_, Snapshot>, bytes: &[u8]) -> Self {
        Self { range: range_within(snapshot.get().bytes(), bytes), snapshot: snapshot.clone().unbind() }
    }
}

/// Where NumPy keeps what makes an array in the table that it gives to other modules; places in it are never given to anything else.
///
/// Source: <https://numpy.org/doc/stable/reference/c-api/array.html#importing-the-api>.
const NEW_FROM_DESCR: usize = 94;
const SET_BASE_OBJECT: usize = 282;

/// `NPY_ARRAY_C_CONTIGUOUS`, and not writeable. Whether it is aligned, NumPy sees itself.
const READ_ONLY_ROWS: c_int = 1;

type NewFromDescr = unsafe extern "C" fn(
    *mut ffi::PyTypeObject,
    *mut ffi::PyObject,
    c_int,
    *const isize,
    *const isize,
    *mut c_void,
    c_int,
    *mut ffi::PyObject,
) -> *mut ffi::PyObject;
type SetBaseObject = unsafe extern "C" fn(*mut ffi::PyObject, *mut ffi::PyObject) -> c_int;

struct NumPy {
    ndarray: Py<PyType>,
    float32: Py<PyAny>,
    new_from_descr: NewFromDescr,
    set_base_object: SetBaseObject,
}

impl NumPy {
    fn of(py: Python<'_>) -> PyResult<&'static Self> {
        static NUMPY: PyOnceLock<NumPy> = PyOnceLock::new();
        NUMPY.get_or_try_init(py, || {
            let numpy = py.import("numpy")?;
            // Without the underscore before 2.0.
            let inner = py.import("numpy._core._multiarray_umath");
            let inner = inner.or_else(|_| py.import("numpy.core._multiarray_umath"))?;
            let capsule = inner.getattr("_ARRAY_API")?;
            let table = capsule.cast::<PyCapsule>()?.pointer_checked(None)?.cast::<*mut c_void>();
            // SAFETY: the table has had more entries since NumPy 1.7.
            let new_from_descr = unsafe { table.add(NEW_FROM_DESCR) };
            // SAFETY: the same.
            let set_base_object = unsafe { table.add(SET_BASE_OBJECT) };
            Ok(Self {
                ndarray: numpy.getattr("ndarray")?.cast_into()?.unbind(),
                float32: numpy.call_method1("dtype", ("<f4",))?.unbind(),
                // SAFETY: it holds this function.
                new_from_descr: unsafe { new_from_descr.cast().read() },
                // SAFETY: the same.
                set_base_object: unsafe { set_base_object.cast().read() },
            })
        })
    }
}

/// A read-only float32 array of shape (n, dim) over vectors of the snapshot, which it holds.
///
/// By NumPy's C API: `ndarray(shape, dtype, buffer)` takes three times as long, and `frombuffer` with `reshape` six times.
pub(crate) fn array_of_vectors<'py>(
    snapshot: &Bound<'py, Snapshot>,
    vectors: Vectors<'_>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = snapshot.py();
    let numpy = NumPy::of(py)?;
    // None other than its own.
    let bytes = &snapshot.get().bytes()[range_within(snapshot.get().bytes(), vectors.bytes)];
    let n_rows = (bytes.len() / size_of::<f32>()).checked_div(vectors.dim as usize).unwrap_or(0);
    let shape = [isize::try_from(n_rows)?, isize::try_from(vectors.dim)?];
    let (ndarray, float32) = (numpy.ndarray.as_ptr().cast(), numpy.float32.clone_ref(py).into_ptr());
    let (start, none) = (bytes.as_ptr().cast_mut().cast(), ptr::null_mut());
    // SAFETY: the type and the dtype are NumPy's, which takes over the reference to the latter; so many numbers are there, and
    // nobody writes to them by an array that is read-only.
    let made = unsafe {
        (numpy.new_from_descr)(ndarray, float32, 2, shape.as_ptr(), ptr::null(), start, READ_ONLY_ROWS, none)
    };
    // SAFETY: it is a new reference, or null with an error set.
    let array = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    // SAFETY: it is a new array without a base, and takes over the reference to the snapshot, by which the bytes stay.
    let set = unsafe { (numpy.set_base_object)(array.as_ptr(), snapshot.clone().into_ptr()) };
    if set == 0 { Ok(array) } else { Err(PyErr::fetch(py)) }
}

/// Where in `all` those `bytes` are that are some of it.
fn range_within(all: &[u8], bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().addr() - all.as_ptr().addr();
    start..start + bytes.len()
}

#[pymethods]
impl Stretch {
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes = &slf.get().snapshot.get().bytes()[slf.get().range.clone()];
        // SAFETY: as in `fill`: the view holds `slf`, which holds the snapshot, and that the bytes.
        unsafe { fill(slf.as_any(), bytes, view, flags) }
    }
}

/// Fills in a read-only view of `bytes`.
///
/// # Safety
/// `view` is what Python gives to be filled in, and the bytes stay as long as `holder` lives.
unsafe fn fill(holder: &Bound<'_, PyAny>, bytes: &[u8], view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
    let len = isize::try_from(bytes.len()).expect("a slice is at most isize::MAX bytes long");
    let start = bytes.as_ptr().cast_mut().cast();
    // SAFETY: what the caller answers for.
    let filled = unsafe { ffi::PyBuffer_FillInfo(view, holder.as_ptr(), start, len, 1, flags) };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(holder.py())) }
}

/// A new bytes object with what is planned.
pub(crate) fn written<'py>(py: Python<'py>, plan: &Plan<'_>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(bytes_of(py, plan.len(), |out| plan.write(out))?.0)
}

/// The same but for vectors and payload, and where those belong.
pub(crate) fn written_around<'py>(py: Python<'py>, plan: &Plan<'_>) -> PyResult<(Bound<'py, PyBytes>, [usize; 2])> {
    bytes_of(py, plan.len_around(), |out| plan.write_around(out))
}

/// A new bytes object, and what `write` returns, which writes all of it if it returns `Ok`. Its bytes hold nothing before: those of
/// `PyBytes::new_with` hold zeros, which is to write all of them twice.
fn bytes_of<T>(
    py: Python<'_>,
    len: usize,
    write: impl FnOnce(&mut [MaybeUninit<u8>]) -> rolecore_core::Result<T>,
) -> PyResult<(Bound<'_, PyBytes>, T)> {
    let size = isize::try_from(len)?;
    // SAFETY: without a source, Python makes an object whose bytes hold nothing yet, or sets an error.
    let made = unsafe { ffi::PyBytes_FromStringAndSize(ptr::null(), size) };
    // SAFETY: it is a new reference, or null with an error set.
    let bytes = unsafe { Bound::from_owned_ptr_or_err(py, made) }?;
    // SAFETY: it is a bytes object.
    let start: *mut MaybeUninit<u8> = unsafe { ffi::PyBytes_AsString(bytes.as_ptr()) }.cast();
    // SAFETY: it has so many bytes, and nobody else knows it.
    let out = unsafe { slice::from_raw_parts_mut(start, len) };
    let told = write(out).map_err(CoreError)?;
    // SAFETY: it is a bytes object, every byte of which was written.
    Ok((unsafe { bytes.cast_into_unchecked() }, told))
}
