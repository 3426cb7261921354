//! Pre-tokenisers: cut a text into the pieces inside which tokens are merged.
//!
//! A vocabulary's pattern is a list of branches, tried in order at each place. Every one in use is a regular language but for
//! one look-ahead, `\s+(?!\S)`: a run of white space leaves its last character to the word that follows. So the pattern is
//! compiled without it, with a last branch `\s+`, and when that branch matches, the last character is given back by hand.
//! Matching is linear in the text for the embedded patterns: no backtracking, no recursion.

use std::fmt;
use std::ops::ControlFlow;

use regex_automata::meta::{BuildError, Cache, Regex};
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input};

/// `gpt-4o` and newer, without its last two branches, `\s+(?!\S)|\s+`.
pub(crate) const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+",
);
/// `gpt-4` and `gpt-3.5-turbo`. The possessive marks of the published pattern change nothing: each stands before a class that
/// shares no character with the one it follows. White space up to the end of the text is one piece, line breaks or not.
pub(crate) const CL100K: &str = concat!(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s*[\r\n]",
);
/// GPT-2, and every `ByteLevel` pre-tokeniser that splits by itself.
pub(crate) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+";

/// Ways to look at the text between two matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// It is a piece of its own.
    Keep,
    /// It is dropped.
    Drop,
}

/// One pattern applied to a text.
pub(crate) struct Stage {
    regex: Regex,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>>,
    gives_back: bool,
    gaps: Gaps,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("gives_back", &self.gives_back).field("gaps", &self.gaps).finish_non_exhaustive()
    }
}

impl Stage {
    /// Compile a pattern; `gives_back` adds the branches `\s+(?!\S)|\s+` at its end.
    pub(crate) fn new(pattern: &str, gives_back: bool, gaps: Gaps) -> Result<Self, Box<BuildError>> {
        let patterns = [pattern, r"\s+"];
        let regex = Regex::builder().build_many(&patterns[..=usize::from(gives_back)])?;
        let make = regex.clone();
        Ok(Self { regex, caches: Pool::new(Box::new(move || make.create_cache())), gives_back, gaps })
    }

    /// Call `f` with each piece in order, until it breaks.
    pub(crate) fn each<'t, B>(
        &self,
        text: &'t str,
        f: &mut (impl FnMut(&'t str) -> ControlFlow<B> + ?Sized),
    ) -> ControlFlow<B> {
        let mut cache = self.caches.get();
        let mut at = 0;
        while at < text.len() {
            // Anchored first: the embedded patterns match everywhere, and an anchored search need not look for the start.
            let here = Input::new(text).range(at..).anchored(Anchored::Yes);
            let (start, mut end, branch) = match self.regex.search_half_with(&mut cache, &here) {
                Some(half) => (at, half.offset(), half.pattern()),
                None => match self.regex.search_with(&mut cache, &Input::new(text).range(at..)) {
                    Some(found) => (found.start(), found.end(), found.pattern()),
                    None => (text.len(), text.len(), regex_automata::PatternID::ZERO),
                },
            };
            if start > at && self.gaps == Gaps::Keep {
                f(&text[at..start])?;
            }
            if self.gives_back && branch.as_usize() == 1 && end < text.len() {
                let last = text[start..end].chars().next_back().map_or(0, char::len_utf8);
                if start + last < end {
                    end -= last;
                }
            }
            if start < end {
                f(&text[start..end])?;
            }
            at = end;
        }
        ControlFlow::Continue(())
    }
}

/// Stages one after another: each cuts the pieces of the one before it.
#[derive(Debug)]
pub(crate) struct Split(Vec<Stage>);

impl Split {
    pub(crate) fn new(stages: Vec<Stage>) -> Self {
        Self(stages)
    }

    /// One of the patterns above.
    pub(crate) fn published(pattern: &str) -> Self {
        Self(vec![Stage::new(pattern, true, Gaps::Keep).expect("the embedded patterns are compiled by a test")])
    }

    /// Call `f` with each piece in order, until it breaks.
    pub(crate) fn each<'t, B>(&self, text: &'t str, f: &mut impl FnMut(&'t str) -> ControlFlow<B>) -> ControlFlow<B> {
        match self.0.as_slice() {
            [only] => only.each(text, f),
            stages => each_of(stages, text, f),
        }
    }
}

/// As deep as there are stages, which a `tokenizer.json` decides and its reader limits.
fn each_of<'t, B>(stages: &[Stage], text: &'t str, f: &mut dyn FnMut(&'t str) -> ControlFlow<B>) -> ControlFlow<B> {
    match stages.split_first() {
        None if text.is_empty() => ControlFlow::Continue(()),
        None => f(text),
        Some((first, rest)) => first.each(text, &mut |piece| each_of(rest, piece, f)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces<'t>(pattern: &str, text: &'t str) -> Vec<&'t str> {
        let mut out = Vec::new();
        let _ = Split::published(pattern).each::<()>(text, &mut |piece| {
            out.push(piece);
            ControlFlow::Continue(())
        });
        out
    }

    #[test]
    fn white_space_gives_its_last_character_to_the_next_word() {
        for pattern in [O200K, CL100K, GPT2] {
            assert_eq!(pieces(pattern, "a   b"), ["a", "  ", " b"]);
            assert_eq!(pieces(pattern, "a b  "), ["a", " b", "  "]);
            assert_eq!(pieces(pattern, "a \u{3000}b")[1], " ");
            assert_eq!(pieces(pattern, ""), [""; 0]);
        }
    }

    #[test]
    fn line_breaks_come_before_the_white_space_around_them() {
        assert_eq!(pieces(O200K, "a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(pieces(O200K, "a \n "), ["a", " \n", " "]);
        assert_eq!(pieces(CL100K, "a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(pieces(CL100K, "a \n "), ["a", " \n "]);
    }

    #[test]
    fn contractions_stay_with_the_word_or_stand_alone() {
        assert_eq!(pieces(O200K, "I'LL we\u{2019}ve"), ["I'LL", " we", "\u{2019}ve"]);
        assert_eq!(pieces(CL100K, "I'LL it'\u{17F}"), ["I", "'LL", " it", "'\u{17F}"]);
        assert_eq!(pieces(GPT2, "I'LL it's"), ["I", "'", "LL", " it", "'s"]);
    }

    #[test]
    fn long_runs_are_linear() {
        for text in [" ".repeat(1_000_000), "\n".repeat(1_000_000), format!("\n{}x", " ".repeat(1_000_000))] {
            for pattern in [O200K, CL100K, GPT2] {
                assert!(pieces(pattern, &text).len() <= 4);
            }
        }
    }
}
