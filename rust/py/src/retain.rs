//! The retain ratio and its controller.
#![allow(clippy::doc_markdown, reason = "these are Python docstrings")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use rolecore_core::{Error, retain};

use crate::errors::CoreError;

/// Return the share of a history to retain at a memory usage.
///
/// Above 85 % usage it is 0.4, else `min(0.9, 0.4 + (0.85 - used / total) * slope)`: it never grows with usage. For readings
/// that swing, see `RetainController`.
///
/// Args:
///     used_mem_gb: memory in use, in the unit of `total_mem_gb`; 0 or more, and it may exceed the total.
///     total_mem_gb: memory there is, above 0.
///     slope: ratio gained for each unit of usage under 0.85; 0 or more. At 0.5 the ratio runs without a jump from 0.825
///         at no usage to 0.4 at 0.85; 0.9 is reached from slope 0.589 on.
///
/// Returns:
///     A share in 0.4..0.9, for `History.fit(retain_ratio=...)`.
///
/// Raises:
///     ArgumentError: an argument is no number, not finite or below 0, or the total is 0.
///
/// Cost: O(1).
///
/// Source: the article's rule, "above 85 %: 0.4, else min(0.9, 0.4 + (0.85 - usage) * 50)". Its prose says "+0.5 % per 1 %",
/// which is slope 0.5, the default here. With slope 50, as in its formula, the ratio stays at 0.9 up to 84 % and falls to
/// 0.4 within the last per cent.
///
/// Example:
///     >>> round(rolecore.compute_retain_ratio(8, 16), 3)
///     0.575
#[pyfunction]
#[pyo3(signature = (used_mem_gb: "float", total_mem_gb: "float", *, slope: "float" = 0.5) -> "float")]
pub(crate) fn compute_retain_ratio(
    #[pyo3(from_py_with = number::used_mem_gb)] used_mem_gb: f64,
    #[pyo3(from_py_with = number::total_mem_gb)] total_mem_gb: f64,
    #[pyo3(from_py_with = number::slope)] slope: f64,
) -> PyResult<f64> {
    Ok(retain::compute_retain_ratio(used_mem_gb, total_mem_gb, slope).map_err(CoreError)?)
}

/// Turns memory readings into a retain ratio that stays the same while memory only swings.
///
/// It acts on a reading that is more than `margin` away from the reading it last acted on, or above 85 %, and keeps its
/// ratio otherwise: a usage that swings within one margin around 85 % changes the ratio at most once, at any slope.
/// Above 85 % the ratio is 0.4 at once; upwards it moves in steps, and only while usage is at or under 85 % - `margin`.
/// The first reading gives exactly `compute_retain_ratio`. No clock, no thread: the same readings give the same ratios.
/// One controller may be shared by threads.
///
/// Args:
///     slope: ratio gained for each unit of usage under 0.85, as in `compute_retain_ratio`; 0 or more.
///     margin: change of usage that is ignored, as a share of the limit; 0 or more and below 0.85.
///     max_rise: the most the ratio may rise with one reading; above 0 and at most 1.
///
/// Raises:
///     ArgumentError: a parameter is no number or out of its range.
///
/// Source: the formula's as in `compute_retain_ratio`; margin and max_rise are our choice, not measured. Five readings
/// bring the ratio from 0.4 back to the top of slope 0.5.
///
/// Example:
///     >>> keep = rolecore.RetainController()
///     >>> [round(keep.update(used, 100), 3) for used in (50, 87, 83, 70, 70)]
///     [0.575, 0.4, 0.4, 0.475, 0.475]
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct RetainController(Mutex<retain::RetainController>);

impl RetainController {
    /// The ratio after a reading of used and limit, or after the last one.
    pub(crate) fn after(&self, reading: Option<(f64, f64)>) -> PyResult<Option<f64>> {
        let mut controller = self.lock();
        match reading {
            Some((used, limit)) => Ok(Some(controller.update(used, limit).map_err(CoreError)?)),
            None => Ok(controller.ratio()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, retain::RetainController> {
        // Nothing in the core leaves a controller half changed, so a poisoned lock holds a good one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl RetainController {
    #[new]
    #[pyo3(signature = (*, slope: "float" = 0.5, margin: "float" = 0.05, max_rise: "float" = 0.1))]
    fn new(
        #[pyo3(from_py_with = number::slope)] slope: f64,
        #[pyo3(from_py_with = number::margin)] margin: f64,
        #[pyo3(from_py_with = number::max_rise)] max_rise: f64,
    ) -> PyResult<Self> {
        let controller = retain::RetainController::new(slope, margin, max_rise).map_err(CoreError)?;
        Ok(Self(Mutex::new(controller)))
    }

    /// Take one reading and return the ratio from now on.
    ///
    /// Args:
    ///     used_bytes: memory in use, 0 or more; it may exceed the limit. `Memory.used_bytes`.
    ///     limit_bytes: memory there may be, above 0. `Memory.limit_bytes`.
    ///
    /// Returns:
    ///     A share in 0.4..0.9, for `History.fit(retain_ratio=...)`.
    ///
    /// Raises:
    ///     ArgumentError: an argument is no number, not finite or below 0, or the limit is 0; the ratio stays as it was.
    ///
    /// Cost: O(1).
    #[pyo3(signature = (used_bytes: "float", limit_bytes: "float") -> "float")]
    fn update(
        &self,
        #[pyo3(from_py_with = number::used_bytes)] used_bytes: f64,
        #[pyo3(from_py_with = number::limit_bytes)] limit_bytes: f64,
    ) -> PyResult<f64> {
        Ok(self.lock().update(used_bytes, limit_bytes).map_err(CoreError)?)
    }

    /// The ratio after the last reading; None before the first.
    #[getter]
    fn ratio(&self) -> Option<f64> {
        self.lock().ratio()
    }

    fn __repr__(&self) -> String {
        let c = self.lock();
        let ratio = c.ratio().map_or_else(|| "None".into(), |ratio| ratio.to_string());
        format!("<RetainController slope={} margin={} max_rise={} ratio={ratio}>", c.slope(), c.margin(), c.max_rise())
    }
}

/// One converter an argument, so that its error can name the argument: `PyO3`'s own is a `TypeError`.
mod number {
    use pyo3::prelude::*;

    macro_rules! converters {
        ($($name:ident)*) => { $(
            pub(super) fn $name(value: &Bound<'_, PyAny>) -> PyResult<f64> {
                super::to_f64(stringify!($name), value)
            }
        )* };
    }

    converters!(used_mem_gb total_mem_gb slope margin max_rise used_bytes limit_bytes);
}

fn to_f64(name: &str, value: &Bound<'_, PyAny>) -> PyResult<f64> {
    value.extract::<f64>().map_err(|error| {
        let py = value.py();
        let what = if error.is_instance_of::<PyOverflowError>(py) {
            "too large".into()
        } else if error.is_instance_of::<PyTypeError>(py) {
            value.get_type().name().map_or_else(|_| "no number".into(), |kind| format!("of type {kind}"))
        } else {
            return error;
        };
        CoreError(Error::Argument(format!("{name} is {what}, it must be a finite number"))).into()
    })
}
