//! The caller's own summary of what a window leaves out, such as a model's.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use crate::arguments::kind;
use crate::text::text_of;

/// What the callable gave.
pub(crate) enum Answer {
    Text(String),
    /// Nothing that can be sent, and why.
    Nothing(String),
}

/// Calls `summary(messages, max_tokens=n)`. What is no `Exception`, such as KeyboardInterrupt, is passed on.
pub(crate) fn ask(summary: &Bound<'_, PyAny>, messages: Vec<Py<PyAny>>, max_tokens: u64) -> PyResult<Answer> {
    let py = summary.py();
    let limit = PyDict::new(py);
    limit.set_item(intern!(py, "max_tokens"), max_tokens)?;
    match summary.call((PyList::new(py, messages)?,), Some(&limit)) {
        Ok(text) => match text.cast::<PyString>() {
            Ok(text) => {
                let text = text_of(text)?;
                if text.trim().is_empty() {
                    return Ok(Answer::Nothing("returned an empty str".to_owned()));
                }
                Ok(Answer::Text(text.into_owned()))
            }
            Err(_) => Ok(Answer::Nothing(format!("returned what is {}, no str", kind(&text)))),
        },
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let name = error.get_type(py).name().map_or_else(|_| "an exception".to_owned(), |name| name.to_string());
            Ok(Answer::Nothing(format!("raised {name}")))
        }
        Err(error) => Err(error),
    }
}
