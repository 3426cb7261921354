//! Messages as a snapshot tells them: the caller's dict taken apart into texts, and put together again as it was.

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyList, PyString};
use rolecore_core::codec::{NULLABLE, ToolCall, ToolCallParts, Turn, TurnParts};
use rolecore_core::{Message, Part, Role};

use crate::arguments::kind;
use crate::errors::{CodecError, CoreError};
use crate::message::json_text;

/// A message of any form, in texts.
pub(crate) struct Told {
    role: Role,
    text: Option<PyBackedStr>,
    parts: Option<String>,
    name: Option<PyBackedStr>,
    refusal: Option<PyBackedStr>,
    calls: Option<Vec<ToldCall>>,
    tool_call_id: Option<PyBackedStr>,
    extra: Option<String>,
    /// Which keys are null, a bit each.
    nulls: u8,
}

struct ToldCall {
    id: PyBackedStr,
    name: PyBackedStr,
    arguments: PyBackedStr,
    is_custom: bool,
    extra: Option<String>,
}

impl Told {
    /// Takes message number `index` apart.
    pub(crate) fn new(object: &Bound<'_, PyAny>, index: usize) -> PyResult<Self> {
        let place = Place(index);
        let dict =
            object.cast::<PyDict>().map_err(|_| place.refused(format!("it is {}; it must be a dict", kind(object))))?;
        let mut role = None;
        let mut told = Self {
            role: Role::User,
            text: None,
            parts: None,
            name: None,
            refusal: None,
            calls: None,
            tool_call_id: None,
            extra: None,
            nulls: 0,
        };
        let mut others = Others::default();
        for (key, value) in dict.iter() {
            let key = place.key(&key)?;
            let text = value.cast::<PyString>().ok();
            if value.is_none()
                && let Some(number) = key.to_str().ok().and_then(|key| NULLABLE.iter().position(|&known| known == key))
            {
                told.nulls |= 1 << number;
                continue;
            }
            let field = match (key.to_str().unwrap_or_default(), text) {
                ("role", Some(text)) => {
                    role = text.to_str().ok().and_then(Role::parse);
                    continue;
                }
                ("content", Some(_)) => &mut told.text,
                ("content", None) if value.is_instance_of::<PyList>() => {
                    told.parts = Some(place.json(&value, "content")?);
                    continue;
                }
                ("name", Some(_)) => &mut told.name,
                ("refusal", Some(_)) => &mut told.refusal,
                ("tool_call_id", Some(_)) => &mut told.tool_call_id,
                ("tool_calls", None) => {
                    told.calls = place.calls(&value)?;
                    if told.calls.is_none() {
                        others.add(&key, &value)?;
                    }
                    continue;
                }
                _ => {
                    others.add(&key, &value)?;
                    continue;
                }
            };
            *field = text.map(|text| place.text(text, &key)).transpose()?;
        }
        told.role = role.ok_or_else(|| place.refused("it has no role that chat APIs know"))?;
        told.extra = others.json(&place)?;
        Ok(told)
    }

    pub(crate) fn turn(&self, tokens: u32, is_pinned: bool) -> TurnParts<'_> {
        TurnParts {
            role: self.role,
            text: self.text.as_deref(),
            parts: self.parts.as_deref(),
            name: self.name.as_deref(),
            refusal: self.refusal.as_deref(),
            n_tool_calls: self.calls.as_ref().map(Vec::len),
            tool_call_id: self.tool_call_id.as_deref(),
            extra: self.extra.as_deref(),
            tokens,
            is_pinned,
            time_ms: 0,
            nulls: self.nulls,
        }
    }

    pub(crate) fn call(&self, call: usize) -> ToolCallParts<'_> {
        let call = &self.calls.as_deref().unwrap_or_default()[call];
        ToolCallParts {
            id: Some(&call.id),
            name: Some(&call.name),
            arguments: Some(&call.arguments),
            is_custom: call.is_custom,
            extra: call.extra.as_deref(),
        }
    }
}

/// Which message an error is about.
struct Place(usize);

impl Place {
    fn refused(&self, why: impl std::fmt::Display) -> PyErr {
        CodecError::new_err(format!("message {}: {why}", self.0))
    }

