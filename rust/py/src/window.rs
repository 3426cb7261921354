//! `rolecore.Window`: a request ready to send, and what was left out of it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rolecore_core::{Entry, Error, Reason, Repair, Window as CoreWindow};

use crate::errors::CoreError;
use crate::report::Report;

/// A legal request under a budget, chosen from a History.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Window {
    chosen: CoreWindow,
    messages: Py<PyList>,
}

impl Window {
    /// `objects` are the caller's messages that `chosen` holds, one an entry.
    pub(crate) fn new(py: Python<'_>, chosen: CoreWindow, mut objects: Vec<Py<PyAny>>) -> PyResult<Self> {
        for (entry, object) in chosen.entries.iter().zip(&mut objects) {
            if let Entry::Cut { index, texts } = entry {
                *object = with_texts(object.bind(py), *index, texts)?;
            }
        }
        for repair in &chosen.repairs {
            if let (Some(removed), Ok(at)) =
                (&repair.removed_calls, chosen.entries.binary_search_by_key(&repair.index, Entry::index))
            {
                objects[at] = without_calls(objects[at].bind(py), repair.index, removed)?;
            }
        }
        Ok(Self { messages: PyList::new(py, objects)?.unbind(), chosen })
    }
}

fn changed(index: usize) -> PyErr {
    let why = "it was changed after it was appended, which a history cannot follow; append a copy instead";
    CoreError(Error::Message { index: Some(index), why: why.to_owned() }).into()
}

/// A copy of message `index` with other texts in some of its parts; a list of parts stays one.
fn with_texts(message: &Bound<'_, PyAny>, index: usize, texts: &[(usize, String)]) -> PyResult<Py<PyAny>> {
    let py = message.py();
    let key = intern!(py, "content");
    let copy = message.cast::<PyDict>()?.copy()?;
    let content = copy.get_item(key)?.ok_or_else(|| changed(index))?;
    if content.is_instance_of::<PyString>() {
        let [(0, text)] = texts else { return Err(changed(index)) };
        copy.set_item(key, text)?;
    } else {
        let parts = PyList::empty(py);
        for (i, part) in content.try_iter().map_err(|_| changed(index))?.enumerate() {
            let part = part?;
            let Some((_, text)) = texts.iter().find(|(at, _)| *at == i) else {
                parts.append(part)?;
                continue;
            };
            let part = part.cast::<PyDict>().map_err(|_| changed(index))?.copy()?;
            let (text_key, refusal) = (intern!(py, "text"), intern!(py, "refusal"));
            part.set_item(if part.contains(text_key)? { text_key } else { refusal }, text)?;
            parts.append(part)?;
        }
        copy.set_item(key, parts)?;
    }
    Ok(copy.into_any().unbind())
}

/// A copy of message `index`, an assistant's, without the tool calls that nothing answers; `removed` ascends.
fn without_calls(message: &Bound<'_, PyAny>, index: usize, removed: &[usize]) -> PyResult<Py<PyAny>> {
    let py = message.py();
    let key = intern!(py, "tool_calls");
    let copy = message.cast::<PyDict>()?.copy()?;
    let calls = copy.get_item(key)?.ok_or_else(|| changed(index))?.try_iter().map_err(|_| changed(index))?;
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
    /// A message kept whole is the caller's own object; one that is cut or lost unanswered tool calls is a copy.
    #[getter]
    fn messages(&self, py: Python<'_>) -> Py<PyList> {
        self.messages.clone_ref(py)
    }

    /// For each of `messages`, its index in the history.
    #[getter]
    fn sources(&self) -> Vec<usize> {
        self.chosen.entries.iter().map(Entry::index).collect()
    }

    /// Tokens of `messages`, exact; reply priming not included.
    #[getter]
    fn tokens(&self) -> u64 {
        self.chosen.tokens
    }

    /// Indices of the messages of which nothing is kept, ascending.
    #[getter]
    fn dropped(&self) -> Vec<usize> {
        let mut kept = self.chosen.entries.iter().map(Entry::index).peekable();
        (0..self.chosen.n_messages).filter(|index| kept.next_if_eq(index).is_none()).collect()
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
            window_messages: self.chosen.entries.len(),
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
        self.chosen.entries.len()
    }

    fn __repr__(&self) -> String {
        let CoreWindow { entries, tokens, budget_tokens, n_messages, .. } = &self.chosen;
        format!("Window({} of {n_messages} messages, {tokens} of at most {budget_tokens} tokens)", entries.len())
    }
}
