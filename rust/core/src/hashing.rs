//! Texts as unit rows without a model: words, word pairs and character n-grams, hashed with a sign into a row.
//!
//! Two texts are near when they are written nearly the same, in any case, punctuation and script; that they mean the same in
//! other words, no hash can tell.
//!
//! Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (ICML 2009), section 2: the sign makes the product of
//! two rows an unbiased estimate of that of the counts. Trigrams inside words are fastText's (Bojanowski et al. 2017).

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::compress::words::is_unspaced;
use crate::error::{Error, Result};

/// Most numbers of a row: a text rarely has more features than that, so more buckets would stay empty.
const MAX_DIM: usize = 1 << 16;

/// Counts up with any change that gives a text another row: rows of two versions must not be compared.
const VERSION: u32 = 1;

/// What a feature weighs. Word pairs weigh half: one changed word changes two of them.
const WEIGHTS: [f64; 2] = [1.0, 0.5];
const FULL: usize = 0;
const HALF: usize = 1;

/// Keeps features of different kinds apart that are made of the same characters.
const WORD: u64 = 1;
const CHARACTER: u64 = 2;
const PAIR: u64 = 3;
const TRIGRAM: u64 = 4;
const NOTHING: u64 = 5;

/// Shortest word with trigrams, in characters.
const MIN_TRIGRAM_WORD: usize = 3;

/// Turns texts into unit rows, the same bits on every platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashingEmbedder {
    dim: usize,
}

impl HashingEmbedder {
    /// Rows of `dim` numbers.
    ///
    /// # Errors
    /// [`Error::Argument`] when `dim` is 0 or over 65,536.
    pub fn new(dim: usize) -> Result<Self> {
        if (1..=MAX_DIM).contains(&dim) {
            Ok(Self { dim })
        } else {
            Err(Error::Argument(format!("dim is {dim}; it must be from 1 to {MAX_DIM}")))
        }
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Names what the rows depend on: rows of two embedders may be compared if and only if it is the same.
    pub fn model_id(&self) -> String {
        format!("rolecore-hashing-v{VERSION}-{}", self.dim)
    }

    /// A unit row a text, one after another. A text without a word, number or symbol has a row of its own kind, never zeros.
    ///
    /// Cost: O(characters x log characters) a text, and 8 bytes a feature while it is read.
    pub fn embed<T: AsRef<str>>(&self, texts: &[T]) -> Vec<f32> {
        let mut flat = vec![0.0; texts.len() * self.dim];
        let mut features = Features::default();
        let mut sums = vec![0.0; self.dim];
        for (text, row) in texts.iter().zip(flat.chunks_exact_mut(self.dim)) {
            features.read(text.as_ref());
            features.add_to(&mut sums);
            let mut length = sums.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length == 0.0 {
                // Nothing that counts, or all of it cancelled out: one number, by all that is visible.
                add(&mut sums, features.visible, 1.0);
                length = 1.0;
            }
            for (number, sum) in row.iter_mut().zip(&mut sums) {
                #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
                let unit = (*sum / length) as f32;
                *number = unit;
                *sum = 0.0;
            }
        }
        flat
    }
}

/// What stands in one text: hashes by weight, repeats included.
#[derive(Default)]
struct Features {
    hashes: [Vec<u64>; 2],
    word: Vec<char>,
    last: Option<Unit>,
    visible: u64,
}

/// What stands alone: a word, a character of a script without spaces, or a symbol.
#[derive(Clone, Copy)]
struct Unit {
    hash: u64,
    is_word: bool,
}

impl Features {
    fn read(&mut self, text: &str) {
        self.hashes.iter_mut().for_each(Vec::clear);
        self.last = None;
        self.visible = start(NOTHING);
        if text.is_ascii() {
            self.read_normal(text.bytes().map(|byte| char::from(byte.to_ascii_lowercase())));
        } else {
            self.read_normal(text.nfkc().flat_map(char::to_lowercase));
        }
        self.visible = finish(self.visible);
    }

    fn read_normal(&mut self, text: impl Iterator<Item = char>) {
        for c in text {
            if !c.is_whitespace() {
                self.visible = step(self.visible, u64::from(u32::from(c)));
            }
            if is_unspaced(c) || is_symbol(c) {
                self.end_word();
                self.add_unit(Unit { hash: finish(step(start(CHARACTER), u64::from(u32::from(c)))), is_word: false });
            } else if c.is_alphanumeric() || !c.is_ascii() && !self.word.is_empty() && is_combining_mark(c) {
                self.word.push(c);
            } else if !matches!(c, '\'' | '’') {
                self.end_word();
            }
        }
        self.end_word();
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        self.add_unit(Unit { hash: hash_of(WORD, &self.word), is_word: true });
        if self.word.len() >= MIN_TRIGRAM_WORD {
            // Blanks around it, so that a beginning differs from the same letters inside.
            self.word.insert(0, ' ');
            self.word.push(' ');
            self.hashes[FULL].extend(self.word.windows(3).map(|three| hash_of(TRIGRAM, three)));
        }
        self.word.clear();
    }

