//! What a turn asks of the core beside its route: one call that reads what is new, looks an answer up and chooses the window.
#![allow(clippy::doc_markdown, reason = "these are Python docstrings")]

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use rolecore_core::cache::{Address, Answered, Item, Value};
use rolecore_core::index::Query;
use rolecore_core::{FitOptions, Limits, Message, Role, Summary, Unit, Window, gate};

use crate::arguments::string;
use crate::cache::VectorCache;
use crate::cache_arguments::{name, threshold};
use crate::embedder::Embedder;
use crate::errors::CoreError;
use crate::history::History;
use crate::message::parse_all;
use crate::options::{keep_last, unit};
use crate::retain::RetainController;
use crate::text::{from_bytes, text_of};
use crate::tokens::detached;
use crate::vector::numbers;
use crate::window::Copy;

/// How an answer was found, the answer, and the tokens that a hit saves.
type Found<'py> = (&'static str, Bound<'py, PyString>, f64);
/// The answer that was found, the messages to send before the last new one, tokens of the whole request and of the whole history with it, how many
/// of the history's messages are left out, the text of a summary, and the budget.
type Plan<'py> = (Option<Found<'py>>, Bound<'py, PyList>, u64, u64, usize, Option<String>, u64);

/// Append what is new to a history, look an answer up, and choose the window if there is none: all that a turn needs, in one call.
///
/// Use `rolecore.ContextBudget` and `rolecore.run_turn`.
///
/// Args:
///     history: what was said before.
///     unread: messages that the history lacks; they are appended to it and taken out of this list, all or none.
///     messages: the new message, or the results of all calls that wait and at most one message after them. They are not appended.
///     instructions: what goes before all else, as a message of the role system; "" for none.
///     query: what they are about; "" for nothing.
///     most_tokens: most tokens of the request, with the new messages and the instructions.
///     keep_last: newest turns that must stay, a new message of the user's counted.
///     unit: as in `History.fit`.
///     retain: whose ratio of `most_tokens` is the budget, unless what must stay needs more; None: all of it.
///     reading: of memory, for `retain`: used and limit; None: there is no new one.
///     is_short: whether what is left out is summarised, and nothing embedded.
///     embedder: as in `History.fit`.
///     lookup: None, or a cache, the question's key and vector, the threshold, the tenant and the model_id.
///
/// Returns:
///     The answer that was found, as (stage, answer, cost of the entry), or None; the messages before the last of the new ones, which
///     are none with an answer; tokens of the request; tokens of history, new messages and instructions; how many messages of the
///     history are left out; the summary's text, or None; the budget.
///
/// Raises:
///     MessageError, BudgetError, ArgumentError: as `History.fit`. CacheError: the look-up failed; the history has what was new.
#[pyfunction]
#[pyo3(
    signature = (
        history: "History",
        unread: "list[dict[str, typing.Any]]",
        messages: "list[dict[str, typing.Any]]",
        instructions: "str",
        query: "str",
        most_tokens: "int",
        keep_last: "int",
        unit: "str",
        retain: "RetainController | None",
        reading: "tuple[float, float] | None",
        is_short: "bool",
        embedder: "typing.Any",
        lookup: "tuple[VectorCache, str, numpy.typing.ArrayLike, float, str, str] | None"
    ) -> "tuple[tuple[str, str, float] | None, list[dict[str, typing.Any]], int, int, int, str | None, int]"
)]
#[expect(clippy::too_many_arguments, reason = "all that a turn needs, in one call")]
pub(crate) fn plan_turn<'py>(
    py: Python<'py>,
    history: &History,
    unread: &Bound<'py, PyList>,
    messages: &Bound<'py, PyList>,
    instructions: &Bound<'py, PyString>,
    query: &Bound<'py, PyString>,
    most_tokens: u64,
    #[pyo3(from_py_with = keep_last)] keep_last: usize,
    #[pyo3(from_py_with = unit)] unit: Unit,
    retain: Option<&RetainController>,
    reading: Option<(f64, f64)>,
    is_short: bool,
    embedder: Option<&Bound<'py, PyAny>>,
    lookup: Option<Lookup<'py>>,
) -> PyResult<Plan<'py>> {
    // The lock is let go of before anything is made in Python: a collection may begin there, and looks into the history.
    let n_before = history.lock(py)?.objects.len();
    let (next, mut new_objects): (Vec<Message>, Vec<Py<PyAny>>) =
        parse_all(messages.as_any(), n_before)?.into_iter().unzip();
    if !unread.is_empty() {
        let parsed = parse_all(unread.as_any(), n_before)?;
        let n = parsed.len();
        history.push_all(py, parsed, false)?;
        unread.del_slice(0, n)?;
    }
    let ratio = retain.map(|retain| retain.after(reading)).transpose()?.flatten();
    let budget_tokens = share_of(most_tokens, ratio.unwrap_or(1.0));
    let found = lookup.map(|lookup| lookup.find(py)).transpose()?.flatten();

    let tokenizer = &history.tokenizer;
    let text = text_of(instructions)?;
    let bytes = text.len() + next.iter().map(Message::text_bytes).sum::<usize>();
    let (instructions_tokens, next_tokens) = detached(py, bytes, || {
        let instructions_tokens =
            if text.is_empty() { 0 } else { Message::text(Role::System, &*text).tokens(tokenizer) };
        (instructions_tokens, next.iter().map(|message| message.tokens(tokenizer)).sum::<u64>())
    });
    let own_tokens = instructions_tokens + next_tokens;
    if found.is_some() {
        let all = own_tokens + history.lock(py)?.core.tokens();
        return Ok((found, PyList::empty(py), 0, all, 0, None, budget_tokens));
    }

    let query = text_of(query)?;
    let query = Some(&*query).filter(|query| !query.trim().is_empty());
    let similarity = match (embedder.filter(|_| !is_short), query) {
        (Some(embedder), Some(query)) => {
            let room = budget_tokens.saturating_sub(own_tokens);
            history.similarity(py, Embedder::of(embedder)?, query, Some(room), None)?
        }
        _ => Vec::new(),
    };
    let options = FitOptions {
        keep_last,
        query,
        similarity: (!similarity.is_empty()).then_some(similarity.as_slice()),
        unit,
        summary: if is_short { Summary::Extractive } else { Summary::None },
        ..FitOptions::default()
    };
    let limits = Limits { budget_tokens, most_tokens, next_tokens, other_tokens: instructions_tokens };
    let (window, all_tokens, n_messages, objects) = {
        let state = history.lock(py)?;
        let window = state.core.fit_next(&next, limits, &options).map_err(CoreError)?;
        let none = py.None();
        let object = |index: usize| &state.objects[index];
        let objects: Vec<Py<PyAny>> =
            window.entries.iter().map(|entry| entry.index().map_or(&none, object).clone_ref(py)).collect();
        (window, own_tokens + state.core.tokens(), state.objects.len(), objects)
    };
    let n_left_out = window.covered()[..n_messages].iter().filter(|&&is_covered| !is_covered).count();
    let summary = window.entries.iter().find_map(|entry| match entry {
        rolecore_core::Entry::Folded { text, .. } => Some(text.clone()),
        _ => None,
    });
    new_objects.pop();
    let messages = messages_of(py, &window, objects, new_objects, &text)?;
    Ok((None, messages, own_tokens + window.tokens, all_tokens, n_left_out, summary, budget_tokens))
}

