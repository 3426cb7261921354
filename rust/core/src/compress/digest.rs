//! What selection remembers of each message: its terms with their counts, its length, its form. Filled at append, so that
//! choosing a window reads numbers only.

use super::facts::Signs;
use super::terms::{TermId, Terms};
use super::words::{Reader, Word, read};
use crate::message::Message;

/// One message as selection sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Document<'a> {
    /// Distinct terms, in order of first occurrence.
    pub(crate) terms: &'a [TermId],
    /// How often each of `terms` occurs, capped at 255.
    pub(crate) counts: &'a [u8],
    /// Terms in all, repeats included.
    pub(crate) n_words: u32,
    /// See [`Signs::weight`].
    pub(crate) fact_weight: f32,
    /// First word of the speaker's name.
    pub(crate) speaker: Option<TermId>,
}

/// The documents of a history and what is known of its terms.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    terms: Terms,
    known: Vec<Known>,
    /// The distinct terms of all messages, one message after the other.
    postings: Vec<TermId>,
    /// For each posting, how often the term occurs in its message, capped at 255.
    counts: Vec<u8>,
    documents: Vec<Stored>,
    n_words: u64,
}

/// What is known of a term.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Messages that hold it.
    messages: u32,
    /// Its newest posting.
    last_posting: usize,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    end: usize,
    n_words: u32,
    fact_weight: f32,
    speaker: Option<TermId>,
}

impl Digest {
    /// Reads a message's words. Cost: O(bytes).
    pub(crate) fn push(&mut self, message: &Message) {
        let mut reading = Reading { digest: self, signs: Signs::default(), n_words: 0, is_speech: true };
        for text in message.texts() {
            read(text, &mut reading);
            reading.signs.end_sentence(false);
        }
        reading.is_speech = false;
        for call in &message.tool_calls {
            read(&call.name, &mut reading);
            read(&call.arguments, &mut reading);
        }
        let Reading { signs, n_words, .. } = reading;
        let speaker = message.name.as_deref().and_then(|name| self.first_term(name));
        self.n_words += u64::from(n_words);
        self.documents.push(Stored { end: self.postings.len(), n_words, fact_weight: signs.weight(), speaker });
    }

    fn first_term(&mut self, name: &str) -> Option<TermId> {
        let mut first = None;
        read(name, &mut |word: &[u8], _: Word| {
            if first.is_none() {
                first = self.terms.learn(word).term;
            }
        });
        self.known.resize(self.terms.len(), Known::default());
        first
    }

    /// Takes note of one more occurrence of a term in the message that is being read.
    fn count(&mut self, term: TermId) {
        let first_posting = self.documents.last().map_or(0, |last| last.end);
        if term as usize >= self.known.len() {
            self.known.resize(self.terms.len(), Known::default());
        }
        let known = &mut self.known[term as usize];
        if known.messages > 0 && known.last_posting >= first_posting {
            let count = &mut self.counts[known.last_posting];
            *count = count.saturating_add(1);
        } else {
            *known = Known { messages: known.messages + 1, last_posting: self.postings.len() };
            self.postings.push(term);
            self.counts.push(1);
        }
    }

    /// Message `i`.
    pub(crate) fn document(&self, i: usize) -> Document<'_> {
        let Stored { end, n_words, fact_weight, speaker } = self.documents[i];
        let start = if i == 0 { 0 } else { self.documents[i - 1].end };
        Document { terms: &self.postings[start..end], counts: &self.counts[start..end], n_words, fact_weight, speaker }
    }

    /// Messages read so far.
    pub(crate) fn len(&self) -> usize {
        self.documents.len()
    }

    /// Words of an average message, repeats included.
    #[expect(clippy::cast_precision_loss, reason = "an average needs no more than 24 bits")]
    pub(crate) fn mean_words(&self) -> f32 {
        self.n_words as f32 / self.documents.len().max(1) as f32
    }

    /// For each term, how telling it is: `ln(1 + (n - df + 0.5) / (df + 0.5))`.
    ///
    /// Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3; the 1 under
    /// the logarithm, as Lucene has it, keeps it positive. Cost: one logarithm for each distinct df.
    #[expect(clippy::cast_possible_truncation, reason = "f32 absorbs the last bit in which platforms' `ln` differ")]
    #[expect(clippy::cast_precision_loss, reason = "a count of messages is far below 2^52")]
    pub(crate) fn idf(&self) -> Vec<f32> {
        let n = self.documents.len() as f64;
        let mut by_count: Vec<f32> = Vec::new();
        let mut idf = Vec::with_capacity(self.known.len());
        for &Known { messages: df, .. } in &self.known {
            let slot = df as usize;
            if slot >= by_count.len() {
                by_count.resize(slot + 1, f32::NAN);
            }
            if by_count[slot].is_nan() {
                let df = f64::from(df);
                by_count[slot] = (1.0 + (n - df + 0.5) / (df + 0.5)).ln() as f32;
            }
            idf.push(by_count[slot]);
        }
        idf
    }

    /// The distinct known terms of a query, ascending.
    pub(crate) fn query_terms(&self, query: &str) -> Vec<TermId> {
        let mut found = Vec::new();
        read(query, &mut |word: &[u8], _: Word| {
            found.extend(self.terms.look_up(word).and_then(|meaning| meaning.term));
        });
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// A message on its way into the digest.
struct Reading<'d> {
    digest: &'d mut Digest,
    signs: Signs,
    n_words: u32,
    /// Whether the text is somebody's speech; arguments of a call are not.
    is_speech: bool,
}

impl Reader for Reading<'_> {
    fn word(&mut self, lower: &[u8], how: Word) {
        let meaning = self.digest.terms.learn(lower);
        if let Some(term) = meaning.term {
            self.n_words = self.n_words.saturating_add(1);
            self.digest.count(term);
        }
        if self.is_speech {
            self.signs.see_word(meaning.cues, how);
        }
    }

    fn mark(&mut self, mark: char, opens: bool) {
        if self.is_speech {
            self.signs.see_mark(mark, opens);
        }
    }
}
