//! What must hold for a window with a summary, and for every folded message.

use rolecore_core::{CUT_MARK, Entry, Error, FitOptions, History, Message, Reason, Role, Summary, Window};

use super::{Case, Unit, illegal, left_of, tokenizer};

/// A window with a summary: the same refusals as without one, the same window where nothing is left out, else a legal window with
/// at most one folded message, after the leading instructions.
pub(super) fn check_summary(
    case: &Case,
    history: &History,
    budget: u64,
    options: &FitOptions<'_>,
    units: &[Unit],
) -> Result<(), String> {
    let plain = history.fit(budget, options);
    let with = history.fit(budget, &FitOptions { summary: Summary::Extractive, ..*options });
    let (plain, with) = match (plain, with) {
        (Ok(plain), Ok(with)) => (plain, with),
        (Err(plain), Err(with)) if plain == with => return Ok(()),
        (plain, with) => return Err(format!("without a summary {plain:?}, with one {with:?}")),
    };
    if with.entries.iter().all(|entry| entry.index().is_some()) {
        ensure_eq!(plain, with, "without a summary, yet another window");
    }
    let said = said(units, &with, case.shrinks)?;
    let messages: Vec<&Message> = said.iter().map(|(_, message)| message).collect();
    ensure_eq!(illegal(&messages, case.start_with_user), None, "illegal window with a summary");
    check_tokens(case, &with, &messages, budget)?;
    let folded = with.entries.iter().position(|entry| entry.index().is_none());
    if let Some(at) = folded {
        let is_instruction = |kept: &rolecore_core::Kept| kept.reason == Reason::Instruction;
        ensure!(with.kept[..at].iter().all(is_instruction), "a summary after other messages");
        ensure!(!with.kept.get(at + 1).is_some_and(is_instruction), "a summary before leading instructions");
    }
    // A text of the caller's own: never over its room, and the window is as it was when nothing of it fits.
    let Ok(later) = history.fit(budget, &FitOptions { summary: Summary::Later, ..*options }) else {
        return Err("no window for a summary that comes later".to_owned());
    };
    ensure!(later.summary_room == 0 || !history.left_out(&later).is_empty(), "room for a summary of nothing");
    for text in ["", "They met Ana in Oslo.", &"all of it and more ".repeat(400)] {
        let mut window = later.clone();
        if history.add_summary(&mut window, &FitOptions::default(), Some(text)) {
            ensure!(window.tokens <= budget && window.tokens > later.tokens, "a summary over its room");
            let Some(Entry::Folded { sources, text: said }) = window.entries.iter().find(|e| e.index().is_none())
            else {
                return Err("a summary that is nowhere".to_owned());
            };
            ensure_eq!(*sources, history.left_out(&later), "what a summary covers");
            let body = said.split_once('\n').map_or("", |(_, body)| body);
            ensure!(!body.is_empty() && text.starts_with(body), "a summary that says something else");
            ensure_eq!(
                Message::text(Role::User, said.as_str()).tokens(tokenizer()),
                window.tokens - later.tokens,
                "tokens"
            );
        } else {
            ensure_eq!(window, later, "a refused summary");
        }
    }
    Ok(())
}

/// The messages of a window, each with its entry; an error if one is not made of its sources, or is of no message that repair leaves.
pub(super) fn said(units: &[Unit], window: &Window, shrinks: bool) -> Result<Vec<(Entry, Message)>, String> {
    let mut all = Vec::new();
    ensure!(window.entries.iter().filter(|entry| entry.index().is_none()).count() <= 1, "two folded messages");
    let indices: Vec<usize> = window.entries.iter().filter_map(Entry::index).collect();
    ensure!(indices.is_sorted_by(|a, b| a < b), "order changed or a message doubled");
    for entry in &window.entries {
        let message = if let Entry::Folded { sources, text } = entry {
            check_folded(units, window, sources, text, shrinks)?;
            Message::text(Role::User, text.as_str())
        } else {
            let found = units.iter().flat_map(|unit| &unit.messages).find(|(i, _)| Some(*i) == entry.index());
            let Some((_, message)) = found else { return Err("a message is kept that repair drops".to_owned()) };
            left_of(message, Some(entry), shrinks && message.role == Role::Tool)?
        };
        all.push((entry.clone(), message));
    }
    Ok(all)
}

/// Every line but the first is a sentence or more of a source, or the name of one's speaker.
fn check_folded(units: &[Unit], window: &Window, sources: &[usize], text: &str, shrinks: bool) -> Result<(), String> {
    ensure!(sources.is_sorted_by(|a, b| a < b) && !sources.is_empty(), "sources {sources:?}");
    let kept: Vec<usize> = window.entries.iter().filter_map(Entry::index).collect();
    ensure!(sources.iter().all(|i| !kept.contains(i)), "folded and kept");
    let messages = units.iter().flat_map(|unit| &unit.messages).filter(|(i, _)| sources.contains(i));
    let messages: Vec<&Message> = messages.map(|(_, message)| message).collect();
    ensure_eq!(messages.len(), sources.len(), "sources that repair drops");
    let mut lines = text.lines();
    ensure!(lines.next().is_some_and(|line| line.starts_with(CUT_MARK)), "no mark at the beginning");
    let mut used = vec![false; messages.len()];
    // A smaller output tells what it lost in lines of its own.
    for line in lines.filter(|line| !shrinks || !line.starts_with("[… ")) {
        let is_of = |message: &&Message| message.texts().any(|text| text.contains(line));
        let names = |message: &&Message| {
            line.strip_suffix(':').is_some_and(|name| message.name.as_deref().unwrap_or(message.role.as_str()) == name)
        };
        ensure!(messages.iter().any(|m| is_of(m) || names(m)), "{line:?} is of no source");
        for (used, message) in used.iter_mut().zip(&messages) {
            *used |= is_of(message);
        }
    }
    ensure!(used.iter().all(|used| *used), "a source that says nothing");
    Ok(())
}

/// The window's figures.
pub(super) fn check_tokens(case: &Case, window: &Window, messages: &[&Message], budget: u64) -> Result<(), String> {
    let tokens: Vec<u64> = messages.iter().map(|message| message.tokens(tokenizer())).collect();
    ensure_eq!(window.kept.iter().map(|kept| kept.tokens).collect::<Vec<u64>>(), tokens, "tokens of the messages");
    ensure_eq!(window.tokens, tokens.iter().sum::<u64>(), "tokens of the window");
    ensure!(window.tokens <= budget, "{} tokens, budget {budget}", window.tokens);
    ensure_eq!(window.budget_tokens, budget, "budget");
    let sum = |f: &dyn Fn(&rolecore_core::Amount) -> u64| window.amounts.iter().map(f).sum::<u64>();
    ensure_eq!(sum(&|amount| amount.messages as u64), window.n_messages as u64, "messages with a reason");
    ensure_eq!(sum(&|amount| amount.tokens), window.history_tokens, "tokens with a reason");
    let whole: u64 = case.messages[..window.n_messages].iter().map(|(message, _)| message.tokens(tokenizer())).sum();
    ensure_eq!(window.history_tokens, whole, "tokens of the history");
    Ok(())
}

/// The window's refusal, if it is one for lack of budget.
pub(super) fn needed<T>(result: Result<T, Error>) -> Result<u64, String> {
    match result {
        Err(Error::Budget { needed, .. }) => Ok(needed),
        Err(error) => Err(format!("refused: {error}")),
        Ok(_) => Err("not refused".to_owned()),
    }
}
