//! Messages as a snapshot tells them: the caller's dict taken apart into texts, and put together again as it was.

use pyo3::exceptions::{PyRecursionError, PyUnicodeEncodeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rolecore_core::codec::{NULLABLE, ToolCall, ToolCallParts, Turn, TurnParts, Turns};
use rolecore_core::{Message, Part, Role};
use typed_arena::Arena;

use crate::arguments::kind;
use crate::entries::{Keys, Search, string_of};
use crate::errors::{CodecError, CoreError};
use crate::message::json_text;

/// Keys of a message that chat APIs define: the role, and those that may be null in their order.
static MESSAGE: Keys<6> = Keys::new(["role", NULLABLE[0], NULLABLE[1], NULLABLE[2], NULLABLE[3], NULLABLE[4]]);

/// Their numbers in [`NULLABLE`].
const CONTENT: usize = 0;
const NAME: usize = 1;
const REFUSAL: usize = 2;
const TOOL_CALLS: usize = 3;
const TOOL_CALL_ID: usize = 4;

static CALL: Keys<4> = Keys::new(["id", "type", "function", "custom"]);
static FUNCTION: Keys<2> = Keys::new(["name", "arguments"]);
static CUSTOM: Keys<2> = Keys::new(["name", "input"]);

/// A search for the keys of one message after another.
pub(crate) struct MessageSearch<'py> {
    message: Search<'py, 6>,
    call: CallSearch<'py>,
}

impl<'py> MessageSearch<'py> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        Self { message: MESSAGE.search(py), call: CallSearch::new(py) }
    }
}

struct CallSearch<'py> {
    call: Search<'py, 4>,
    function: Search<'py, 2>,
    custom: Search<'py, 2>,
}

impl<'py> CallSearch<'py> {
    fn new(py: Python<'py>) -> Self {
        Self { call: CALL.search(py), function: FUNCTION.search(py), custom: CUSTOM.search(py) }
    }
}

/// Strings and JSON texts that messages are taken apart into, until they are written.
#[derive(Default)]
pub(crate) struct Texts<'py> {
    given: Arena<Bound<'py, PyString>>,
    made: Arena<String>,
}

/// A message of any form, in texts.
pub(crate) struct Told<'a> {
    /// Without tokens and pin.
    turn: TurnParts<'a>,
    has_calls: bool,
    calls: Vec<ToolCallParts<'a>>,
}

impl<'a> Told<'a> {
    pub(crate) fn nothing() -> Self {
        Self { turn: TurnParts::NOTHING, has_calls: false, calls: Vec::new() }
    }