/// The messages of a window between the instructions and what comes next.
fn messages_of<'py>(
    py: Python<'py>,
    window: &Window,
    mut objects: Vec<Py<PyAny>>,
    next: Vec<Py<PyAny>>,
    instructions: &str,
) -> PyResult<Bound<'py, PyList>> {
    for (entry, object) in window.entries.iter().zip(&mut objects) {
        if let Some(copy) = Copy::of(entry, &window.repairs) {
            *object = copy.make(object.bind(py))?;
        }
    }
    if !instructions.is_empty() {
        let first = PyDict::new(py);
        first.set_item(intern!(py, "role"), intern!(py, "system"))?;
        first.set_item(intern!(py, "content"), instructions)?;
        objects.insert(0, first.into_any().unbind());
    }
    objects.extend(next);
    PyList::new(py, objects)
}

/// Where an answer may be.
pub(crate) struct Lookup<'py> {
    cache: Bound<'py, VectorCache>,
    key: Bound<'py, PyAny>,
    vector: Bound<'py, PyAny>,
    threshold: f64,
    tenant: Bound<'py, PyAny>,
    model_id: Bound<'py, PyAny>,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Lookup<'py> {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        type Any<'py> = Bound<'py, PyAny>;
        type Given<'py> = (Bound<'py, VectorCache>, Any<'py>, Any<'py>, Any<'py>, Any<'py>, Any<'py>);

        let (cache, key, vector, least, tenant, model_id): Given<'py> = given.extract()?;
        Ok(Self { cache, key, vector, threshold: threshold(&least)?, tenant, model_id })
    }
}

impl<'py> Lookup<'py> {
    fn find(&self, py: Python<'py>) -> PyResult<Option<Found<'py>>> {
        let cache = self.cache.get();
        let asked = text_of(string(&self.key, "key")?)?;
        let (key, tenant, model_id) =
            (name(&self.key, "key")?, name(&self.tenant, "tenant")?, name(&self.model_id, "model_id")?);
        let at = Address { scope: rolecore_core::cache::Scope { tenant: &tenant, model_id: &model_id }, key: &key };
        let vector = numbers(&self.vector, cache.cache.dim())?;
        let query = Query::new(&vector).map_err(CoreError)?;
        let now = cache.now(py)?;
        let least = self.threshold;
        let passes = |cached: &[u8]| gate::difference(&asked, &String::from_utf8_lossy(cached)).is_none();
        let found = py.detach(|| cache.cache.answer(&at, &query, least, now, passes)).map_err(CoreError)?;
        match found {
            Answered::Exact(item) => answer(py, "exact", &item),
            Answered::Semantic(hit) => answer(py, "semantic", &hit.item),
            Answered::Refused(_) | Answered::Miss => Ok(None),
        }
    }
}

fn answer<'py>(py: Python<'py>, stage: &'static str, item: &Arc<Item>) -> PyResult<Option<Found<'py>>> {
    let Value::Text(text) = item.value() else { return Ok(None) };
    Ok(Some((stage, from_bytes(py, text)?, item.cost())))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "0 <= ratio <= 1"
)]
fn share_of(tokens: u64, ratio: f64) -> u64 {
    (tokens as f64 * ratio).floor() as u64
}
