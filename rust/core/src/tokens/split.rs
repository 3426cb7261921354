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

use super::scan::{Family, Scanner};

/// Ways to look at the text between two matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// It is a piece of its own.
    Keep,
    /// It is dropped.
    Drop,
}

/// A compiled pattern applied to a text.
pub(crate) struct Matcher {
    regex: Regex,
    caches: Pool<Cache, Box<dyn Fn() -> Cache + Send + Sync + std::panic::UnwindSafe + std::panic::RefUnwindSafe>>,
    gives_back: bool,
    gaps: Gaps,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("gives_back", &self.gives_back)
            .field("gaps", &self.gaps)
            .finish_non_exhaustive()
    }
}

impl Matcher {
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

/// One pattern applied to a text.
#[derive(Debug)]
pub(crate) enum Stage {
    /// One that has a scanner.
    Scan(Scanner),
    /// Any other.
    Match(Matcher),
}

impl Stage {
    fn each<'t, B>(&self, text: &'t str, f: &mut (impl FnMut(&'t str) -> ControlFlow<B> + ?Sized)) -> ControlFlow<B> {
        match self {
            Self::Scan(scanner) => scanner.each(text, |start, end| f(&text[start..end])),
            Self::Match(matcher) => matcher.each(text, f),
        }
    }
}

/// Stages one after another: each cuts the pieces of the one before it.
#[derive(Debug)]
pub(crate) struct Split(Vec<Stage>);

impl Split {
    pub(crate) fn new(stages: Vec<Stage>) -> Self {
        Self(stages)
    }

    /// The one pattern of a family.
    pub(crate) fn of_family(family: Family) -> Self {
        Self(vec![Stage::Scan(Scanner::new(family))])
    }

    /// What splits by itself, if that is a scanner.
    pub(crate) fn scanner(&self) -> Option<Scanner> {
        match self.0.as_slice() {
            [Stage::Scan(scanner)] => Some(*scanner),
            _ => None,
        }
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
    use proptest::prelude::*;

    use super::*;

    fn pieces(stage: &Stage, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let _ = stage.each::<()>(text, &mut |piece| {
            out.push(piece.to_owned());
            ControlFlow::Continue(())
        });
        out
    }

    fn matcher(family: Family) -> Stage {
        Stage::Match(Matcher::new(family.pattern(), true, Gaps::Keep).unwrap())
    }

    /// The pieces of both ways.
    fn of(family: Family, text: &str) -> Vec<String> {
        let scanned = pieces(&Stage::Scan(Scanner::new(family)), text);
        assert_eq!(scanned, pieces(&matcher(family), text), "{family:?} on {text:?}");
        scanned
    }

    #[test]
    fn white_space_gives_its_last_character_to_the_next_word() {
        for family in Family::ALL {
            assert_eq!(of(family, "a   b"), ["a", "  ", " b"]);
            assert_eq!(of(family, "a b  "), ["a", " b", "  "]);
            assert_eq!(of(family, "a \u{3000}b")[1], " ");
            assert_eq!(of(family, ""), [""; 0]);
        }
    }

    #[test]
    fn line_breaks_come_before_the_white_space_around_them() {
        assert_eq!(of(Family::O200k, "a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(of(Family::O200k, "a \n "), ["a", " \n", " "]);
        assert_eq!(of(Family::Cl100k, "a \n \n  b"), ["a", " \n \n", " ", " b"]);
        assert_eq!(of(Family::Cl100k, "a \n "), ["a", " \n "]);
    }

    #[test]
    fn contractions_stay_with_the_word_or_stand_alone() {
        assert_eq!(of(Family::O200k, "I'LL we\u{2019}ve"), ["I'LL", " we", "\u{2019}ve"]);
        assert_eq!(of(Family::Cl100k, "I'LL it'\u{17F}"), ["I", "'LL", " it", "'\u{17F}"]);
        assert_eq!(of(Family::Gpt2, "I'LL it's"), ["I", "'", "LL", " it", "'s"]);
    }

    #[test]
    fn long_runs_are_linear() {
        for text in [" ".repeat(1_000_000), "\n".repeat(1_000_000), format!("\n{}x", " ".repeat(1_000_000))] {
            for family in Family::ALL {
                assert!(of(family, &text).len() <= 4);
            }
        }
    }

    fn text() -> impl Strategy<Value = String> {
        let parts = [
            "a",
            "b",
            "s",
            "ll",
            "Z",
            "AB",
            "ǅ",
            "ß",
            "é",
            "中",
            "文",
            "ʰ",
            "ª",
            "\u{301}",
            "\u{94d}",
            "क",
            "1",
            "22",
            "٣",
            "Ⅷ",
            "'",
            "'s",
            "'S",
            "'ſ",
            "'re",
            "'LL",
            "'Ve",
            " ",
            "  ",
            "\t",
            "\n",
            "\r\n",
            "\u{a0}",
            "\u{3000}",
            "\u{85}",
            "\u{2028}",
            "/",
            "//",
            ".",
            "!?",
            "，",
            "_",
            "😀",
            "\u{200d}",
            "\u{0}",
            "\u{378}",
            "\u{10ffff}",
        ];
        prop_oneof![
            1 => ".{0,40}",
            4 => prop::collection::vec(prop::sample::select(parts.to_vec()), 0..24).prop_map(|parts| parts.concat()),
            // What is settled 64 bytes at once.
            4 => "[a-cA-C019'srtlLvVeE \\n\\r\\t/.(_]{0,200}",
            2 => "(([a-z]{1,6}|[A-Z][a-z]{2,5}|[0-9]{1,7}|'(s|ll|RE|x)|[.,/(]{1,3})( |  |\n|\n    |\n \n)?){0,40}(é|中)?[ \na-z]{0,70}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn scanners_cut_as_the_patterns_do(text in text()) {
            thread_local!(static MATCHERS: Vec<Stage> = Family::ALL.into_iter().map(matcher).collect());
            MATCHERS.with(|matchers| {
                for (family, matcher) in Family::ALL.into_iter().zip(matchers) {
                    let scanned = pieces(&Stage::Scan(Scanner::new(family)), &text);
                    assert_eq!(scanned, pieces(matcher, &text), "{family:?} on {text:?}");
                }
            });
        }
    }
}
