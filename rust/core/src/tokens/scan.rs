//! Hand-written scanners for the patterns that most vocabularies share: where the piece that begins at a place ends.
//!
//! Each does in one pass what its pattern says, branch by branch, with no backtracking: what a pattern would give back is known
//! when a run ends. The compiled patterns in `split` are what the tests compare with.

use std::ops::ControlFlow::{self, Continue};

use super::block;
use super::classes::{BLANK, BREAK, Classes, LETTER, LOWER, MARK, NUMBER, UNCASED, UPPER};

/// A pattern that has a scanner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `o200k_base` and `o200k_harmony`.
    O200k,
    /// `cl100k_base`.
    Cl100k,
    /// Llama 3: `cl100k_base` but for white space at the end of a text.
    Llama3,
    /// Qwen 2 and 3: the same, each digit by itself.
    Qwen2,
    /// Qwen 3.5: the same, and marks belong to words.
    Qwen35,
    /// GPT-2.
    Gpt2,
}

impl Family {
    pub(crate) const ALL: [Self; 6] = [Self::O200k, Self::Cl100k, Self::Llama3, Self::Qwen2, Self::Qwen35, Self::Gpt2];

    /// The pattern without its last two branches, `\s+(?!\S)|\s+`.
    pub(crate) const fn pattern(self) -> &'static str {
        match self {
            Self::O200k => concat!(
                r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+",
            ),
            // The possessive marks of the published pattern change nothing: each stands before a class that shares no character
            // with the one it follows.
            Self::Cl100k => concat!(
                r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s*[\r\n]",
            ),
            Self::Llama3 => concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
            ),
            Self::Qwen2 => concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
                r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+",
            ),
            Self::Qwen35 => concat!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
                r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+",
            ),
            Self::Gpt2 => r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+",
        }
    }

    /// The family of a pattern that is written so.
    pub(crate) fn of_pattern(pattern: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.pattern() == pattern)
    }
}

/// What tells the families apart.
pub(super) trait Rules {
    /// Flags of the characters that words are made of.
    const WORD: u8 = LETTER;
    /// A change from lower to upper case ends a word, and a contraction belongs to it.
    const IS_CASED: bool = false;
    /// Digits in one piece.
    const DIGITS: usize = 3;
    /// What may follow punctuation besides line breaks.
    const ENDS_WITH_SLASH: bool = false;
    /// White space up to the end of the text is one piece, line breaks or not.
    const BLANK_END_IS_ONE: bool = false;
}

pub(super) struct O200k;
impl Rules for O200k {
    const WORD: u8 = LETTER | MARK;
    const IS_CASED: bool = true;
    const ENDS_WITH_SLASH: bool = true;
}
pub(super) struct Cl100k;
impl Rules for Cl100k {
    const BLANK_END_IS_ONE: bool = true;
}
pub(super) struct Llama3;
impl Rules for Llama3 {}
pub(super) struct Qwen2;
impl Rules for Qwen2 {
    const DIGITS: usize = 1;
}
pub(super) struct Qwen35;
impl Rules for Qwen35 {
    const WORD: u8 = LETTER | MARK;
    const DIGITS: usize = 1;
}

/// Finds where pieces end.
#[derive(Clone, Copy)]
pub(crate) struct Scanner {
    family: Family,
    classes: &'static Classes,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.family.fmt(f)
    }
}

impl Scanner {
    pub(crate) fn new(family: Family) -> Self {
        Self { family, classes: Classes::get() }
    }

    /// Call `f` with the start and the end of each piece of `text` from `at` on, until it breaks.
    #[inline]
    pub(crate) fn each<B>(self, text: &str, mut f: impl FnMut(usize, usize) -> ControlFlow<B>) -> ControlFlow<B> {
        let (classes, bytes) = (self.classes, text.as_bytes());
        match self.family {
            Family::O200k => each_of::<O200k, B>(classes, bytes, f),
            Family::Cl100k => each_of::<Cl100k, B>(classes, bytes, f),
            Family::Llama3 => each_of::<Llama3, B>(classes, bytes, f),
            Family::Qwen2 => each_of::<Qwen2, B>(classes, bytes, f),
            Family::Qwen35 => each_of::<Qwen35, B>(classes, bytes, f),
            Family::Gpt2 => {
                let mut at = 0;
                while at < bytes.len() {
                    let end = end_of_gpt2(classes, bytes, at);
                    f(at, end)?;
                    at = end;
                }
                Continue(())
            }
        }
    }
}

