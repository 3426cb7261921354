//! Reads a chat message out of the caller's dict, and says exactly what is wrong with one that is none.

use pyo3::exceptions::{PyRecursionError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use rolecore_core::tokens::ImageSize;
use rolecore_core::{Error, Message, Part, Parts, Role, Text, ToolCall};

use crate::arguments::{kind, wrong_kind};
use crate::errors::CoreError;
use crate::text::text_of;

/// Where in the input a value stands, for error messages: "message 3: tool_calls[0].id".
struct Place {
    index: usize,
}

impl Place {
    fn error(&self, why: impl std::fmt::Display) -> PyErr {
        CoreError(Error::Message { index: Some(self.index), why: why.to_string() }).into()
    }

    fn expected(&self, what: impl std::fmt::Display, value: &Bound<'_, PyAny>, expected: &str) -> PyErr {
        self.error(format!("{what} is {}; it must be {expected}", kind(value)))
    }

    fn dict<'a, 'py>(
        &self,
        value: &'a Bound<'py, PyAny>,
        what: impl std::fmt::Display,
    ) -> PyResult<&'a Bound<'py, PyDict>> {
        value.cast::<PyDict>().map_err(|_| self.expected(what, value, "a dict"))
    }

    /// The string under `key`; an error if it is absent or anything else.
    fn text<T: for<'a> From<&'a str>>(
        &self,
        dict: &Bound<'_, PyDict>,
        key: &Bound<'_, PyString>,
        what: &str,
    ) -> PyResult<T> {
        self.text_or_none(dict, key, what)?
            .ok_or_else(|| self.error(format!("{what}{key} is missing; it must be a str")))
    }

    fn text_or_none<T: for<'a> From<&'a str>>(
        &self,
        dict: &Bound<'_, PyDict>,
        key: &Bound<'_, PyString>,
        what: &str,
    ) -> PyResult<Option<T>> {
        let string = self.string_or_none(dict, key, what)?;
        string.map(|string| Ok(T::from(&text_of(&string)?))).transpose()
    }

    /// The string under `key` itself: it may hold megabytes.
    fn string_or_none<'py>(
        &self,
        dict: &Bound<'py, PyDict>,
        key: &Bound<'py, PyString>,
        what: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let Some(value) = dict.get_item(key)?.filter(|value| !value.is_none()) else { return Ok(None) };
        match value.cast_into::<PyString>() {
            Ok(string) => Ok(Some(string)),
            Err(error) => Err(self.expected(format!("{what}{key}"), &error.into_inner(), "a str")),
        }
    }

    /// What `read` makes of the string under `key`: the size of an image that comes inside the message.
    fn size(
        &self,
        dict: &Bound<'_, PyDict>,
        key: &Bound<'_, PyString>,
        what: &str,
        read: impl FnOnce(&str) -> Option<ImageSize>,
    ) -> PyResult<Option<ImageSize>> {
        let string = self.string_or_none(dict, key, what)?;
        string.map_or(Ok(None), |string| Ok(read(&text_of(&string)?)))
    }
}

/// Parses all of an iterable of messages, beside the objects themselves; the first is number `first`.
pub(crate) fn parse_all(messages: &Bound<'_, PyAny>, first: usize) -> PyResult<Vec<(Message, Py<PyAny>)>> {
    let no_list = || wrong_kind(messages, "messages", "an iterable of dicts");
    if messages.is_instance_of::<PyDict>() || messages.is_instance_of::<PyString>() {
        return Err(no_list());
    }
    let items = messages.try_iter().map_err(|_| no_list())?.enumerate();
    items.map(|(i, item)| item.and_then(|item| Ok((parse(&item, first + i)?, item.unbind())))).collect()
}

/// Parses message number `index`.
pub(crate) fn parse(object: &Bound<'_, PyAny>, index: usize) -> PyResult<Message> {
    let place = Place { index };
    let py = object.py();
    let dict = place.dict(object, "it")?;
    let role = parse_role(&place, dict)?;
    let mut message = Message {
        role,
        name: place.text_or_none(dict, intern!(py, "name"), "")?,
        parts: parse_content(&place, dict)?,
        refusal: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
        nulls: 0,
    };
    match role {
        Role::Tool => message.tool_call_id = place.text_or_none(dict, intern!(py, "tool_call_id"), "")?,
        Role::Assistant => {
            message.refusal = place.text_or_none(dict, intern!(py, "refusal"), "")?;
            message.parts.extend(parse_stand_ins(&place, dict)?);
        }
        Role::System | Role::Developer | Role::User => {}
    }
    message.tool_calls = parse_calls(&place, dict)?;
    message.validate().map_err(|error| place.error(error))?;
    Ok(message)
}

fn parse_role(place: &Place, dict: &Bound<'_, PyDict>) -> PyResult<Role> {
    let role: String = place.text(dict, intern!(dict.py(), "role"), "")?;
    Role::parse(&role).ok_or_else(|| {
        let is_short_word =
            role.len() <= 24 && role.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let given = if is_short_word { format!("{role:?}") } else { format!("a text of {} bytes", role.len()) };
        place.error(format!("role is {given}; it must be system, developer, user, assistant or tool"))
    })
}

