//! Where a query's words meet, on chats small enough to say what must come first.

use std::sync::Arc;

use super::super::register::registers;
use super::super::select::{Candidate, piece_worth, worth};
use super::*;
use crate::history::{Counted, History};
use crate::message::{Message, Role, ToolCall};
use crate::tokens::Tokenizer;

/// Turns of "who: what"; the first who is the user.
fn chat(turns: &[&str]) -> History {
    let tokenizer = Tokenizer::named("o200k_base").unwrap();
    let mut history = History::new(Arc::clone(&tokenizer));
    for turn in turns {
        let who = turn.split(':').next().unwrap();
        let role = if turns[0].starts_with(who) { Role::User } else { Role::Assistant };
        let message = Message { name: Some((*who).into()), ..Message::text(role, *turn) };
        history.push(Counted::new(message, &tokenizer).unwrap(), false);
    }
    history
}

fn matches(history: &History, query: &str) -> Option<Vec<f32>> {
    let digest = history.digest();
    let prior = vec![0.5; digest.len()];
    Matches::of(digest, &registers(digest), &prior, query.into()).map(|matches| matches.messages)
}

fn best(values: &[f32]) -> usize {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
}

const TALK: [&str; 10] = [
    "Ana: The harbour was closed for repairs.",
    "Bob: Then we took the bus.",
    "Ana: Did you find a lantern for the garden?",
    "Bob: Yes, a green one from the flea market.",
    "Ana: My sister paints boats.",
    "Bob: We cooked rice with pepper.",
    "Ana: Rain fell all night on the roof.",
    "Bob: The kitchen window leaks.",
    "Ana: I called the plumber twice.",
    "Bob: He repairs bicycles too.",
];

#[test]
fn answers_match_beside_their_question_and_later_ones_more() {
    let found = matches(&chat(&TALK), "Which colour has the lantern?").unwrap();
    assert_eq!(best(&found), 2, "{found:?}");
    assert!(found[3] > found[1] && found[1] > found[0] && found[3] > found[4], "{found:?}");
    assert!(found[8] < 0.1, "{found:?}");
}

#[test]
fn the_speaker_whom_the_query_names_counts_more() {
    let turns = ["Ana: I saw a heron.", "Bob: I saw a heron.", "Ana: Fine.", "Bob: Fine."];
    let history = chat(&turns);
    let of_ana = matches(&history, "Where did Ana see a heron?").unwrap();
    let of_bob = matches(&history, "Where did Bob see a heron?").unwrap();
    assert!(of_ana[0] > of_ana[1] && of_bob[1] > of_bob[0]);
    let alone = chat(&["Ana: I saw a heron.", "Ana: I saw a heron."]);
    assert_eq!(matches(&alone, "Ana heron"), matches(&alone, "heron"));
}

#[test]
fn different_words_that_meet_count_more_than_one_repeated() {
    let turns: Vec<String> = (0..15)
        .map(|i| match i {
            0..3 | 7 => format!("Ana: lantern w{i}"),
            8 | 12.. => format!("Ana: boat w{i}"),
            _ => format!("Bob: v{i} w{i}"),
        })
        .collect();
    let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
    assert_eq!(best(&matches(&chat(&turns), "lantern boat").unwrap()), 8);
}

#[test]
fn chinese_is_matched_by_pairs() {
    let history = chat(&["小明: 我昨天去了图书馆。", "小红: 今天下雨。", "小明: 周末想吃火锅。", "小红: 火车晚点了。"]);
    assert_eq!(best(&matches(&history, "火锅好吃吗？").unwrap()), 2);
    assert_eq!(best(&matches(&history, "什么时候去图书馆？").unwrap()), 0);
}

#[test]
fn words_that_begin_alike_match() {
    let history = chat(&["Ana: She is a photographer.", "Bob: The kettle boils.", "Ana: We walked home."]);
    assert_eq!(best(&matches(&history, "photography").unwrap()), 0);
    assert_eq!(matches(&history, "phone"), None);
}

#[test]
fn a_query_without_known_words_is_no_query() {
    let history = chat(&TALK);
    let groups: Vec<Candidate> =
        (0..TALK.len()).map(|i| Candidate { start: i, end: i + 1, tokens: history.message_tokens(i) }).collect();
    for query in ["", " ", "the of", "zeppelin", "齐柏林", "?!", "Bob"] {
        assert_eq!(matches(&history, query), None, "{query}");
        assert_eq!(worth(history.digest(), &groups, 0, Some(query.into())), worth(history.digest(), &groups, 0, None));
        assert_eq!(piece_worth(history.digest(), Some(query.into())), piece_worth(history.digest(), None));
    }
    assert_eq!(matches(&chat(&[]), "lantern"), None);
    // The stem of a stop word has a number and yet no message.
    assert_eq!(matches(&chat(&["Ana: having"]), "hav"), None);
}

