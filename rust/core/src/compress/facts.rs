//! How much a message looks like something a later question will ask for, from its form alone.

use super::cues::Cues;
use super::words::Word;

/// What is seen of a message while it is read.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    cues: Cues,
    /// Whether the first word opens small talk; unknown before it.
    opens_politely: Option<bool>,
    has_number: bool,
    names: u8,
    quotes: u8,
    in_sentence: bool,
    sentences: u32,
    questions: u32,
}

/// Names and quotes beyond this many add nothing.
const MAX_COUNTED: u8 = 3;

impl Signs {
    /// Takes note of the next word.
    pub(crate) fn see_word(&mut self, cues: Cues, how: Word) {
        self.opens_politely.get_or_insert(cues.has(Cues::PLEASANTRY));
        self.in_sentence = true;
        self.cues.add(cues);
        self.has_number |= how.has_digit;
        self.names += u8::from(how.is_name && self.names < MAX_COUNTED);
    }

    /// Takes note of the next mark between words.
    pub(crate) fn see_mark(&mut self, mark: char, opens: bool) {
        match mark {
            '?' | '？' => self.end_sentence(true),
            '.' | '!' | '\n' | '。' | '！' | '；' => self.end_sentence(false),
            '《' | '「' | '『' | '“' => self.quotes = self.quotes.saturating_add(1),
            '"' if opens => self.quotes = self.quotes.saturating_add(1),
            _ => {}
        }
    }

    /// Takes note of the end of a sentence, a text's end included.
    pub(crate) fn end_sentence(&mut self, is_question: bool) {
        if self.in_sentence {
            self.sentences = self.sentences.saturating_add(1);
            self.questions = self.questions.saturating_add(u32::from(is_question));
            self.in_sentence = false;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 24 bits")]
    fn question_share(&self) -> f32 {
        if self.sentences == 0 { 0.0 } else { self.questions as f32 / self.sentences as f32 }
    }

    /// The factor by which the message's information counts, around 1.
    ///
    /// Source: the fact features and weights measured on development data of four registers (docs/history.md, "What is
    /// kept"), as factors instead of exponents so that no platform's `exp` enters.
    pub(crate) fn weight(&self) -> f32 {
        let mut weight = 1.0 - 0.7 * self.question_share();
        let mut times = |condition: bool, factor: f32| {
            if condition {
                weight *= factor;
            }
        };
        times(self.opens_politely == Some(true), 0.75);
        times(self.cues.has(Cues::SECOND_PERSON) && !self.cues.has(Cues::FIRST_PERSON), 0.6);
        times(self.has_number || self.cues.has(Cues::QUANTITY), 1.4);
        times(self.cues.has(Cues::TIME), 1.4);
        times(self.cues.has(Cues::EVENT), 1.2);
        times(self.cues.has(Cues::FIRST_PERSON), 1.35);
        times(self.cues.has(Cues::PREFERENCE), 1.2);
        for n in 0..MAX_COUNTED {
            times(n < self.names, 1.2);
            times(n < self.quotes, 1.5);
        }
        weight
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::{Reader, read};
    use super::*;

    impl Reader for Signs {
        fn word(&mut self, lower: &[u8], how: Word) {
            self.see_word(Cues::of(std::str::from_utf8(lower).unwrap()), how);
        }

        fn mark(&mut self, mark: char, opens: bool) {
            self.see_mark(mark, opens);
        }
    }

    fn signs(text: &str) -> Signs {
        let mut signs = Signs::default();
        read(text, &mut signs);
        signs.end_sentence(false);
        signs
    }

    #[test]
    fn counts_sentences_and_questions_in_both_languages() {
        let english = signs("Hi there! Where is \"it\"? It is 3.5 km away");
        assert_eq!((english.sentences, english.questions, english.quotes), (4, 1, 1));
        let chinese = signs("你好。在哪里？《红楼梦》很好");
        assert_eq!((chinese.sentences, chinese.questions, chinese.quotes), (3, 1, 1));
    }

    #[test]
    fn text_without_words_asks_nothing() {
        for text in ["", "?", "?!?", "。？"] {
            assert!(signs(text).question_share().abs() < f32::EPSILON);
        }
    }

    #[test]
    fn facts_weigh_more_than_questions_and_greetings() {
        assert!(signs("I bought 3 lanterns in Oslo yesterday.").weight() > 2.0);
        assert!(signs("我昨天买了三个灯笼。").weight() > 2.0);
        assert!(signs("Hey! How are you?").weight() < 0.6);
        assert!(signs("你好，你在哪里？").weight() < 0.6);
    }
}
