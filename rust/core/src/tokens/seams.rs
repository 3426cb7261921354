//! Places inside a piece that no token reaches over, so that the parts on both sides merge as if each stood alone.
//!
//! Few pairs of neighbouring characters occur in any token: o200k_base has 22,000 outside ASCII. A Chinese clause, which the
//! patterns leave whole, falls into parts of a word or two, and most of those are tokens by themselves. A place is looked at by
//! what stands around it, the last byte before it and the character behind it; both have to occur so in a token, or the place is a
//! seam. That the first bytes of the character before it are not looked at keeps the table small and errs on the safe side.

use super::bpe::Tokens;
use super::classes::decode;

/// One bit for each last byte before a character, 64 a character: continuation bytes only. Characters beyond the first 65,536
/// share the rows of those.
#[derive(Debug)]
pub(super) struct Seams {
    reached: Vec<u64>,
}

const N_ROWS: usize = 1 << 16;

impl Seams {
    pub(super) fn new(tokens: &Tokens) -> Self {
        let mut reached = vec![0_u64; N_ROWS];
        for token in tokens.all() {
            for (before, at) in token.iter().zip(1..token.len()) {
                let first = token[at];
                // Only between a continuation byte and the first byte of a character beyond ASCII.
                if first < 0xC0 || before & 0xC0 != 0x80 {
                    continue;
                }
                let bit = 1 << (before & 0x3F);
                let len = match first {
                    ..0xE0 => 2,
                    ..0xF0 => 3,
                    _ => 4,
                };
                let held = token[at + 1..].iter().take(len - 1).take_while(|byte| **byte & 0xC0 == 0x80).count();
                // All characters that begin as the token ends.
                let missing = 6 * (len - 1 - held);
                let start = decode(&token[at..=at + held], 0).0;
                // Rows repeat every 65,536 characters: more of them need not be marked.
                for c in start..start + (1 << missing).min(N_ROWS) {
                    reached[c % N_ROWS] |= bit;
                }
            }
        }
        Self { reached }
    }

    /// The end of the part that begins at `at`: the next seam, or the end of the text; `text` is UTF-8.
    #[inline]
    pub(super) fn next(&self, text: &[u8], mut at: usize) -> usize {
        loop {
            let first = text[at];
            at += match first {
                ..0x80 => 1,
                ..0xE0 => 2,
                ..0xF0 => 3,
                _ => 4,
            };
            if at >= text.len() {
                return text.len();
            }
            if first >= 0x80 && text[at] >= 0xC0 {
                let (c, _) = decode(text, at);
                if self.reached[c % N_ROWS] >> (text[at - 1] & 0x3F) & 1 == 0 {
                    return at;
                }
            }
        }
    }
}