#[inline]
fn each_of<R: Rules, B>(
    classes: &Classes,
    text: &[u8],
    mut f: impl FnMut(usize, usize) -> ControlFlow<B>,
) -> ControlFlow<B> {
    let mut at = 0;
    while at < text.len() {
        let (start, mut ends) = (at, block::ends::<R>(text, at));
        let mut end = if ends == 0 { end_of::<R>(classes, text, at) } else { start + ends.trailing_zeros() as usize };
        // One call of `f`, so that it becomes part of the loop.
        loop {
            f(at, end)?;
            at = end;
            ends &= ends.wrapping_sub(1);
            if ends == 0 {
                break;
            }
            end = start + ends.trailing_zeros() as usize;
        }
    }
    Continue(())
}

impl Scanner {
    /// The last place from `from` on where a piece ends whatever follows the text, and what stands before it does not depend on what
    /// stands behind it: after a word or a number where something else begins, and after anything before a blank. The character
    /// behind it has to be one that `may_begin`.
    pub(crate) fn last_border(self, text: &str, from: usize, may_begin: impl Fn(char) -> bool) -> Option<usize> {
        let mut behind: Option<(usize, char)> = None;
        for (at, c) in text.char_indices().rev() {
            match behind {
                Some((place, next)) if self.is_border(text.as_bytes(), at, place) && may_begin(next) => {
                    return Some(place);
                }
                Some((place, _)) if place < from => break,
                _ => behind = Some((at, c)),
            }
        }
        None
    }

    /// Whether one is between the characters at `before` and `behind`.
    fn is_border(self, text: &[u8], before: usize, behind: usize) -> bool {
        let (left, right) = (self.classes.at(text, before).0, self.classes.at(text, behind).0);
        // A contraction goes on with a word or is a piece, and a mark belongs to either side.
        let is_other = right & (LETTER | MARK) == 0 && text[behind] != b'\'';
        if left & LETTER != 0 {
            return is_other;
        }
        if left & NUMBER != 0 {
            return right & LETTER != 0 || is_other && right & NUMBER == 0;
        }
        left & BLANK == 0 && right & BLANK != 0 && right & BREAK == 0
    }
}

/// Where the piece at `at` ends; `at` is inside the text.
#[inline]
fn end_of<R: Rules>(classes: &Classes, text: &[u8], at: usize) -> usize {
    let (flags, len) = classes.at(text, at);
    let next = at + len;
    if flags & LETTER != 0 {
        if R::IS_CASED {
            return with_contraction(text, cased_word(classes, text, at).0);
        }
        return run(classes, text, next, R::WORD);
    }
    if flags & NUMBER != 0 {
        let mut end = next;
        for _ in 1..R::DIGITS {
            match classes.at(text, end) {
                (flags, len) if flags & NUMBER != 0 => end += len,
                _ => break,
            }
        }
        return end;
    }
    if flags & BREAK == 0 {
        if !R::IS_CASED && text[at] == b'\'' {
            let end = with_contraction(text, at);
            if end > at {
                return end;
            }
        }
        // One character that is no letter may lead a word.
        let (after, after_len) = classes.at(text, next);
        if after & R::WORD != 0 {
            if !R::IS_CASED {
                return run(classes, text, next + after_len, R::WORD);
            }
            let (end, has_lower) = cased_word(classes, text, next);
            if flags & MARK == 0 || has_lower {
                return with_contraction(text, end);
            }
            // A mark before capitals only: it is a word by itself, with what it would have led.
            return with_contraction(text, cased_word(classes, text, at).0);
        }
        if flags & R::WORD != 0 {
            return if R::IS_CASED { with_contraction(text, next) } else { next };
        }
        if flags & BLANK == 0 || (text[at] == b' ' && after_len > 0 && after & (BLANK | LETTER | NUMBER | R::WORD) == 0)
        {
            return punctuation::<R>(classes, text, next);
        }
    }
    blanks::<R>(classes, text, at)
}