#[test]
fn worth_is_finite_and_positive() {
    let long = "The lantern hangs in the harbour office, call 555. ".repeat(40);
    let pasted: Vec<String> = (0..3000).map(|i| format!("word{i} lantern translator{i} 灯笼{i} ")).collect();
    let pasted = pasted.concat();
    let turns = ["Ana: ", "Ana: Never sell the lantern!", &long, "Bob: lantern", "Bob: 灯笼在哪里？", "Ana: 😀"];
    let history = chat(&turns);
    let groups: Vec<Candidate> = (0..turns.len())
        .flat_map(|i| [0, 1, 4000].map(|tokens| Candidate { start: i, end: (i + 2).min(turns.len()), tokens }))
        .collect();
    for query in ["lantern", "灯笼", pasted.as_str(), long.as_str(), "Ana lantern"] {
        assert!(matches(&history, query).unwrap().iter().all(|value| (0.0..=1.0).contains(value)));
        let worths = [
            worth(history.digest(), &groups, 0, Some(query.into())),
            piece_worth(history.digest(), Some(query.into())),
        ];
        assert!(worths.iter().flatten().all(|value| value.is_finite() && *value > 0.0), "{worths:?}");
    }
}

#[test]
fn what_a_user_forbids_outweighs_all_that_the_query_does_not_touch() {
    let mut turns = TALK.to_vec();
    turns[4] = "Ana: Never book a night flight.";
    let history = chat(&turns);
    let groups: Vec<Candidate> =
        (0..turns.len()).map(|i| Candidate { start: i, end: i + 1, tokens: history.message_tokens(i) }).collect();
    let worth = worth(history.digest(), &groups, 0, Some("Is the plumber any good?".into()));
    assert!((0..7).all(|i| i == 4 || worth[i] < worth[4]) && worth[8] > worth[4]);
}

#[test]
fn pieces_of_the_best_message_come_first_and_its_own_match_before_the_rest() {
    let history = chat(&[
        "Ana: Morning. The lantern is in the shed. Bring rope.",
        "Bob: Fine. See you there.",
        "Ana: Boats were painted. Rice was cooked.",
    ]);
    let digest = history.digest();
    let worth = piece_worth(digest, Some("where is the lantern".into()));
    assert_eq!(best(&worth), 1);
    let last = digest.document(2).pieces;
    assert!(last.clone().all(|p| worth[p] < worth[0]) && last.len() == 2);
}

#[test]
fn rows_beyond_eight_count_too() {
    let history = chat(&TALK);
    let query = "harbour bus sister boats rice pepper rain roof kitchen window plumber bicycles";
    let found = matches(&history, query).unwrap();
    assert!([0, 4, 5, 6, 7, 8, 9].iter().all(|&i| found[i] > 0.2), "{found:?}");
}

#[test]
fn matches_reach_far_only_in_a_groups_talk() {
    let talk = |speakers: usize| {
        let turns: Vec<String> = (0..60)
            .map(|i| format!("Ana{}: {} v{i} w{i}", i % speakers, if i == 30 { "lantern" } else { "" }))
            .collect();
        let turns: Vec<&str> = turns.iter().map(String::as_str).collect();
        matches(&chat(&turns), "lantern").unwrap()
    };
    let (two, four) = (talk(2), talk(4));
    assert!(two[40] < 0.01 && four[40] > 0.05 && four[40] > four[45] && four[30] > 0.99);
}

#[test]
fn tool_results_make_density_count_more() {
    let tokenizer = Tokenizer::named("o200k_base").unwrap();
    let mut history = History::new(Arc::clone(&tokenizer));
    for i in 0..4 {
        let call = ToolCall { id: format!("c{i}").into(), name: "find".into(), arguments: "{}".into() };
        let result = Message::text(Role::Tool, format!("{{\"lantern\": {i}}}"));
        for message in [
            Message::text(Role::User, "Find the lantern."),
            Message { tool_calls: vec![call], ..Message::text(Role::Assistant, "") },
            Message { tool_call_id: Some(format!("c{i}").into()), ..result },
        ] {
            history.push(Counted::new(message, &tokenizer).unwrap(), false);
        }
    }
    assert!(registers(history.digest()).iter().all(|register| register.tools > 0.99));
    assert!(registers(chat(&TALK).digest()).iter().all(|register| register.tools == 0.0));
    let worth = piece_worth(history.digest(), Some("lantern 3".into()));
    assert!(worth.iter().all(|value| value.is_finite() && *value > 0.0));
}
