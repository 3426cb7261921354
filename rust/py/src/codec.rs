//! `rolecore.codec`: sessions as snapshots that are read where they are.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PySlice};
use rolecore_core::codec::{self, Snapshot as View, SnapshotParts, Source, Vectors};

use crate::arguments::{flag, kind, string};
use crate::buffers::{Owner, Stretch, array_of_vectors, written, written_around};
use crate::cache_arguments::Name;
use crate::errors::{ArgumentError, CodecError, CoreError};
use crate::history::History;
use crate::history_file;
use crate::source::turns_of;
use crate::told::{self, Texts};
use crate::tool_call;
use crate::turns::Turns;

/// Return a session as bytes that `open_snapshot` reads in place.
///
/// Args:
///     history: a History, or an iterable of messages. What of a message has no field of its own is kept as JSON.
///     session_id: the session's name.
///     role: the role that the session is held with.
///     summary: what turns that were left out come to.
///     vectors: float32, shape (n, dim), or anything NumPy makes into it.
///     payload: bytes of your own, or any buffer.
///
/// Returns:
///     The same bytes for the same arguments, in the FlatBuffers format; see docs/codecs.md.
///
/// Raises:
///     CodecError: a text has a lone surrogate, a message is not the same once it was JSON, or all would be 2 GiB or more.
///     ArgumentError: an argument is of a wrong kind.
///
/// Cost: O(bytes), each written once. Messages of a History that are one text, or calls of functions, are not looked at as Python objects.
#[pyfunction]
#[pyo3(
    signature = (
        history: "History | collections.abc.Iterable[dict[str, typing.Any]]",
        *,
        session_id: "str" = Name(None),
        role: "str" = Name(None),
        summary: "str | None" = None,
        vectors: "numpy.typing.ArrayLike | None" = None,
        payload: "typing_extensions.Buffer | None" = None
    ) -> "bytes",
    text_signature = "(history, *, session_id='', role='', summary=None, vectors=None, payload=None)"
)]
pub(crate) fn encode_snapshot<'py>(
    history: &Bound<'py, PyAny>,
    session_id: Name<'_, 'py>,
    role: Name<'_, 'py>,
    summary: Option<&Bound<'py, PyAny>>,
    vectors: Option<&Bound<'py, PyAny>>,
    payload: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let vectors = vectors.map(GivenVectors::of).transpose()?;
    let payload = payload.map(|payload| Owner::of(payload, Some(false))).transpose()?;
    planned(history, session_id, role, summary, vectors.as_ref(), payload.as_ref(), |plan| written(history.py(), plan))
}

/// Return the bytes of `encode_snapshot` in pieces, so that vectors and payload need not be copied to be sent or written to a file.
///
/// Takes the arguments of `encode_snapshot`. What vectors and payload hold must stay as it is until the pieces were sent.
///
/// Returns:
///     Buffers of bytes, at most five and none of them empty, for `socket.sendmsg`, `os.writev` or `StreamWriter.writelines`. Those of float32
///     vectors in C order, and of the payload, are views of what was given.
///
/// Raises:
///     CodecError, ArgumentError: as `encode_snapshot` does.
///
/// Cost: O(bytes but for those of vectors and payload).
#[pyfunction]
#[pyo3(
    signature = (
        history: "History | collections.abc.Iterable[dict[str, typing.Any]]",
        *,
        session_id: "str" = Name(None),
        role: "str" = Name(None),
        summary: "str | None" = None,
        vectors: "numpy.typing.ArrayLike | None" = None,
        payload: "typing_extensions.Buffer | None" = None
    ) -> "list[memoryview]",
    text_signature = "(history, *, session_id='', role='', summary=None, vectors=None, payload=None)"
)]
pub(crate) fn encode_snapshot_buffers<'py>(
    history: &Bound<'py, PyAny>,
    session_id: Name<'_, 'py>,
    role: Name<'_, 'py>,
    summary: Option<&Bound<'py, PyAny>>,
    vectors: Option<&Bound<'py, PyAny>>,
    payload: Option<&Bound<'py, PyAny>>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = history.py();
    let vectors = vectors.map(GivenVectors::of).transpose()?;
    let held = payload.map(|payload| Owner::of(payload, Some(false))).transpose()?;
    let (around, [to_vectors, to_payload]) =
        planned(history, session_id, role, summary, vectors.as_ref(), held.as_ref(), |plan| written_around(py, plan))?;
    let around = PyMemoryView::from(&around)?;
    let piece = |from: usize, to: usize| around.get_item(PySlice::new(py, from.try_into()?, to.try_into()?, 1));
    let mut pieces = vec![piece(0, to_vectors)?];
    if let Some(vectors) = vectors {
        pieces.push(PyMemoryView::from(&vectors.array)?.into_any());
    }
    pieces.push(piece(to_vectors, to_payload)?);
    if let Some(payload) = payload {
        pieces.push(PyMemoryView::from(payload)?.call_method1(intern!(py, "cast"), ("B",))?);
    }
    pieces.push(piece(to_payload, around.len()?)?);
    pieces.retain(|piece| piece.len().is_ok_and(|len| len > 0));
    Ok(pieces)
}

