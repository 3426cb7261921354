//! What a sentence looks like from its form alone: whether it states a fact, asks, chats or forbids.

use super::cues::Cues;
use super::words::Word;

/// What is seen of a sentence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    cues: Cues,
    /// Names inside it, at most [`MAX_COUNTED`].
    pub(crate) names: u8,
    /// Quotes and titles, at most [`MAX_COUNTED`].
    pub(crate) quotes: u8,
    /// Words that fill a pause, at most [`MAX_FILLERS`].
    pub(crate) fillers: u8,
    /// Share of its distinct terms that were said shortly before, in 255ths.
    pub(crate) echo: u8,
}

/// Names and quotes beyond this many add nothing.
const MAX_COUNTED: u8 = 3;
/// Nor do fillers beyond this many.
const MAX_FILLERS: u8 = 4;

impl Signs {
    /// Whether any of `cues` was seen.
    pub(crate) fn has(self, cues: Cues) -> bool {
        self.cues.has(cues)
    }

    /// Takes note of what is told of the sentence as a whole.
    pub(crate) fn add(&mut self, cues: Cues) {
        self.cues.add(cues);
    }
}

/// A sentence while it is read.
#[derive(Debug, Default)]
pub(crate) struct SignReader {
    pub(crate) signs: Signs,
    has_word: bool,
    /// Whether the word before was one with an apostrophe: "I've never" only tells.
    was_contracted: bool,
    /// Kinds of the word before.
    previous: Cues,
    /// Kinds of the word before a "do".
    before_do: Cues,
    must: Must,
}

/// What a "must" has turned out to be so far.
#[derive(Debug, Default, PartialEq, Eq)]
enum Must {
    /// There was none, or it is settled.
    #[default]
    Settled,
    /// "it must": the next word tells.
    Open,
    /// "it must be": praise or feeling makes it a guess, anything else a demand.
    Be,
}

impl SignReader {
    /// Takes note of the next word; `is_speaker`: it is of the name of somebody who speaks.
    pub(crate) fn see_word(&mut self, cues: Cues, how: Word, is_speaker: bool) {
        if !self.has_word && cues.has(Cues::PLEASANTRY) {
            self.signs.add(Cues::OPENS_POLITELY);
        }
        if cues.has(Cues::NOT) && self.forbids(how) {
            self.signs.add(Cues::PROHIBITION);
        }
        if cues.has(Cues::MUST) && !how.is_contracted && !self.previous.has(Cues::ARTICLE) {
            self.must = Must::Open;
            if self.has_word && !self.previous.has(Cues::GUESSED) {
                self.demand();
            }
        } else if cues.has(Cues::NEVER) && !self.was_contracted {
            self.demand();
        } else if self.must != Must::Settled {
            self.after_must(cues);
        }
        if cues.has(Cues::DO) {
            self.before_do = self.previous;
        }
        self.has_word = true;
        self.previous = cues;
        self.was_contracted = how.is_contracted;
        self.signs.add(cues);
        if how.has_digit {
            self.signs.add(Cues::NUMBER);
        }
        if how.is_id {
            self.signs.add(Cues::IDENTIFIER);
        }
        self.signs.names +=
            u8::from(how.is_name && !is_speaker && !cues.has(Cues::STOP) && self.signs.names < MAX_COUNTED);
        self.signs.fillers += u8::from(cues.has(Cues::FILLER) && self.signs.fillers < MAX_FILLERS);
    }

    fn after_must(&mut self, cues: Cues) {
        match self.must {
            Must::Open if cues.has(Cues::BE) => self.must = Must::Be,
            Must::Be if cues.has(Cues::NO_FACT) => self.must = Must::Settled,
            _ if cues.has(Cues::GUESSING) => self.must = Must::Settled,
            _ => self.demand(),
        }
    }

    fn demand(&mut self) {
        self.signs.add(Cues::PROHIBITION);
        self.must = Must::Settled;
    }

    /// Whether "not" or "don't" forbids here: "I don't" and "they do not" only tell.
    fn forbids(&self, how: Word) -> bool {
        let subject = if how.is_contracted { self.previous } else { self.before_do };
        (how.is_contracted || self.previous.has(Cues::DO)) && !subject.has(Cues::SUBJECT)
    }

    /// Takes note of the next mark between words.
    pub(crate) fn see_mark(&mut self, mark: char, opens: bool) {
        let is_quote = matches!(mark, '《' | '「' | '『' | '“') || (mark == '"' && opens);
        self.signs.quotes += u8::from(is_quote && self.signs.quotes < MAX_COUNTED);
        // What comes before a mark is no subject of what follows.
        if mark != '\'' && mark != '’' {
            self.previous = Cues::default();
        }
    }
}

/// Whether a sentence ends as a question, closing quotes and brackets aside.
pub(crate) fn asks(sentence: &str) -> bool {
    let closing = |c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | ')' | '*' | '”' | '’' | '」' | '』' | '）' | '!' | '！')
    };
    sentence.trim_end_matches(closing).ends_with(['?', '？', '؟'])
}

#[cfg(test)]
mod tests {
    use super::super::words::{Reader, read};
    use super::*;

    impl Reader for SignReader {
        fn word(&mut self, lower: &[u8], how: Word) {
            self.see_word(Cues::of(std::str::from_utf8(lower).unwrap()), how, false);
        }

        fn mark(&mut self, mark: char, opens: bool) {
            self.see_mark(mark, opens);
        }
    }

    fn signs(text: &str) -> Signs {
        let mut reader = SignReader::default();
        read(text, &mut reader);
        reader.signs
    }

    #[test]
    fn facts_are_seen_in_both_languages() {
        let english = signs("Hey I bought 3 lanterns in Oslo yesterday, \"Blue Sky\" and Ana's.");
        assert!(
            [Cues::OPENS_POLITELY, Cues::FIRST_PERSON, Cues::NUMBER, Cues::TIME].iter().all(|&cue| english.has(cue))
        );
        assert_eq!((english.names, english.quotes), (3, 1));
        let chinese = signs("我昨天买了三个灯笼，叫《红楼梦》。");
        assert!([Cues::FIRST_PERSON, Cues::NUMBER, Cues::TIME, Cues::NAMING].iter().all(|&cue| chinese.has(cue)));
        assert_eq!(chinese.quotes, 1);
    }

    #[test]
    fn orders_forbid_and_statements_do_not() {
        for text in [
            "Never book a flight.",
            "Please don't call.",
            "do not delete it",
            "You must ask first.",
            "But don’t tell.",
            "不要打电话。",
            "必须先问我。",
        ] {
            assert!(signs(text).has(Cues::PROHIBITION), "{text}");
        }
        for text in [
            "I don't know.",
            "They do not care.",
            "Don is here.",
            "It is not far.",
            "我不知道。",
            "Must be great.",
            "It is a must.",
            "I've never been there.",
            "That must be hard.",
            "You must be so proud!",
            "It must have been fun.",
            "She must've left.",
        ] {
            assert!(!signs(text).has(Cues::PROHIBITION), "{text}");
        }
    }

    #[test]
    fn questions_are_seen_behind_closing_marks() {
        assert!(asks("Is it?") && asks("“在哪里？”") && asks("Really?!") && !asks("It is."));
    }
}
