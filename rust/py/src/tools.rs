//! Reads the tools of a request out of the caller's dicts, and says exactly what is wrong with one that is none.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use rolecore_core::tokens::Tool;

use crate::arguments::{string, wrong_kind};
use crate::errors::ArgumentError;
use crate::message::json_text;
use crate::text::text_of;

/// Parses all of an iterable of tools.
pub(crate) fn parse_all(tools: &Bound<'_, PyAny>) -> PyResult<Vec<Tool>> {
    let no_list = || wrong_kind(tools, "tools", "an iterable of dicts");
    if tools.is_instance_of::<PyDict>() || tools.is_instance_of::<PyString>() {
        return Err(no_list());
    }
    let items = tools.try_iter().map_err(|_| no_list())?.enumerate();
    items.map(|(i, item)| parse(&item?, &format!("tools[{i}]"))).collect()
}

/// A tool in the form of Chat Completions, with its function under a key of its own, or in the flat form of Responses.
fn parse(tool: &Bound<'_, PyAny>, what: &str) -> PyResult<Tool> {
    let py = tool.py();
    let tool = dict(tool, what)?;
    let kind = required(tool, intern!(py, "type"), what)?;
    if text(&kind, &format!("{what}.type"))? != "function" {
        return Err(ArgumentError::new_err(format!(
            "{what}.type must be \"function\": other tools have no counting rule"
        )));
    }
    match given(tool, intern!(py, "function"))? {
        Some(function) => {
            let what = format!("{what}.function");
            parse_function(dict(&function, &what)?, &what)
        }
        None => parse_function(tool, what),
    }
}

fn parse_function(function: &Bound<'_, PyDict>, what: &str) -> PyResult<Tool> {
    let py = function.py();
    let name = text(&required(function, intern!(py, "name"), what)?, &format!("{what}.name"))?;
    let description = given(function, intern!(py, "description"))?;
    let description = description.map(|value| text(&value, &format!("{what}.description"))).transpose()?;
    let what = format!("{what}.parameters");
    let no_json = || ArgumentError::new_err(format!("{what} must be JSON, without NaN and at most 127 levels deep"));
    let parameters = match given(function, intern!(py, "parameters"))? {
        Some(parameters) => Some(json_text(dict(&parameters, &what)?)?.ok_or_else(no_json)?),
        None => None,
    };
    Tool::new(name, description, parameters).ok_or_else(no_json)
}

fn dict<'a, 'py>(value: &'a Bound<'py, PyAny>, what: &str) -> PyResult<&'a Bound<'py, PyDict>> {
    value.cast::<PyDict>().map_err(|_| wrong_kind(value, what, "a dict"))
}

fn text(value: &Bound<'_, PyAny>, what: &str) -> PyResult<String> {
    Ok(text_of(string(value, what)?)?.into_owned())
}

/// The value under `key`, unless it is absent or None.
fn given<'py>(dict: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(dict.get_item(key)?.filter(|value| !value.is_none()))
}

fn required<'py>(dict: &Bound<'py, PyDict>, key: &Bound<'py, PyString>, what: &str) -> PyResult<Bound<'py, PyAny>> {
    given(dict, key)?.ok_or_else(|| ArgumentError::new_err(format!("{what}.{key} is missing; it must be a str")))
}