    fn add_unit(&mut self, unit: Unit) {
        self.hashes[FULL].push(unit.hash);
        if let Some(last) = self.last.replace(unit) {
            // Pairs of characters are what words are made of in Chinese.
            let weight = if last.is_word || unit.is_word { HALF } else { FULL };
            self.hashes[weight].push(finish(step(step(start(PAIR), last.hash), unit.hash)));
        }
    }

    /// Adds each feature to its bucket, one that comes n times with the square root of n.
    fn add_to(&mut self, sums: &mut [f64]) {
        for (hashes, weight) in self.hashes.iter_mut().zip(WEIGHTS) {
            // In order, so that the sums are rounded the same way everywhere.
            hashes.sort_unstable();
            for same in hashes.chunk_by(|a, b| a == b) {
                let n = u32::try_from(same.len()).unwrap_or(u32::MAX);
                add(sums, same[0], weight * f64::from(n).sqrt());
            }
        }
    }
}

/// Adds to the bucket and with the sign that a hash says.
fn add(sums: &mut [f64], hash: u64, weight: f64) {
    let n = u64::try_from(sums.len()).expect("a usize is at most 64 bits");
    let bucket = usize::try_from(((hash >> 32) * n) >> 32).expect("below n");
    sums[bucket] += if hash & 1 == 1 { weight } else { -weight };
}

/// Whether a character that is no letter says something by itself: `C#` is not `C++`, and thumbs go up or down.
fn is_symbol(c: char) -> bool {
    matches!(c, '#' | '$' | '%' | '&' | '+' | '<' | '=' | '>' | '@')
        || matches!(u32::from(c),
            0x20A0..=0x2BFF       // currencies, letter-like signs, arrows, mathematics, dingbats
            | 0x1F000..=0x1FAFF) // pictographs
}

fn hash_of(kind: u64, characters: &[char]) -> u64 {
    finish(characters.iter().fold(start(kind), |hash, &c| step(hash, u64::from(u32::from(c)))))
}

fn start(kind: u64) -> u64 {
    step(0xCBF2_9CE4_8422_2325, kind)
}

/// FNV-1a's step, on a whole character instead of an octet (draft-eastlake-fnv-17, section 2).
fn step(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x100_0000_01B3)
}

/// `MurmurHash3`'s last mix (`fmix64`): FNV alone leaves the high bits of short inputs alike.
fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cosine(a: &str, b: &str) -> f32 {
        let rows = HashingEmbedder::new(384).unwrap().embed(&[a, b]);
        rows[..384].iter().zip(&rows[384..]).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn refuses_rows_of_no_numbers_and_of_too_many() {
        for dim in [0, MAX_DIM + 1, usize::MAX] {
            assert!(HashingEmbedder::new(dim).is_err(), "{dim}");
        }
        assert!(HashingEmbedder::new(MAX_DIM).is_ok());
    }

    #[test]
    fn case_width_punctuation_and_apostrophes_change_nothing() {
        for (a, b) in [
            ("Reset my password!", "reset my  password"),
            ("ＲＥＳＥＴ １２", "reset 12"),
            ("Don't", "don’t"),
            ("怎么申请退款？", "怎么，申请退款"),
            ("Café", "CAFE\u{301}"),
        ] {
            assert!((cosine(a, b) - 1.0).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn symbols_are_told_apart() {
        for (a, b) in [("C#", "C++"), ("👍", "👎"), ("5 %", "5 $"), ("great 👍", "great 👎"), ("?!", "...")] {
            assert!(cosine(a, b) < 0.9, "{a} {b}");
        }
    }

    #[test]
    fn features_that_cancel_out_leave_a_unit_row() {
        let one = HashingEmbedder::new(1).unwrap();
        let words: Vec<String> = (0..1000).map(|i| format!("{i}")).collect();
        let pairs: Vec<String> = (0..1000).map(|i| format!("{i}#")).collect();
        for x in one.embed(&[words, pairs].concat()) {
            assert!((x.abs() - 1.0).abs() < 1e-6, "{x}");
        }
    }

    proptest! {
        #[test]
        fn every_text_has_a_unit_row_whatever_else_is_embedded(text in ".{0,40}", other in ".{0,40}", dim in 1_usize..40) {
            let embedder = HashingEmbedder::new(dim).unwrap();
            let alone = embedder.embed(&[&text]);
            prop_assert!((alone.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
            let together = embedder.embed(&[&other, &text]);
            prop_assert_eq!(&together[dim..], &alone[..]);
        }
    }
}