/// What `then` makes of the plan of a snapshot.
fn planned<'py, T>(
    history: &Bound<'py, PyAny>,
    session_id: Name<'_, 'py>,
    role: Name<'_, 'py>,
    summary: Option<&Bound<'py, PyAny>>,
    vectors: Option<&GivenVectors<'py>>,
    payload: Option<&Owner>,
    then: impl FnOnce(&codec::Plan<'_>) -> PyResult<T>,
) -> PyResult<T> {
    let (session_id, role, summary) =
        (text(session_id.0.as_deref(), "session_id")?, text(role.0.as_deref(), "role")?, text(summary, "summary")?);
    let plan = |turns: Source<'_>, tokenizer: Option<&str>| {
        let parts = SnapshotParts {
            session_id: session_id.filter(|text| !text.is_empty()),
            role: role.filter(|text| !text.is_empty()),
            tokenizer,
            turns,
            summary,
            vectors: vectors.map_or_else(Vectors::default, GivenVectors::vectors),
            payload: payload.map(Owner::bytes),
            created_ms: 0,
            updated_ms: 0,
        };
        then(&codec::Plan::new(&parts).map_err(CoreError)?)
    };
    match history.cast::<History>() {
        Ok(history) => history.get().with_turns(history.py(), |turns, tokenizer| plan(turns, Some(tokenizer))),
        Err(_) => plan(Source::Turns(&turns_of(history, &Texts::default())?), None),
    }
}

/// Open a snapshot where it is: nothing is copied, and only what is asked for is read.
///
/// Args:
///     buffer: what `encode_snapshot` returned: bytes, a memoryview, an mmap, any buffer of contiguous bytes.
///     copy: whether to copy it first. None: where it can be written to, since what is read must not change.
///
/// Raises:
///     CodecError: it is no snapshot, or one of a newer version. What is damaged elsewhere is found when it is read, or by `verify`.
///     ArgumentError: it is no such buffer.
///
/// Cost: the same for any size, unless it is copied. The buffer is held as long as anything that came out of it. A file that is
/// cut while it is mapped ends the process, as with any mmap.
#[pyfunction]
#[pyo3(signature = (buffer: "typing_extensions.Buffer", *, copy: "bool | None" = None) -> "Snapshot")]
pub(crate) fn open_snapshot(buffer: &Bound<'_, PyAny>, copy: Option<&Bound<'_, PyAny>>) -> PyResult<Snapshot> {
    Snapshot::of(Owner::of(buffer, copy.map(|copy| flag(copy, "copy")).transpose()?)?)
}

/// A session that is read in place.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Snapshot {
    owner: Owner,
}

#[pymethods]
impl Snapshot {
    /// The least version of the schema that a reader has to know.
    #[getter]
    fn version(&self) -> PyResult<u16> {
        self.read(View::version)
    }

