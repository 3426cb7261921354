//! What slices of a text cost when only some of them are kept, without counting again.
//!
//! Tokens do not end where slices do: a full stop can be one token with the line break or the word behind it. So the border of two
//! slices is measured three ways: as it stands in the text, and cut, its left side before a blank and its right side after one.
//! Splitting goes from left to right and looks no further ahead than a few characters, and no piece of the vocabularies in the
//! package has a blank but at its beginning. So the left side is certain; the right side is, once the pieces of the cut text have
//! a border where those of the whole one have. Where that fails the border is not exact, and a text cut there has to be counted.

use std::ops::ControlFlow::{self, Break, Continue};
use std::ops::Range;

use super::truncate::place;
use super::{Specials, Tokenizer};

/// What a slice costs in tokens: `inner`, `join` where the slice before it is kept too and else `lead`, and `trail` where the
/// slice behind it is not kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SliceTokens {
    /// Between its borders.
    pub(crate) inner: u32,
    /// The border to the slice before it, as it stands in the text.
    pub(crate) join: u32,
    /// Its beginning, after a blank.
    pub(crate) lead: u32,
    /// Its end, before a blank.
    pub(crate) trail: u32,
    /// Whether `lead`, and `trail` of the slice before, are exact.
    pub(crate) is_exact: bool,
}

/// How far a piece's end depends on what follows: a contraction's length.
const LOOK_AHEAD: usize = 16;

/// Whether to measure what borders cost when they are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Borders {
    /// Slices stand between blanks when they are cut.
    Measured,
    /// They do not, so that what is left has to be counted anyway.
    AsTheyStand,
}

/// Measures the slices of `text` at `places`, which ascend and do not overlap; returns the tokens of the whole text, which are the
/// sum of all `inner` and `join`. What stands before the first slice and after the last belongs to those.
///
/// Cost: one count of the text, and of two words at each border that is no single blank.
pub(crate) fn measure(
    tokenizer: &Tokenizer,
    text: &str,
    places: &[Range<usize>],
    borders: Borders,
    slices: &mut Vec<SliceTokens>,
) -> usize {
    let is_sure = borders == Borders::Measured && tokenizer.is_published;
    slices.clear();
    slices.resize(places.len(), SliceTokens { is_exact: is_sure, ..SliceTokens::default() });
    if !tokenizer.keeps(text) {
        for (slice, place) in slices.iter_mut().zip(places) {
            *slice = SliceTokens { inner: small(tokenizer.count(&text[place.clone()])), ..SliceTokens::default() };
        }
        return tokenizer.count(text);
    }
    let mut total = 0;
    // The slice that is being read, and its border to the next one once that began.
    let (mut at, mut border): (usize, Option<Border>) = (0, None);
    tokenizer.each(text, Specials::Text, &mut |piece| {
        let n = tokenizer.count_piece(&piece);
        total += n;
        let (start, len) = place(text, &piece);
        let end = start + len;
        let is_last = at + 1 >= places.len();
        if border.is_none() && (is_last || end <= places[at].end) {
            if let Some(slice) = slices.get_mut(at) {
                slice.inner = slice.inner.saturating_add(small(n));
            }
            return Continue::<()>(());
        }
        let mut open = border.take().unwrap_or(Border { from: start, tokens: 0, is_sure });
        open.tokens += n;
        while end > places[at + 1].start {
            let next = at + 1;
            // One piece may hold all of a slice: then neither of its borders is exact.
            let is_shared = next + 1 < places.len() && end > places[next].end;
            let cut = places[at].end..places[next].start;
            let sides = if open.is_sure && !is_shared { open.sides(tokenizer, text, cut, end) } else { None };
            let (trail, lead) = sides.unwrap_or((0, open.tokens));
            slices[at].trail = small(trail);
            slices[next].join = small(open.tokens);
            slices[next].lead = small(lead);
            slices[next].is_exact = sides.is_some();
            at = next;
            if !is_shared {
                return Continue(());
            }
            open = Border { from: end, tokens: 0, is_sure: false };
        }
        border = Some(open);
        Continue(())
    });
    total
}

/// The pieces that hold the end of a slice and the start of the next.
struct Border {
    /// Where the first of them begins.
    from: usize,
    tokens: usize,
    is_sure: bool,
}