fn parse_content(place: &Place, dict: &Bound<'_, PyDict>) -> PyResult<Parts> {
    let Some(content) = dict.get_item(intern!(dict.py(), "content"))? else { return Ok(Parts::new()) };
    if let Ok(text) = content.cast::<PyString>() {
        return Ok([Part::Text(Text::from(&*text_of(text)?))].into());
    }
    if content.is_none() {
        return Ok(Parts::new());
    }
    let parts = items(&content).ok_or_else(|| place.expected("content", &content, "a str, a list of parts or None"))?;
    parts.iter().enumerate().map(|(i, part)| parse_part(place, part, i)).collect()
}

/// The elements of a list or tuple.
fn items<'py>(value: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyAny>>> {
    if let Ok(list) = value.cast::<PyList>() {
        return Some(list.iter().collect());
    }
    value.cast::<PyTuple>().ok().map(|tuple| tuple.iter().collect())
}

fn parse_part(place: &Place, part: &Bound<'_, PyAny>, i: usize) -> PyResult<Part> {
    let py = part.py();
    let whole = format!("content[{i}]");
    let dict = place.dict(part, &whole)?;
    let what = format!("{whole}.");
    let part_type: String = place.text(dict, intern!(py, "type"), &what)?;
    match part_type.as_str() {
        "text" | "input_text" | "output_text" => Ok(Part::Text(place.text(dict, intern!(py, "text"), &what)?)),
        "refusal" => Ok(Part::Text(place.text(dict, intern!(py, "refusal"), &what)?)),
        "image_url" => {
            let key = intern!(py, "image_url");
            let Some(image) = dict.get_item(key)? else {
                return Err(place.error(format!("{what}image_url is missing; it must be a dict")));
            };
            let what = format!("{what}image_url");
            let image = place.dict(&image, &what)?;
            parse_image(place, image, intern!(py, "url"), &format!("{what}."))
        }
        "input_image" => parse_image(place, dict, intern!(py, "image_url"), &what),
        "image" => {
            let key = intern!(py, "source");
            let Some(source) = dict.get_item(key)? else { return Ok(Part::Image { low_detail: false, size: None }) };
            let what = format!("{what}source");
            let source = place.dict(&source, &what)?;
            let size = place.size(source, intern!(py, "data"), &format!("{what}."), ImageSize::of_base64)?;
            Ok(Part::Image { low_detail: false, size })
        }
        _ => Ok(Part::other(&json(place, part, &whole)?)),
    }
}

/// An image given by its URL under `key`, in the dict that holds its detail level.
fn parse_image(place: &Place, dict: &Bound<'_, PyDict>, key: &Bound<'_, PyString>, what: &str) -> PyResult<Part> {
    let detail: Option<String> = place.text_or_none(dict, intern!(dict.py(), "detail"), what)?;
    let size = place.size(dict, key, what, ImageSize::of_url)?;
    Ok(Part::Image { low_detail: detail.as_deref() == Some("low"), size })
}

/// What an assistant's message may hold beside content or instead of it: the reference to its audio, or the older function call.
fn parse_stand_ins(place: &Place, dict: &Bound<'_, PyDict>) -> PyResult<Vec<Part>> {
    let py = dict.py();
    let mut parts = Vec::new();
    for key in [intern!(py, "audio"), intern!(py, "function_call")] {
        if let Some(value) = dict.get_item(key)?.filter(|value| !value.is_none()) {
            parts.push(Part::other(&json(place, &value, &key.to_string())?));
        }
    }
    Ok(parts)
}

fn json(place: &Place, value: &Bound<'_, PyAny>, what: &str) -> PyResult<String> {
    json_text(value)?.ok_or_else(|| place.error(format!("{what} is not JSON")))
}

/// The JSON text of a value, on one line, with blanks after colons and commas; `None` if it has none.
pub(crate) fn json_text(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("ensure_ascii", false)?;
    let dumps = py.import("json")?.getattr("dumps")?;
    match dumps.call((value,), Some(&options)) {
        Ok(text) => Ok(Some(text_of(text.cast::<PyString>()?)?.into_owned())),
        Err(error)
            if error.is_instance_of::<PyTypeError>(py)
                || error.is_instance_of::<PyValueError>(py)
                || error.is_instance_of::<PyRecursionError>(py) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn parse_calls(place: &Place, dict: &Bound<'_, PyDict>) -> PyResult<Vec<ToolCall>> {
    let Some(calls) = dict.get_item(intern!(dict.py(), "tool_calls"))?.filter(|calls| !calls.is_none()) else {
        return Ok(Vec::new());
    };
    let calls = items(&calls).ok_or_else(|| place.expected("tool_calls", &calls, "a list"))?;
    calls.iter().enumerate().map(|(i, call)| parse_call(place, call, i)).collect()
}

fn parse_call(place: &Place, call: &Bound<'_, PyAny>, i: usize) -> PyResult<ToolCall> {
    let py = call.py();
    let what = format!("tool_calls[{i}]");
    let dict = place.dict(call, &what)?;
    let id = place.text(dict, intern!(py, "id"), &format!("{what}."))?;
    for (key, input) in
        [(intern!(py, "function"), intern!(py, "arguments")), (intern!(py, "custom"), intern!(py, "input"))]
    {
        if let Some(function) = dict.get_item(key)? {
            let function = place.dict(&function, format!("{what}.{key}"))?;
            let what = format!("{what}.{key}.");
            let name = place.text(function, intern!(py, "name"), &what)?;
            return Ok(ToolCall { id, name, arguments: place.text(function, input, &what)? });
        }
    }
    Err(place.error(format!("{what}.function is missing")))
}
