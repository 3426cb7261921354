//! Tool calls of a snapshot's turns, and how many bytes fields take: read in place.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rolecore_core::codec::{ListPlace, Snapshot as View, ToolCall as CallView, Turn as TurnView};

use crate::codec::Snapshot;
use crate::errors::CoreError;

type Read<T> = rolecore_core::Result<T>;

/// A tool call of a turn, read in place.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct ToolCall {
    snapshot: Py<Snapshot>,
    /// Of all calls of the turn.
    place: ListPlace,
    turn: usize,
    index: usize,
}

/// The calls of a snapshot's turn of that index.
pub(crate) fn of_turn<'py>(
    snapshot: &Bound<'py, Snapshot>,
    index: usize,
    turn: &TurnView<'_>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let Some(calls) = turn.tool_calls().map_err(CoreError)? else { return Ok(None) };
    let (py, place) = (snapshot.py(), calls.place());
    let call = |call| Bound::new(py, ToolCall { snapshot: snapshot.clone().unbind(), place, turn: index, index: call });
    PyTuple::new(py, (0..calls.len()).map(call).collect::<PyResult<Vec<_>>>()?).map(Some)
}

#[pymethods]
impl ToolCall {
    /// What the result names as its tool_call_id, or None.
    #[getter]
    fn id(&self) -> PyResult<Option<&str>> {
        self.read(CallView::id)
    }

    /// The name of the function or custom tool, or None.
    #[getter]
    fn name(&self) -> PyResult<Option<&str>> {
        self.read(CallView::name)
    }

    /// The arguments as the model wrote them, or None.
    #[getter]
    fn arguments(&self) -> PyResult<Option<&str>> {
        self.read(CallView::arguments)
    }

    /// Whether it is a call of a custom tool, whose arguments are no JSON.
    #[getter]
    fn is_custom(&self) -> PyResult<bool> {
        self.read(CallView::is_custom)
    }

    /// All other keys of the call, as the text of a JSON object, or None.
    #[getter]
    fn extra(&self) -> PyResult<Option<&str>> {
        self.read(CallView::extra)
    }

    /// Return how many bytes each text has that is there, by its field.
    #[pyo3(signature = () -> "dict[str, int]")]
    fn sizes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.read(|call| {
            Ok([
                ("id", bytes(call.id())?),
                ("name", bytes(call.name())?),
                ("arguments", bytes(call.arguments())?),
                ("extra", bytes(call.extra())?),
            ])
        })
        .and_then(|sizes| dict(py, &sizes))
    }

    fn __repr__(&self) -> String {
        format!("ToolCall({} of turn {})", self.index, self.turn)
    }
}

impl ToolCall {
    fn read<'a, T>(&'a self, field: impl FnOnce(&CallView<'a>) -> Read<T>) -> PyResult<T> {
        let call = self.place.tool_calls(self.snapshot.get().bytes(), self.turn).get(self.index);
        Ok(call.and_then(|call| field(&call)).map_err(CoreError)?)
    }
}

/// How many bytes each field of a snapshot itself has that is there.
pub(crate) fn sizes_of_snapshot<'py>(py: Python<'py>, view: &View<'_>) -> PyResult<Bound<'py, PyDict>> {
    let read = || -> Read<_> {
        Ok([
            ("session_id", bytes(view.session_id())?),
            ("role", bytes(view.role())?),
            ("tokenizer", bytes(view.tokenizer())?),
            ("summary", bytes(view.summary())?),
            ("vectors", view.vectors()?.map(|vectors| vectors.bytes.len())),
            ("payload", view.payload()?.map(<[u8]>::len)),
        ])
    };
    dict(py, &read().map_err(CoreError)?)
}

/// How many bytes each text of a turn has that is there.
pub(crate) fn sizes_of_turn<'py>(py: Python<'py>, turn: &TurnView<'_>) -> PyResult<Bound<'py, PyDict>> {
    let read = || -> Read<_> {
        Ok([
            ("text", bytes(turn.text())?),
            ("parts", bytes(turn.parts())?),
            ("name", bytes(turn.name())?),
            ("refusal", bytes(turn.refusal())?),
            ("tool_call_id", bytes(turn.tool_call_id())?),
            ("extra", bytes(turn.extra())?),
        ])
    };
    dict(py, &read().map_err(CoreError)?)
}

/// The fields that are there.
fn dict<'py>(py: Python<'py>, sizes: &[(&str, Option<usize>)]) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, size) in sizes {
        size.map_or(Ok(()), |size| dict.set_item(name, size))?;
    }
    Ok(dict)
}

fn bytes(text: Read<Option<&str>>) -> Read<Option<usize>> {
    Ok(text?.map(str::len))
}
