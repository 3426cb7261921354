//! What must hold for every window of every history, in the plainest and slowest form that says it. It shares no code with the
//! library, and has no generator: the property tests and the fuzz target each bring theirs.

use std::sync::{Arc, OnceLock};

use rolecore_core::{
    CUT_KEY, CUT_MARK, Counted, Entry, Error, FitOptions, History, Message, OnOrphans, Part, Reason, Role, Summary,
    Tokenizer, Unit as Of, Window,
};
use serde_json::Value;

/// Leaves with what is wrong.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(format!($($why)+));
        }
    };
}

/// The same, saying what the two are.
macro_rules! ensure_eq {
    ($ours:expr, $theirs:expr, $($why:tt)+) => {
        match (&$ours, &$theirs) {
            (ours, theirs) => ensure!(ours == theirs, "{}: {ours:?} is not {theirs:?}", format_args!($($why)+)),
        }
    };
}

mod rolling;
mod summary;

pub(crate) use rolling::check_rolling;

/// A history with its pins, and how to ask for a window of it.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) messages: Vec<(Message, bool)>,
    /// The budget as a share of the history's tokens.
    pub(crate) budget_per_mille: u64,
    pub(crate) keep_last: usize,
    pub(crate) query: Option<String>,
    pub(crate) by_sentence: bool,
    pub(crate) shrinks: bool,
    pub(crate) start_with_user: bool,
}

fn tokenizer() -> &'static Arc<Tokenizer> {
    static TOKENIZER: OnceLock<Arc<Tokenizer>> = OnceLock::new();
    TOKENIZER.get_or_init(|| Tokenizer::named("o200k_base").unwrap())
}

fn history<'a>(messages: impl IntoIterator<Item = &'a (Message, bool)>) -> History {
    let mut history = History::new(Arc::clone(tokenizer()));
    push_all(&mut history, messages);
    history
}

fn push_all<'a>(history: &mut History, messages: impl IntoIterator<Item = &'a (Message, bool)>) {
    for (message, pin) in messages {
        history.push(Counted::new(message.clone(), tokenizer()).unwrap(), *pin);
    }
}

/// The oracle's idea of a group: its messages after repair, by index.
struct Unit {
    start: usize,
    messages: Vec<(usize, Message)>,
    is_pinned: bool,
    is_pending: bool,
    tokens: u64,
}

/// Repairs by reading each assistant message with the run of results behind it.
fn units(messages: &[(Message, bool)]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut at = 0;
    while at < messages.len() {
        let start = at;
        at += 1;
        while at < messages.len() && messages[at].0.role == Role::Tool {
            at += 1;
        }
        let mut head = messages[start].0.clone();
        let mut is_pinned = false;
        let mut kept = Vec::new();
        let mut open: Vec<usize> = (0..head.tool_calls.len()).collect();
        let results = if head.role == Role::Tool { start } else { start + 1 };
        for (i, (result, pin)) in messages.iter().enumerate().take(at).skip(results) {
            let call = open.iter().rposition(|&c| Some(&head.tool_calls[c].id) == result.tool_call_id.as_ref());
            if let Some(call) = call {
                open.remove(call);
                kept.push((i, result.clone()));
                is_pinned |= pin;
            }
        }
        let is_pending = at == messages.len() && !open.is_empty();
        if !is_pending {
            let mut call = 0;
            head.tool_calls.retain(|_| (!open.contains(&call), call += 1).0);
        }
        let was_caller = !messages[start].0.tool_calls.is_empty();
        let is_empty = was_caller && head.tool_calls.is_empty() && says_nothing(&head);
        if head.role != Role::Tool && !is_empty {
            is_pinned |= messages[start].1;
            kept.insert(0, (start, head));
        }
        let tokens = kept.iter().map(|(_, message)| message.tokens(tokenizer())).sum();
        units.push(Unit { start, messages: kept, is_pinned, is_pending, tokens });
    }
    units
}

fn says_nothing(message: &Message) -> bool {
    message.texts().all(str::is_empty) && message.parts.iter().all(|part| matches!(part, Part::Text(_)))
}

fn is_required(unit: &Unit, case: &Case, newest: usize) -> bool {
    let role = case.messages[unit.start].0.role;
    matches!(role, Role::System | Role::Developer)
        || unit.is_pinned
        || unit.is_pending
        || (case.keep_last > 0 && unit.start >= newest)
}

/// Where the newest `keep_last` turns start.
fn newest_turns(case: &Case) -> usize {
    let users: Vec<usize> = (0..case.messages.len()).filter(|&i| case.messages[i].0.role == Role::User).collect();
    users.get(users.len().saturating_sub(case.keep_last)).copied().unwrap_or(usize::MAX)
}

