//! Texts from arbitrary bytes that often hold what tokenizers treat apart.

use arbitrary::Arbitrary;

/// What splits, merges, composes or stands for something else.
const PARTS: [&str; 41] = [
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\u{a0}",
    "\u{3000}",
    "\u{85}",
    "a",
    "ab",
    "abc",
    "cab",
    "The",
    "hello world",
    "HTTPServer",
    "'s",
    "'LL",
    "\u{2019}ve",
    "\u{17f}",
    "1",
    "12345",
    "\u{bd}",
    "/",
    "==",
    "{\"q\": [1, 2]}",
    "<|endoftext|>",
    "<think>",
    "\u{e9}",
    "e\u{301}",
    "\u{1100}\u{1161}",
    "\u{4f60}\u{597d}",
    "\u{1f468}\u{200d}\u{1f469}",
    "s",
    "st",
    "ss",
    "\u{df}",
    "\u{1e9e}",
    "\u{fb06}",
    "\u{fb01}",
    "K\u{212a}",
    "\u{130}i\u{131}",
];

/// Long enough for every way to merge; longer ones only take longer.
const MAX_RUN: u8 = 80;

#[derive(Arbitrary, Debug)]
enum Piece<'a> {
    Part(u8),
    Run(u8, u8),
    Any(&'a str),
}

/// A text, as the pieces it is made of.
#[derive(Arbitrary, Debug)]
pub(crate) struct Text<'a>(Vec<Piece<'a>>);

impl Text<'_> {
    pub(crate) fn build(&self) -> String {
        let part = |i: &u8| PARTS[usize::from(*i) % PARTS.len()];
        let pieces = self.0.iter().map(|piece| match piece {
            Piece::Part(i) => part(i).to_owned(),
            Piece::Run(i, n) => part(i).repeat(usize::from(*n % MAX_RUN)),
            Piece::Any(text) => (*text).to_owned(),
        });
        pieces.collect()
    }
}
