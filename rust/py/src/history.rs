//! `rolecore.History`: the caller's own message objects beside what the core keeps of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::exceptions::{PyIndexError, PyOverflowError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PySlice};
use rolecore_core::{
    Counted, FitOptions, History as CoreHistory, Message, OnOrphans, Summary as Kind, Tokenizer as CoreTokenizer, Unit,
};

use crate::arguments::{self, share, string, whole_number};
use crate::cache_arguments::Name;
use crate::codec::encode_snapshot;
use crate::embedder::{Embedded, Embedder};
use crate::errors::CoreError;
use crate::history_file;
use crate::message::{parse, parse_all};
use crate::options::{
    keep_last, kind_of_summary, on_orphans, pin, shrink_tool_outputs, smaller_budget, start_with_user, unit,
};
use crate::text::text_of;
use crate::tokens::{default_tokenizer, resolve};
use crate::told::nulls_of_plain;
use crate::window::{Summary, Window};

/// Above this much text, or this many messages, work is done with the GIL released: below it, releasing costs more.
const DETACH_BYTES: usize = 8 * 1024;
const DETACH_MESSAGES: usize = 20_000;

/// A chat history that knows what each message costs.
///
/// Messages are OpenAI-style dicts (system, developer, user, assistant with tool_calls, tool; content a str, a list of
/// parts, or None beside tool_calls). Each is checked, counted and read once, when it is appended; the dict itself is
/// kept, handed back untouched, and must not be changed by the caller afterwards.
///
/// Args:
///     messages: what to start with.
///     tokenizer: an encoding, a model's name, the path of a tokenizer.json, or a Tokenizer.
///
/// Raises:
///     MessageError: a message is not of the form a chat API takes; nothing is appended.
///     TokenizerError: the tokenizer is unknown or cannot be counted exactly.
///
/// Safe to share between threads.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct History {
    pub(crate) tokenizer: Arc<CoreTokenizer>,
    state: Mutex<State>,
}

/// What the lock guards. Whoever holds it neither waits for the GIL nor makes nor drops Python objects.
pub(crate) struct State {
    pub(crate) core: CoreHistory,
    pub(crate) objects: Vec<Py<PyAny>>,
    /// Which of them are more than what the core keeps.
    pub(crate) rich: Vec<usize>,
    pub(crate) embedded: Option<Embedded>,
}

/// A message as it was given.
struct Object {
    given: Py<PyAny>,
    is_rich: bool,
}

impl State {
    fn push_all(&mut self, counted: Vec<(Counted, Object)>, pin: bool) {
        for (message, object) in counted {
            self.core.push(message, pin);
            if object.is_rich {
                self.rich.push(self.objects.len());
            }
            self.objects.push(object.given);
        }
    }
}

