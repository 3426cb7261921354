//! What selection remembers of each message: its pieces, their terms with counts, their form. Filled at append, so that choosing
//! a window reads numbers only.

use std::ops::Range;

use super::facts::Signs;
use super::pieces::{Form, Piece, Pieces};
use super::terms::{TermId, Terms};
use super::words::{Reader, Word, read};
use crate::message::{Message, Part};
use crate::tokens::slices::SliceTokens;

/// One message as selection sees it.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    /// Its pieces, by their number in the history.
    pub(crate) pieces: Range<usize>,
    /// How it may be cut. A message of the form `Whole` may have pieces too: they say what it is worth.
    pub(crate) form: Form,
    /// Terms in all, repeats included.
    pub(crate) n_words: u32,
    /// First word of the speaker's name.
    pub(crate) speaker: Option<TermId>,
}

/// The terms of a piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Postings<'a> {
    /// Distinct terms, in order of first occurrence.
    pub(crate) terms: &'a [TermId],
    /// How often each of `terms` occurs in the piece, capped at [`MAX_COUNT`], with [`REPEATED`].
    pub(crate) counts: &'a [u8],
}

/// Marks a term that an earlier piece of the same message holds too.
pub(crate) const REPEATED: u8 = 0x80;
/// Occurrences beyond this many are not counted.
pub(crate) const MAX_COUNT: u8 = 0x7F;

/// The documents of a history and what is known of its terms.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    terms: Terms,
    known: Vec<Known>,
    /// The distinct terms of all pieces, one piece after the other.
    postings: Vec<TermId>,
    counts: Vec<u8>,
    pieces: Vec<StoredPiece>,
    documents: Vec<Stored>,
    n_words: u64,
}

/// What is known of a term.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Messages that hold it.
    messages: u32,
    /// How often it occurs in all.
    occurrences: u32,
    /// Its newest posting.
    last_posting: usize,
}

#[derive(Debug, Clone, Copy)]
struct StoredPiece {
    place: Piece,
    signs: Signs,
    postings_end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    pieces_end: usize,
    form: Form,
    n_words: u32,
    speaker: Option<TermId>,
}

/// The part number of the piece that stands for a message's calls and refusal, which are never cut.
const NO_PART: u32 = u32::MAX;

impl Digest {
    /// Reads a message's words. Cost: O(bytes).
    pub(crate) fn push(&mut self, message: &Message, pieces: &Pieces) {
        let first_posting = self.postings.len();
        let mut n_words = 0;
        for (place, i) in pieces.list.iter().zip(0_u32..) {
            let Some(Part::Text(text)) = message.parts.get(place.part as usize) else { continue };
            let text = &text[place.range()];
            let mut reading = Reading::new(self, first_posting);
            read(text, &mut reading);
            n_words += reading.n_words;
            let signs = reading.signs.of(text, i == 0);
            self.end_piece(*place, signs);
        }
        if message.refusal.is_some() || !message.tool_calls.is_empty() {
            let mut reading = Reading::new(self, first_posting);
            if let Some(refusal) = &message.refusal {
                read(refusal, &mut reading);
            }
            for call in &message.tool_calls {
                read(&call.name, &mut reading);
                read(&call.arguments, &mut reading);
            }
            n_words += reading.n_words;
            self.end_piece(Piece { part: NO_PART, start: 0, end: 0, tokens: SliceTokens::default() }, Signs::default());
        }
        let speaker = message.name.as_deref().and_then(|name| self.first_term(name));
        self.n_words += u64::from(n_words);
        self.documents.push(Stored { pieces_end: self.pieces.len(), form: pieces.form, n_words, speaker });
    }

    fn end_piece(&mut self, place: Piece, signs: Signs) {
        self.pieces.push(StoredPiece { place, signs, postings_end: self.postings.len() });
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

    /// Takes note of one more occurrence of a term in the piece that is being read, of the message whose postings begin at
    /// `first_posting`.
    fn count(&mut self, term: TermId, first_posting: usize) {
        if term as usize >= self.known.len() {
            self.known.resize(self.terms.len(), Known::default());
        }
        let piece_start = self.pieces.last().map_or(0, |last| last.postings_end);
        let known = &mut self.known[term as usize];
        let is_known = known.occurrences > 0;
        known.occurrences = known.occurrences.saturating_add(1);
        if is_known && known.last_posting >= piece_start {
            let count = &mut self.counts[known.last_posting];
            *count += u8::from(*count & MAX_COUNT < MAX_COUNT);
        } else {
            let is_repeated = is_known && known.last_posting >= first_posting;
            known.messages += u32::from(!is_repeated);
            known.last_posting = self.postings.len();
            self.postings.push(term);
            self.counts.push(1 | if is_repeated { REPEATED } else { 0 });
        }
    }

    /// Message `i`.
    pub(crate) fn document(&self, i: usize) -> Document {
        let Stored { pieces_end, form, n_words, speaker } = self.documents[i];
        let start = if i == 0 { 0 } else { self.documents[i - 1].pieces_end };
        Document { pieces: start..pieces_end, form, n_words, speaker }
    }

    /// Place and tokens of piece `p`; none for one that stands for calls or a refusal.
    pub(crate) fn place(&self, p: usize) -> Option<&Piece> {
        Some(&self.pieces[p].place).filter(|place| place.part != NO_PART)
    }

    /// What piece `p` looks like.
    pub(crate) fn signs(&self, p: usize) -> Signs {
        self.pieces[p].signs
    }

    /// The terms of piece `p`.
    pub(crate) fn postings(&self, p: usize) -> Postings<'_> {
        let start = if p == 0 { 0 } else { self.pieces[p - 1].postings_end };
        let end = self.pieces[p].postings_end;
        Postings { terms: &self.postings[start..end], counts: &self.counts[start..end] }
    }

    /// Messages read so far.
    pub(crate) fn len(&self) -> usize {
        self.documents.len()
    }

    /// Pieces read so far.
    pub(crate) fn n_pieces(&self) -> usize {
        self.pieces.len()
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

    /// For each term, how much of the talk it carries: `ln(occurrences) * idf`.
    #[expect(clippy::cast_precision_loss, reason = "a count needs no more than 24 bits")]
    pub(crate) fn topic(&self, idf: &[f32]) -> Vec<f32> {
        let weight = |(known, idf): (&Known, &f32)| (known.occurrences.max(1) as f32).ln() * idf;
        self.known.iter().zip(idf).map(weight).collect()
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

/// A piece on its way into the digest.
struct Reading<'d> {
    digest: &'d mut Digest,
    signs: Signs,
    n_words: u32,
    /// Where the postings of its message begin.
    first_posting: usize,
}

impl<'d> Reading<'d> {
    fn new(digest: &'d mut Digest, first_posting: usize) -> Self {
        Self { digest, signs: Signs::default(), n_words: 0, first_posting }
    }
}

impl Reader for Reading<'_> {
    fn word(&mut self, lower: &[u8], how: Word) {
        let meaning = self.digest.terms.learn(lower);
        if let Some(term) = meaning.term {
            self.n_words = self.n_words.saturating_add(1);
            self.digest.count(term, self.first_posting);
        }
        self.signs.see_word(meaning.cues, how);
    }

    fn mark(&mut self, mark: char, opens: bool) {
        self.signs.see_mark(mark, opens);
    }
}