impl Border {
    /// Tokens of what is left before a blank, and of what is right after one, when the text is cut at `cut` and the last of the
    /// pieces ends at `to`; none if that is not certain.
    fn sides(&self, tokenizer: &Tokenizer, text: &str, cut: Range<usize>, to: usize) -> Option<(usize, usize)> {
        if self.from == cut.start && &text[cut.clone()] == " " {
            return Some((0, self.tokens));
        }
        let trail = if self.from < cut.start {
            up_to(tokenizer, &format!("{} .", &text[self.from..cut.start]), cut.start - self.from)?
        } else {
            0
        };
        let mut ahead = (to + LOOK_AHEAD).min(text.len());
        while !text.is_char_boundary(ahead) {
            ahead += 1;
        }
        let lead = up_to(tokenizer, &format!(" {}", &text[cut.end..ahead]), to - cut.end + 1)?;
        Some((trail, lead))
    }
}

/// Tokens of `text` up to `end`; none if a piece reaches over it.
fn up_to(tokenizer: &Tokenizer, text: &str, end: usize) -> Option<usize> {
    let mut tokens = 0;
    let reached: Option<bool> = tokenizer.each(text, Specials::Text, &mut |piece| -> ControlFlow<bool> {
        let (start, len) = place(text, &piece);
        tokens += tokenizer.count_piece(&piece);
        match start + len {
            to if to < end => Continue(()),
            to => Break(to == end),
        }
    });
    (reached == Some(true)).then_some(tokens)
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, places: &[Range<usize>]) {
        let tokenizer = Tokenizer::named("o200k_base").unwrap();
        let mut slices = Vec::new();
        let total = measure(&tokenizer, text, places, Borders::Measured, &mut slices);
        assert_eq!(total, tokenizer.count(text));
        let sum: u32 = slices.iter().map(|slice| slice.inner + slice.join).sum();
        assert!(places.is_empty() || sum as usize == total, "{text:?}");
        for first in 1..places.len() {
            for last in first..places.len() - 1 {
                if !slices[first].is_exact || !slices[last + 1].is_exact {
                    continue;
                }
                let run = &slices[first..=last];
                let inner: u32 = run.iter().map(|slice| slice.inner).sum();
                let joins: u32 = run[1..].iter().map(|slice| slice.join).sum();
                let sum = run[0].lead + inner + joins + run[run.len() - 1].trail;
                let cut = format!("[…] {} […]", &text[places[first].start..places[last].end]);
                let marks = tokenizer.count("[…]") + tokenizer.count(" […]");
                assert_eq!(sum as usize + marks, tokenizer.count(&cut), "{first}..={last} of {text:?}");
            }
        }
    }

    fn sentences(text: &str) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        crate::compress::sentences::each_sentence(text, |place| places.push(place));
        places
    }

    #[test]
    fn borders_in_any_script_are_exact() {
        for text in [
            "We met Ana. She left at 08:15. 42 euros. \"No.\" Then rain.",
            "我昨天买了灯笼。你呢？「好。」3天后。对。再见！",
            "one\ntwo.\n\nthree?! four\n5\nsix",
        ] {
            let tokenizer = Tokenizer::named("o200k_base").unwrap();
            let places = sentences(text);
            let mut slices = Vec::new();
            measure(&tokenizer, text, &places, Borders::Measured, &mut slices);
            assert!(slices.iter().filter(|slice| !slice.is_exact).count() <= 1, "{slices:?}");
            check(text, &places);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
        #[test]
        fn kept_runs_cost_what_they_are_counted_at(
            words in prop::collection::vec(prop::sample::select(vec![
                "I", "we'", "'re", "Go", "12", "345", ".", ". ", "! ", "? ", "\n", "\n\n ", " ", "  ", "。", "？", "；", "好", "我们", "灯笼", "「", "」",
                "…", "[…]", "(", ") ", "é", "\u{301}", "🙂", "ß", "ا", "؟ ", "/", "//", "\r\n", "#", "_", "DON'", "T", "\t", "\u{3000}", "\u{a0}",
            ]), 0..40)
        ) {
            let text = words.concat();
            check(&text, &sentences(&text));
        }
    }
}