#[pymethods]
impl History {
    #[new]
    #[pyo3(signature = (
        messages: "collections.abc.Iterable[dict[str, typing.Any]] | None" = None,
        *,
        tokenizer: "str | os.PathLike[str] | Tokenizer | None" = None
    ))]
    pub(crate) fn new(
        messages: Option<&Bound<'_, PyAny>>,
        tokenizer: Option<&Bound<'_, PyAny>>,
        py: Python<'_>,
    ) -> PyResult<Self> {
        let tokenizer = tokenizer.map_or_else(|| default_tokenizer(py), resolve)?;
        let history = Self::of(CoreHistory::new(Arc::clone(&tokenizer)), tokenizer);
        if let Some(messages) = messages {
            history.extend(messages)?;
        }
        Ok(history)
    }

    /// Append one message; with `pin` it stays in every window.
    ///
    /// A pinned tool call or result keeps its whole group.
    ///
    /// Raises:
    ///     MessageError: the message is not of the form a chat API takes; nothing is appended.
    ///
    /// Cost: one token count of its text, then O(bytes). The GIL is released above 8 kB.
    #[pyo3(signature = (message: "dict[str, typing.Any]", *, pin: "bool" = false) -> "None")]
    fn append(&self, message: &Bound<'_, PyAny>, #[pyo3(from_py_with = pin)] pin: bool) -> PyResult<()> {
        let index = self.lock(message.py())?.objects.len();
        self.push_all(message.py(), vec![(parse(message, index)?, message.clone().unbind())], pin)
    }

    /// Append all of `messages`, or none of them when one is refused.
    ///
    /// Raises:
    ///     MessageError: names the first message that is not of the form a chat API takes.
    #[pyo3(signature = (messages: "collections.abc.Iterable[dict[str, typing.Any]]") -> "None")]
    fn extend(&self, messages: &Bound<'_, PyAny>) -> PyResult<()> {
        // A statement of its own, so that the lock is free again: iterating runs the caller's code, which may use this history.
        let first = self.lock(messages.py())?.objects.len();
        let parsed = parse_all(messages, first)?;
        self.push_all(messages.py(), parsed, false)
    }

    /// Tokens of all messages: the per-model message cost, role, name, content and tool calls of each.
    ///
    /// Reply priming is apart: `Tokenizer.reply_tokens`.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.core.tokens())
    }

    /// Return the messages as a new list of the very objects that were appended.
    #[pyo3(signature = () -> "list[dict[str, typing.Any]]")]
    fn to_messages<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let objects: Vec<Py<PyAny>> = self.lock(py)?.objects.iter().map(|object| object.clone_ref(py)).collect();
        PyList::new(py, objects)
    }

    /// Return the best legal request of at most `budget_tokens` that this history makes.
    ///
    /// System, developer and pinned messages, the newest `keep_last` turns and a pending tool call always stay. A tool call
    /// and all its results stay or go together. Order never changes. What is under the budget comes back unchanged, but for
    /// results without calls and calls without results, which no provider takes.
    ///
    /// With `summary`, what stands of the messages that are left out in their stead: one message of the role user, after the
    /// leading instructions, of at most a quarter of the budget that what must stay leaves. "extractive" takes their key
    /// sentences. A callable is called once as `summary(messages, max_tokens=n)` with the messages left out, your own dicts in
    /// order, and returns a str, which is cut at its end if it is longer; "extractive" stands in when it raises an Exception or
    /// returns no text, and `Report.summary_fallback` says so. It is called without any lock, and not at all when nothing is
    /// left out or no room is left for a summary.
    ///
    /// Args:
    ///     budget_tokens: most tokens the window may have, by this history's tokenizer; reply priming not included.
    ///     retain_ratio: share of the history's tokens to keep, 0 to 1, rounded down; with both, the smaller budget rules.
    ///     query: what the next request is about; messages that match it are kept first.
    ///     keep_last: newest turns that must stay; a turn is a user message and all up to the next.
    ///     unit: "message" keeps or leaves out whole messages; "sentence" also cuts inside a message.
    ///     summary: None, "extractive", or a callable.
    ///     shrink_tool_outputs: make tool outputs smaller before anything is left out, once the history is over the budget. JSON
    ///         loses nothing: no white space, and arrays of like objects become a first object and rows of values ("sentence"
    ///         keeps the keys); logs keep errors, head and tail, and tell what went; of equal outputs the newest stays.
    ///     on_orphans: "repair" leaves out results without calls and calls without results; "raise" refuses them.
    ///     start_with_user: the first message that is no instruction is a user's, as some providers ask.
    ///     embedder: an object with `embed(texts)`: for a list of str an array, float32, shape (n, dim), unit rows. Messages that mean
    ///         what the query means then count as well as those that share its words. It is called at most once, without any
    ///         lock, for the query and the messages that it has not embedded for this history yet, which keeps it and its
    ///         rows; another object starts anew. Not called without a query, or while the whole history fits.
    ///
    /// Returns:
    ///     A Window. Its whole messages are the caller's own objects.
    ///
    /// Raises:
    ///     BudgetError: what must stay needs more; `.needed` is the smallest budget that works.
    ///     ArgumentError: neither budget nor ratio, or one out of its range; an embedder without `embed`, or that returns no such
    ///         array. What `embed` raises is passed on.
    ///     MessageError: an orphan, with on_orphans="raise"; no user message to start with.
    ///
    /// Cost: O(distinct terms of the history + n log n); no text is read and no token counted. The GIL is released above
    /// 20,000 messages. With an embedder, its own and O(n x dim).
    #[pyo3(
        signature = (
            budget_tokens: "int | None" = None,
            *,
            retain_ratio: "float | None" = None,
            query: "str | None" = None,
            keep_last: "int" = 3,
            unit: "str" = Unit::Message,
            summary: "str | collections.abc.Callable[..., str] | None" = None,
            shrink_tool_outputs: "bool" = false,
            on_orphans: "str" = OnOrphans::Repair,
            start_with_user: "bool" = false,
            embedder: "typing.Any" = None
        ) -> "Window",
        text_signature = "($self, budget_tokens=None, *, retain_ratio=None, query=None, keep_last=3, unit='message', summary=None, shrink_tool_outputs=False, on_orphans='repair', start_with_user=False, embedder=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword-only options of one verb")]
    fn fit(
        &self,
        py: Python<'_>,
        budget_tokens: Option<&Bound<'_, PyAny>>,
        retain_ratio: Option<&Bound<'_, PyAny>>,
        query: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = keep_last)] keep_last: usize,
        #[pyo3(from_py_with = unit)] unit: Unit,
        summary: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = shrink_tool_outputs)] shrink_tool_outputs: bool,
        #[pyo3(from_py_with = on_orphans)] on_orphans: OnOrphans,
        #[pyo3(from_py_with = start_with_user)] start_with_user: bool,
        embedder: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Window> {
        let query = query.map(|query| text_of(string(query, "query")?)).transpose()?;
        let mut options = FitOptions {
            keep_last,
            query: query.as_deref(),
            similarity: None,
            unit,
            shrink_tool_outputs,
            on_orphans,
            start_with_user,
            summary: summary.map_or(Ok(Kind::None), kind_of_summary)?,
        };
        let budget = budget_tokens.map(|value| whole_number(value, "budget_tokens")).transpose()?;
        let ratio = retain_ratio.map(|value| share(value, "retain_ratio")).transpose()?;
        let embedder = embedder.map(Embedder::of).transpose()?;

        let similarity = match (embedder, options.query.filter(|query| !query.trim().is_empty())) {
            (Some(embedder), Some(query)) => self.similarity(py, embedder, query, budget, ratio)?,
            _ => Vec::new(),
        };
        options.similarity = (!similarity.is_empty()).then_some(similarity.as_slice());
        let is_large = self.lock(py)?.objects.len() > DETACH_MESSAGES;
        let choose = |core: &CoreHistory| {
            let budget = smaller_budget(budget, ratio, core.tokens())?;
            core.fit(budget, &options).map_err(|error| PyErr::from(CoreError(error)))
        };
        let mut chosen =
            if is_large { py.detach(|| choose(&self.lock_detached()?.core))? } else { choose(&self.lock(py)?.core)? };
        let summary = match summary {
            Some(summary) => self.add_summary(summary, &options, &mut chosen)?,
            None => Summary::default(),
        };
        let none = py.None();
        let kept: Vec<Py<PyAny>> = {
            let state = self.lock(py)?;
            let object = |index: usize| &state.objects[index];
            chosen.entries.iter().map(|entry| entry.index().map_or(&none, object).clone_ref(py)).collect()
        };
        Window::of_chosen(py, &chosen, kept, summary)
    }

    /// Write the messages and pins to a file as a snapshot: all of them, or nothing.
    ///
    /// Args:
    ///     path: of the file. One that is there is replaced in one step, with a new file beside it that is complete and on disk; a
    ///         symbolic link is replaced, not followed.
    ///     session_id: the session's name. `load` leaves it in the file, as all that follows: `codec.open_snapshot` finds it there.
    ///     role: the role that the session is held with.
    ///     summary: what turns that were left out come to.
    ///     vectors: float32, shape (n, dim), or anything NumPy makes into it.
    ///     payload: bytes of your own, or any buffer.
    ///
    /// Raises:
    ///     OSError: the file cannot be written. What was at `path` is still there, and no other file is left.
    ///     CodecError: what no snapshot can hold, as in `codec.encode_snapshot`; then nothing is written.
    ///     ArgumentError: an argument is of a wrong kind.
    ///
    /// Cost: that of `codec.encode_snapshot`, then O(bytes) on disk without the GIL: others can use the history meanwhile.
    #[pyo3(
        signature = (
            path: "str | os.PathLike[str]",
            *,
            session_id: "str" = Name(None),
            role: "str" = Name(None),
            summary: "str | None" = None,
            vectors: "numpy.typing.ArrayLike | None" = None,
            payload: "typing_extensions.Buffer | None" = None
        ) -> "None",
        text_signature = "($self, path, *, session_id='', role='', summary=None, vectors=None, payload=None)"
    )]
    fn save<'py>(
        slf: &Bound<'py, Self>,
        path: &Bound<'py, PyAny>,
        session_id: Name<'_, 'py>,
        role: Name<'_, 'py>,
        summary: Option<&Bound<'py, PyAny>>,
        vectors: Option<&Bound<'py, PyAny>>,
        payload: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let path = arguments::path(path)?;
        let snapshot = encode_snapshot(slf.as_any(), session_id, role, summary, vectors, payload)?;
        history_file::write(&path, &snapshot)
    }

    /// Return the messages and pins of a snapshot in a file as a History, counted anew.
    ///
    /// Args:
    ///     path: of the file that `save` wrote, or any that holds what `codec.encode_snapshot` returned.
    ///     tokenizer: what counts; None: the one that is named in the file, or that of a History if none is.
    ///
    /// Raises:
    ///     OSError: the file cannot be read; FileNotFoundError: there is none.
    ///     CodecError: it is no snapshot, or is damaged; all of it is checked first.
    ///     TokenizerError: its tokenizer is none that comes with rolecore, such as that of a tokenizer.json; pass `tokenizer`.
    ///     MessageError: a message is not of the form a chat API takes.
    ///     ArgumentError: an argument is of a wrong kind.
    ///
    /// Cost: O(bytes), and a count of all messages; their words are read when a window is first chosen.
    #[staticmethod]
    #[pyo3(
        signature = (
            path: "str | os.PathLike[str]",
            *,
            tokenizer: "str | os.PathLike[str] | Tokenizer | None" = None
        ) -> "History",
        text_signature = "(path, *, tokenizer=None)"
    )]
    fn load(path: &Bound<'_, PyAny>, tokenizer: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        history_file::load(path.py(), &arguments::path(path)?, tokenizer)
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.objects.len())
    }

    fn __getitem__(&self, index: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = index.py();
        if index.is_instance_of::<PySlice>() {
            return Ok(self.to_messages(py)?.as_any().get_item(index)?.unbind());
        }
        let at = match index.extract::<isize>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
                return Err(PyIndexError::new_err("index is out of range: no history has 2**63 messages"));
            }
            at => at?,
        };
        let state = self.lock(py)?;
        let len = state.objects.len();
        let place = if at < 0 { len.checked_sub(at.unsigned_abs()) } else { Some(at.unsigned_abs()) };
        let object = place.and_then(|place| state.objects.get(place));
        object
            .map(|object| object.clone_ref(py))
            .ok_or_else(|| PyIndexError::new_err(format!("index {at} is out of range: the history has {len} messages")))
    }

    /// Iterate over the messages there are now.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.to_messages(py)?.try_iter()
    }

    /// Lets the cycle collector see the messages: a message's unknown keys may lead back to this history. Their dicts can be
    /// cleared, so this class needs no `__clear__`.
    ///
    /// A collection calls it twice and must not see fewer objects the second time, so it waits for the lock, with the GIL:
    /// whoever holds the lock neither waits for the GIL nor makes Python objects.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.embedded.iter().try_for_each(|embedded| visit.call(embedded.embedder()))?;
        state.objects.iter().try_for_each(|object| visit.call(object))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let state = self.lock(py)?;
        Ok(format!(
            "History({} messages, {} tokens, tokenizer={:?})",
            state.objects.len(),
            state.core.tokens(),
            self.tokenizer.name()
        ))
    }
}

