//! Cuts a text into sentences: the pieces that `unit="sentence"` keeps or drops.
//!
//! A sentence ends at a line break, after a full stop, exclamation or question mark before white space, and after such a mark
//! of a script that puts no space behind it. Closing quotes and brackets stay with their sentence; a number or an initial
//! before a full stop ends none, so that `1. Fly` and `J. Doe` stay whole. A text without any end is one sentence.

use std::ops::Range;

/// What a byte may begin, so that most of a text is passed over with one look-up a byte.
const PLAIN: u8 = 0;
const BREAK: u8 = 1;
const STOP: u8 = 2;
const WIDE: u8 = 3;

const KIND: [u8; 256] = {
    let mut kind = [PLAIN; 256];
    kind[b'\n' as usize] = BREAK;
    kind[b'\r' as usize] = BREAK;
    kind[b'.' as usize] = STOP;
    kind[b'!' as usize] = STOP;
    kind[b'?' as usize] = STOP;
    // Lead bytes of the marks in `is_wide_stop`.
    kind[0xD8] = WIDE;
    kind[0xDB] = WIDE;
    kind[0xE0] = WIDE;
    kind[0xE3] = WIDE;
    kind[0xEF] = WIDE;
    kind
};

/// Sentence ends of scripts that put no space behind them, and of those whose marks are not ASCII's.
fn is_wide_stop(c: char) -> bool {
    matches!(c, '。' | '！' | '？' | '；' | '｡' | '؟' | '۔' | '।' | '॥')
}

/// What may stand between a sentence's mark and its end.
fn is_closing(c: char) -> bool {
    matches!(c, '"' | '\'' | ')' | ']' | '*' | '”' | '’' | '」' | '』' | '）' | '】' | '》' | '.' | '!' | '?')
        || is_wide_stop(c)
}

/// Calls `f` with the place of each sentence, without the white space around it; blank ones are passed over.
///
/// Cost: O(bytes), no allocation.
pub(crate) fn each_sentence(text: &str, mut f: impl FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut at = 0;
    let mut give = |from: usize, to: usize| {
        let inner = text[from..to].trim_start();
        let begin = to - inner.len();
        let inner = inner.trim_end();
        if !inner.is_empty() {
            f(begin..begin + inner.len());
        }
    };
    while at < bytes.len() {
        match KIND[usize::from(bytes[at])] {
            PLAIN => at += 1,
            BREAK => {
                give(start, at);
                at += 1;
                start = at;
            }
            STOP => {
                let end = closed(text, at + 1);
                let ends = end == bytes.len() || text[end..].chars().next().is_some_and(char::is_whitespace);
                if ends && !(bytes[at] == b'.' && end == at + 1 && is_abbreviation(&bytes[start..at])) {
                    give(start, end);
                    start = end;
                }
                at = end;
            }
            _ => {
                let c = text[at..].chars().next().unwrap_or_default();
                at += c.len_utf8();
                if is_wide_stop(c) {
                    at = closed(text, at);
                    give(start, at);
                    start = at;
                }
            }
        }
    }
    give(start, bytes.len());
}

/// Where the marks and closing quotes from `at` on end.
fn closed(text: &str, at: usize) -> usize {
    let rest = &text[at..];
    at + rest.len() - rest.trim_start_matches(is_closing).len()
}

/// Whether a full stop after this is part of a number in a list, an initial or a title.
fn is_abbreviation(before: &[u8]) -> bool {
    let word = before.iter().rev().take_while(|b| !b.is_ascii_whitespace()).count();
    let word = &before[before.len() - word..];
    let is_first = before[..before.len() - word.len()].iter().all(u8::is_ascii_whitespace);
    match word {
        [letter] if letter.is_ascii_alphabetic() => !matches!(letter, b'I'),
        [b'M', b'r' | b's'] | [b'D', b'r'] | [b'S', b't'] | [b'M', b'r', b's'] | [b'v', b's'] => true,
        _ => is_first && word.len() <= 3 && word.iter().all(u8::is_ascii_digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sentences(text: &str) -> Vec<&str> {
        let mut out = Vec::new();
        each_sentence(text, |place| out.push(&text[place]));
        out
    }

    #[test]
    fn ends_sentences_in_both_languages() {
        assert_eq!(sentences("It is 3.5 km. Is it? Yes!\nSo"), ["It is 3.5 km.", "Is it?", "Yes!", "So"]);
        assert_eq!(sentences("你好。在哪里？“很好！”他说；走"), ["你好。", "在哪里？", "“很好！”", "他说；", "走"]);
    }

    #[test]
    fn closing_marks_stay_with_their_sentence() {
        assert_eq!(
            sentences("He said \"go.\" Then (he left.) Now?! ok"),
            ["He said \"go.\"", "Then (he left.)", "Now?!", "ok"]
        );
    }

    #[test]
    fn numbers_of_a_list_and_initials_end_nothing() {
        assert_eq!(sentences("1. Fly J. Doe. 2. Call Dr. Ito."), ["1. Fly J. Doe.", "2. Call Dr. Ito."]);
        assert_eq!(sentences("Ana and I. Then"), ["Ana and I.", "Then"]);
    }

    #[test]
    fn other_scripts_end_sentences_too() {
        assert_eq!(sentences("मैं गया। तुम? كيف حالك؟ نعم"), ["मैं गया।", "तुम?", "كيف حالك؟", "نعم"]);
    }

    #[test]
    fn blank_text_has_none_and_text_without_end_is_one() {
        assert_eq!(sentences(" \n\t\r\n "), [""; 0]);
        assert_eq!(sentences("no end"), ["no end"]);
    }

    proptest! {
        #[test]
        fn nothing_but_white_space_is_lost(text in "[a-cI1 .!?\\n\"。？”é़।؟🙂]{0,60}") {
            let mut all = String::new();
            let mut end = 0;
            each_sentence(&text, |place| {
                assert!(place.start >= end && text[end..place.start].trim().is_empty());
                assert!(!text[place.clone()].trim().is_empty() && text[place.clone()].trim() == &text[place.clone()]);
                end = place.end;
                all += &text[place];
            });
            prop_assert!(text[end..].trim().is_empty());
        }
    }
}
