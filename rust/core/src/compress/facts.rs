//! What a sentence looks like from its form alone: whether it states a fact, asks, chats or forbids.

use super::ablation::{Signal, is_on};
use super::cues::Cues;
use super::words::Word;

/// What is seen of a sentence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Signs {
    cues: Cues,
    /// Names inside it, at most [`MAX_COUNTED`].
    names: u8,
    /// Quotes and titles, at most [`MAX_COUNTED`].
    quotes: u8,
    /// Words that fill a pause, at most [`MAX_FILLERS`].
    fillers: u8,
    /// Share of its distinct terms that were said shortly before, in 255ths.
    pub(crate) echo: u8,
}

/// Names and quotes beyond this many add nothing.
const MAX_COUNTED: u8 = 3;
/// A question behind a comma is a mere tag ("okay?", 好吗？) with up to this many words.
const MAX_TAG_WORDS: u32 = 2;
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

/// What a sentence looks like, as far as choosing needs it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Looks {
    /// What its signs add to the logarithm of its density as a fact.
    pub(crate) fact: f32,
    /// The same as a topic.
    pub(crate) topic: f32,
    /// Whether it forbids or demands.
    pub(crate) is_order: bool,
    pub(crate) is_question: bool,
    /// Whether it holds an identifier.
    pub(crate) has_id: bool,
}

impl Looks {
    pub(crate) fn of(signs: Signs) -> Self {
        let is_question = signs.has(Cues::QUESTION);
        let is_order = signs.has(Cues::PROHIBITION) && (!is_question || signs.has(Cues::ORDER_FIRST));
        let has_id = signs.has(Cues::IDENTIFIER);
        let fact = if is_on(Signal::FactSigns) { fact(signs) } else { 0.0 };
        let topic = if is_on(Signal::TopicSigns) { topic(signs) } else { 0.0 };
        Self { fact, topic, is_order, is_question, has_id }
    }
}

/// What each sign adds to the logarithm of a fact's density.
///
/// Source: set by hand on the development conversations of docs/retention.md and checked by leaving each set out; no single one is
/// worth more than the noise, the group is worth 14 points on English chat.
fn fact(signs: Signs) -> f32 {
    let weights = [
        (Cues::QUESTION, -0.5),
        (Cues::OPENS_POLITELY, -0.3),
        (Cues::NUMBER, 0.2),
        (Cues::TIME, 0.35),
        (Cues::FIRST_PERSON, 0.3),
        (Cues::PREFERENCE, 0.2),
        (Cues::NAMING, 0.3),
        (Cues::FIRST_SENTENCE, 0.2),
        (Cues::LAST_SENTENCE, -0.2),
        (Cues::ANSWER, 0.4),
        (Cues::IDENTIFIER, 1.0),
    ];
    let names = if is_on(Signal::Names) { signs.names } else { 0 };
    let quotes = if is_on(Signal::Quotes) { signs.quotes } else { 0 };
    let echo = if is_on(Signal::Echo) { signs.echo } else { 0 };
    sum_of(signs, &weights) + 0.2 * f32::from(names) + 0.6 * f32::from(quotes) - 0.4 / 255.0 * f32::from(echo)
}

/// The same for a topic's density; worth 2 to 4 points on meetings.
fn topic(signs: Signs) -> f32 {
    let weights = [
        (Cues::QUESTION, -0.3),
        (Cues::OPENS_POLITELY, -0.4),
        (Cues::TIME, -0.3),
        (Cues::ANSWER, 0.15),
        (Cues::THANKS, -0.3),
        (Cues::NEED, 0.15),
    ];
    sum_of(signs, &weights) - 0.15 * f32::from(signs.fillers)
}

fn sum_of(signs: Signs, weights: &[(Cues, f32)]) -> f32 {
    weights.iter().map(|&(cue, weight)| if signs.has(cue) { weight } else { 0.0 }).sum()
}

/// A sentence while it is read.
#[derive(Debug, Default)]
pub(crate) struct SignReader {
    signs: Signs,
    has_word: bool,
    /// Kinds of the word before, and of the one before that; none behind a mark.
    previous: [Cues; 2],
    /// Whether the word before was one with an apostrophe: "I've never" only tells.
    was_contracted: bool,
    must: Must,
    /// Whether an order stands before the last comma, and how many words stand behind that.
    has_order_before: bool,
    n_words_behind: u32,
}

/// What a "must" has turned out to be so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Must {
    /// There was none, or it is settled.
    #[default]
    Settled,
    /// "it must": the next word tells.
    Open,
    /// "it must be": praise or feeling makes it a guess, anything else a demand.
    Be,
    /// "it must have": only an article behind it makes it a demand.
    Have,
}