    /// The session's name; empty where there is none.
    #[getter]
    fn session_id(&self) -> PyResult<&str> {
        Ok(self.read(View::session_id)?.unwrap_or_default())
    }

    /// The role that the session is held with; empty where there is none.
    #[getter]
    fn role(&self) -> PyResult<&str> {
        Ok(self.read(View::role)?.unwrap_or_default())
    }

    /// The name of the tokenizer that counted, or None.
    #[getter]
    fn tokenizer(&self) -> PyResult<Option<&str>> {
        self.read(View::tokenizer)
    }

    /// What turns that were left out come to, or None.
    #[getter]
    fn summary(&self) -> PyResult<Option<&str>> {
        self.read(View::summary)
    }

    /// When the session began, in milliseconds since 1970 UTC; 0 where that is unknown.
    #[getter]
    fn created_ms(&self) -> PyResult<i64> {
        self.read(View::created_ms)
    }

    /// When it was last changed, in milliseconds since 1970 UTC; 0 where that is unknown.
    #[getter]
    fn updated_ms(&self) -> PyResult<i64> {
        self.read(View::updated_ms)
    }

    /// What was said, oldest first: a sequence of Turn.
    #[getter]
    fn turns(slf: &Bound<'_, Self>) -> PyResult<Turns> {
        let place = slf.get().read(View::turns)?.place();
        Ok(Turns::new(slf, place))
    }

    /// The vectors: a read-only float32 array of shape (n, dim), a view wherever the buffer lies right for it; or None.
    #[getter]
    fn vectors<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(vectors) = slf.get().read(View::vectors)? else { return Ok(None) };
        let array = array_of_vectors(slf, vectors)?;
        if vectors.is_aligned_to(size_of::<f32>()) {
            return Ok(Some(array));
        }
        let copy = array.call_method0(intern!(slf.py(), "copy"))?;
        copy.call_method1(intern!(slf.py(), "setflags"), (false,))?;
        Ok(Some(copy))
    }

    /// The payload: a read-only memoryview, or None.
    #[getter]
    fn payload<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        let Some(payload) = slf.get().read(View::payload)? else { return Ok(None) };
        let stretch = Stretch::of(slf, payload).into_pyobject(slf.py())?;
        PyMemoryView::from(stretch.as_any()).map(Some)
    }

    /// Check all of it at once: structure, alignment, texts.
    ///
    /// Raises:
    ///     CodecError: what is damaged, and where.
    ///
    /// Cost: O(bytes), in bounded depth; the GIL is released.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| codec::verify(self.owner.bytes()).map(drop)).map_err(CoreError)?)
    }

    /// Return all of it: the fields by name, `messages` as they were encoded, and `pinned`, the indices of those that are.
    ///
    /// What was written about a message beside it, its tokens and its time, is in `turns` alone.
    ///
    /// Raises:
    ///     CodecError: it is damaged.
    #[pyo3(signature = () -> "dict[str, typing.Any]")]
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let (snapshot, py) = (slf.get(), slf.py());
        let dict = PyDict::new(py);
        dict.set_item("version", snapshot.version()?)?;
        dict.set_item("session_id", snapshot.session_id()?)?;
        dict.set_item("role", snapshot.role()?)?;
        dict.set_item("tokenizer", snapshot.tokenizer()?)?;
        let (messages, pinned) = (PyList::empty(py), PyList::empty(py));
        for (index, turn) in snapshot.read(View::turns)?.iter().enumerate() {
            let turn = turn.map_err(CoreError)?;
            messages.append(told::message(py, &turn)?)?;
            if turn.is_pinned().map_err(CoreError)? {
                pinned.append(index)?;
            }
        }
        dict.set_item("messages", messages)?;
        dict.set_item("pinned", pinned)?;
        dict.set_item("summary", snapshot.summary()?)?;
        dict.set_item("vectors", Self::vectors(slf)?)?;
        dict.set_item("payload", snapshot.read(View::payload)?.map(|payload| PyBytes::new(py, payload)))?;
        dict.set_item("created_ms", snapshot.created_ms()?)?;
        dict.set_item("updated_ms", snapshot.updated_ms()?)?;
        Ok(dict)
    }

    /// Return the messages and pins as a History, counted anew; their words are read when a window is first chosen.
    ///
    /// Args:
    ///     tokenizer: what counts; None: the snapshot's own, or that of a History if it names none.
    ///
    /// Raises:
    ///     CodecError: it is damaged. TokenizerError: its tokenizer is none that comes with rolecore; name one. A path that a snapshot
    ///     names is never opened. MessageError: a message is not of the form a chat API takes.
    #[pyo3(signature = (*, tokenizer: "str | os.PathLike[str] | Tokenizer | None" = None) -> "History")]
    fn to_history<'py>(&self, py: Python<'py>, tokenizer: Option<&Bound<'py, PyAny>>) -> PyResult<History> {
        history_file::of_snapshot(py, &self.read(|view| Ok(*view))?, tokenizer)
    }

    /// Return how many bytes each field has that is there, by its name; those of turns are theirs to tell.
    #[pyo3(signature = () -> "dict[str, int]")]
    fn sizes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        tool_call::sizes_of_snapshot(py, &self.read(|view| Ok(*view))?)
    }

    /// Bytes of the whole snapshot.
    #[getter]
    fn nbytes(&self) -> usize {
        self.owner.bytes().len()
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(format!("Snapshot({} turns, {} bytes)", self.read(View::turns)?.len(), self.nbytes()))
    }
}

