//! The words of a history as small numbers, with how many messages hold each: what idf and BM25 are computed from.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use super::cues::{Cues, stem};

/// Number of a term, in order of first occurrence, so that nothing depends on the hasher's seed.
pub(crate) type TermId = u32;

/// What a word of the text stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meaning {
    /// Its stem's number; none for a stop word.
    pub(crate) term: Option<TermId>,
    /// What kind of fact it points to.
    pub(crate) cues: Cues,
}

/// Every distinct word met so far. Memory: about 40 bytes and the word's own a distinct word.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    words: Vec<Surface>,
    letters: Vec<u8>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// What is told of each term by its number: `NO_FACT` and `NO_TOPIC`.
    kinds: Vec<Cues>,
}

#[derive(Debug, Clone, Copy)]
struct Surface {
    /// Where the word starts in `letters`; it ends where the next one starts.
    start: usize,
    /// Its stem's number.
    term: TermId,
    cues: Cues,
}

fn letters_of<'t>(words: &[Surface], letters: &'t [u8], surface: u32) -> &'t [u8] {
    let i = surface as usize;
    let end = words.get(i + 1).map_or(letters.len(), |next| next.start);
    &letters[words[i].start..end]
}

impl Terms {
    /// What `word` (lower case) stands for; a new word gets the next number.
    pub(crate) fn learn(&mut self, word: &[u8]) -> Meaning {
        let surface = self.find(word).unwrap_or_else(|| self.add(word));
        self.meaning(surface)
    }

    /// What `word` stands for if the history knows it or a stem of it.
    pub(crate) fn look_up(&self, word: &[u8]) -> Option<Meaning> {
        if let Some(surface) = self.find(word) {
            return Some(self.meaning(surface));
        }
        let text = std::str::from_utf8(word).ok()?;
        let stem = stem(text);
        if stem == text || Cues::of(text).has(Cues::STOP) { None } else { self.look_up(stem.as_bytes()) }
    }

    fn find(&self, word: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(word);
        self.table.find(hash, |&i| letters_of(&self.words, &self.letters, i) == word).copied()
    }

    fn meaning(&self, surface: u32) -> Meaning {
        let Surface { term, cues, .. } = self.words[surface as usize];
        Meaning { term: (!cues.has(Cues::STOP)).then_some(term), cues }
    }

    fn add(&mut self, word: &[u8]) -> u32 {
        let text = std::str::from_utf8(word).unwrap_or_default();
        let stem = stem(text);
        let term = if stem.len() == text.len() {
            self.new_term(text)
        } else {
            // The stem is a word of its own, so that any inflection finds the same number.
            let surface = self.find(stem.as_bytes()).unwrap_or_else(|| self.add(stem.as_bytes()));
            self.words[surface as usize].term
        };
        self.insert(word, term, Cues::of(text))
    }

    fn new_term(&mut self, stem: &str) -> TermId {
        let term = u32::try_from(self.kinds.len()).expect("there are no more terms than distinct words");
        self.kinds.push(Cues::of(stem));
        term
    }

    fn insert(&mut self, word: &[u8], term: TermId, cues: Cues) -> u32 {
        let surface =
            u32::try_from(self.words.len()).expect("4 * 10^9 distinct words need more memory than a machine has");
        self.words.push(Surface { start: self.letters.len(), term, cues });
        self.letters.extend_from_slice(word);
        let (words, letters, hasher) = (&self.words, &self.letters, &self.hasher);
        self.table.insert_unique(hasher.hash_one(word), surface, |&i| hasher.hash_one(letters_of(words, letters, i)));
        surface
    }

    /// Gives the terms that begin like one of `stems`, each with that stem's place: of English words at least four letters, and three
    /// quarters of the longer word.
    ///
    /// Cost: O(distinct words), nearly all told apart by their first four letters.
    pub(crate) fn each_relative(&self, stems: &[&str], mut found: impl FnMut(usize, TermId)) {
        let is_english = |word: &[u8]| word.iter().all(u8::is_ascii_lowercase);
        let first_four = |word: &[u8]| word.first_chunk::<4>().copied();
        let bit = |letters: [u8; 4]| 1_u64 << (u32::from_le_bytes(letters).wrapping_mul(0x9E37_79B1) >> 26);
        let stems: Vec<(usize, &[u8])> =
            stems.iter().map(|stem| stem.as_bytes()).enumerate().filter(|(_, stem)| is_english(stem)).collect();
        let bits = stems.iter().filter_map(|(_, stem)| first_four(stem)).fold(0, |bits, four| bits | bit(four));
        if bits == 0 {
            return;
        }
        for (surface, &Surface { start, term, cues }) in (0_u32..).zip(&self.words) {
            // May reach into the next word: then the words differ in what follows.
            let Some(four) = first_four(&self.letters[start..]) else { break };
            if bits & bit(four) == 0 || cues.has(Cues::STOP) {
                continue;
            }
            let word = letters_of(&self.words, &self.letters, surface);
            let is_stem = std::str::from_utf8(word).is_ok_and(|text| stem(text).len() == text.len());
            for &(at, stem) in stems.iter().filter(|_| is_stem && is_english(word)) {
                let n = stem.iter().zip(word).take_while(|(a, b)| a == b).count();
                if n >= 4 && 4 * n >= 3 * word.len().max(stem.len()) {
                    found(at, term);
                }
            }
        }
    }

    /// Numbers given so far: every [`TermId`] is below it.
    pub(crate) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// What is told of each term, by its number.
    pub(crate) fn kinds(&self) -> &[Cues] {
        &self.kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflections_share_a_number_in_any_order() {
        let mut terms = Terms::default();
        let first = terms.learn(b"booked").term;
        assert_eq!(terms.learn(b"book").term, first);
        assert_eq!(terms.learn(b"bookings").term, terms.learn(b"bookings").term);
        assert_eq!(terms.look_up(b"booking").map(|m| m.term), Some(first));
    }

    #[test]
    fn stop_words_are_no_terms_but_keep_their_cues() {
        let mut terms = Terms::default();
        let me = terms.learn(b"my");
        assert!(me.term.is_none() && me.cues.has(Cues::FIRST_PERSON));
        assert!(terms.look_up(b"unheard").is_none());
    }

    #[test]
    fn numbers_follow_first_occurrence_not_the_seed() {
        let learn = || {
            let mut terms = Terms::default();
            ["lantern", "river", "lantern", "moved", "move"].map(|w| terms.learn(w.as_bytes()).term)
        };
        assert_eq!(learn(), learn());
        assert_eq!(learn()[3], learn()[4]);
    }
}
