//! `rolecore.gate`: whether two questions that look alike ask the same.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rolecore_core::gate;

use crate::arguments::string;
use crate::text::text_of;

/// Return whether two questions that look alike may ask the same.
///
/// Vectors tell what texts are about, not what they say of it: "enable" and "disable", 3 and 5, Oslo and Bergen, "from A to B"
/// and "from B to A" are nearer to each other than many a paraphrase. This reads both texts and refuses what differs in
/// negation, numbers, names, persons, codes, quotations, opposites, quantities, the question word or who does what to whom, and texts of
/// nearly the same words where what differs is not known to say the same. It is the default `gate` of `SemanticCache`, and
/// knows English and Chinese; of other languages only numbers, names, codes, order and nearly the same words.
///
/// Args:
///     text: what is asked now.
///     cached_text: what was asked before. `gate(a, b) == gate(b, a)`.
///
/// Returns:
///     False where a difference was found; `gate_reason` tells which.
///
/// Raises:
///     ArgumentError: an argument is no str.
///
/// Cost: some microseconds for two questions, O(length) for two equal texts. The GIL is held.
///
/// Example:
///     >>> import rolecore
///     >>> rolecore.gate("How do I enable dark mode?", "How can I enable dark mode, please?")
///     True
///     >>> rolecore.gate("How do I enable dark mode?", "How do I disable dark mode?")
///     False
#[pyfunction]
#[pyo3(name = "gate", signature = (text: "str", cached_text: "str") -> "bool")]
pub(crate) fn passes(text: &Bound<'_, PyAny>, cached_text: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(differs(string(text, "text")?, string(cached_text, "cached_text")?)?.is_none())
}

/// Return why `gate` refuses two questions, None where it does not.
///
/// Args:
///     text: what is asked now.
///     cached_text: what was asked before.
///
/// Returns:
///     "negation", "number", "name", "opposite", "quantity", "question", "order", "wording", or "length" for two long texts
///     that differ in much.
///
/// Raises:
///     ArgumentError: an argument is no str.
///
/// Cost: as `gate`.
///
/// Example:
///     >>> import rolecore
///     >>> rolecore.gate_reason("Trains from Oslo to Bergen", "Trains from Bergen to Oslo")
///     'order'
#[pyfunction]
#[pyo3(signature = (text: "str", cached_text: "str") -> "str | None")]
pub(crate) fn gate_reason(text: &Bound<'_, PyAny>, cached_text: &Bound<'_, PyAny>) -> PyResult<Option<&'static str>> {
    differs(string(text, "text")?, string(cached_text, "cached_text")?)
}

fn differs(text: &Bound<'_, PyString>, cached_text: &Bound<'_, PyString>) -> PyResult<Option<&'static str>> {
    Ok(gate::difference(&text_of(text)?, &text_of(cached_text)?).map(gate::Difference::name))
}
