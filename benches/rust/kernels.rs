//! Runs one kernel once, for callgrind to count its instructions: `kernels fit_1k_density`. benches/rust/gate.py calls it.
//!
//! Input: sentences drawn by a fixed linear congruential generator from a made-up vocabulary with Zipf-like use; Chinese and
//! code are drawn in the same way. Everything but the function named `kernel` is set-up and not counted.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;

use rolecore_core::route::{Field, Live, Policy, Router, Rules};
use rolecore_core::tokens::Side;
use rolecore_core::{Counted, FitOptions, History, Message, Role, Tokenizer, ToolCall, Unit, Window};

/// Common characters, the most common first.
const HAN: &str = "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能\
    好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长知民样现分将外但身些与高意进把法此\
    实回二理美点月明其种声全工己话儿者向情部正名定女问力机给等几很业最间新什打便位因重被走电四第门相次东政海口使教西再平真听\
    世气信北少关并内加化由却代军产入先山五太水万市";

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

    /// Words of one to three characters, a comma or a full stop after some.
    fn chinese(&mut self, bytes: usize) -> String {
        let characters: Vec<char> = HAN.chars().collect();
        let n = characters.len() as u64;
        let mut text = String::new();
        while text.len() < bytes {
            for _ in 0..=self.below(3) {
                let rank = self.below(n) * self.below(n) / n;
                text.push(characters[usize::try_from(rank).unwrap_or(0)]);
            }
            text.push_str(match self.below(24) {
                0..4 => "\u{ff0c}",
                4..6 => "\u{3002}",
                6 => "\u{3002}\n",
                _ => "",
            });
        }
        text
    }

    /// Lines of a program, and records of JSON between them.
    fn code(&mut self, bytes: usize) -> String {
        let mut text = String::new();
        while text.len() < bytes {
            let indent = " ".repeat(4 * (1 + usize::try_from(self.below(3)).unwrap_or(0)));
            let [a, b, c] = [(); 3].map(|()| self.word());
            let n = self.below(2000);
            let line = match self.below(4) {
                0 => format!("{indent}if {a}_{b}[{n}] != self.{c}:\n"),
                1 => format!("{indent}{a} = {b}.{c}({a}, limit={n})  # {b} {c}\n"),
                2 => format!("\ndef {a}_{b}(self, {c}: int = {n}) -> None:\n"),
                _ => format!("{indent}{{\"{a}\": \"{b} {c}\", \"{c}\": {n}.{n}, \"is_{b}\": true}},\n"),
            };
            text += &line;
        }
        text
    }

    fn letters(&mut self, bytes: usize) -> String {
        (0..bytes).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap_or(0))).collect()
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
        let call = ToolCall { id: format!("c{i}").into(), name: "look_up".into(), arguments: arguments.into() };
        push(Message { tool_calls: vec![call], parts: [].into_iter().collect(), ..Message::text(Role::Assistant, "") });
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
        push(Message { tool_call_id: Some(format!("c{i}").into()), ..result });
        push(Message::text(Role::Assistant, random.text(120)));
    }
    history
}

/// Roles at rest.
struct AtRest;

impl Live for AtRest {
    fn get(&self, _field: Field, _role: usize) -> f64 {
        0.0
    }
}

/// 1,000 roles of three rows each around a centre of their own, and a query near one of them.
fn roles(random: &mut Random) -> (Router, Vec<f32>) {
    let mut row = |centre: &[f32], spread: f32| -> Vec<f32> {
        let noise = std::iter::repeat_with(|| f32::from(u16::try_from(random.below(2001)).unwrap_or(0)) / 1000.0 - 1.0);
        centre.iter().zip(noise).map(|(x, noise)| x + spread * noise).collect()
    };
    let mut rows = Vec::new();
    for _ in 0..1000 {
        let centre = row(&[0.0; 384], 1.0);
        rows.extend((0..3).flat_map(|_| row(&centre, 0.8)));
    }
    let query = row(&rows[384 * 1700..384 * 1701], 0.5);
    let policy = Policy::Adaptive;
    let rules =
        Rules { threshold: 0.2, margin: 0.02, hold: 0.1, fallback: None, policy, time_constant_s: 60.0, seed: 1 };
    let words = vec![Vec::<&str>::new(); 1000];
    (Router::new(384, &rows, &[3; 1000], &words, rules).expect("rows of numbers"), query)
}

/// What callgrind counts: it is told to collect inside this function only.
#[inline(never)]
fn kernel<T>(run: impl FnOnce() -> T) -> T {
    black_box(run())
}

fn fit_of(history: &History, budget: u64, unit: Unit, query: Option<&str>) -> rolecore_core::Result<Window> {
    history.fit(budget, &FitOptions { keep_last: 3, query, unit, ..FitOptions::default() })
}

fn count(tokenizer: &Tokenizer, text: &str) {
    kernel(|| tokenizer.count(text));
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
        "count_15kB" => count(&tokenizer, &random.text(15_000)),
        "count_chinese_15kB" => count(&tokenizer, &random.chinese(15_000)),
        "count_code_15kB" => count(&tokenizer, &random.code(15_000)),
        "count_hostile_100kB" => count(&tokenizer, &random.letters(100_000)),
        "truncate_400kB" => {
            let text = random.text(400_000);
            kernel(|| tokenizer.truncate(&text, 1000, Side::Head).len());
        }
        "route_1k" => {
            let (router, query) = roles(&mut random);
            drop(kernel(|| router.choose(&query, None, &AtRest, 0.0)));
        }
        _ => return ExitCode::from(2),
    }
    ExitCode::SUCCESS
}