    /// Takes message number `index` apart, in the place of the one before.
    pub(crate) fn read<'py>(
        &mut self,
        texts: &'a Texts<'py>,
        search: &mut MessageSearch<'py>,
        object: &Bound<'py, PyAny>,
        index: usize,
    ) -> PyResult<()> {
        let place = Place(index);
        let dict =
            object.cast::<PyDict>().map_err(|_| place.refused(format!("it is {}; it must be a dict", kind(object))))?;
        self.turn = TurnParts::NOTHING;
        self.has_calls = false;
        self.calls.clear();
        let ([role, content, name, refusal, calls, call_id], n_others) = search.message.values(dict);
        let role = role.and_then(|role| role_of(&string_of(role).ok()?));
        let content = match content.map(string_of) {
            Some(Ok(text)) => {
                self.turn.text = Some(place.text(texts, text, NULLABLE[CONTENT])?);
                None
            }
            Some(Err(other)) => Some(other),
            None => None,
        };
        let left = [content, name, refusal, calls, call_id];
        // Most messages are no more than a role and a text.
        let others = if n_others > 0 || left.iter().any(Option::is_some) {
            self.read_rest(texts, search, &place, dict, left, n_others > 0)?
        } else {
            Others::default()
        };
        self.turn.role = role.ok_or_else(|| place.refused("it has no role that chat APIs know"))?;
        self.turn.extra = others.json(texts, &place)?;
        Ok(())
    }

    /// Takes apart what is `left` under the keys that may be null, but for a content that is a text; what has no field of its own
    /// is returned.
    #[inline(never)]
    fn read_rest<'py>(
        &mut self,
        texts: &'a Texts<'py>,
        search: &mut MessageSearch<'py>,
        place: &Place,
        dict: &Bound<'py, PyDict>,
        [content, name, refusal, calls, call_id]: [Option<Bound<'py, PyAny>>; NULLABLE.len()],
        has_others: bool,
    ) -> PyResult<Others<'py>> {
        let mut others = Others::default();
        if let Some(content) = content {
            if content.is_none() {
                self.turn.nulls |= 1 << CONTENT;
            } else if content.is_instance_of::<PyList>() {
                self.turn.parts = Some(texts.made.alloc(place.json(&content, NULLABLE[CONTENT])?));
            } else {
                others.add(NULLABLE[CONTENT], &content)?;
            }
        }
        if let Some(calls) = calls {
            if calls.is_none() {
                self.turn.nulls |= 1 << TOOL_CALLS;
            } else if self.read_calls(texts, &mut search.call, place, &calls)? {
                self.has_calls = true;
            } else {
                others.add(NULLABLE[TOOL_CALLS], &calls)?;
            }
        }
        for (value, field, number) in [
            (call_id, &mut self.turn.tool_call_id, TOOL_CALL_ID),
            (name, &mut self.turn.name, NAME),
            (refusal, &mut self.turn.refusal, REFUSAL),
        ] {
            match value.map(string_of) {
                Some(Ok(text)) => *field = Some(place.text(texts, text, NULLABLE[number])?),
                Some(Err(value)) if value.is_none() => self.turn.nulls |= 1 << number,
                Some(Err(value)) => others.add(NULLABLE[number], &value)?,
                None => {}
            }
        }
        if has_others {
            // A copy: to add a key asks for its hash, and code of its own may change the dict.
            for entry in dict.items() {
                let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = entry.extract()?;
                let key = place.key(&key)?;
                if !key.to_str().is_ok_and(|key| MESSAGE.names.contains(&key)) {
                    others.add(key, &value)?;
                }
            }
        }
        Ok(others)
    }

    /// Adds it to `turns`.
    pub(crate) fn push(&mut self, turns: &mut Turns<'a>, tokens: u32, is_pinned: bool) {
        self.turn.tokens = tokens;
        self.turn.is_pinned = is_pinned;
        turns.push(&self.turn, self.has_calls.then(|| self.calls.iter().copied()));
    }

    /// Whether the calls are all of the usual form.
    fn read_calls<'py>(
        &mut self,
        texts: &'a Texts<'py>,
        search: &mut CallSearch<'py>,
        place: &Place,
        calls: &Bound<'py, PyAny>,
    ) -> PyResult<bool> {
        let Ok(calls) = calls.cast::<PyList>() else { return Ok(false) };
        for call in calls.iter() {
            let Ok(call) = call.cast::<PyDict>() else { return Ok(false) };
            let Some(usual) = UsualCall::of(search, call) else { return Ok(false) };
            self.calls.push(place.call(texts, call, usual)?);
        }
        Ok(true)
    }
}

/// The two that most messages have are told apart first.
#[inline]
fn role_of(text: &Bound<'_, PyString>) -> Option<Role> {
    match text.to_str().ok()? {
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        other => Role::parse(other),
    }
}

/// Which message an error is about.
struct Place(usize);

impl Place {
    fn refused(&self, why: impl std::fmt::Display) -> PyErr {
        CodecError::new_err(format!("message {}: {why}", self.0))
    }

    fn key<'a, 'py>(&self, key: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyString>> {
        key.cast::<PyString>().map_err(|_| self.refused(format!("a key is {}; it must be a str", kind(key))))
    }

    /// A text as it is; lone surrogates have no UTF-8.
    #[inline]
    fn text<'a, 'py>(&self, texts: &'a Texts<'py>, text: Bound<'py, PyString>, key: &str) -> PyResult<&'a str> {
        let text: &'a Bound<'py, PyString> = texts.given.alloc(text);
        text.to_str().map_err(|error| {
            if error.is_instance_of::<PyUnicodeEncodeError>(text.py()) {
                self.refused(format!("{key} has a lone surrogate, which no snapshot can hold; replace it"))
            } else {
                error
            }
        })
    }

    /// The JSON text of a value that is the same when it is read again.
    fn json(&self, value: &Bound<'_, PyAny>, what: &str) -> PyResult<String> {
        let same = |text: &str| value.py().import("json")?.call_method1("loads", (text,))?.eq(value);
        match json_text(value)? {
            Some(text) if same(&text)? => Ok(text),
            _ => Err(self.refused(format!(
                "{what} is not the same once it was JSON; use only dicts with str keys, lists, str without lone surrogates, numbers, bool and None"
            ))),
        }
    }

    fn call<'a, 'py>(
        &self,
        texts: &'a Texts<'py>,
        call: &Bound<'py, PyDict>,
        usual: UsualCall<'py>,
    ) -> PyResult<ToolCallParts<'a>> {
        let mut others = Others::default();
        if call.len() > USUAL_KEYS {
            for entry in call.items() {
                let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = entry.extract()?;
                let key = self.key(&key)?;
                if !["id", "type", usual.kind].contains(&key.to_str().unwrap_or_default()) {
                    others.add(key, &value)?;
                }
            }
        }
        Ok(ToolCallParts {
            id: Some(self.text(texts, usual.id, "id")?),
            name: Some(self.text(texts, usual.name, "name")?),
            arguments: Some(self.text(texts, usual.arguments, "arguments")?),
            is_custom: usual.kind == "custom",
            extra: others.json(texts, self)?,
        })
    }
}

/// Keys of a call that a [`UsualCall`] has fields for, its kind's own among them.
const USUAL_KEYS: usize = 3;

/// A call in the form that chat APIs document.
struct UsualCall<'py> {
    kind: &'static str,
    id: Bound<'py, PyString>,
    name: Bound<'py, PyString>,
    arguments: Bound<'py, PyString>,
}

