//! Sensitive words: the hard gate in front of every match.

use aho_corasick::{AhoCorasick, MatchKind};
use unicode_normalization::UnicodeNormalization;

use crate::compress::words::is_unspaced;
use crate::error::{Error, Result};

/// The words of all roles.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// None where there are no words.
    all: Option<AhoCorasick>,
    /// For each pattern, the role whose word it is.
    owners: Vec<usize>,
}

impl Words {
    /// `words` of each role.
    pub(super) fn new<T: AsRef<str>>(words: &[Vec<T>]) -> Result<Self> {
        let (mut patterns, mut owners) = (Vec::new(), Vec::new());
        for (role, words) in words.iter().enumerate() {
            for (number, word) in words.iter().enumerate() {
                let pattern = normal(word.as_ref());
                let pattern = pattern.trim();
                if pattern.is_empty() {
                    return Err(Error::Argument(format!(
                        "sensitive word {number} of role {role} has nothing that can be seen; leave it out"
                    )));
                }
                patterns.push(pattern.to_owned());
                owners.push(role);
            }
        }
        if patterns.is_empty() {
            return Ok(Self::default());
        }
        let built = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&patterns);
        let all = built.map_err(|_| Error::Argument("the sensitive words are too many; give fewer".to_owned()))?;
        Ok(Self { all: Some(all), owners })
    }

    /// The first of the roles of which a word stands in `text`.
    ///
    /// Cost: O(bytes), and a step for each word that ends at a place.
    pub(super) fn find(&self, text: &str) -> Option<usize> {
        let all = self.all.as_ref()?;
        let text = normal(text);
        let mut first = None;
        for found in all.find_overlapping_iter(&text) {
            let owner = self.owners[found.pattern().as_usize()];
            if first.is_none_or(|first| owner < first) && is_whole(&text, found.start(), found.end()) {
                first = Some(owner);
            }
        }
        first
    }
}

/// Text as it is compared: without width, case, accents and what cannot be seen, any white space as one blank, and none between
/// characters of scripts without spaces.
///
/// Accents are the combining ones of Latin, Greek and Cyrillic only: the marks of other scripts make other letters. Upper case and then
/// lower case folds what lower case alone does not, as the sharp s.
fn normal(text: &str) -> String {
    let mut out = Normal { text: String::with_capacity(text.len()), last: ' ', is_apart: false };
    if text.is_ascii() {
        text.chars().filter(|&c| !is_ignorable(c)).for_each(|c| out.push(c.to_ascii_lowercase()));
    } else {
        let kept = text.nfkd().filter(|&c| !is_ignorable(c) && !matches!(c, '\u{300}'..='\u{36f}'));
        let folded = kept.flat_map(char::to_uppercase).flat_map(char::to_lowercase);
        folded.nfc().for_each(|c| out.push(c));
    }
    out.text
}

struct Normal {
    text: String,
    last: char,
    /// Whether white space was read since.
    is_apart: bool,
}

impl Normal {
    fn push(&mut self, c: char) {
        if c.is_whitespace() {
            self.is_apart = true;
            return;
        }
        if self.is_apart && !(is_unspaced(self.last) && is_unspaced(c)) {
            self.text.push(' ');
        }
        (self.last, self.is_apart) = (c, false);
        self.text.push(c);
    }
}

/// Whether what stands between two places is no part of a longer word: at an end that is a letter or digit, none may follow. Scripts
/// without spaces, and Korean with its endings, have no such ends.
fn is_whole(text: &str, start: usize, end: usize) -> bool {
    let (before, inside, after) = (&text[..start], &text[start..end], &text[end..]);
    let ends_in_word = |c: Option<char>| c.is_some_and(is_of_word);
    !(ends_in_word(before.chars().next_back()) && ends_in_word(inside.chars().next())
        || ends_in_word(inside.chars().next_back()) && ends_in_word(after.chars().next()))
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() && !is_unspaced(c) && !matches!(c, '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7ff}')
}

/// Whether `c` is not shown at all.
///
/// Source: `Default_Ignorable_Code_Point`, <https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>, and the controls
/// that are no white space.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1b}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(word: &str, text: &str) -> bool {
        Words::new(&[vec![], vec![word]]).unwrap().find(text) == Some(1)
    }

    #[test]
    fn words_are_found_however_they_are_written() {
        for (word, text) in [
            ("password", "My PassWord!"),
            ("password", "my ｐａｓｓｗｏｒｄ is"),
            ("password", "pass\u{200d}wo\u{ad}rd"),
            ("password", "pässwörd"),
            ("PÄSSWORD", "password"),
            ("straße", "STRASSE 5"),
            ("credit card", "credit \n\t card"),
            ("credit card", "CREDIT\u{a0}\u{3000}CARD"),
            ("credit card", "credit\u{200b} card"),
            ("密码", "我的密码是什么"),
            ("密码", "我的密 \n码"),
            ("密码", "密\u{200b}码"),
            ("ssn", "我的SSN是"),
            ("비밀번호", "비밀번호를 잊었어요"),
            ("c++", "I write c++"),
            ("ＶＩＰ", "vip"),
            ("οδος", "ΟΔΟΣ"),
            ("ssn", "ssn_number"),
        ] {
            assert!(finds(word, text), "{word} in {text}");
        }
    }

    #[test]
    fn parts_of_words_are_not_found() {
        for (word, text) in [
            ("ass", "class"),
            ("ass", "assess passé grass"),
            ("ass", "ass1"),
            ("credit card", "creditcard"),
            ("credit card", "credit. card"),
            ("кот", "который"),
            ("各", "가각"),
        ] {
            assert!(!finds(word, text), "{word} in {text}");
        }
    }

    #[test]
    fn a_part_does_not_hide_a_whole_word() {
        assert!(finds("ass", "class ass"));
        let words = Words::new(&[vec!["credit card number"], vec!["card"]]).unwrap();
        assert_eq!(words.find("my credit card numbers"), Some(1));
        assert_eq!(words.find("card; credit card number"), Some(0));
        assert_eq!(words.find(""), None);
    }

    #[test]
    fn words_of_nothing_are_refused() {
        let error = Words::new(&[vec![], vec!["a", "\u{200b} "]]).unwrap_err();
        assert_eq!(error.to_string(), "sensitive word 1 of role 1 has nothing that can be seen; leave it out");
    }
}