impl History {
    /// One that reads its words only when a window is first chosen.
    pub(crate) fn lazy(tokenizer: Arc<CoreTokenizer>) -> Self {
        Self::of(CoreHistory::lazy(Arc::clone(&tokenizer)), tokenizer)
    }

    fn of(core: CoreHistory, tokenizer: Arc<CoreTokenizer>) -> Self {
        let state = State { core, objects: Vec::new(), rich: Vec::new(), embedded: None };
        Self { tokenizer, state: Mutex::new(state) }
    }

    /// Counts all messages, then appends them in one go: either all or, when one is refused, none.
    pub(crate) fn push_all(&self, py: Python<'_>, parsed: Vec<(Message, Py<PyAny>)>, pin: bool) -> PyResult<()> {
        let object = |(mut message, given): (Message, Py<PyAny>)| {
            let nulls = nulls_of_plain(given.bind(py), &message)?;
            message.nulls = nulls.unwrap_or(0);
            Ok((message, Object { given, is_rich: nulls.is_none() }))
        };
        let parsed = parsed.into_iter().map(object).collect::<PyResult<Vec<_>>>()?;
        let bytes: usize = parsed.iter().map(|(message, _)| message.text_bytes()).sum();
        if bytes > DETACH_BYTES {
            py.detach(|| {
                let counted = self.count_all(parsed)?;
                self.lock_detached()?.push_all(counted, pin);
                Ok(())
            })
        } else {
            let counted = self.count_all(parsed)?;
            self.lock(py)?.push_all(counted, pin);
            Ok(())
        }
    }

