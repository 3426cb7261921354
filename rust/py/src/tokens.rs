//! Token counting for Python.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PySlice, PyString, PyTuple};
use rolecore_core::tokens::{Side, Tool};

use crate::arguments::{each, number_from, one_of, string, strings, whole_number, wrong_kind};
use crate::errors::{CoreError, TokenizerError};
use crate::message::parse_all;
use crate::specials::{Allowed, allowed};
use crate::stream::TokenStream;
use crate::text::text_of;
use crate::tools;

/// Texts under this many bytes are counted in less time than it takes to give the GIL away and get it back.
const DETACH_BYTES: usize = 8192;

/// Count, encode and cut texts exactly as one model does, offline.
///
/// Made by `rolecore.tokenizer`. Immutable and safe to share between threads; copies are the same object, and a pickle holds
/// the encoding's name or the file's path.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct Tokenizer {
    pub(crate) inner: Arc<rolecore_core::Tokenizer>,
    /// Where a tokenizer.json was read from.
    path: Option<PathBuf>,
}

#[pymethods]
impl Tokenizer {
    /// Name of the encoding, or the path of the tokenizer.json.
    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// Tokens that open the model's reply; a request costs this once, besides its messages.
    #[getter]
    fn reply_tokens(&self) -> u32 {
        self.inner.chat().reply
    }

