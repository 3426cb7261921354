//! Runs one kernel once, for callgrind to count its instructions: `kernels fit_1k_density`. benches/rust/gate.py calls it.
//!
//! Input: sentences drawn by a fixed linear congruential generator from a made-up vocabulary with Zipf-like use. Everything but
//! the function named `kernel` is set-up and not counted.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use rolecore_core::{Counted, FitOptions, History, Message, Role, Tokenizer, ToolCall, Unit, Window};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn word(&mut self) -> String {
        // The product of two uniform numbers: low ones far more often.
        let rank = self.below(90) * self.below(90);
        let mut seed = Random(rank + 1);
        let len = 2 + seed.below(8);
        (0..len).map(|_| char::from(b'a' + u8::try_from(seed.below(26)).unwrap_or(0))).collect()
    }

    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            text += &self.word();
            text.push_str(if self.below(12) == 0 { ". " } else { " " });
        }
        text.truncate(bytes);
        text
    }
}

fn counted(random: &mut Random, tokenizer: &Tokenizer, i: usize) -> Counted {
    let role = if i.is_multiple_of(2) { Role::User } else { Role::Assistant };
    let message = Message::text(role, random.text(150));
    Counted::new(message, tokenizer).expect("a text message is valid")
}

/// A session of user turns, each with a call, its JSON result and an answer.
fn tool_session(random: &mut Random, tokenizer: &Arc<Tokenizer>, n_turns: usize) -> History {
    let mut history = History::new(Arc::clone(tokenizer));
    let mut push = |message| history.push(Counted::new(message, tokenizer).expect("a made-up message is valid"), false);
    for i in 0..n_turns {
        push(Message::text(Role::User, format!("{} ORD-{}", random.text(80), random.below(500))));
        let arguments = format!("{{\"order_id\": \"ORD-{}\"}}", random.below(500));
        let call = ToolCall { id: format!("c{i}"), name: "look_up".to_owned(), arguments };
        push(Message { tool_calls: vec![call], parts: Vec::new(), ..Message::text(Role::Assistant, "") });
        let record = |random: &mut Random| {
            format!(
                "{{\"order_id\": \"ORD-{}\", \"city\": \"{}\", \"total\": {}, \"at\": \"{}:15\"}}",
                random.below(500),
                random.word(),
                random.below(999),
                10 + random.below(9)
            )
        };
        let records: Vec<String> = (0..8).map(|_| record(random)).collect();
        let result = Message::text(Role::Tool, format!("[{}]", records.join(", ")));
        push(Message { tool_call_id: Some(format!("c{i}")), ..result });
        push(Message::text(Role::Assistant, random.text(120)));
    }
    history
}

/// What callgrind counts: it is told to collect inside this function only.
#[inline(never)]
fn kernel<T>(run: impl FnOnce() -> T) -> T {
    black_box(run())
}

fn fit_of(history: &History, budget: u64, unit: Unit, query: Option<&str>) -> rolecore_core::Result<Window> {
    history.fit(budget, &FitOptions { keep_last: 3, query, unit, ..FitOptions::default() })
}

fn main() -> ExitCode {
    let name = std::env::args().nth(1).unwrap_or_default();
    let tokenizer = Tokenizer::named("o200k_base").expect("o200k_base is built in");
    let mut random = Random(1);
    let mut history = History::new(Arc::clone(&tokenizer));
    for i in 0..1000 {
        history.push(counted(&mut random, &tokenizer, i), false);
    }
    let budget = history.tokens() / 5;
    let query = random.text(40);
    match name.as_str() {
        "fit_1k_density" => drop(kernel(|| fit_of(&history, budget, Unit::Message, None))),
        "fit_1k_query" => drop(kernel(|| fit_of(&history, budget, Unit::Message, Some(&query)))),
        "fit_1k_sentences" => drop(kernel(|| fit_of(&history, budget, Unit::Sentence, None))),
        "fit_1k_sentences_query" => drop(kernel(|| fit_of(&history, budget, Unit::Sentence, Some(&query)))),
        "fit_250_tool_turns" => {
            let session = tool_session(&mut random, &tokenizer, 250);
            drop(fit_of(&session, session.tokens() / 5, Unit::Sentence, None));
            drop(kernel(|| fit_of(&session, session.tokens() / 5, Unit::Sentence, None)));
        }
        "push_100_of_150B" => {
            let next: Vec<Counted> = (0..100).map(|i| counted(&mut random, &tokenizer, i)).collect();
            kernel(|| next.into_iter().for_each(|counted| history.push(counted, false)));
        }
        "count_15kB" => {
            let text = random.text(15_000);
            kernel(|| tokenizer.count(&text));
        }
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
