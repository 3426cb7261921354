//! Arguments of a cache read from Python: what is wrong with one is a CacheError.

use std::borrow::Cow;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rolecore_core::cache::{MOST_DIM, Overrides, Policy, Scope, Value};

use crate::arguments::{self, flag, float, kind, number_from, number_within, one_of, string, wrong_kind};
use crate::errors::{ArgumentError, CacheError};
use crate::text::bytes_of;

pub(crate) const NANOSECONDS: f64 = 1e9;
const POLICIES: [(&str, Policy); 3] = [("lru", Policy::Lru), ("s3fifo", Policy::S3Fifo), ("gdsf", Policy::Gdsf)];

/// An argument that may be left out, and is whatever is given otherwise: None, too.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a, 'py>(pub(crate) Option<Borrowed<'a, 'py, PyAny>>);

/// A tenant and a model, as bytes.
#[derive(Default)]
pub(crate) struct Names<'a> {
    tenant: Cow<'a, [u8]>,
    model_id: Cow<'a, [u8]>,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Name<'a, 'py> {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(Some(given)))
    }
}

impl<'a> Names<'a> {
    #[inline]
    pub(crate) fn of(tenant: &'a Name<'_, '_>, model_id: &'a Name<'_, '_>) -> PyResult<Self> {
        // Most often. Kept apart: handing names on costs more than finding that there are none.
        if tenant.0.is_none() && model_id.0.is_none() { Ok(Self::default()) } else { Self::given(tenant, model_id) }
    }

    #[cold]
    fn given(tenant: &'a Name<'_, '_>, model_id: &'a Name<'_, '_>) -> PyResult<Self> {
        let of =
            |given: &'a Name<'_, '_>, what| given.0.as_deref().map_or(Ok(Cow::default()), |given| name(given, what));
        Ok(Self { tenant: of(tenant, "tenant")?, model_id: of(model_id, "model_id")? })
    }

    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope { tenant: &self.tenant, model_id: &self.model_id }
    }
}

/// What is wrong with an argument of a cache is a CacheError.
pub(crate) fn refused<T>(py: Python<'_>, result: PyResult<T>) -> PyResult<T> {
    result.map_err(|error| {
        if error.is_instance_of::<ArgumentError>(py) { CacheError::new_err(error.value(py).to_string()) } else { error }
    })
}

#[inline]
pub(crate) fn name<'a>(given: &'a Bound<'_, PyAny>, what: &str) -> PyResult<Cow<'a, [u8]>> {
    match given.cast::<PyString>() {
        Ok(text) => bytes_of(text),
        Err(_) => no_name(given, what),
    }
}

#[cold]
fn no_name<'a>(given: &Bound<'_, PyAny>, what: &str) -> PyResult<Cow<'a, [u8]>> {
    refused(given.py(), string(given, what).map(|_| Cow::default()))
}

pub(crate) fn value(given: Option<&Bound<'_, PyAny>>) -> PyResult<Value> {
    let Some(given) = given else { return Ok(Value::Nothing) };
    if let Ok(bytes) = given.cast::<PyBytes>() {
        return Ok(Value::Bytes(bytes.as_bytes().into()));
    }
    if let Ok(text) = given.cast::<PyString>() {
        return Ok(Value::Text(bytes_of(text)?.into()));
    }
    Err(CacheError::new_err(format!("value is {}; it must be bytes, a str or None", kind(given))))
}

/// A whole number from 1.
pub(crate) fn number(given: &Bound<'_, PyAny>, name: &str) -> PyResult<usize> {
    let number = refused(given.py(), number_from(1, given, name))?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

/// Numbers of a row.
pub(crate) fn dim(given: &Bound<'_, PyAny>) -> PyResult<usize> {
    let number = refused(given.py(), number_within(1, MOST_DIM as u64, given, "dim"))?;
    Ok(usize::try_from(number).expect("at most 65,536"))
}

/// Limits, where they are given.
pub(crate) fn overrides(
    capacity: Option<&Bound<'_, PyAny>>,
    max_bytes: Option<&Bound<'_, PyAny>>,
    time_to_live_s: Option<&Bound<'_, PyAny>>,
) -> PyResult<Overrides> {
    Ok(Overrides {
        capacity: capacity.map(|given| number(given, "capacity")).transpose()?,
        max_bytes: max_bytes.map(|given| number(given, "max_bytes")).transpose()?,
        time_to_live_ns: nanoseconds(time_to_live_s)?,
    })
}

pub(crate) fn clock(given: Option<Bound<'_, PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    if let Some(clock) = given.as_ref().filter(|clock| !clock.is_callable()) {
        return refused(clock.py(), Err(wrong_kind(clock, "clock", "a function that returns seconds, or None")));
    }
    Ok(given.map(Bound::unbind))
}

/// A path; what the caller's own `__fspath__` raises passes through.
pub(crate) fn path(given: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    refused(given.py(), arguments::path(given))
}

pub(crate) fn policy(given: &Bound<'_, PyAny>) -> PyResult<Policy> {
    refused(given.py(), one_of(given, "policy", &POLICIES))
}

pub(crate) fn metric(given: &Bound<'_, PyAny>) -> PyResult<()> {
    refused(given.py(), one_of(given, "metric", &[("cosine", ())]))
}

pub(crate) fn pinned(given: &Bound<'_, PyAny>) -> PyResult<bool> {
    refused(given.py(), flag(given, "pinned"))
}

pub(crate) fn top_k(given: &Bound<'_, PyAny>) -> PyResult<usize> {
    number(given, "top_k")
}

pub(crate) fn threshold(given: &Bound<'_, PyAny>) -> PyResult<f64> {
    within(given, "threshold", "a float from -1 to 1", |threshold| (-1.0..=1.0).contains(&threshold))
}

pub(crate) fn cost(given: &Bound<'_, PyAny>) -> PyResult<f64> {
    within(given, "cost", "a finite float from 0", |cost| cost.is_finite() && cost >= 0.0)
}

pub(crate) fn nanoseconds(time_to_live_s: Option<&Bound<'_, PyAny>>) -> PyResult<Option<u64>> {
    let Some(given) = time_to_live_s else { return Ok(None) };
    let is_time = |seconds: f64| seconds.is_finite() && seconds > 0.0;
    let seconds = within(given, "time_to_live_s", "a finite float above 0, or None", is_time)?;
    Ok(Some(to_nanoseconds(seconds).max(1)))
}

pub(crate) fn within(
    given: &Bound<'_, PyAny>,
    name: &str,
    expected: &str,
    is_within: impl Fn(f64) -> bool,
) -> PyResult<f64> {
    let number = refused(given.py(), float(given, name, expected))?;
    if is_within(number) {
        return Ok(number);
    }
    Err(CacheError::new_err(format!("{name} is {number:?}; it must be {expected}")))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; past 584 years it stays there"
)]
pub(crate) fn to_nanoseconds(seconds: f64) -> u64 {
    (seconds * NANOSECONDS).round() as u64
}