    /// Return the number of tokens of `text`.
    ///
    /// Special tokens written in the text are ordinary text, as in tiktoken's `encode_ordinary`, unless they are allowed.
    ///
    /// Args:
    ///     text: any string; a lone surrogate counts as U+FFFD.
    ///     allowed_special: special tokens that are one token where they are written, as ("<|endoftext|>",), or "all" of them.
    ///
    /// Raises:
    ///     ArgumentError: `text` is not a string, or `allowed_special` neither "all" nor an iterable of strings.
    ///     TokenizerError: an allowed one is no special token of this tokenizer.
    ///
    /// Cost: linear, whatever the text, with no list of ids but of a word over 64 bytes; the GIL is released above 8 kB.
    ///
    /// Example:
    ///     >>> rolecore.tokenizer("gpt-4o").count("hello world")
    ///     2
    ///     >>> rolecore.tokenizer("gpt-4o").count("bye<|endoftext|>", allowed_special="all")
    ///     2
    #[pyo3(
        signature = (text: "str", *, allowed_special: "collections.abc.Iterable[str]" = Allowed::default()) -> "int",
        text_signature = "($self, text, *, allowed_special=())"
    )]
    fn count(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = allowed)] allowed_special: Allowed,
    ) -> PyResult<usize> {
        let text = text_of(string(text, "text")?)?;
        allowed_special
            .apply(&self.inner, |specials| detached(py, text.len(), || self.inner.count_allowing(&text, specials)))
    }

    /// Return the number of tokens of `text`, or None if it has more than `limit`.
    ///
    /// For the question whether a text fits: it ends as soon as that is known.
    ///
    /// Args:
    ///     text: any string; special tokens in it are ordinary text.
    ///     limit: 0 or more.
    ///
    /// Raises:
    ///     ArgumentError: `text` is not a string, or `limit` is no number from 0.
    ///
    /// Cost: linear in the smaller of the text and `limit` tokens; the GIL is released above 8 kB.
    ///
    /// Example:
    ///     >>> rolecore.tokenizer("gpt-4o").count_until("hello world", 1) is None
    ///     True
    #[pyo3(signature = (text: "str", limit: "int") -> "int | None")]
    fn count_until(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyAny>,
        limit: &Bound<'_, PyAny>,
    ) -> PyResult<Option<usize>> {
        let text = text_of(string(text, "text")?)?;
        let limit = usize::try_from(whole_number(limit, "limit")?).unwrap_or(usize::MAX);
        Ok(detached(py, text.len(), || self.inner.count_within(&text, limit)))
    }

    /// Return a count that grows with a text as it comes in.
    ///
    /// Example:
    ///     >>> stream = rolecore.tokenizer("gpt-4o").stream()
    ///     >>> for part in ["The quick", " brown", " fox"]:
    ///     ...     stream.append(part)
    ///     >>> stream.tokens
    ///     4
    fn stream(&self) -> TokenStream {
        TokenStream::new(Arc::clone(&self.inner))
    }

    /// Return the number of tokens of each text.
    ///
    /// Args:
    ///     texts: an iterable of strings, not one string.
    ///     threads: how many may count at once, from 1; more than there are processors are not used. A thread takes about 50 us to
    ///         start, as long as counting 10 kB.
    ///
    /// Returns:
    ///     A list as long as `texts`.
    ///
    /// Raises:
    ///     ArgumentError: `texts` is a string or no iterable, an item is not a string, or `threads` is no number from 1.
    ///
    /// Cost: as `count`, with one crossing for all; the GIL is released when they hold more than 8 kB together.
    ///
    /// Example:
    ///     >>> rolecore.tokenizer("gpt-4o").count_batch(["hello", "hello world"])
    ///     [1, 2]
    #[pyo3(
        signature = (texts: "collections.abc.Iterable[str]", *, threads: "int" = 1) -> "list[int]",
        text_signature = "($self, texts, *, threads=1)"
    )]
    fn count_batch(
        &self,
        py: Python<'_>,
        texts: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = n_threads)] threads: usize,
    ) -> PyResult<Vec<usize>> {
        let strings = strings(texts, "texts")?;
        let texts = strings.iter().map(text_of).collect::<PyResult<Vec<Cow<'_, str>>>>()?;
        let n_bytes = texts.iter().map(|text| text.len()).sum();
        Ok(detached(py, n_bytes, || self.inner.count_batch(&texts, threads)))
    }

    /// Return the token ids of `text`.
    ///
    /// Args:
    ///     text: any string; a lone surrogate is encoded as U+FFFD.
    ///     allowed_special: as in `count`.
    ///
    /// Raises:
    ///     ArgumentError: `text` is not a string, or `allowed_special` neither "all" nor an iterable of strings.
    ///     TokenizerError: an allowed one is no special token of this tokenizer.
    ///
    /// Cost: linear, and a new list; the GIL is released above 8 kB.
    ///
    /// Example:
    ///     >>> rolecore.tokenizer("o200k_base").encode("hello world")
    ///     [24912, 2375]
    #[pyo3(
        signature = (text: "str", *, allowed_special: "collections.abc.Iterable[str]" = Allowed::default()) -> "list[int]",
        text_signature = "($self, text, *, allowed_special=())"
    )]
    fn encode(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = allowed)] allowed_special: Allowed,
    ) -> PyResult<Vec<u32>> {
        let text = text_of(string(text, "text")?)?;
        allowed_special
            .apply(&self.inner, |specials| detached(py, text.len(), || self.inner.encode_allowing(&text, specials)))
    }

    /// Return the text of token ids.
    ///
    /// Args:
    ///     ids: an iterable of ids; special ones are allowed.
    ///
    /// Returns:
    ///     A string; where the ids end inside a character, U+FFFD.
    ///
    /// Raises:
    ///     TokenizerError: an id is not in the vocabulary.
    ///     ArgumentError: `ids` is no iterable, or an item is no number from 0.
    ///
    /// Cost: O(n).
    ///
    /// Example:
    ///     >>> rolecore.tokenizer("o200k_base").decode([24912, 2375])
    ///     'hello world'
    #[pyo3(signature = (ids: "collections.abc.Iterable[int]") -> "str")]
    fn decode(&self, py: Python<'_>, ids: &Bound<'_, PyAny>) -> PyResult<String> {
        // One at a time, and looked up at once: a length is only what an object says of itself.
        let mut checked = Vec::new();
        for (i, id) in each(ids, "ids", "an iterable of ints")?.enumerate() {
            let id = whole_number(&id?, &format!("ids[{i}]"))?;
            let id = u32::try_from(id).unwrap_or(u32::MAX);
            self.inner.bytes_of(id).map_err(CoreError)?;
            checked.push(id);
        }
        Ok(detached(py, checked.len(), || self.inner.decode(&checked)).map_err(CoreError)?)
    }

    /// Return the longest cheap prefix or suffix of at most `max_tokens` tokens.
    ///
    /// Args:
    ///     text: any string.
    ///     max_tokens: 0 or more.
    ///     side: the end to keep, "head" or "tail".
    ///
    /// Returns:
    ///     A prefix or suffix of `text`, `text` itself if it fits. Its count is never over `max_tokens`, and now and then a
    ///     token or two under what would fit.
    ///
    /// Raises:
    ///     ArgumentError: `text` is not a string, `max_tokens` is negative, or `side` is neither end.
    ///
    /// Cost: linear in what is kept, not in `text`, unless the text is one endless word; the GIL is released above 8 kB.
    ///
    /// Example:
    ///     >>> rolecore.tokenizer("gpt-4o").truncate("The quick brown fox", 2)
    ///     'The quick'
    #[pyo3(
        signature = (text: "str", max_tokens: "int", *, side: "str" = Side::Head) -> "str",
        text_signature = "($self, text, max_tokens, *, side='head')"
    )]
    fn truncate<'py>(
        &self,
        py: Python<'py>,
        text: &Bound<'py, PyAny>,
        max_tokens: &Bound<'py, PyAny>,
        #[pyo3(from_py_with = side)] side: Side,
    ) -> PyResult<Bound<'py, PyString>> {
        let string = string(text, "text")?;
        let max_tokens = usize::try_from(whole_number(max_tokens, "max_tokens")?).unwrap_or(usize::MAX);
        let text = text_of(string)?;
        let kept = detached(py, text.len(), || self.inner.truncate(&text, max_tokens, side));
        if kept.len() == text.len() {
            return Ok(string.clone());
        }
        if let Cow::Borrowed(_) = text {
            return Ok(PyString::new(py, kept));
        }
        // Lone surrogates are in the string but not in `kept`: take as many characters of the string itself.
        let len = isize::try_from(string.len()?)?;
        let n_kept = isize::try_from(kept.chars().count())?;
        let slice = match side {
            Side::Head => PySlice::new(py, 0, n_kept, 1),
            Side::Tail => PySlice::new(py, len - n_kept, len, 1),
        };
        Ok(string.get_item(slice)?.cast_into::<PyString>()?)
    }

    /// Return the tokens that `messages` and `tools` add to a request.
    ///
    /// Additive: the sum over the messages of the model's per-message cost, role, name, content and tool calls, and what the
    /// tools cost, which are in no message. Reply priming is apart: `reply_tokens`.
    ///
    /// Args:
    ///     messages: an iterable of OpenAI-style dicts. An image costs by its size where it comes in base64, else the most an
    ///         image may cost. Base64 texts in audio and file parts are left out: no provider counts them as text, and none
    ///         publishes a rule by their bytes.
    ///     tools: the request's functions, an iterable of dicts as in Chat Completions, {"type": "function", "function": {"name",
    ///         "description", "parameters"}}, or flat as in Responses. For OpenAI's encodings, exact by the published rule where
    ///         properties are flat; nested ones and other keys are counted high.
    ///
    /// Raises:
    ///     MessageError: a message is not of the form a chat API takes.
    ///     ArgumentError: `messages` is no iterable of dicts, or a tool is no function of the forms above.
    ///
    /// Cost: one count of all text; the GIL is released above 8 kB.
    ///
    /// Source: a table of per-model costs, each row with its own source; see docs/tokens.md.
    ///
    /// Example:
    ///     >>> rolecore.tokenizer("gpt-4o").count_messages([{"role": "user", "content": "hello"}])
    ///     5
    ///     >>> tools = [{"type": "function", "function": {"name": "now", "description": "Tell the time."}}]
    ///     >>> rolecore.tokenizer("gpt-4o").count_messages([], tools=tools)
    ///     24
    #[pyo3(signature = (
        messages: "collections.abc.Iterable[dict[str, typing.Any]]",
        *,
        tools: "collections.abc.Iterable[dict[str, typing.Any]] | None" = None
    ) -> "int")]
    fn count_messages(
        &self,
        py: Python<'_>,
        messages: &Bound<'_, PyAny>,
        tools: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let messages = parse_all(messages, 0)?;
        let tools = tools.map_or_else(|| Ok(Vec::new()), tools::parse_all)?;
        let text_bytes = messages.iter().map(|(message, _)| message.text_bytes());
        let n_bytes = text_bytes.chain(tools.iter().map(Tool::text_bytes)).sum();
        Ok(detached(py, n_bytes, || {
            let messages: u64 = messages.iter().map(|(message, _)| message.tokens(&self.inner)).sum();
            messages + self.inner.count_tools(&tools)
        }))
    }

    fn __repr__(&self) -> String {
        format!("rolecore.tokenizer({:?})", self.inner.name())
    }

    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (_memo, /))]
    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let open = py.import("rolecore._core")?.getattr("tokenizer")?;
        let arguments = match &self.path {
            Some(path) => PyTuple::new(py, [path])?,
            None => PyTuple::new(py, [self.inner.name()])?,
        };
        Ok((open, arguments))
    }
}

