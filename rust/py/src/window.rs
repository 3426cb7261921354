//! `rolecore.Window`: a request ready to send, and what was left out of it.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rolecore_core::{Amount, Entry, Error, Reason, Repair, Window as CoreWindow};

use crate::errors::CoreError;
use crate::report::Report;

/// A legal request under a budget, chosen from a History.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Window {
    figures: Figures,
    sources: Vec<Source>,
    messages: Py<PyList>,
    summary: Summary,
}

/// What a window says of itself, without its messages.
pub(crate) struct Figures {
    tokens: u64,
    budget_tokens: u64,
    n_messages: usize,
    history_tokens: u64,
    amounts: [Amount; Reason::ALL.len()],
    reused_prefix_tokens: u64,
    repairs: Vec<Repair>,
}

impl Figures {
    pub(crate) fn of(chosen: &CoreWindow) -> Self {
        Self {
            tokens: chosen.tokens,
            budget_tokens: chosen.budget_tokens,
            n_messages: chosen.n_messages,
            history_tokens: chosen.history_tokens,
            amounts: chosen.amounts,
            reused_prefix_tokens: chosen.reused_prefix_tokens,
            repairs: chosen.repairs.clone(),
        }
    }
}

/// Where a message of a window comes from.
pub(crate) enum Source {
    One(usize),
    Folded(Vec<usize>),
}

impl Source {
    pub(crate) fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Whole(index) | Entry::Cut { index, .. } => Self::One(*index),
            Entry::Folded { sources, .. } => Self::Folded(sources.clone()),
        }
    }

    fn indices(&self) -> &[usize] {
        match self {
            Self::One(index) => std::slice::from_ref(index),
            Self::Folded(indices) => indices,
        }
    }
}

/// Who wrote the summary, and why nobody else did.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) by: Option<&'static str>,
    pub(crate) fallback: Option<String>,
}

impl Window {
    pub(crate) fn new(
        py: Python<'_>,
        figures: Figures,
        sources: Vec<Source>,
        objects: Vec<Py<PyAny>>,
        summary: Summary,
    ) -> PyResult<Self> {
        Ok(Self { messages: PyList::new(py, objects)?.unbind(), figures, sources, summary })
    }

    /// `objects` are what the history holds for each entry; those that are not sent as they are, are replaced by copies.
    pub(crate) fn of_chosen(
        py: Python<'_>,
        chosen: &CoreWindow,
        mut objects: Vec<Py<PyAny>>,
        summary: Summary,
    ) -> PyResult<Self> {
        for (entry, object) in chosen.entries.iter().zip(&mut objects) {
            if let Some(copy) = Copy::of(entry, &chosen.repairs) {
                *object = copy.make(object.bind(py))?;
            }
        }
        Self::new(py, Figures::of(chosen), chosen.entries.iter().map(Source::of).collect(), objects, summary)
    }
}

/// What makes the message of a window another one than that of the history.
#[derive(Clone)]
pub(crate) enum Copy {
    Cut { index: usize, texts: Vec<(usize, String)> },
    WithoutCalls { index: usize, removed: Vec<usize> },
    Folded(String),
}

impl Copy {
    /// None if the message is sent as it is. `repairs` ascend by index.
    pub(crate) fn of(entry: &Entry, repairs: &[Repair]) -> Option<Self> {
        match entry {
            Entry::Cut { index, texts } => Some(Self::Cut { index: *index, texts: texts.clone() }),
            Entry::Folded { text, .. } => Some(Self::Folded(text.clone())),
            Entry::Whole(index) => {
                let at = repairs.binary_search_by_key(index, |repair| repair.index).ok()?;
                Some(Self::WithoutCalls { index: *index, removed: repairs[at].removed_calls.clone()? })
            }
        }
    }

    /// The copy; what `message` is does not matter for a folded one.
    pub(crate) fn make(&self, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        match self {
            Self::Cut { index, texts } => with_texts(message, *index, texts),
            Self::WithoutCalls { index, removed } => without_calls(message, *index, removed),
            Self::Folded(text) => {
                let py = message.py();
                let dict = PyDict::new(py);
                dict.set_item(intern!(py, "role"), intern!(py, "user"))?;
                dict.set_item(intern!(py, "content"), text)?;
                Ok(dict.into_any().unbind())
            }
        }
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

    /// For each of `messages`, its index in the history; for a folded one, the list of indices it is made of.
    #[getter]
    fn sources<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for source in &self.sources {
            match source {
                Source::One(index) => list.append(index)?,
                Source::Folded(indices) => list.append(indices)?,
            }
        }
        Ok(list)
    }

    /// Tokens of `messages`, exact; reply priming not included.
    #[getter]
    fn tokens(&self) -> u64 {
        self.figures.tokens
    }

    /// Indices of the messages of which nothing is kept, neither whole nor cut nor folded; ascending.
    #[getter]
    fn dropped(&self) -> Vec<usize> {
        let mut is_kept = vec![false; self.figures.n_messages];
        self.sources.iter().flat_map(Source::indices).for_each(|&index| is_kept[index] = true);
        (0..is_kept.len()).filter(|&index| !is_kept[index]).collect()
    }

    /// Tokens of the leading messages that are also the history's leading ones, unchanged.
    ///
    /// What a provider's prompt cache that has seen the history can reuse. In a RollingWindow's view: tokens of the leading
    /// messages that are also those of its previous view.
    #[getter]
    fn reused_prefix_tokens(&self) -> u64 {
        self.figures.reused_prefix_tokens
    }

    /// Return the counts behind the choice, and what was repaired.
    fn report(&self) -> Report {
        let Figures { repairs, amounts, .. } = &self.figures;
        let whole = |repair: &&Repair| repair.removed_calls.is_none();
        Report {
            budget_tokens: self.figures.budget_tokens,
            history_tokens: self.figures.history_tokens,
            window_tokens: self.figures.tokens,
            reused_prefix_tokens: self.figures.reused_prefix_tokens,
            history_messages: self.figures.n_messages,
            window_messages: self.sources.len(),
            reasons: Reason::ALL
                .iter()
                .zip(amounts)
                .map(|(reason, amount)| (reason.as_str(), (amount.messages, amount.tokens)))
                .collect(),
            orphans_dropped: repairs.iter().filter(whole).map(|repair| repair.index).collect(),
            calls_removed: repairs
                .iter()
                .filter_map(|repair| Some((repair.index, repair.removed_calls.as_ref()?.len())))
                .collect(),
            summary: self.summary.by,
            summary_fallback: self.summary.fallback.clone(),
        }
    }

    /// Lets the cycle collector see the messages.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.messages)
    }

    fn __len__(&self) -> usize {
        self.sources.len()
    }

    fn __repr__(&self) -> String {
        let Figures { tokens, budget_tokens, n_messages, .. } = &self.figures;
        format!("Window({} of {n_messages} messages, {tokens} of at most {budget_tokens} tokens)", self.sources.len())
    }
}