/// What a provider would say to the messages; a pending call may stand at the end.
fn illegal(messages: &[&Message], start_with_user: bool) -> Option<String> {
    let mut open: Vec<&str> = Vec::new();
    for (at, message) in messages.iter().enumerate() {
        if message.role == Role::Tool {
            let id = message.tool_call_id.as_deref().unwrap();
            match open.iter().position(|&call| call == id) {
                Some(call) => drop(open.remove(call)),
                None => return Some(format!("message {at} answers no call")),
            }
        } else if open.is_empty() {
            open = message.tool_calls.iter().map(|call| &*call.id).collect();
        } else {
            return Some(format!("message {at} comes before all calls are answered"));
        }
    }
    let first = messages.iter().find(|message| !message.role.is_instruction());
    (start_with_user && first.is_some_and(|message| message.role != Role::User))
        .then(|| "does not start with a user".to_owned())
}

pub(crate) fn check(case: &Case) -> Result<(), String> {
    let history = history(&case.messages);
    let fresh: u64 = case.messages.iter().map(|(message, _)| message.tokens(tokenizer())).sum();
    ensure_eq!(history.tokens(), fresh, "tokens of the history");
    let budget = fresh * case.budget_per_mille / 1000;
    let options = FitOptions {
        keep_last: case.keep_last,
        query: case.query.as_deref(),
        similarity: None,
        unit: if case.by_sentence { Of::Sentence } else { Of::Message },
        shrink_tool_outputs: case.shrinks,
        on_orphans: OnOrphans::Repair,
        start_with_user: case.start_with_user,
        summary: Summary::None,
    };
    let (first, rest) = case.messages.split_at(case.messages.len() / 2);
    let mut lazy = History::lazy(Arc::clone(tokenizer()));
    push_all(&mut lazy, first);
    for newer in [rest, &[]] {
        let seen = &case.messages[..lazy.len()];
        ensure_eq!(
            lazy.fit(budget, &options),
            self::history(seen).fit(budget, &options),
            "what a lazy history chooses"
        );
        push_all(&mut lazy, newer);
    }
    let units = units(&case.messages);
    summary::check_summary(case, &history, budget, &options, &units)?;
    match history.fit(budget, &options) {
        Ok(window) => check_window(case, &history, budget, &options, &units, &window)?,
        Err(Error::Budget { needed, budget: given }) => {
            ensure!(given == budget && needed > budget, "refused {budget} as {given}, needing {needed}");
            let least = smallest_budget(case, &units);
            // Without anything that must stay, one sentence of a message may be enough.
            let is_cut = case.by_sentence && units.iter().all(|unit| !is_required(unit, case, newest_turns(case)));
            ensure!(
                if is_cut || case.shrinks { needed <= least } else { needed == least },
                "needed {needed}, whole groups need {least}"
            );
            let window = history.fit(needed, &options).map_err(|error| format!("fit(needed) fails: {error}"))?;
            check_window(case, &history, needed, &options, &units, &window)?;
            let refused = matches!(history.fit(needed - 1, &options), Err(Error::Budget { .. }));
            ensure!(refused, "fit(needed - 1) works");
        }
        Err(error) => {
            ensure!(case.start_with_user, "{error}");
            ensure_eq!(smallest_budget(case, &units), u64::MAX, "refused, needing");
        }
    }
    let raising = FitOptions { on_orphans: OnOrphans::Raise, ..options };
    let whole: usize = units.iter().map(|unit| unit.messages.len()).sum();
    let unchanged = units.iter().flat_map(|unit| &unit.messages).all(|(i, message)| *message == case.messages[*i].0);
    if whole < case.messages.len() || !unchanged {
        let is_refused = matches!(history.fit(u64::MAX, &raising), Err(Error::Message { index: Some(_), .. }));
        ensure!(is_refused, "orphans pass");
    }
    Ok(())
}