/// The end of the characters from `at` on that have one of `flags`.
#[inline]
fn run(classes: &Classes, text: &[u8], mut at: usize, flags: u8) -> usize {
    loop {
        match classes.at(text, at) {
            (found, len) if found & flags != 0 => at += len,
            _ => return at,
        }
    }
}

/// `U*L+`, else `U+L*`, of the two sets that share uncased letters and marks: the end, and whether it is by the first.
#[inline]
fn cased_word(classes: &Classes, text: &[u8], at: usize) -> (usize, bool) {
    const EITHER: u8 = UNCASED | MARK;
    let (mut end, mut last_either) = (at, None);
    loop {
        let (flags, len) = classes.at(text, end);
        if flags & LOWER != 0 {
            return (run(classes, text, end, LOWER | EITHER), true);
        }
        if flags & (UPPER | EITHER) == 0 {
            break;
        }
        end += len;
        if flags & EITHER != 0 {
            last_either = Some(end);
        }
    }
    // No lower case: the first set gives back down to the last letter that is in both.
    last_either.map_or((end, false), |end| (end, true))
}

/// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `at`, in any case; `at` itself if there is none.
#[inline]
fn with_contraction(text: &[u8], at: usize) -> usize {
    if text.get(at) != Some(&b'\'') {
        return at;
    }
    let lower = |i: usize| text.get(at + i).map_or(0, u8::to_ascii_lowercase);
    match (lower(1), lower(2)) {
        (b's' | b't' | b'm' | b'd', _) => at + 2,
        // The long s, which is an s where case is ignored.
        (b'r' | b'v', b'e') | (b'l', b'l') | (0xC5, 0xBF) => at + 3,
        _ => at,
    }
}

/// The end of what is no blank, letter or number, and of the line breaks behind it.
#[inline]
fn punctuation<R: Rules>(classes: &Classes, text: &[u8], mut at: usize) -> usize {
    loop {
        let (flags, len) = classes.at(text, at);
        let ends = BLANK | LETTER | NUMBER | if R::IS_CASED { 0 } else { R::WORD };
        if len == 0 || flags & ends != 0 {
            break;
        }
        at += len;
    }
    while let Some(b'\r' | b'\n' | b'/') = text.get(at) {
        if text[at] == b'/' && !R::ENDS_WITH_SLASH {
            break;
        }
        at += 1;
    }
    at
}

/// A run of white space: up to its last line break, else without its last character, which belongs to what follows.
#[inline]
fn blanks<R: Rules>(classes: &Classes, text: &[u8], at: usize) -> usize {
    let (mut end, mut last, mut last_break) = (at, at, None);
    loop {
        let (flags, len) = classes.at(text, end);
        if flags & BLANK == 0 {
            break;
        }
        last = end;
        end += len;
        if flags & BREAK != 0 {
            last_break = Some(end);
        }
    }
    if R::BLANK_END_IS_ONE && end == text.len() {
        return end;
    }
    match last_break {
        Some(end) => end,
        None if end < text.len() && last > at => last,
        None => end,
    }
}

/// As `end_of`, for GPT-2: contractions are cased and no word's part, only a space leads, and line breaks are blanks like others.
#[inline]
fn end_of_gpt2(classes: &Classes, text: &[u8], at: usize) -> usize {
    let byte = |i: usize| text.get(at + i).copied().unwrap_or(0);
    if byte(0) == b'\'' {
        match (byte(1), byte(2)) {
            (b's' | b't' | b'm' | b'd', _) => return at + 2,
            (b'r' | b'v', b'e') | (b'l', b'l') => return at + 3,
            _ => {}
        }
    }
    let led = at + usize::from(byte(0) == b' ');
    let (flags, len) = classes.at(text, led);
    if flags & LETTER != 0 {
        return run(classes, text, led + len, LETTER);
    }
    if flags & NUMBER != 0 {
        return run(classes, text, led + len, NUMBER);
    }
    if flags & BLANK == 0 && len > 0 {
        let mut end = led + len;
        loop {
            match classes.at(text, end) {
                (flags, len) if len > 0 && flags & (BLANK | LETTER | NUMBER) == 0 => end += len,
                _ => return end,
            }
        }
    }
    let (mut end, mut last) = (at, at);
    while let (flags, len) = classes.at(text, end)
        && flags & BLANK != 0
    {
        (last, end) = (end, end + len);
    }
    if end < text.len() && last > at { last } else { end }
}
