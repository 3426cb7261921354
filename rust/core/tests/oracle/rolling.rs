//! What must hold at every append for the views of a rolling window.

use std::sync::Arc;

use rolecore_core::{Counted, Entry, Error, History, Message, Role, Rolling, RollingOptions, Unit as Of};

use super::summary::{check_tokens, needed, said};
use super::{Case, Unit, illegal, tokenizer, units};

/// Appends the case's messages one by one and looks at the view after each; every third view has the case's query.
pub(crate) fn check_rolling(case: &Case) -> Result<(), String> {
    let fresh: u64 = case.messages.iter().map(|(message, _)| message.tokens(tokenizer())).sum();
    let budget = fresh * case.budget_per_mille / 1000;
    let options = |budget_tokens| RollingOptions {
        budget_tokens,
        target: if case.start_with_user { 0.9 } else { 0.6 },
        keep_last: case.keep_last,
        unit: if case.by_sentence { Of::Sentence } else { Of::Message },
    };
    let new = |budget| Rolling::new(options(budget)).map_err(|error| error.to_string());
    let mut history = History::new(Arc::clone(tokenizer()));
    let mut rolling = new(budget)?;
    let mut before: Vec<(Entry, Message)> = Vec::new();
    let mut n_repairs = 0;
    let mut is_short = false;
    for (i, (message, pin)) in case.messages.iter().enumerate() {
        history.push(Counted::new(message.clone(), tokenizer()).unwrap(), *pin);
        let units = units(&case.messages[..=i]);
        let query = case.query.as_deref().filter(|_| i % 3 == 2);
        let n_epochs = rolling.n_epochs();
        let view = match rolling.view(&history, query) {
            Ok(view) => view.clone(),
            Err(Error::Budget { needed: least, budget: given }) => {
                ensure!(given == budget && least > budget, "refused {budget} as {given}, needing {least}");
                new(least)?.view(&history, query).map_err(|error| format!("needed, yet {error}"))?;
                ensure_eq!(needed(new(least - 1)?.view(&history, query))?, least, "one less than needed");
                continue;
            }
            Err(error) => return Err(error.to_string()),
        };
        let now = said(&units, &view, false)?;
        let messages: Vec<&Message> = now.iter().map(|(_, message)| message).collect();
        ensure_eq!(illegal(&messages, false), None, "illegal after message {i}");
        check_tokens(case, &view, &messages, budget)?;
        // What had to be left out of the newest turns comes back at an epoch.
        let is_over = newest_tokens(case, &units, i) > budget;
        is_short = is_over || is_short && rolling.n_epochs() == n_epochs;
        check_what_stays(case, &units, &now, i, is_short)?;
        let same = now.iter().zip(&before).take_while(|(now, before)| now == before).count();
        let reused: u64 = view.kept[..same].iter().map(|kept| kept.tokens).sum();
        ensure_eq!(view.reused_prefix_tokens, reused, "tokens of the prefix after message {i}");
        let is_plain = |window: &[(Entry, Message)]| window.iter().all(|(entry, _)| entry.index().is_some());
        if rolling.n_epochs() == n_epochs && history.repairs().len() == n_repairs && is_plain(&before) && is_plain(&now)
        {
            ensure_eq!(same, before.len(), "an entry changed between epochs");
        }
        if rolling.n_epochs() == 0 {
            let all: usize = units.iter().map(|unit| unit.messages.len()).sum();
            ensure_eq!(now.len(), all, "something is gone before the first epoch");
        }
        if let Some(at) = rolling.folded_at() {
            ensure!(query.is_some(), "excerpts without a query");
            let newest = newest_turn(&case.messages[..=i], &units);
            ensure!(now[..at].iter().all(|(entry, _)| entry.index() < Some(newest)), "excerpts inside the newest turn");
            ensure!(now[at + 1..].iter().all(|(entry, _)| entry.index() >= Some(newest)), "excerpts too early");
        }
        n_repairs = history.repairs().len();
        before = now;
    }
    Ok(())
}

/// Where the newest turn begins; without any, the newest group.
fn newest_turn(messages: &[(Message, bool)], units: &[Unit]) -> usize {
    let user = messages.iter().rposition(|(message, _)| message.role == Role::User);
    user.unwrap_or_else(|| units.last().map_or(0, |unit| unit.start))
}

/// Whether the unit stays however long the newest turns are.
fn is_fixed(case: &Case, unit: &Unit) -> bool {
    let role = case.messages[unit.start].0.role;
    matches!(role, Role::System | Role::Developer) || unit.is_pinned || unit.is_pending
}

/// Where the newest `keep_last` turns of the first `i + 1` messages begin.
fn newest_turns(case: &Case, i: usize) -> usize {
    let users: Vec<usize> = (0..=i).filter(|&i| case.messages[i].0.role == Role::User).collect();
    let newest = users.get(users.len().saturating_sub(case.keep_last)).copied();
    newest.filter(|_| case.keep_last > 0).unwrap_or(usize::MAX)
}

/// Tokens of what must stay, the newest turns whole.
fn newest_tokens(case: &Case, units: &[Unit], i: usize) -> u64 {
    let newest = newest_turns(case, i);
    units.iter().filter(|unit| is_fixed(case, unit) || unit.start >= newest).map(|unit| unit.tokens).sum()
}

fn check_what_stays(
    case: &Case,
    units: &[Unit],
    now: &[(Entry, Message)],
    i: usize,
    is_short: bool,
) -> Result<(), String> {
    let kept = |i: usize| now.iter().find(|(entry, _)| entry.index() == Some(i)).map(|(entry, _)| entry);
    let mut newest = newest_turns(case, i);
    // Turns that are over the budget by themselves keep the newest of their groups.
    if is_short {
        let live = units.iter().rfind(|unit| !unit.messages.is_empty());
        newest = newest.max(live.map_or(usize::MAX, |unit| unit.start));
    }
    for unit in units {
        let n_kept = unit.messages.iter().filter(|(i, _)| kept(*i).is_some()).count();
        ensure!(n_kept == 0 || n_kept == unit.messages.len(), "group at {} split after message {i}", unit.start);
        if is_fixed(case, unit) || unit.start >= newest {
            let is_whole = unit.messages.iter().all(|(i, _)| kept(*i) == Some(&Entry::Whole(*i)));
            ensure!(is_whole, "what must stay at {} is gone after message {i}", unit.start);
        }
    }
    Ok(())
}
