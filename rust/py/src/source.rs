//! Where the turns of a snapshot come from: dicts, or a history and those of its messages that hold more than it keeps.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyListMethods};
use rolecore_core::codec::{Source, Turns};

use crate::arguments::each;
use crate::errors::CoreError;
use crate::history::History;
use crate::message::parse;
use crate::told::{MessageSearch, Texts, Told};

/// The turns that messages are; their texts stay in `texts`.
pub(crate) fn turns_of<'a, 'py>(messages: &Bound<'py, PyAny>, texts: &'a Texts<'py>) -> PyResult<Turns<'a>> {
    let n_turns = messages.cast::<PyList>().map_or(0, PyListMethods::len);
    let mut turns = Turns::with_capacity(n_turns);
    let (mut search, mut told) = (MessageSearch::new(messages.py()), Told::nothing());
    let mut add = |index, message: &Bound<'py, PyAny>| {
        told.read(texts, &mut search, message, index)?;
        told.push(&mut turns, 0, false);
        PyResult::Ok(())
    };
    // By the iterator that Python has for all, a tenth more.
    if let Ok(list) = messages.cast_exact::<PyList>() {
        list.iter().enumerate().try_for_each(|(index, message)| add(index, &message))?;
    } else {
        let mut each = each(messages, "history", "a History or an iterable of dicts")?.enumerate();
        each.try_for_each(|(index, message)| add(index, &message?))?;
    }
    Ok(turns)
}

impl History {
    /// Appends all of `messages`, pinned or not.
    pub(crate) fn append_all(&self, py: Python<'_>, messages: Vec<Bound<'_, PyAny>>, pin: bool) -> PyResult<()> {
        let first = self.lock(py)?.objects.len();
        let parsed =
            messages.into_iter().enumerate().map(|(i, message)| Ok((parse(&message, first + i)?, message.unbind())));
        self.push_all(py, parsed.collect::<PyResult<_>>()?, pin)
    }

    /// Runs `f` with the turns that there are and the tokenizer's name, holding the lock. It may make bytes: they start no collection, which
    /// would wait for the lock.
    pub(crate) fn with_turns<T>(&self, py: Python<'_>, f: impl FnOnce(Source<'_>, &str) -> PyResult<T>) -> PyResult<T> {
        let (len, rich) = {
            let state = self.lock(py)?;
            if state.rich.is_empty() {
                return f(Source::History(&state.core), state.core.tokenizer().name());
            }
            let rich = state.rich.iter().map(|&index| (index, state.objects[index].clone_ref(py)));
            (state.objects.len(), rich.collect::<Vec<_>>())
        };
        let (texts, mut search) = (Texts::default(), MessageSearch::new(py));
        let told = rich.iter().map(|(index, object)| {
            let mut told = Told::nothing();
            told.read(&texts, &mut search, object.bind(py), *index)?;
            Ok((*index, told))
        });
        let mut told = told.collect::<PyResult<Vec<_>>>()?;
        let state = self.lock(py)?;
        let core = &state.core;
        let mut told = told.iter_mut().peekable();
        let mut turns = Turns::with_capacity(len);
        // What was there then is still there: messages are only appended.
        for index in 0..len {
            if let Some((_, told)) = told.next_if(|(told, _)| *told == index) {
                let tokens = u32::try_from(core.message_tokens(index)).unwrap_or(0);
                told.push(&mut turns, tokens, core.is_pinned(index));
            } else {
                turns.push_message(core, index).map_err(CoreError)?;
            }
        }
        f(Source::Turns(&turns), core.tokenizer().name())
    }
}
