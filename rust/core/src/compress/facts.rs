//! What a sentence looks like from its form alone: whether it states a fact, asks, chats or forbids.

use super::cues::Cues;
use super::words::Word;

/// What is seen of a sentence while it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    cues: Cues,
    names: u8,
    quotes: u8,
    words: Opening,
}

/// How far into the sentence reading is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Opening {
    #[default]
    Start,
    /// The last word was a form of "do".
    AfterDo,
    Inside,
}

/// Names and quotes beyond this many add nothing.
pub(crate) const MAX_COUNTED: u8 = 3;

impl Signs {
    /// Takes note of the next word.
    pub(crate) fn see_word(&mut self, cues: Cues, how: Word) {
        if self.words == Opening::Start && cues.has(Cues::PLEASANTRY) {
            self.cues.add(Cues::OPENS_POLITELY);
        }
        if cues.has(Cues::NOT) && (how.is_contracted || self.words == Opening::AfterDo) {
            self.cues.add(Cues::PROHIBITION);
        }
        self.words = if cues.has(Cues::DO) && !how.is_contracted { Opening::AfterDo } else { Opening::Inside };
        self.cues.add(cues);
        if how.has_digit {
            self.cues.add(Cues::NUMBER);
        }
        self.names += u8::from(how.is_name && self.names < MAX_COUNTED);
    }

    /// Takes note of the next mark between words.
    pub(crate) fn see_mark(&mut self, mark: char, opens: bool) {
        let is_quote = matches!(mark, '《' | '「' | '『' | '“') || (mark == '"' && opens);
        self.quotes += u8::from(is_quote && self.quotes < MAX_COUNTED);
    }

    /// The same signs, with what the whole sentence tells; `is_first`: no other of its message comes before it.
    pub(crate) fn of(mut self, sentence: &str, is_first: bool) -> Self {
        let closing =
            |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '”' | '’' | '」' | '』' | '）' | '!' | '！');
        if sentence.trim_end_matches(closing).ends_with(['?', '？', '؟']) {
            self.cues.add(Cues::QUESTION);
        }
        if is_first {
            self.cues.add(Cues::FIRST_SENTENCE);
        }
        self
    }

    /// Whether any of `cues` was seen.
    pub(crate) fn has(self, cues: Cues) -> bool {
        self.cues.has(cues)
    }

    /// Names inside the sentence, at most [`MAX_COUNTED`].
    pub(crate) fn names(self) -> u8 {
        self.names
    }

    /// Quotes and titles, at most [`MAX_COUNTED`].
    pub(crate) fn quotes(self) -> u8 {
        self.quotes
    }
}