impl Snapshot {
    /// Opens the snapshot that the owner's bytes are.
    pub(crate) fn of(owner: Owner) -> PyResult<Self> {
        View::open(owner.bytes()).map_err(CoreError)?;
        Ok(Self { owner })
    }

    fn read<'a, T>(&'a self, field: impl FnOnce(&View<'a>) -> rolecore_core::Result<T>) -> PyResult<T> {
        Ok(View::reopen(self.bytes()).and_then(|view| field(&view)).map_err(CoreError)?)
    }

    /// The bytes that it is read from.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.owner.bytes()
    }
}

/// Vectors to be written: little-endian float32, one after another.
struct GivenVectors<'py> {
    dim: u32,
    numbers: Owner,
    /// The same as an array of bytes.
    array: Bound<'py, PyAny>,
}

impl<'py> GivenVectors<'py> {
    fn of(given: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = given.py();
        let wrong =
            |what: String| ArgumentError::new_err(format!("vectors {what}; it must be float32, shape (n, dim)"));
        let numpy = py.import(intern!(py, "numpy"))?;
        let array = numpy.call_method1(intern!(py, "ascontiguousarray"), (given, "<f4"));
        let array = array.map_err(|_| wrong(format!("is {} and no array of numbers", kind(given))))?;
        let shape: Vec<usize> = array.getattr(intern!(py, "shape"))?.extract()?;
        let &[_, dim] = shape.as_slice() else {
            return Err(wrong(format!("has {} dimensions", shape.len())));
        };
        let dim = u32::try_from(dim).map_err(|_| wrong(format!("has {dim} numbers a row")))?;
        let bytes = array.call_method1(intern!(py, "reshape"), (-1,))?.call_method1(intern!(py, "view"), ("u1",))?;
        Ok(Self { dim, numbers: Owner::of(&bytes, Some(false))?, array: bytes })
    }

    fn vectors(&self) -> Vectors<'_> {
        Vectors { dim: self.dim, bytes: self.numbers.bytes() }
    }
}

fn text<'a>(given: Option<&'a Bound<'_, PyAny>>, name: &str) -> PyResult<Option<&'a str>> {
    let Some(given) = given else { return Ok(None) };
    let text = string(given, name)?;
    text.to_str().map(Some).map_err(|_| {
        CodecError::new_err(format!("{name} has a lone surrogate, which no snapshot can hold; replace it"))
    })
}
