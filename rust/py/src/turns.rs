//! Turns of a snapshot: each is made when it is asked for, and read in place.

use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PySlice, PyString, PyTuple};
use rolecore_core::codec::{ListPlace, Turn as View};

use crate::codec::Snapshot;
use crate::errors::CoreError;
use crate::told;
use crate::tool_call;

/// Turns of a snapshot: a sequence that makes each when it is asked for.
#[pyclass(frozen, sequence, module = "rolecore")]
pub(crate) struct Turns {
    snapshot: Py<Snapshot>,
    place: ListPlace,
}

#[pymethods]
impl Turns {
    fn __len__(&self) -> usize {
        self.place.len()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (py, len) = (index.py(), self.place.len());
        if let Ok(slice) = index.cast::<PySlice>() {
            let all = PyList::empty(py);
            let range = slice.indices(isize::try_from(len)?)?;
            let mut at = range.start;
            for _ in 0..range.slicelength {
                all.append(self.turn(py, usize::try_from(at)?))?;
                at += range.step;
            }
            return Ok(all.into_any());
        }
        let at: isize = index.extract().map_err(|error: PyErr| match error {
            error if !error.is_instance_of::<PyOverflowError>(py) => error,
            _ => PyIndexError::new_err("index is out of range: no snapshot has 2**63 turns"),
        })?;
        let place = if at < 0 { len.checked_sub(at.unsigned_abs()) } else { Some(at.unsigned_abs()) };
        let place = place.filter(|&place| place < len).ok_or_else(|| {
            PyIndexError::new_err(format!("index {at} is out of range: the snapshot has {len} turns"))
        })?;
        Ok(Bound::new(py, self.turn(py, place))?.into_any())
    }

    /// Iterate over the turns, each made when its turn comes.
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        let iterator = TurnsIterator { turns: slf.clone().unbind(), next: AtomicUsize::new(0) };
        Bound::new(slf.py(), iterator)?.try_iter()
    }

    fn __repr__(&self) -> String {
        format!("Turns({})", self.place.len())
    }
}

impl Turns {
    /// Those of a snapshot that are at a place of it.
    pub(crate) fn new(snapshot: &Bound<'_, Snapshot>, place: ListPlace) -> Self {
        Self { snapshot: snapshot.clone().unbind(), place }
    }

    fn turn(&self, py: Python<'_>, index: usize) -> Turn {
        Turn { snapshot: self.snapshot.clone_ref(py), place: self.place, index }
    }
}

/// Iterates over turns.
#[pyclass(frozen, module = "rolecore")]
struct TurnsIterator {
    turns: Py<Turns>,
    next: AtomicUsize,
}

#[pymethods]
impl TurnsIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> Option<Turn> {
        let turns = self.turns.get();
        // No further than the end, so that it never begins anew.
        let index = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| (next < turns.place.len()).then_some(next + 1));
        index.ok().map(|index| turns.turn(py, index))
    }

    fn __length_hint__(&self) -> usize {
        self.turns.get().place.len() - self.next.load(Ordering::Relaxed)
    }
}

/// A message of a snapshot, read in place.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Turn {
    snapshot: Py<Snapshot>,
    /// Of all turns.
    place: ListPlace,
    index: usize,
}

#[pymethods]
impl Turn {
    /// Who speaks: "system", "developer", "user", "assistant" or "tool".
    #[getter]
    fn role(&self) -> PyResult<&'static str> {
        self.read(|turn| Ok(turn.role()?.as_str()))
    }

    /// The content, where it is one text; else None.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        told::text(py, &self.read(|turn| Ok(*turn))?)
    }

    /// The content, where it is a list of parts: the text of a JSON array; else None.
    #[getter]
    fn parts(&self) -> PyResult<Option<&str>> {
        self.read(View::parts)
    }

    /// The speaker's name, or None.
    #[getter]
    fn name(&self) -> PyResult<Option<&str>> {
        self.read(View::name)
    }

    /// The text of an assistant's refusal, or None.
    #[getter]
    fn refusal(&self) -> PyResult<Option<&str>> {
        self.read(View::refusal)
    }

    /// Which call a tool's turn answers, or None.
    #[getter]
    fn tool_call_id(&self) -> PyResult<Option<&str>> {
        self.read(View::tool_call_id)
    }

    /// An assistant's calls: a tuple of ToolCall, or None where there is no list of them.
    #[getter]
    fn tool_calls<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        tool_call::of_turn(self.snapshot.bind(py), self.index, &self.read(|turn| Ok(*turn))?)
    }

    /// All other keys of the message, as the text of a JSON object, or None.
    #[getter]
    fn extra(&self) -> PyResult<Option<&str>> {
        self.read(View::extra)
    }

    /// Tokens, as the session's tokenizer counts them with the message's frame; 0 where nobody counted.
    #[getter]
    fn tokens(&self) -> PyResult<u32> {
        self.read(View::tokens)
    }

    /// Whether the turn stays in every window.
    #[getter]
    fn pinned(&self) -> PyResult<bool> {
        self.read(View::is_pinned)
    }

    /// When it was said, in milliseconds since 1970 UTC; 0 where that is unknown.
    #[getter]
    fn time_ms(&self) -> PyResult<i64> {
        self.read(View::time_ms)
    }

    /// Return how many bytes each text has that is there, by its field; those of calls are theirs to tell.
    #[pyo3(signature = () -> "dict[str, int]")]
    fn sizes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        tool_call::sizes_of_turn(py, &self.read(|turn| Ok(*turn))?)
    }

    /// Return the message as it was encoded: content, tool calls, unknown keys and all.
    #[pyo3(signature = () -> "dict[str, typing.Any]")]
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        told::message(py, &self.read(|turn| Ok(*turn))?)
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("Turn({}, {})", self.index, self.role()?))
    }
}

impl Turn {
    fn read<'a, T>(&'a self, field: impl FnOnce(&View<'a>) -> rolecore_core::Result<T>) -> PyResult<T> {
        let turn = self.place.turns(self.snapshot.get().bytes()).get(self.index);
        Ok(turn.and_then(|turn| field(&turn)).map_err(CoreError)?)
    }
}
