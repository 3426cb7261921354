//! The caller's own summary of what a window leaves out, such as a model's.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rolecore_core::{FitOptions, Summary as Kind, Window};

use crate::arguments::kind;
use crate::history::History;
use crate::text::text_of;
use crate::window::Summary;

/// What the callable gave.
enum Answer {
    Text(String),
    /// Nothing that can be sent, and why.
    Nothing(String),
}

/// Calls `summary(messages, max_tokens=n)`. What is no `Exception`, such as KeyboardInterrupt, is passed on.
fn ask(summary: &Bound<'_, PyAny>, messages: Vec<Py<PyAny>>, max_tokens: u64) -> PyResult<Answer> {
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

impl History {
    /// Adds the caller's summary, or the extractive one where that fails, to a window that has room for it.
    pub(crate) fn add_summary(
        &self,
        summary: &Bound<'_, PyAny>,
        options: &FitOptions<'_>,
        chosen: &mut Window,
    ) -> PyResult<Summary> {
        let py = summary.py();
        if options.summary == Kind::Extractive {
            let is_folded = chosen.entries.iter().any(|entry| entry.index().is_none());
            return Ok(Summary { by: is_folded.then_some("extractive"), fallback: None });
        }
        if chosen.summary_room == 0 {
            return Ok(Summary::default());
        }
        let (dropped, max_tokens) = {
            let state = self.lock(py)?;
            let dropped: Vec<Py<PyAny>> =
                state.core.left_out(chosen).into_iter().map(|index| state.objects[index].clone_ref(py)).collect();
            (dropped, state.core.summary_tokens(chosen))
        };
        if dropped.is_empty() {
            return Ok(Summary::default());
        }
        let (text, mut fallback) = match ask(summary, dropped, max_tokens)? {
            Answer::Text(text) => (Some(text), None),
            Answer::Nothing(why) => (None, Some(why)),
        };
        let state = self.lock(py)?;
        if let Some(text) = &text {
            if state.core.add_summary(chosen, options, Some(text)) {
                return Ok(Summary { by: Some("callable"), fallback });
            }
            fallback = Some("returned nothing that fits".to_owned());
        }
        let is_added = state.core.add_summary(chosen, options, None);
        Ok(Summary { by: is_added.then_some("extractive"), fallback })
    }
}