fn check_window(
    case: &Case,
    history: &History,
    budget: u64,
    options: &FitOptions<'_>,
    units: &[Unit],
    window: &Window,
) -> Result<(), String> {
    let kept = |i: usize| window.entries.iter().find(|entry| entry.index() == Some(i));
    ensure!(window.entries.is_sorted_by(|a, b| a.index() < b.index()), "order changed or a message doubled");
    let mut messages: Vec<(usize, Message)> = Vec::new();
    let newest = newest_turns(case);
    let mut total = 0;
    for unit in units {
        let n_kept = unit.messages.iter().filter(|(i, _)| kept(*i).is_some()).count();
        ensure!(n_kept == 0 || n_kept == unit.messages.len(), "group at {} split", unit.start);
        if is_required(unit, case, newest) {
            let is_there = |i: usize, message: &Message| {
                kept(i).is_some_and(|entry| {
                    let may_shrink = case.shrinks && message.role == Role::Tool && !unit.is_pinned;
                    *entry == Entry::Whole(i) || may_shrink
                })
            };
            let is_whole = unit.messages.iter().all(|(i, message)| is_there(*i, message));
            ensure!(is_whole, "what must stay at {} is gone", unit.start);
        }
        for (i, message) in unit.messages.iter().filter(|_| n_kept > 0) {
            messages.push((*i, left_of(message, kept(*i), case.shrinks && message.role == Role::Tool)?));
        }
        total += unit.tokens;
    }
    ensure_eq!(messages.len(), window.entries.len(), "a message is kept that repair drops");
    let said: Vec<&Message> = messages.iter().map(|(_, message)| message).collect();
    ensure_eq!(illegal(&said, case.start_with_user), None, "illegal window");
    ensure_eq!(
        window.tokens,
        said.iter().map(|message| message.tokens(tokenizer())).sum::<u64>(),
        "tokens of the window"
    );
    ensure!(window.tokens <= budget, "{} tokens, budget {}", window.tokens, budget);
    ensure!(!said.is_empty() || units.iter().all(|unit| unit.messages.is_empty()), "empty window");
    if total <= budget && !case.start_with_user {
        let whole = units.iter().map(|unit| unit.messages.len()).sum::<usize>();
        let is_whole = window.entries.iter().all(|entry| matches!(entry, Entry::Whole(_)));
        ensure!(is_whole && said.len() == whole, "not unchanged");
    }
    check_figures(case, units, &messages, budget, window)?;
    for repair in &window.repairs {
        let left =
            units.iter().flat_map(|unit| &unit.messages).find(|(i, _)| *i == repair.index).map(|(_, message)| message);
        let repaired = repair.removed_calls.as_ref().map(|removed| {
            let mut message = case.messages[repair.index].0.clone();
            let calls = std::mem::take(&mut message.tool_calls).into_iter().enumerate();
            message.tool_calls = calls.filter(|(call, _)| !removed.contains(call)).map(|(_, call)| call).collect();
            message
        });
        ensure_eq!(left, repaired.as_ref(), "repair of {} misreported", repair.index);
    }
    ensure_eq!(history.fit(budget, options).as_ref(), Ok(window), "not deterministic");
    let again: Vec<(Message, bool)> =
        messages.iter().map(|(i, message)| (message.clone(), case.messages[*i].1)).collect();
    let refit = self::history(&again).fit(budget, options);
    ensure!(refit.is_ok_and(|refit| refit.tokens == window.tokens), "fit(fit(x)) differs");
    Ok(())
}

/// The message as its entry leaves it; an error if that is not made of pieces of it, in order and marked.
/// A smaller form of a tool's output need only be JSON where its source is, with no other values; the rest is tested beside it.
fn left_of(message: &Message, entry: Option<&Entry>, may_shrink: bool) -> Result<Message, String> {
    let mut left = message.clone();
    let Some(Entry::Cut { texts, .. }) = entry else { return Ok(left) };
    ensure!(!texts.is_empty(), "cut, and nothing is gone");
    for (part, text) in texts {
        let Some(Part::Text(source)) = message.parts.get(*part) else { return Err(format!("part {part} is no text")) };
        if message.role == Role::Tool
            && serde_json::from_str::<Value>(source).is_ok_and(|json| json.is_object() || json.is_array())
        {
            check_json(source, text, may_shrink)?;
            left.parts[*part] = Part::Text(text.as_str().into());
            continue;
        }
        if may_shrink {
            left.parts[*part] = Part::Text(text.as_str().into());
            continue;
        }
        ensure!(text.contains(CUT_MARK), "a cut without a mark");
        let mut at = 0;
        for piece in text.split(CUT_MARK).map(str::trim).filter(|piece| !piece.is_empty()) {
            match source[at..].find(piece) {
                Some(found) => at += found + piece.len(),
                None => return Err(format!("{piece:?} is not of its source")),
            }
        }
        left.parts[*part] = Part::Text(text.as_str().into());
    }
    Ok(left)
}

