//! The caller's embedder: what each message means, asked for once and kept beside the history.

use std::sync::Arc;

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyTypeError, PyValueError, PyWarning};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use rolecore_core::{Message, Rows};

use crate::arguments::{kind, wrong_kind};
use crate::errors::ArgumentError;
use crate::history::History;
use crate::options::smaller_budget;

/// Above so many numbers, rows are compared with the GIL released.
const DETACH_NUMBERS: usize = 1 << 20;

/// An object with a method `embed`.
pub(crate) struct Embedder<'py> {
    object: Bound<'py, PyAny>,
    embed: Bound<'py, PyAny>,
}

/// The rows of a history's leading messages, by one embedder.
pub(crate) struct Embedded {
    /// Held, so that no later object can be taken for it.
    embedder: Py<PyAny>,
    rows: Arc<Rows>,
}

/// The texts of the messages that have no row yet; None where a message says nothing.
struct Unread {
    known: Option<Arc<Rows>>,
    texts: Vec<Option<String>>,
}

impl<'py> Embedder<'py> {
    pub(crate) fn of(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        const EXPECTED: &str = "an object with a method embed(texts)";
        let embed = match object.getattr(intern!(object.py(), "embed")) {
            Err(error) if error.is_instance_of::<PyAttributeError>(object.py()) => {
                return Err(wrong_kind(object, "embedder", EXPECTED));
            }
            embed => embed?,
        };
        if !embed.is_callable() {
            return Err(wrong_kind(&embed, "embedder.embed", "a method embed(texts)"));
        }
        Ok(Self { object: object.clone(), embed })
    }

    /// Calls `embed` once, for what is unread and for the query. Returns the new messages' rows and the query's.
    fn read(&self, unread: &Unread, query: &str) -> PyResult<(Rows, Vec<f32>)> {
        let py = self.object.py();
        let said = unread.texts.iter().flatten().map(String::as_str);
        let texts: Vec<Bound<'_, PyString>> =
            said.chain(std::iter::once(query)).map(|text| PyString::new(py, text)).collect();
        let n = texts.len();
        let (dim, flat) = floats(&self.embed.call1((PyList::new(py, texts)?,))?, n)?;
        if let Some(known) = unread.known.as_ref().filter(|known| known.dim() != dim) {
            return Err(ArgumentError::new_err(format!(
                "embedder.embed returned rows of {dim} numbers, and of {} before; make a new embedder for another model",
                known.dim()
            )));
        }
        let mut read = flat.chunks_exact(dim);
        let mut rows = Rows::new(dim);
        for text in &unread.texts {
            match text.as_ref().and_then(|_| read.next()) {
                Some(row) => rows.push(row),
                None => rows.push_nothing(),
            }
        }
        read.for_each(|row| rows.push(row));
        let query = rows.pop().expect("the query's row came last");
        Ok((rows, query))
    }

    fn unbind(self) -> Py<PyAny> {
        self.object.unbind()
    }

    fn is_of(&self, embedded: &Embedded) -> bool {
        embedded.embedder.is(&self.object)
    }
}

impl Unread {
    /// `texts` gives those of all messages from an index on.
    fn new(known: Option<&Embedded>, texts: impl FnOnce(usize) -> Vec<Option<String>>) -> Self {
        let known = known.map(|known| Arc::clone(&known.rows));
        let texts = texts(known.as_ref().map_or(0, |known| known.len()));
        Self { known, texts }
    }
}

impl Embedded {
    pub(crate) fn embedder(&self) -> &Py<PyAny> {
        &self.embedder
    }

