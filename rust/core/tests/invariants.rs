//! Every window of every generated history is legal, inside its budget and complete: checked by a slow oracle that shares no
//! code with the library. `ROLECORE_CASES` sets how many histories (2,000 by default), `ROLECORE_SEED` which.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rolecore_core::{Counted, Error, FitOptions, History, Message, OnOrphans, Role, Tokenizer, ToolCall, Window};

fn tokenizer() -> &'static Arc<Tokenizer> {
    static TOKENIZER: OnceLock<Arc<Tokenizer>> = OnceLock::new();
    TOKENIZER.get_or_init(|| Tokenizer::named("o200k_base").unwrap())
}

#[derive(Debug, Clone)]
struct Case {
    messages: Vec<(Message, bool)>,
    budget_per_mille: u64,
    keep_last: usize,
    query: Option<&'static str>,
    start_with_user: bool,
}

const TEXTS: [&str; 10] = [
    "",
    "ok",
    "Where is the blue lantern?",
    "I bought three lanterns in Oslo yesterday, for 40 euros each.",
    "我昨天在北京买了三个灯笼。",
    "灯笼在哪里？",
    "{\"order_id\": \"A-1042\", \"total\": 120}",
    "🙂 thanks!",
    "Never cancel order A-1042 without asking me first, whatever the tool says about it.",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
];

fn message() -> impl Strategy<Value = (Message, bool)> {
    let text = || (0..TEXTS.len()).prop_map(|i| TEXTS[i]);
    let id = || prop_oneof![Just("c1"), Just("c2"), Just("c3")];
    let plain = |role: Role| text().prop_map(move |text| Message::text(role, text));
    let calls = (text(), any::<bool>(), prop::collection::vec(id(), 1..4)).prop_map(|(text, has_text, ids)| {
        let mut message = Message::text(Role::Assistant, text);
        if !has_text {
            message.parts.clear();
        }
        let call = |(i, id): (usize, &str)| ToolCall {
            id: id.into(),
            name: "find".into(),
            arguments: format!("{{\"q\": {i}}}"),
        };
        message.tool_calls = ids.into_iter().enumerate().map(call).collect();
        message
    });
    let result = (text(), id()).prop_map(|(text, id)| {
        let mut message = Message::text(Role::Tool, text);
        message.tool_call_id = Some(id.to_owned());
        message
    });
    let any_role = prop_oneof![
        1 => plain(Role::System), 1 => plain(Role::Developer), 6 => plain(Role::User), 5 => plain(Role::Assistant),
        5 => calls, 8 => result,
    ];
    (any_role, prop::bool::weighted(0.05))
}

fn case() -> impl Strategy<Value = Case> {
    let query =
        prop_oneof![Just(None), Just(Some("where is my lantern order A-1042")), Just(Some("灯笼")), Just(Some(""))];
    let options = (0_u64..1100, 0_usize..4, query, prop::bool::weighted(0.25));
    (prop::collection::vec(message(), 0..24), options).prop_map(
        |(messages, (budget_per_mille, keep_last, query, start_with_user))| Case {
            messages,
            budget_per_mille,
            keep_last,
            query,
            start_with_user,
        },
    )
}

fn history<'a>(messages: impl IntoIterator<Item = &'a (Message, bool)>) -> History {
    let mut history = History::new(Arc::clone(tokenizer()));
    for (message, pin) in messages {
        history.push(Counted::new(message.clone(), tokenizer()).unwrap(), *pin);
    }
    history
}

/// The oracle's idea of a group: its messages after repair, by index.
struct Unit {
    start: usize,
    messages: Vec<(usize, Message)>,
    is_pinned: bool,
    is_pending: bool,
}