/// A cut JSON text is JSON, holds nothing but values of its source with their keys, and says how many went.
fn check_json(source: &str, text: &str, may_shrink: bool) -> Result<(), String> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| format!("{text:?}: {error}"));
    let (whole, mut left) = (parse(source)?, parse(text)?);
    let note = match &mut left {
        Value::Object(object) => object.remove(CUT_KEY),
        Value::Array(array) => array.pop().and_then(|mut last| last.as_object_mut()?.remove(CUT_KEY)),
        _ => None,
    };
    if may_shrink {
        let values = |json: &Value| {
            let mut found = Vec::new();
            leaves("", json, &mut found);
            found
                .into_iter()
                .map(|leaf| leaf.split_once(' ').map_or(leaf.clone(), |(_, value)| value.to_owned()))
                .collect::<Vec<_>>()
        };
        let source = values(&whole);
        let is_part = values(&left).iter().all(|value| source.contains(value) || value == "{}" || value == "[]");
        ensure!(is_part, "{text:?} holds what is not of its source");
        return Ok(());
    }
    let (mut all, mut some) = (Vec::new(), Vec::new());
    leaves("", &whole, &mut all);
    leaves("", &left, &mut some);
    let n_gone = note.and_then(|note| note.as_u64()).ok_or("a cut without a note")?;
    let n_empty = usize::from(some == [String::from(" {}")] || some == [String::from(" []")]);
    ensure_eq!(all.len() as u64, (some.len() - n_empty) as u64 + n_gone, "values and the note");
    let mut at = all.iter();
    let is_part = some.iter().take(some.len() - n_empty).all(|leaf| at.any(|other| other == leaf));
    ensure!(is_part, "{text:?} holds what is not of its source");
    Ok(())
}

/// Each scalar and each empty container below `value`, with its key, in order.
fn leaves(key: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) if !object.is_empty() => object.iter().for_each(|(key, value)| leaves(key, value, found)),
        Value::Array(array) if !array.is_empty() => array.iter().for_each(|value| leaves("", value, found)),
        _ => found.push(format!("{key} {value}")),
    }
}

/// The window's own figures, but for its tokens.
fn check_figures(
    case: &Case,
    units: &[Unit],
    messages: &[(usize, Message)],
    budget: u64,
    window: &Window,
) -> Result<(), String> {
    ensure_eq!(window.budget_tokens, budget, "budget");
    ensure_eq!(window.n_messages, case.messages.len(), "messages of the history");
    let sum = |messages: &mut dyn Iterator<Item = &Message>| -> u64 {
        messages.map(|message| message.tokens(tokenizer())).sum()
    };
    let history_tokens = sum(&mut case.messages.iter().map(|(message, _)| message));
    ensure_eq!(window.history_tokens, history_tokens, "tokens of the history");
    let untouched = messages.iter().zip(&case.messages).zip(0..);
    let untouched = untouched.take_while(|(((i, message), (given, _)), at)| i == at && message == given);
    let reused_tokens = sum(&mut untouched.map(|(((_, message), _), _)| message));
    ensure_eq!(window.reused_prefix_tokens, reused_tokens, "tokens of the prefix");
    let covered =
        |reasons: &[Reason]| reasons.iter().map(|&reason| window.amounts[reason as usize].messages).sum::<usize>();
    ensure_eq!(covered(&Reason::ALL), case.messages.len(), "messages with a reason");
    let tokens: u64 = window.amounts.iter().map(|amount| amount.tokens).sum();
    ensure_eq!(tokens, window.history_tokens, "tokens with a reason");
    let newest = newest_turns(case);
    let required = units.iter().filter(|unit| is_required(unit, case, newest)).map(|unit| unit.messages.len());
    let reasons = [Reason::Instruction, Reason::Pinned, Reason::NewestTurn, Reason::PendingCall];
    ensure_eq!(covered(&reasons), required.sum::<usize>(), "messages that must stay");
    Ok(())
}

/// The least any legal choice costs, by trying all of them; `u64::MAX` when there is none. Only for few groups, else what the
/// definition gives without a user to start with.
fn smallest_budget(case: &Case, units: &[Unit]) -> u64 {
    let newest = newest_turns(case);
    let (required, open): (Vec<&Unit>, Vec<&Unit>) =
        units.iter().filter(|unit| !unit.messages.is_empty()).partition(|unit| is_required(unit, case, newest));
    // Each open group alone is enough to serve as a first message or as a user to start with.
    let alone = std::iter::once(None).chain(open.into_iter().map(Some));
    let choices = alone.filter_map(|extra| {
        let mut chosen: Vec<&Unit> = required.iter().copied().chain(extra).collect();
        chosen.sort_by_key(|unit| unit.start);
        let messages: Vec<&Message> =
            chosen.iter().flat_map(|unit| &unit.messages).map(|(_, message)| message).collect();
        let is_legal = !messages.is_empty() && illegal(&messages, case.start_with_user).is_none();
        is_legal.then(|| chosen.iter().map(|unit| unit.tokens).sum())
    });
    choices.min().unwrap_or(u64::MAX)
}