impl<'py> UsualCall<'py> {
    fn of(search: &mut CallSearch<'py>, call: &Bound<'py, PyDict>) -> Option<Self> {
        let ([id, kind, function, custom], _) = search.call.values(call);
        let (kind, inner, search) = match string_of(kind?).ok()?.to_str() {
            Ok("function") => ("function", function, &mut search.function),
            Ok("custom") => ("custom", custom, &mut search.custom),
            _ => return None,
        };
        let ([name, arguments], 0) = search.values(&inner?.cast_into().ok()?) else { return None };
        let text = |value: Option<_>| string_of(value?).ok();
        Some(Self { kind, id: text(id)?, name: text(name)?, arguments: text(arguments)? })
    }
}

/// Keys that have no field of their own.
#[derive(Default)]
struct Others<'py>(Option<Bound<'py, PyDict>>);

impl<'py> Others<'py> {
    fn add(&mut self, key: impl IntoPyObject<'py>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.0.get_or_insert_with(|| PyDict::new(value.py())).set_item(key, value)
    }

    fn json<'a>(&self, texts: &'a Texts<'_>, place: &Place) -> PyResult<Option<&'a str>> {
        let Some(others) = &self.0 else { return Ok(None) };
        Ok(Some(texts.made.alloc(place.json(others, "a key that chat APIs do not define")?)))
    }
}

/// Which keys of a message are null, a bit each, if for the rest it is no more than what the core keeps of it: one text or none, and calls
/// of functions in the usual form.
pub(crate) fn nulls_of_plain(object: &Bound<'_, PyAny>, message: &Message) -> PyResult<Option<u8>> {
    let Ok(dict) = object.cast::<PyDict>() else { return Ok(None) };
    let Message { role: _, name, parts, refusal, tool_calls, tool_call_id, nulls: _ } = message;
    let has_text = matches!(parts.as_slice(), [Part::Text(_)]);
    if !has_text && !parts.is_empty() {
        return Ok(None);
    }
    // In the order of the bits; calls are looked at apart.
    let kept = [has_text, name.is_some(), refusal.is_some(), !tool_calls.is_empty(), tool_call_id.is_some()];
    let (mut n_keys, mut nulls) = (1, 0);
    for (number, (key, is_kept)) in NULLABLE.iter().zip(kept).enumerate() {
        let Some(value) = dict.get_item(PyString::intern(object.py(), key))? else { continue };
        n_keys += 1;
        if value.is_none() {
            nulls |= 1 << number;
        } else if is_kept {
            let is_usual = match value.cast::<PyString>() {
                // A lone surrogate is another character by now.
                Ok(text) => text.to_str().is_ok(),
                Err(_) => has_usual_calls(&value),
            };
            if !is_usual {
                return Ok(None);
            }
        } else {
            return Ok(None);
        }
    }
    Ok((dict.len() == n_keys).then_some(nulls))
}

/// Whether a value is a list of calls of functions in the usual form with nothing else in it.
fn has_usual_calls(calls: &Bound<'_, PyAny>) -> bool {
    let Ok(calls) = calls.cast::<PyList>() else { return false };
    let mut search = CallSearch::new(calls.py());
    for call in calls.iter() {
        let Ok(call) = call.cast_into::<PyDict>() else { return false };
        let usual =
            UsualCall::of(&mut search, &call).filter(|usual| usual.kind == "function" && call.len() == USUAL_KEYS);
        let Some(UsualCall { id, name, arguments, .. }) = usual else { return false };
        if ![id, name, arguments].iter().all(|text| text.to_str().is_ok()) {
            return false;
        }
    }
    true
}