    /// Keeps new rows in `place`; returns all rows, and what has to be dropped once no lock is held.
    ///
    /// Other calls may have kept rows meanwhile: of this embedder, which are the same, or of another, which then go.
    fn keep(
        place: &mut Option<Self>,
        embedder: Py<PyAny>,
        unread: Unread,
        new: &Rows,
    ) -> (Arc<Rows>, Option<Self>, Option<Py<PyAny>>) {
        let first = unread.known.as_ref().map_or(0, |known| known.len());
        if let Some(kept) = place.as_mut().filter(|kept| kept.embedder.is(&embedder) && kept.rows.dim() == new.dim()) {
            // Else the rows would be copied.
            drop(unread);
            let n_kept = kept.rows.len();
            if (first..first + new.len()).contains(&n_kept) {
                Arc::make_mut(&mut kept.rows).extend_from(new, n_kept - first);
            }
            return (Arc::clone(&kept.rows), None, Some(embedder));
        }
        let mut rows = unread.known.unwrap_or_else(|| Arc::new(Rows::new(new.dim())));
        Arc::make_mut(&mut rows).extend_from(new, 0);
        let gone = place.replace(Self { embedder, rows: Arc::clone(&rows) });
        (rows, gone, None)
    }
}

impl History {
    /// How near each message's meaning is to the query's, by the caller's embedder; nothing where the whole history fits. Messages
    /// that are appended meanwhile are not told.
    pub(crate) fn similarity(
        &self,
        py: Python<'_>,
        embedder: Embedder<'_>,
        query: &str,
        budget: Option<u64>,
        ratio: Option<f64>,
    ) -> PyResult<Vec<f32>> {
        let unread = {
            let state = self.lock(py)?;
            if smaller_budget(budget, ratio, state.core.tokens())? >= state.core.tokens() {
                return Ok(Vec::new());
            }
            let known = state.embedded.as_ref().filter(|embedded| embedder.is_of(embedded));
            Unread::new(known, |first| {
                (first..state.core.len()).map(|i| state.core.message(i).and_then(said)).collect()
            })
        };
        let (new, query) = embedder.read(&unread, query)?;
        let embedder = embedder.unbind();
        let (rows, _gone, _unused) = Embedded::keep(&mut self.lock(py)?.embedded, embedder, unread, &new);
        if rows.len() * rows.dim() > DETACH_NUMBERS {
            Ok(py.detach(|| rows.cosines(&query)))
        } else {
            Ok(rows.cosines(&query))
        }
    }
}

/// The texts of a message, a line each; none if it has none, which some embedders refuse.
fn said(message: &Message) -> Option<String> {
    let texts: Vec<&str> = message.texts().filter(|text| !text.trim().is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// The numbers of `n` rows that an embedder gave, and how many each has.
fn floats(given: &Bound<'_, PyAny>, n: usize) -> PyResult<(usize, Vec<f32>)> {
    let py = given.py();
    let numpy = py.import("numpy")?;
    let wrong = |what: String| {
        ArgumentError::new_err(format!(
            "embedder.embed returned {what}; it must be float32, shape ({n}, dim), a row a text"
        ))
    };
    // Whatever the array's own conversion says of its values stays out of the message.
    let is_refusal = |error: &PyErr| {
        error.is_instance_of::<PyTypeError>(py)
            || error.is_instance_of::<PyValueError>(py)
            || error.is_instance_of::<PyOverflowError>(py)
            || error.is_instance_of::<PyWarning>(py)
    };
    let refused = |error: PyErr| {
        if is_refusal(&error) { wrong(format!("what is {} and no array of numbers", kind(given))) } else { error }
    };
    let array = numpy.call_method1("asarray", (given,)).map_err(refused)?;
    let dtype = array.getattr("dtype")?;
    if !matches!(dtype.getattr("kind")?.extract::<String>()?.as_str(), "f" | "i" | "u") {
        let name = dtype.getattr("name")?.extract::<String>()?;
        return Err(wrong(format!("what is {}, of dtype {name}", kind(given))));
    }
    let shape: Vec<usize> = array.getattr("shape")?.extract()?;
    let &[rows, dim] = shape.as_slice() else {
        return Err(wrong(format!("an array of {} dimensions", shape.len())));
    };
    if rows != n || dim == 0 {
        return Err(wrong(format!("shape ({rows}, {dim})")));
    }
    let array = numpy.call_method1("ascontiguousarray", (&array, numpy.getattr("float32")?)).map_err(refused)?;
    let flat = PyBuffer::<f32>::get(&array)?.to_vec(py)?;
    match flat.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(wrong(format!("a number that is not finite, in row {}", at / dim))),
        None => Ok((dim, flat)),
    }
}