    fn key<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        let refused = || self.refused(format!("a key is {}; it must be a str", kind(key)));
        key.cast::<PyString>().cloned().map_err(|_| refused())
    }

    /// A text as it is; lone surrogates have no UTF-8.
    fn text(&self, text: &Bound<'_, PyString>, key: &Bound<'_, PyString>) -> PyResult<PyBackedStr> {
        PyBackedStr::try_from(text.clone()).map_err(|error| {
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

    /// Calls of the usual form; None for any other.
    fn calls(&self, calls: &Bound<'_, PyAny>) -> PyResult<Option<Vec<ToldCall>>> {
        let Ok(calls) = calls.cast::<PyList>() else { return Ok(None) };
        calls.iter().map(|call| self.call(&call)).collect()
    }

    fn call(&self, call: &Bound<'_, PyAny>) -> PyResult<Option<ToldCall>> {
        let Ok(call) = call.cast::<PyDict>() else { return Ok(None) };
        let Some(usual) = UsualCall::of(call)? else { return Ok(None) };
        let mut others = Others::default();
        for (key, value) in call.iter() {
            let key = self.key(&key)?;
            if !["id", "type", usual.kind].contains(&key.to_str().unwrap_or_default()) {
                others.add(&key, &value)?;
            }
        }
        let py = call.py();
        Ok(Some(ToldCall {
            id: self.text(&usual.id, intern!(py, "id"))?,
            name: self.text(&usual.name, intern!(py, "name"))?,
            arguments: self.text(&usual.arguments, intern!(py, "arguments"))?,
            is_custom: usual.kind == "custom",
            extra: others.json(self)?,
        }))
    }
}

/// A call in the form that chat APIs document.
struct UsualCall<'py> {
    kind: &'static str,
    id: Bound<'py, PyString>,
    name: Bound<'py, PyString>,
    arguments: Bound<'py, PyString>,
}

impl<'py> UsualCall<'py> {
    fn of(call: &Bound<'py, PyDict>) -> PyResult<Option<Self>> {
        let text = |dict: &Bound<'py, PyDict>, key: &str| {
            Ok::<_, PyErr>(dict.get_item(key)?.and_then(|value| value.cast_into::<PyString>().ok()))
        };
        let Some(given) = text(call, "type")? else { return Ok(None) };
        let (kind, input) = match given.to_str() {
            Ok("function") => ("function", "arguments"),
            Ok("custom") => ("custom", "input"),
            _ => return Ok(None),
        };
        let Some(inner) = call.get_item(kind)?.and_then(|inner| inner.cast_into::<PyDict>().ok()) else {
            return Ok(None);
        };
        if inner.len() != 2 {
            return Ok(None);
        }
        let (id, name, arguments) = (text(call, "id")?, text(&inner, "name")?, text(&inner, input)?);
        Ok(id.zip(name).zip(arguments).map(|((id, name), arguments)| Self { kind, id, name, arguments }))
    }
}

/// Keys that have no field of their own.
#[derive(Default)]
struct Others<'py>(Option<Bound<'py, PyDict>>);

impl<'py> Others<'py> {
    fn add(&mut self, key: &Bound<'py, PyString>, value: &Bound<'py, PyAny>) -> PyResult<()> {
        self.0.get_or_insert_with(|| PyDict::new(key.py())).set_item(key, value)
    }

    fn json(&self, place: &Place) -> PyResult<Option<String>> {
        self.0.as_ref().map(|others| place.json(others, "a key that chat APIs do not define")).transpose()
    }
}

/// Which keys of a message are null, a bit each, if for the rest it is no more than what the core keeps of it: one text or none, and calls
/// of functions in the usual form.
pub(crate) fn nulls_of_plain(object: &Bound<'_, PyAny>, message: &Message) -> PyResult<Option<u8>> {
    let Ok(dict) = object.cast::<PyDict>() else { return Ok(None) };
    let Message { role: _, name, parts, refusal, tool_calls, tool_call_id } = message;
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
                Err(_) => has_usual_calls(&value)?,
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
fn has_usual_calls(calls: &Bound<'_, PyAny>) -> PyResult<bool> {
    let Ok(calls) = calls.cast::<PyList>() else { return Ok(false) };
    for call in calls.iter() {
        let Ok(call) = call.cast_into::<PyDict>() else { return Ok(false) };
        let usual = UsualCall::of(&call)?.filter(|usual| usual.kind == "function" && call.len() == 3);
        let Some(UsualCall { id, name, arguments, .. }) = usual else { return Ok(false) };
        if ![id, name, arguments].iter().all(|text| text.to_str().is_ok()) {
            return Ok(false);
        }
    }
    Ok(true)
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
    put(intern!(py, "content"), turn.text())?;
    if let Some(parts) = turn.parts().map_err(CoreError)? {
        dict.set_item(intern!(py, "content"), loads(py, parts, "parts")?)?;
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
    py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (text,)).map_err(|_| damaged(field))
}

fn damaged(field: &str) -> PyErr {
    CodecError::new_err(format!(
        "a turn's {field} is not the JSON it must be; the snapshot was made by something else, or is damaged"
    ))
}
