//! The vocabulary of the gate as one table: what a word or phrase does in a question.

use std::ops::BitOr;
use std::sync::OnceLock;

use hashbrown::HashMap;

use super::stems::stem;
use super::{chinese, english};

/// What a text asks for: a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Ask(u8);

impl Ask {
    pub(super) const WHY: Self = Self(1);
    pub(super) const WHEN: Self = Self(1 << 1);
    pub(super) const WHERE: Self = Self(1 << 2);
    pub(super) const WHO: Self = Self(1 << 3);
    pub(super) const MANY: Self = Self(1 << 4);
    pub(super) const HOW: Self = Self(1 << 5);
    pub(super) const WHAT: Self = Self(1 << 6);
    /// Which place something is: what, told that it is a place.
    pub(super) const PLACE: Self = Self(1 << 7);
    /// Also open a subordinate clause in English.
    pub(super) const RELATIVE: Self = Self(Self::WHEN.0 | Self::WHERE.0 | Self::WHO.0);

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Ask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How much of something is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    All,
    Some,
    Most,
    Only,
    AtLeast,
    AtMost,
    EveryOther,
}

/// Duty or permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Modal {
    Must,
    May,
}

/// What the words of a list do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    /// Grammar and politeness: may come and go.
    Filler,
    /// As a filler, and tells that how something is done is asked for.
    Way,
    /// As a filler, but for its opposite.
    Particle,
    Negation,
    Ask(Ask),
    /// Content that tells what is asked for too: "the reason" is why.
    Cue(Ask),
    Quantity(Quantity),
    Modal(Modal),
    /// Puts what follows it in a relation to the rest.
    Marker,
    /// Who speaks, who is spoken to, and of whom is spoken.
    Me,
    You,
    Him,
    Her,
    Them,
    Number,
    Content,
}

impl List {
    pub(super) fn is_person(self) -> bool {
        matches!(self, Self::Me | Self::You | Self::Him | Self::Her | Self::Them)
    }
}

/// A known word or phrase.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) list: List,
    /// The first of the words that say the same, or the number.
    pub(super) key: String,
    /// Its place among opposites: which line, which side.
    pub(super) poles: Vec<(u16, bool)>,
}

/// The longest phrase, in English words and in Chinese characters.
pub(super) const MAX_PHRASE: usize = 4;

/// What is known of a word or phrase in lower case, with single blanks.
pub(super) fn entry(phrase: &str) -> Option<&'static Entry> {
    static TABLE: OnceLock<HashMap<String, Entry>> = OnceLock::new();
    TABLE.get_or_init(table).get(phrase)
}

fn table() -> HashMap<String, Entry> {
    let mut table = HashMap::new();
    let spaced = |word: &str| word.replace('_', " ");
    for group in english::SAME.lines().chain(chinese::SAME.lines()) {
        let first = group.split_whitespace().next().map(spaced);
        for word in group.split_whitespace().map(spaced) {
            let key = first.clone().expect("the group has a word");
            table.entry(word).or_insert(Entry { list: List::Content, key, poles: Vec::new() });
        }
    }
    let own = |word: &str| Entry { list: List::Content, key: word.to_owned(), poles: Vec::new() };
    let lines = english::OPPOSITE.lines().chain(chinese::OPPOSITE.lines()).filter(|line| !line.is_empty());
    for (id, line) in (0..).zip(lines) {
        for (side, words) in [false, true].into_iter().zip(line.split('|')) {
            for word in words.split_whitespace().map(spaced) {
                table.entry_ref(&word).or_insert_with(|| own(&word)).poles.push((id, side));
            }
        }
    }
    // Later lists win where a word is in two.
    for &(list, words) in english::LISTS.iter().chain(chinese::LISTS) {
        let first = words.split_whitespace().next().map(spaced);
        for word in words.split_whitespace() {
            let (word, number) = word.split_once('=').map_or((word, None), |(word, number)| (word, Some(number)));
            let word = spaced(word);
            let entry = table.entry_ref(&word).or_insert_with(|| own(&word));
            entry.list = list;
            if let Some(number) = number {
                number.clone_into(&mut entry.key);
            }
            if let Some(person) = first.as_ref().filter(|_| list.is_person()) {
                person.clone_into(&mut entry.key);
            }
        }
    }
    // Other forms of a word are known too.
    let mut forms: Vec<(String, Entry)> = table
        .iter()
        .filter(|(word, entry)| matches!(entry.list, List::Content | List::Cue(_)) && *stem(word) != **word)
        .map(|(word, entry)| (word.clone(), entry.clone()))
        .collect();
    // Where two words have one stem, the first by the alphabet has it: the same in every process.
    forms.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    for (word, entry) in forms {
        table.entry_ref(&*stem(&word)).or_insert(entry);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_no_longer_than_is_looked_for() {
        for phrase in table().keys() {
            let n = if phrase.is_ascii() { phrase.split(' ').count() } else { 0 };
            assert!(n <= MAX_PHRASE, "{phrase}");
            assert!(phrase.is_ascii() || phrase.chars().count() <= super::super::reading::MAX_HAN_PHRASE, "{phrase}");
        }
    }

    #[test]
    fn opposites_have_two_sides() {
        for line in english::OPPOSITE.lines().chain(chinese::OPPOSITE.lines()).filter(|line| !line.is_empty()) {
            assert_eq!(line.split('|').count(), 2, "{line}");
        }
    }
}