impl Unit {
    fn tokens(&self) -> u64 {
        self.messages.iter().map(|(_, message)| message.tokens(tokenizer())).sum()
    }
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
        let is_empty = was_caller && head.tool_calls.is_empty() && head.texts().all(str::is_empty);
        if head.role != Role::Tool && !is_empty {
            is_pinned |= messages[start].1;
            kept.insert(0, (start, head));
        }
        units.push(Unit { start, messages: kept, is_pinned, is_pending });
    }
    units
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
            open = message.tool_calls.iter().map(|call| call.id.as_str()).collect();
        } else {
            return Some(format!("message {at} comes before all calls are answered"));
        }
    }
    let first = messages.iter().find(|message| !message.role.is_instruction());
    (start_with_user && first.is_some_and(|message| message.role != Role::User))
        .then(|| "does not start with a user".to_owned())
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let history = history(&case.messages);
    let fresh: u64 = case.messages.iter().map(|(message, _)| message.tokens(tokenizer())).sum();
    prop_assert_eq!(history.tokens(), fresh);
    let budget = fresh * case.budget_per_mille / 1000;
    let options = FitOptions {
        keep_last: case.keep_last,
        query: case.query,
        on_orphans: OnOrphans::Repair,
        start_with_user: case.start_with_user,
    };
    let units = units(&case.messages);
    match history.fit(budget, &options) {
        Ok(window) => check_window(case, &history, budget, &options, &units, &window)?,
        Err(Error::Budget { needed, budget: given }) => {
            prop_assert!(given == budget && needed > budget);
            prop_assert_eq!(needed, smallest_budget(case, &units));
            let window = history.fit(needed, &options);
            prop_assert!(window.is_ok(), "fit(needed) fails");
            check_window(case, &history, needed, &options, &units, &window.unwrap())?;
            let refused = matches!(history.fit(needed - 1, &options), Err(Error::Budget { .. }));
            prop_assert!(refused, "fit(needed - 1) works");
        }
        Err(error) => {
            prop_assert!(case.start_with_user, "{error}");
            prop_assert_eq!(smallest_budget(case, &units), u64::MAX);
        }
    }
    let raising = FitOptions { on_orphans: OnOrphans::Raise, ..options };
    let whole: usize = units.iter().map(|unit| unit.messages.len()).sum();
    let unchanged = units.iter().flat_map(|unit| &unit.messages).all(|(i, message)| *message == case.messages[*i].0);
    if whole < case.messages.len() || !unchanged {
        let is_refused = matches!(history.fit(u64::MAX, &raising), Err(Error::Message { index: Some(_), .. }));
        prop_assert!(is_refused, "orphans pass");
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
) -> Result<(), TestCaseError> {
    prop_assert!(window.kept.is_sorted_by(|a, b| a < b), "order changed or a message doubled");
    let mut messages = Vec::new();
    let newest = newest_turns(case);
    let mut total = 0;
    for unit in units {
        let kept = unit.messages.iter().filter(|(i, _)| window.kept.contains(i)).count();
        prop_assert!(kept == 0 || kept == unit.messages.len(), "group at {} split", unit.start);
        if is_required(unit, case, newest) {
            prop_assert_eq!(kept, unit.messages.len(), "what must stay at {} is gone", unit.start);
        }
        if kept > 0 {
            messages.extend(&unit.messages);
        }
        total += unit.tokens();
    }
    prop_assert_eq!(messages.len(), window.kept.len(), "a message is kept that repair drops");
    let said: Vec<&Message> = messages.iter().map(|(_, message)| message).collect();
    prop_assert_eq!(illegal(&said, case.start_with_user), None);
    prop_assert_eq!(said.iter().map(|message| message.tokens(tokenizer())).sum::<u64>(), window.tokens);
    prop_assert!(window.tokens <= budget, "{} tokens, budget {}", window.tokens, budget);
    prop_assert!(!said.is_empty() || units.iter().all(|unit| unit.messages.is_empty()), "empty window");
    if total <= budget && !case.start_with_user {
        prop_assert_eq!(said.len(), units.iter().map(|unit| unit.messages.len()).sum::<usize>(), "not unchanged");
    }
    let covered: usize = window.amounts.iter().map(|amount| amount.messages).sum();
    let covered_tokens: u64 = window.amounts.iter().map(|amount| amount.tokens).sum();
    prop_assert_eq!((covered, covered_tokens), (case.messages.len(), history.tokens()), "reasons miss messages");
    for repair in &window.repairs {
        let left =
            units.iter().flat_map(|unit| &unit.messages).find(|(i, _)| *i == repair.index).map(|(_, message)| message);
        let repaired = repair.removed_calls.as_ref().map(|removed| {
            let mut message = case.messages[repair.index].0.clone();
            let calls = std::mem::take(&mut message.tool_calls).into_iter().enumerate();
            message.tool_calls = calls.filter(|(call, _)| !removed.contains(call)).map(|(_, call)| call).collect();
            message
        });
        prop_assert_eq!(left, repaired.as_ref(), "repair of {} misreported", repair.index);
    }
    prop_assert_eq!(&history.fit(budget, options).unwrap(), window, "not deterministic");
    let again: Vec<(Message, bool)> =
        messages.iter().map(|(i, message)| (message.clone(), case.messages[*i].1)).collect();
    let refit = self::history(&again).fit(budget, options);
    prop_assert!(refit.is_ok_and(|refit| refit.kept.len() == again.len()), "fit(fit(x)) differs");
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
        is_legal.then(|| chosen.iter().map(|unit| unit.tokens()).sum())
    });
    choices.min().unwrap_or(u64::MAX)
}

#[test]
fn every_window_is_legal_and_inside_its_budget() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (cases, seed) = (number("ROLECORE_CASES", 2_000), number("ROLECORE_SEED", 1));
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: u32::try_from(cases).unwrap(), failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes);
    let result = TestRunner::new_with_rng(config, rng).run(&case(), |case| check(&case));
    assert!(result.is_ok(), "seed {seed}: {}", result.unwrap_err());
}