/// Return the tokenizer of an encoding, a model or a tokenizer.json file.
///
/// Nothing is ever downloaded. The vocabularies of OpenAI's chat models are in the package and unpacked at first use; for other
/// models give the tokenizer.json that comes with them.
///
/// Args:
///     name_or_path: "o200k_base", "cl100k_base" or "o200k_harmony"; an OpenAI model's name, as "gpt-4o"; or the path of a
///         byte-level BPE tokenizer.json (GPT-2, Llama 3, Qwen, DeepSeek).
///
/// Returns:
///     A Tokenizer; the same vocabulary in memory for each use of a name, a new one for each path.
///
/// Raises:
///     TokenizerError: the name is unknown, or the file is damaged or cannot be counted exactly; the message says why.
///     ArgumentError: `name_or_path` is neither a string nor a path.
///     OSError: the file cannot be read.
///
/// Cost: O(1) for a name after its first use; the GIL is released while a vocabulary is built.
///
/// Example:
///     >>> rolecore.tokenizer("gpt-4o").name
///     'o200k_base'
#[pyfunction]
#[pyo3(signature = (name_or_path: "str | os.PathLike[str]", /) -> "Tokenizer")]
pub(crate) fn tokenizer(py: Python<'_>, name_or_path: &Bound<'_, PyAny>) -> PyResult<Tokenizer> {
    let path: PathBuf =
        name_or_path.extract().map_err(|_| wrong_kind(name_or_path, "name_or_path", "a name or a path"))?;
    let is_file_name = path.extension().is_some_and(|extension| extension == "json");
    if let Ok(name) = name_or_path.cast::<PyString>()
        && !is_file_name
    {
        let name = text_of(name)?;
        let named = py.detach(|| rolecore_core::Tokenizer::named(&name));
        if named.is_ok() || !path.is_file() {
            return Ok(Tokenizer { inner: named.map_err(CoreError)?, path: None });
        }
    }
    let shown = path.display().to_string();
    let json = py.detach(|| std::fs::read(&path)).map_err(|error| {
        if error.raw_os_error().is_some() {
            PyErr::from(std::io::Error::new(error.kind(), format!("{shown}: {error}")))
        } else {
            PyOSError::new_err(format!("{shown}: {error}"))
        }
    })?;
    let inner = py.detach(|| rolecore_core::Tokenizer::from_json(&json, &shown)).map_err(CoreError)?;
    let path = std::path::absolute(&path).map_err(|error| TokenizerError::new_err(format!("{shown}: {error}")))?;
    Ok(Tokenizer { inner: Arc::new(inner), path: Some(path) })
}

