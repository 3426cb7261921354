//! The time: what the caller's clock says, and the time of day.

use std::time::{SystemTime, UNIX_EPOCH};

use pyo3::prelude::*;

use crate::arguments::float;
use crate::cache_arguments::{refused, to_nanoseconds};
use crate::errors::CacheError;

/// What a clock says, in nanoseconds; None without a clock.
#[inline]
pub(crate) fn time(py: Python<'_>, clock: Option<&Py<PyAny>>) -> PyResult<Option<u64>> {
    clock.map(|clock| ask(py, clock)).transpose()
}

fn ask(py: Python<'_>, clock: &Py<PyAny>) -> PyResult<u64> {
    const EXPECTED: &str = "seconds, 0 or more";
    let now = clock.bind(py).call0()?;
    let seconds = refused(py, float(&now, "what clock returns", EXPECTED))?;
    if !(seconds.is_finite() && seconds >= 0.0) {
        return Err(CacheError::new_err(format!("what clock returns is {seconds:?}; it must be {EXPECTED}")));
    }
    Ok(to_nanoseconds(seconds))
}

/// Nanoseconds since 1970.
pub(crate) fn wall_ns() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
