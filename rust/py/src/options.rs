//! Options of a window, read from Python.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rolecore_core::{OnOrphans, Summary, Unit};

use crate::arguments::{flag, one_of, whole_number, wrong_kind};
use crate::errors::ArgumentError;

pub(crate) fn kind_of_summary(value: &Bound<'_, PyAny>) -> PyResult<Summary> {
    const EXPECTED: &str = "None, \"extractive\" or a callable";
    if value.is_instance_of::<PyString>() {
        return one_of(value, "summary", &[("extractive", Summary::Extractive)]);
    }
    if value.is_callable() { Ok(Summary::Later) } else { Err(wrong_kind(value, "summary", EXPECTED)) }
}

pub(crate) fn keep_last(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(usize::try_from(whole_number(value, "keep_last")?).unwrap_or(usize::MAX))
}

pub(crate) fn unit(value: &Bound<'_, PyAny>) -> PyResult<Unit> {
    one_of(value, "unit", &[("message", Unit::Message), ("sentence", Unit::Sentence)])
}

pub(crate) fn on_orphans(value: &Bound<'_, PyAny>) -> PyResult<OnOrphans> {
    one_of(value, "on_orphans", &[("repair", OnOrphans::Repair), ("raise", OnOrphans::Raise)])
}

pub(crate) fn shrink_tool_outputs(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag(value, "shrink_tool_outputs")
}

pub(crate) fn start_with_user(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag(value, "start_with_user")
}

pub(crate) fn pin(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    flag(value, "pin")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "0 <= ratio <= 1"
)]
pub(crate) fn smaller_budget(budget: Option<u64>, ratio: Option<f64>, history_tokens: u64) -> PyResult<u64> {
    let share = ratio.map(|ratio| (ratio * history_tokens as f64).floor() as u64);
    match (budget, share) {
        (Some(budget), Some(share)) => Ok(budget.min(share)),
        (Some(only), None) | (None, Some(only)) => Ok(only),
        (None, None) => {
            Err(ArgumentError::new_err("neither budget_tokens nor retain_ratio is given; pass at least one"))
        }
    }
}