/// The tokenizer of those who name none.
pub(crate) fn default_tokenizer(py: Python<'_>) -> PyResult<Arc<rolecore_core::Tokenizer>> {
    Ok(py.detach(|| rolecore_core::Tokenizer::named("o200k_base")).map_err(CoreError)?)
}

/// The tokenizer that an argument names: a Tokenizer itself, or what `tokenizer` takes.
pub(crate) fn resolve(given: &Bound<'_, PyAny>) -> PyResult<Arc<rolecore_core::Tokenizer>> {
    match given.cast::<Tokenizer>() {
        Ok(ready) => Ok(Arc::clone(&ready.get().inner)),
        Err(_) => Ok(tokenizer(given.py(), given)?.inner),
    }
}

fn n_threads(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    Ok(usize::try_from(number_from(1, value, "threads")?).unwrap_or(usize::MAX))
}

fn side(value: &Bound<'_, PyAny>) -> PyResult<Side> {
    one_of(value, "side", &[("head", Side::Head), ("tail", Side::Tail)])
}

/// Run `f` without the GIL when there is enough to do.
pub(crate) fn detached<T: Send>(py: Python<'_>, n_bytes: usize, f: impl FnOnce() -> T + Send) -> T {
    if n_bytes > DETACH_BYTES { py.detach(f) } else { f() }
}