impl SignReader {
    /// Takes note of the next word; `is_speaker`: it is of the name of somebody who speaks.
    pub(crate) fn see_word(&mut self, cues: Cues, how: Word, is_speaker: bool) {
        if !self.has_word && cues.has(Cues::PLEASANTRY) {
            self.signs.add(Cues::OPENS_POLITELY);
        }
        if cues.has(Cues::ORDERING) || self.must != Must::Settled {
            self.see_order(cues, how);
        }
        self.has_word = true;
        self.n_words_behind += 1;
        self.previous = [cues, self.previous[0]];
        self.was_contracted = how.is_contracted;
        self.signs.add(cues);
        if how.has_digit {
            self.signs.add(Cues::NUMBER);
        }
        if how.is_id && is_on(Signal::Identifiers) {
            self.signs.add(Cues::IDENTIFIER);
        }
        let is_name = how.is_name && !is_speaker && !cues.has(Cues::STOP);
        self.signs.names += u8::from(is_name && self.signs.names < MAX_COUNTED);
        self.signs.fillers += u8::from(cues.has(Cues::FILLER) && self.signs.fillers < MAX_FILLERS);
    }

    /// Looks for an order in a word and those before it: "don't", "must", "you may not". "I don't" and "they do not" only tell,
    /// and "that must be hard" guesses.
    fn see_order(&mut self, cues: Cues, how: Word) {
        let [before, earlier] = self.previous;
        let follows_mark = before == Cues::default();
        let is_told_you = |modal: Cues, whom: Cues| modal.has(Cues::MODAL) && whom.has(Cues::YOU);
        let is_order = if cues.has(Cues::MUST) {
            let is_verb = !how.is_contracted && !before.has(Cues::ARTICLE);
            let may_be_guess = !self.has_word || before.has(Cues::GUESSED);
            self.must = if is_verb && may_be_guess { Must::Open } else { Must::Settled };
            is_verb && !may_be_guess
        } else if cues.has(Cues::NEVER) {
            !self.was_contracted
        } else if cues.has(Cues::OPENS_ORDER) {
            follows_mark
        } else if cues.has(Cues::ALLOWED) && before.has(Cues::NOT) {
            true
        } else if cues.has(Cues::MODAL) && (how.is_contracted || cues.has(Cues::NOT)) {
            before.has(Cues::YOU)
        } else if cues.has(Cues::NOT) {
            let is_not_done = how.is_contracted && !before.has(Cues::SUBJECT);
            let is_do_not = before.has(Cues::DO) && !earlier.has(Cues::SUBJECT);
            is_not_done || is_do_not || is_told_you(before, earlier)
        } else {
            cues.has(Cues::PROHIBITION) || (self.must != Must::Settled && self.ends_must(cues))
        };
        if is_order {
            self.signs.add(Cues::PROHIBITION);
            self.must = Must::Settled;
        }
    }

    /// Whether the word behind "must" makes it a demand.
    fn ends_must(&mut self, cues: Cues) -> bool {
        let is = |cue: Cues| cues.has(cue);
        self.must = match self.must {
            Must::Open if is(Cues::BE) => Must::Be,
            Must::Open if is(Cues::HAVE) => Must::Have,
            // "must really": the word behind it tells.
            Must::Open if is(Cues::GUESSING) => Must::Open,
            Must::Be if is(Cues::GUESSING) || is(Cues::NO_FACT) || is(Cues::ARTICLE) => Must::Settled,
            Must::Have if !is(Cues::ARTICLE) => Must::Settled,
            Must::Open if is(Cues::FEEL) => Must::Settled,
            _ => return true,
        };
        false
    }

    /// What was seen, once the sentence has ended.
    pub(crate) fn end(mut self) -> Signs {
        if self.has_order_before && self.n_words_behind <= MAX_TAG_WORDS {
            self.signs.add(Cues::ORDER_FIRST);
        }
        self.signs
    }

    /// Takes note of the next mark between words.
    pub(crate) fn see_mark(&mut self, mark: char, opens: bool) {
        let is_quote = matches!(mark, '《' | '「' | '『' | '“') || (mark == '"' && opens);
        self.signs.quotes += u8::from(is_quote && self.signs.quotes < MAX_COUNTED);
        if matches!(mark, ',' | ';' | ':' | '.' | '!' | '?' | '，' | '；' | '：' | '—' | '、') {
            // What comes before it is no subject of what follows.
            self.previous = [Cues::default(); 2];
            if !matches!(mark, '.' | '!' | '?') {
                self.has_order_before = self.signs.has(Cues::PROHIBITION);
                self.n_words_behind = 0;
            }
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
        reader.end()
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
            "I can't come.",
            "I always ask.",
            "特别好。",
            "别人来了。",
            "可不可以来",
            "That must be a joy.",
            "You must be very proud.",
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