    fn count_all(&self, parsed: Vec<(Message, Object)>) -> PyResult<Vec<(Counted, Object)>> {
        let count = |(message, object)| Ok((Counted::new(message, &self.tokenizer).map_err(CoreError)?, object));
        parsed.into_iter().map(count).collect()
    }

    /// The lock if it is free.
    pub(crate) fn try_lock(&self) -> PyResult<Option<MutexGuard<'_, State>>> {
        match self.state.try_lock() {
            Ok(state) => Ok(Some(state)),
            Err(TryLockError::Poisoned(_)) => Err(poisoned()),
            Err(TryLockError::WouldBlock) => Ok(None),
        }
    }

    /// Waits until the lock is free, with the GIL released and without taking it.
    pub(crate) fn wait(&self, py: Python<'_>) {
        py.detach(|| drop(self.state.lock()));
    }

    pub(crate) fn lock<'a>(&'a self, py: Python<'_>) -> PyResult<MutexGuard<'a, State>> {
        loop {
            match self.state.try_lock() {
                Ok(state) => return Ok(state),
                Err(TryLockError::Poisoned(_)) => return Err(poisoned()),
                // Not `lock_py_attached`, which takes the lock and then waits for the GIL: `__traverse__` waits the other way.
                Err(TryLockError::WouldBlock) => py.detach(|| drop(self.state.lock())),
            }
        }
    }

    fn lock_detached(&self) -> PyResult<MutexGuard<'_, State>> {
        self.state.lock().map_err(|_| poisoned())
    }
}

pub(crate) fn poisoned() -> PyErr {
    PyRuntimeError::new_err(
        "this history is unusable: an earlier call failed halfway; make a new one from its messages",
    )
}