/// The content of a turn, where it is one text. That it is UTF-8, Python sees on its way through it, so nobody else looks before.
pub(crate) fn text<'py>(py: Python<'py>, turn: &Turn<'_>) -> PyResult<Option<Bound<'py, PyString>>> {
    let Some(bytes) = turn.text_bytes().map_err(CoreError)? else { return Ok(None) };
    PyString::from_bytes(py, bytes).map(Some).or_else(|error| {
        // If it is not, this says where; if memory ran out, it does not.
        turn.text().map_err(CoreError)?;
        Err(error)
    })
}

/// The message that a turn was made of.
pub(crate) fn message<'py>(py: Python<'py>, turn: &Turn<'_>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let put = |key: &Bound<'py, PyString>, text: rolecore_core::Result<Option<&str>>| {
        text.map_err(CoreError)?.map_or(Ok(()), |text| dict.set_item(key, text))
    };
    let role = match turn.role().map_err(CoreError)? {
        Role::System => intern!(py, "system"),
        Role::Developer => intern!(py, "developer"),
        Role::User => intern!(py, "user"),
        Role::Assistant => intern!(py, "assistant"),
        Role::Tool => intern!(py, "tool"),
    };
    dict.set_item(intern!(py, "role"), role)?;
    let nulls = turn.nulls().map_err(CoreError)?;
    if nulls != 0 {
        for (number, key) in NULLABLE.iter().enumerate() {
            if nulls & 1 << number != 0 {
                dict.set_item(PyString::intern(py, key), py.None())?;
            }
        }
    }
    if let Some(text) = text(py, turn)? {
        dict.set_item(intern!(py, "content"), text)?;
    }
    if let Some(parts) = turn.parts().map_err(CoreError)? {
        let parts = loads(py, parts, "parts")?;
        dict.set_item(intern!(py, "content"), parts.cast::<PyList>().map_err(|_| damaged("parts"))?)?;
    }
    put(intern!(py, "name"), turn.name())?;
    put(intern!(py, "refusal"), turn.refusal())?;
    if let Some(calls) = turn.tool_calls().map_err(CoreError)? {
        let list = PyList::empty(py);
        for told in calls.iter() {
            list.append(call(py, &told.map_err(CoreError)?)?)?;
        }
        dict.set_item(intern!(py, "tool_calls"), list)?;
    }
    put(intern!(py, "tool_call_id"), turn.tool_call_id())?;
    update(&dict, turn.extra())?;
    Ok(dict)
}

fn call<'py>(py: Python<'py>, call: &ToolCall<'_>) -> PyResult<Bound<'py, PyDict>> {
    let (kind, input) = if call.is_custom().map_err(CoreError)? {
        (intern!(py, "custom"), intern!(py, "input"))
    } else {
        (intern!(py, "function"), intern!(py, "arguments"))
    };
    let inner = PyDict::new(py);
    inner.set_item(intern!(py, "name"), call.name().map_err(CoreError)?)?;
    inner.set_item(input, call.arguments().map_err(CoreError)?)?;
    let dict = PyDict::new(py);
    dict.set_item(intern!(py, "id"), call.id().map_err(CoreError)?)?;
    dict.set_item(intern!(py, "type"), kind)?;
    dict.set_item(kind, inner)?;
    update(&dict, call.extra())?;
    Ok(dict)
}

fn update(dict: &Bound<'_, PyDict>, extra: rolecore_core::Result<Option<&str>>) -> PyResult<()> {
    let Some(extra) = extra.map_err(CoreError)? else { return Ok(()) };
    let others = loads(dict.py(), extra, "extra")?;
    dict.update(others.cast::<PyDict>().map_err(|_| damaged("extra"))?.as_mapping())
}

fn loads<'py>(py: Python<'py>, text: &str, field: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (text,)).map_err(|error| {
        // Memory that runs out, or the user who interrupts, says nothing about the text.
        let is_of_the_text = error.is_instance_of::<PyValueError>(py) || error.is_instance_of::<PyRecursionError>(py);
        if is_of_the_text { damaged(field) } else { error }
    })
}

fn damaged(field: &str) -> PyErr {
    CodecError::new_err(format!(
        "a turn's {field} is not the JSON it must be; the snapshot was made by something else, or is damaged"
    ))
}
