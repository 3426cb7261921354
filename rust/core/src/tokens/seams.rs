//! Places inside a piece that no token reaches over, so that the parts on both sides merge as if each stood alone.
//!
//! Few pairs of neighbouring characters occur in any token: `o200k_base` has 22,000 with one outside ASCII. A Chinese clause, which the
//! patterns leave whole, falls into parts of a word or two, and most of those are tokens by themselves. Tokens may also begin or
//! end inside a character, so a place is no seam if a token holds both characters around it, or the end of the one and all of the
//! other, or some of the second only. The first two are looked up in a table of hashed bits, where what is there by chance only
//! makes a part longer.

use super::bpe::Tokens;
use super::classes::decode;
use super::words::low_bits;

/// A 24th of the bits are set with `o200k_base`; 64 kB stay in a cache of the processor.
const N_BITS: usize = 1 << 19;

/// What stands in tokens around each place between two characters.
#[derive(Debug)]
pub(super) struct Seams {
    /// Pairs of characters, and of a character's last byte with the next character.
    joined: Vec<u64>,
    /// By the first byte of a character that a token ends in: the last bytes before it.
    cut: [[u64; 4]; 64],
}

impl Seams {
    pub(super) fn new(tokens: &Tokens) -> Self {
        let mut seams = Self { joined: vec![0; N_BITS / 64], cut: [[0; 4]; 64] };
        for token in tokens.all().filter(|token| !token.is_ascii()) {
            for at in 1..token.len() {
                seams.close(token, at);
            }
        }
        seams
    }

    /// Let no seam be where a token has its place `at`.
    fn close(&mut self, token: &[u8], at: usize) {
        let is_inside = |byte: u8| byte & 0xC0 == 0x80;
        let (last, first) = (token[at - 1], token[at]);
        if is_inside(first) || last.is_ascii() && first.is_ascii() {
            return;
        }
        if at + len_of(first) > token.len() {
            self.cut[usize::from(first & 0x3F)][usize::from(last >> 6)] |= 1 << (last & 0x3F);
            return;
        }
        let next = character(token, at);
        let start = token[..at].iter().rposition(|&byte| !is_inside(byte));
        let pair = match start.filter(|&start| start + len_of(token[start]) == at) {
            Some(start) => pair_bit(character(token, start), next),
            None => end_bit(last, next),
        };
        self.joined[pair / 64] |= 1 << (pair % 64);
    }

    /// Call `f` with the start and the end of each part between the seams of `text[start..end]`, which is UTF-8.
    #[inline]
    pub(super) fn each_part(&self, text: &[u8], start: usize, end: usize, mut f: impl FnMut(usize, usize)) {
        let (text, mut from, mut at) = (&text[..end], start, start);
        while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk)
            && u64::from_le_bytes(*block) & 0x8080_8080_8080_8080 == 0
        {
            at += 7; // the last of them may stand before a seam
        }
        if at < end {
            let mut before = character(text, at);
            at += len_of(text[at]);
            while at < end {
                // Whether there is a seam is a coin toss: first they are all found, without a branch on it.
                let (mut seams, mut n) = ([0; 32], 0);
                while at < end && n < seams.len() {
                    let next = character(text, at);
                    seams[n] = at;
                    n += usize::from(self.is_seam(before, text[at - 1], next, text[at]));
                    before = next;
                    at += len_of(text[at]);
                }
                for &seam in &seams[..n] {
                    f(from, seam);
                    from = seam;
                }
            }
        }
        if from < end {
            f(from, end);
        }
    }

    /// Whether no token reaches over a place: the characters around it, the byte before it and the byte behind it.
    #[inline]
    fn is_seam(&self, before: usize, last: u8, next: usize, first: u8) -> bool {
        let is_set = |bit: usize| self.joined[bit / 64] >> (bit % 64);
        let is_cut =
            self.cut[usize::from(first & 0x3F)][usize::from(last >> 6)] >> (last & 0x3F) & u64::from(first >> 7);
        let both_ascii = u64::from((last | first) < 0x80);
        (is_set(pair_bit(before, next)) | is_set(end_bit(last, next)) | is_cut | both_ascii) & 1 == 0
    }
}

/// Bytes of the character that begins with this one.
#[inline]
fn len_of(first: u8) -> usize {
    match first {
        ..0x80 => 1,
        0x80..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

#[inline]
fn character(text: &[u8], at: usize) -> usize {
    if text[at] < 0x80 { usize::from(text[at]) } else { decode(text, at).0 }
}

#[inline]
fn pair_bit(before: usize, next: usize) -> usize {
    bit(before << 21 | next)
}

#[inline]
fn end_bit(last: u8, next: usize) -> usize {
    bit((0x20_0000 | usize::from(last)) << 21 | next)
}

#[inline]
fn bit(key: usize) -> usize {
    low_bits((key as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) % N_BITS
}
