//! `rolecore.Window`: a request ready to send, and what was left out of it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use rolecore_core::{Error, Reason, Repair, Window as CoreWindow};

use crate::errors::CoreError;
use crate::report::Report;

/// A legal request under a budget, chosen from a History.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Window {
    chosen: CoreWindow,
    messages: Py<PyList>,
}

impl Window {
    /// `objects` are the caller's messages at `chosen.kept`.
    pub(crate) fn new(py: Python<'_>, chosen: CoreWindow, mut objects: Vec<Py<PyAny>>) -> PyResult<Self> {
        for repair in &chosen.repairs {
            if let (Some(removed), Ok(at)) = (&repair.removed_calls, chosen.kept.binary_search(&repair.index)) {
                objects[at] = without_calls(objects[at].bind(py), repair.index, removed)?;
            }
        }
        Ok(Self { messages: PyList::new(py, objects)?.unbind(), chosen })
    }
}

/// A copy of message `index`, an assistant's, without the tool calls that nothing answers; `removed` ascends.
fn without_calls(message: &Bound<'_, PyAny>, index: usize, removed: &[usize]) -> PyResult<Py<PyAny>> {
    let py = message.py();
    let key = intern!(py, "tool_calls");
    let changed = || {
        let why = "it was changed after it was appended, which a history cannot follow; append a copy instead";
        PyErr::from(CoreError(Error::Message { index: Some(index), why: why.to_owned() }))
    };
    let copy = message.cast::<PyDict>()?.copy()?;
    let calls = copy.get_item(key)?.ok_or_else(changed)?.try_iter().map_err(|_| changed())?;
    let left = PyList::empty(py);
    for (i, call) in calls.enumerate() {
        if removed.binary_search(&i).is_err() {
            left.append(call?)?;
        }
    }
    if left.is_empty() {
        copy.del_item(key)?;
    } else {
        copy.set_item(key, left)?;
    }
    Ok(copy.into_any().unbind())
}

#[pymethods]
impl Window {
    /// The messages to send, a list of dicts in their old order.
    ///
    /// A message kept whole is the caller's own object; one that lost unanswered tool calls is a copy.
    #[getter]
    fn messages(&self, py: Python<'_>) -> Py<PyList> {
        self.messages.clone_ref(py)
    }

    /// For each of `messages`, its index in the history.
    #[getter]
    fn sources(&self) -> Vec<usize> {
        self.chosen.kept.clone()
    }

    /// Tokens of `messages`, exact; reply priming not included.
    #[getter]
    fn tokens(&self) -> u64 {
        self.chosen.tokens
    }

    /// Indices of the messages of which nothing is kept, ascending.
    #[getter]
    fn dropped(&self) -> Vec<usize> {
        let mut kept = self.chosen.kept.iter().peekable();
        (0..self.chosen.n_messages).filter(|index| kept.next_if_eq(&index).is_none()).collect()
    }

    /// Tokens of the leading messages that are also the history's leading ones, unchanged.
    ///
    /// What a provider's prompt cache that has seen the history can reuse.
    #[getter]
    fn reused_prefix_tokens(&self) -> u64 {
        self.chosen.reused_prefix_tokens
    }

    /// Return the counts behind the choice, and what was repaired.
    fn report(&self) -> Report {
        let whole = |repair: &&Repair| repair.removed_calls.is_none();
        Report {
            budget_tokens: self.chosen.budget_tokens,
            history_tokens: self.chosen.history_tokens,
            window_tokens: self.chosen.tokens,
            reused_prefix_tokens: self.chosen.reused_prefix_tokens,
            history_messages: self.chosen.n_messages,
            window_messages: self.chosen.kept.len(),
            reasons: Reason::ALL
                .iter()
                .zip(&self.chosen.amounts)
                .map(|(reason, amount)| (reason.as_str(), (amount.messages, amount.tokens)))
                .collect(),
            orphans_dropped: self.chosen.repairs.iter().filter(whole).map(|repair| repair.index).collect(),
            calls_removed: self
                .chosen
                .repairs
                .iter()
                .filter_map(|repair| Some((repair.index, repair.removed_calls.as_ref()?.len())))
                .collect(),
        }
    }

    /// Lets the cycle collector see the messages.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.messages)
    }

    fn __len__(&self) -> usize {
        self.chosen.kept.len()
    }

    fn __repr__(&self) -> String {
        let CoreWindow { kept, tokens, budget_tokens, n_messages, .. } = &self.chosen;
        format!("Window({} of {n_messages} messages, {tokens} of at most {budget_tokens} tokens)", kept.len())
    }
}
