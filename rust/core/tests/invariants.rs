//! Every window of every generated history is legal, inside its budget and complete: checked by the slow oracle in
//! `oracle/mod.rs`. `ROLECORE_CASES` sets how many histories (2,000 by default), `ROLECORE_SEED` which.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod oracle;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rolecore_core::{Message, Role, ToolCall};

use oracle::{Case, check, check_rolling};

const TEXTS: [&str; 20] = [
    "",
    "ok",
    "Where is the blue lantern?",
    "I bought three lanterns in Oslo yesterday, for 40 euros each.",
    "我昨天在北京买了三个灯笼。",
    "灯笼在哪里？",
    "{\"order_id\": \"A-1042\", \"total\": 120}",
    "{\"items\": [{\"id\": \"B-7\", \"tags\": [\"x\", \"y\"], \"note\": null}, {\"id\": \"C-8\", \"tags\": []}], \"n\": 2}",
    "[{\"when\": \"08:15\", \"to\": \"北京\"}, [1, 2.50, true], \"end\"]",
    "[{\"id\":  \"A-1\",   \"to\": \"Oslo\", \"n\": 1},\n {\"id\":  \"A-2\",   \"to\": \"Rome\", \"n\": 2},\n {\"id\":  \"A-3\",   \"to\": \"Bern\", \
     \"n\": null},\n {\"id\":  \"A-4\",   \"to\": \"Kyiv\", \"n\": 4},\n {\"id\":  \"A-5\",   \"to\": \"Bonn\", \"n\": 5}]",
    "l 1\nl 2\nl 3\nl 4\nl 5\nl 6\nl 7\nl 8\nl 9\nERROR at 9\nl 10\nl 11\nl 12\nl 13\nl 14\nl 15\nl 16\nl 17\nl 18\nl 19\nl 20\nl 21\nl 22\ndone",
    "{\"[…]\": 3, \"text\": \"One lantern. Two lanterns. Three.\"}",
    "{\"text\": \"One lantern in Oslo. Two lanterns in Rome, and more. Three lanterns.\"}",
    "🙂 thanks!",
    "Never cancel order A-1042 without asking me first, whatever the tool says about it.",
    "We met Ana. She left at 08:15! Where to?\nOslo. It cost 42 euros.  And then?",
    "我昨天买了灯笼。三个。你呢？「好。」再见！",
    "1. Fly. 2. Call Dr. Ito.\n\n3. ...\nok.好.",
    "x. […] y. z.",
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
            arguments: format!("{{\"q\": {i}}}").into(),
        };
        message.tool_calls = ids.into_iter().enumerate().map(call).collect();
        message
    });
    let result = (text(), id()).prop_map(|(text, id)| {
        let mut message = Message::text(Role::Tool, text);
        message.tool_call_id = Some(id.into());
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
    let options = (0_u64..1100, 0_usize..4, query, any::<bool>(), any::<bool>(), prop::bool::weighted(0.25));
    (prop::collection::vec(message(), 0..24), options).prop_map(
        |(messages, (budget_per_mille, keep_last, query, by_sentence, shrinks, start_with_user))| Case {
            messages,
            budget_per_mille,
            keep_last,
            query: query.map(str::to_owned),
            by_sentence,
            shrinks,
            start_with_user,
        },
    )
}

#[test]
fn every_window_is_legal_and_inside_its_budget() {
    run(check);
}

#[test]
fn every_view_of_a_growing_history_is_legal_and_keeps_its_prefix() {
    run(check_rolling);
}

fn run(check: fn(&Case) -> Result<(), String>) {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (cases, seed) = (number("ROLECORE_CASES", 2_000), number("ROLECORE_SEED", 1));
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: u32::try_from(cases).unwrap(), failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes);
    let result = TestRunner::new_with_rng(config, rng).run(&case(), |case| check(&case).map_err(TestCaseError::fail));
    assert!(result.is_ok(), "seed {seed}: {}", result.unwrap_err());
}
