//! Any two texts, and long ones that repeat a piece: the gate says the same both ways round, and nothing of a text beside itself.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::gate::difference;

mod text;

/// What the gate's rules look for; the other pieces are those of text.rs.
const WORDS: [&str; 48] = [
    "not ",
    "n't ",
    "all ",
    "but ",
    "only ",
    "who ",
    "what ",
    "like ",
    "did ",
    "will ",
    "me ",
    "he ",
    "stop ",
    "to ",
    "running ",
    "a ",
    "i ",
    "x ",
    "e-",
    "f(a, b)",
    "(",
    ")",
    ",",
    "&&",
    "|",
    "!",
    " - ",
    "\"",
    "“",
    "《",
    "3",
    "1,000",
    "two hundred ",
    "一百五",
    "万",
    "不",
    "开",
    "他",
    "谁",
    "是",
    "比",
    "给",
    "除",
    "外",
    "只有",
    "們",
    "。",
    "on ",
];

/// A longer text only takes longer; libFuzzer's own limit on time finds what is not linear.
const MAX_LEN: usize = 200_000;

#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    Word(u8),
    Repeated(Vec<u8>, u8),
    Any(text::Text<'a>),
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    a: Vec<Piece<'a>>,
    b: Vec<Piece<'a>>,
    /// Whether the second text is the first with its own pieces behind it.
    is_longer: bool,
}

fn build(pieces: &[Piece<'_>]) -> String {
    let word = |i: &u8| WORDS[usize::from(*i) % WORDS.len()];
    let mut built = String::new();
    for piece in pieces {
        match piece {
            Piece::Word(i) => built.push_str(word(i)),
            Piece::Repeated(words, n) => {
                let repeated: String = words.iter().map(word).collect();
                let most = MAX_LEN.saturating_sub(built.len()) / repeated.len().max(1);
                built.push_str(&repeated.repeat(usize::from(*n).min(most)));
            }
            Piece::Any(text) => built.push_str(&text.build()),
        }
    }
    built
}

fuzz_target!(|input: Input<'_>| {
    let a = build(&input.a);
    let b = if input.is_longer { format!("{a}{}", build(&input.b)) } else { build(&input.b) };
    assert_eq!(difference(&a, &b), difference(&b, &a));
    assert_eq!(difference(&a, &a), None);
    assert_eq!(difference(&b, &b), None);
});
