//! What selection remembers of each message: its pieces, their terms with counts, their form. Filled at append, so that choosing
//! a window reads numbers only.

use std::ops::Range;

use hashbrown::HashMap;

use super::ablation::{Signal, is_on};
use super::cues::Cues;
use super::facts::{Looks, SignReader, Signs, asks};
use super::math::ln;
use super::pieces::{Form, Piece, Pieces};
use super::terms::{TermId, Terms};
use super::words::{Reader, Word, read};
use crate::message::{Message, Part, Role};
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
    /// Who speaks, by name or else by role; none where nobody does: instructions, tools, and calls of them.
    pub(crate) speaker: Option<u32>,
    /// First word of the speaker's name.
    pub(crate) name: Option<TermId>,
    /// Tokens of the speaker's name where the text begins with it.
    pub(crate) label_tokens: u32,
    /// Tokens of its text.
    pub(crate) tokens: u32,
    /// Whether a user says it.
    pub(crate) is_user: bool,
    /// Whether it is a tool's result.
    pub(crate) is_result: bool,
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
    /// Numbers of those who speak.
    speakers: HashMap<String, u32>,
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
    /// The newest message that holds it.
    last_message: u32,
    /// Whether it is of the name of somebody who speaks.
    is_speaker: bool,
}

#[derive(Debug, Clone, Copy)]
struct StoredPiece {
    place: Piece,
    looks: Looks,
    postings_end: usize,
    /// A hash of its set of terms; 0 for none.
    same: u32,
}

#[derive(Debug, Clone, Copy)]
struct Stored {
    pieces_end: usize,
    form: Form,
    n_words: u32,
    speaker: Option<u32>,
    name: Option<TermId>,
    label_tokens: u32,
    tokens: u32,
    is_user: bool,
    is_result: bool,
}

/// A term said no longer ago than this many messages is an echo.
const ECHO_MESSAGES: u32 = 10;

/// Occurrences beyond this many make a term no more of a topic.
const MAX_OCCURRENCES: u32 = 1 << 16;

/// The part number of the piece that stands for a message's calls and refusal, which are never cut.
const NO_PART: u32 = u32::MAX;

impl Digest {
    /// Reads a message's words. Cost: O(bytes).
    pub(crate) fn push(&mut self, message: &Message, pieces: &Pieces) {
        let name = message.name.as_deref().and_then(|name| self.learn_speaker(name));
        let is_answer = self.documents.last().is_some_and(|last| {
            let start = self.documents.len().checked_sub(2).map_or(0, |before| self.documents[before].pieces_end);
            last.pieces_end > start && self.pieces[last.pieces_end - 1].looks.is_question
        });
        let first_posting = self.postings.len();
        let mut n_words = 0;
        for (i, place) in pieces.list.iter().enumerate() {
            let Some(Part::Text(text)) = message.parts.get(place.part as usize) else { continue };
            let mut text = &text[place.range()];
            if i == 0 {
                text = text.get(pieces.label_bytes..).unwrap_or(text);
            }
            let mut reading = Reading::new(self, first_posting);
            reading.is_data = pieces.form == Form::Json;
            read(text, &mut reading);
            n_words += reading.n_words;
            let (mut signs, same) = reading.end();
            let mut add = |holds: bool, cue: Cues| {
                if holds {
                    signs.add(cue);
                }
            };
            add(asks(text), Cues::QUESTION);
            add(i == 0, Cues::FIRST_SENTENCE);
            add(i > 0 && i + 1 == pieces.list.len(), Cues::LAST_SENTENCE);
            add(is_answer && is_on(Signal::Answer), Cues::ANSWER);
            self.end_piece(*place, Looks::of(signs), same);
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
            let place = Piece { part: NO_PART, start: 0, end: 0, tokens: SliceTokens::default() };
            self.end_piece(place, Looks::default(), 0);
        }
        let is_speech = matches!(message.role, Role::User | Role::Assistant) && message.tool_calls.is_empty();
        let speaker = is_speech.then(|| self.speaker(message.name.as_deref().unwrap_or(message.role.as_str())));
        self.n_words += u64::from(n_words);
        let pieces_end = self.pieces.len();
        let is_user = message.role == Role::User;
        let is_result = message.role == Role::Tool;
        let Pieces { form, label_tokens, .. } = *pieces;
        let tokens = pieces.list.iter().map(|piece| piece.tokens.inner + piece.tokens.join).sum();
        self.documents.push(Stored {
            pieces_end,
            form,
            n_words,
            speaker,
            name,
            label_tokens,
            tokens,
            is_user,
            is_result,
        });
    }

    fn end_piece(&mut self, place: Piece, looks: Looks, same: u32) {
        self.pieces.push(StoredPiece { place, looks, postings_end: self.postings.len(), same });
    }

    fn speaker(&mut self, name: &str) -> u32 {
        if let Some(&speaker) = self.speakers.get(name) {
            return speaker;
        }
        let speaker = u32::try_from(self.speakers.len()).expect("there are no more speakers than messages");
        self.speakers.insert(name.to_owned(), speaker);
        speaker
    }

    /// The first word of a speaker's name; all its words are no names of others from here on.
    fn learn_speaker(&mut self, name: &str) -> Option<TermId> {
        let mut first = None;
        read(name, &mut |word: &[u8], _: Word| {
            if let Some(term) = self.terms.learn(word).term {
                first.get_or_insert(term);
                self.known.resize(self.terms.len(), Known::default());
                self.known[term as usize].is_speaker = true;
            }
        });
        self.known.resize(self.terms.len(), Known::default());
        first
    }

    /// Takes note of one more occurrence of a term in the piece that is being read, of the message whose postings begin at
    /// `first_posting`; tells whether it is new to the piece, and then whether it was said shortly before.
    fn count(&mut self, term: TermId, first_posting: usize) -> (bool, bool) {
        if term as usize >= self.known.len() {
            self.known.resize(self.terms.len(), Known::default());
        }
        let piece_start = self.pieces.last().map_or(0, |last| last.postings_end);
        let message = u32::try_from(self.documents.len()).unwrap_or(u32::MAX);
        let known = &mut self.known[term as usize];
        let is_known = known.occurrences > 0;
        known.occurrences = known.occurrences.saturating_add(1);
        if is_known && known.last_posting >= piece_start {
            let count = &mut self.counts[known.last_posting];
            *count += u8::from(*count & MAX_COUNT < MAX_COUNT);
            return (false, false);
        }
        let is_echo = is_known && message - known.last_message <= ECHO_MESSAGES;
        let is_repeated = is_known && known.last_posting >= first_posting;
        known.messages += u32::from(!is_repeated);
        known.last_posting = self.postings.len();
        known.last_message = message;
        self.postings.push(term);
        self.counts.push(1 | if is_repeated { REPEATED } else { 0 });
        (true, is_echo)
    }

    /// Message `i`.
    pub(crate) fn document(&self, i: usize) -> Document {
        let Stored { pieces_end, form, n_words, speaker, name, label_tokens, tokens, is_user, is_result } =
            self.documents[i];
        let start = if i == 0 { 0 } else { self.documents[i - 1].pieces_end };
        Document { pieces: start..pieces_end, form, n_words, speaker, name, label_tokens, tokens, is_user, is_result }
    }

    /// Place and tokens of piece `p`; none for one that stands for calls or a refusal.
    pub(crate) fn place(&self, p: usize) -> Option<&Piece> {
        Some(&self.pieces[p].place).filter(|place| place.part != NO_PART)
    }

    /// What piece `p` looks like.
    pub(crate) fn looks(&self, p: usize) -> Looks {
        self.pieces[p].looks
    }

    /// The terms of piece `p`.
    pub(crate) fn postings(&self, p: usize) -> Postings<'_> {
        self.postings_of(p..p + 1)
    }

    /// The terms of neighbouring pieces, one after the other.
    pub(crate) fn postings_of(&self, pieces: Range<usize>) -> Postings<'_> {
        let end_of = |pieces: usize| if pieces == 0 { 0 } else { self.pieces[pieces - 1].postings_end };
        let range = end_of(pieces.start)..end_of(pieces.end);
        Postings { terms: &self.postings[range.clone()], counts: &self.counts[range] }
    }

    /// A hash of the terms of piece `p`, the same for pieces that say the same; 0 for a piece without terms.
    pub(crate) fn same(&self, p: usize) -> u32 {
        self.pieces[p].same
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

    /// For each term, how much of a fact it may be, and how much of the talk it carries: `idf` but for words too vague to be a fact, and
    /// `ln(occurrences) * idf` but for words too common to be a topic.
    #[expect(clippy::cast_precision_loss, reason = "a count needs no more than 24 bits")]
    pub(crate) fn term_weights(&self, idf: &[f32]) -> Vec<[f32; 2]> {
        let mut by_count: Vec<f32> = Vec::new();
        let mut ln_of = |n: u32| {
            let slot = n.min(MAX_OCCURRENCES) as usize;
            if slot >= by_count.len() {
                by_count.resize(slot + 1, f32::NAN);
            }
            if by_count[slot].is_nan() {
                by_count[slot] = ln(slot.max(1) as f32);
            }
            by_count[slot]
        };
        let weights = |((known, &idf), kind): ((&Known, &f32), &Cues)| {
            let kind = if is_on(Signal::VagueWords) { *kind } else { Cues::default() };
            let is_topic = !kind.has(Cues::NO_TOPIC);
            let is_fact = is_topic && !kind.has(Cues::NO_FACT);
            [if is_fact { idf } else { 0.0 }, if is_topic { ln_of(known.occurrences) * idf } else { 0.0 }]
        };
        self.known.iter().zip(idf).zip(self.terms.kinds()).map(weights).collect()
    }

    /// Messages that hold a term; none for one of stop words only.
    pub(crate) fn n_holding(&self, term: TermId) -> u32 {
        self.known.get(term as usize).map_or(0, |known| known.messages)
    }

    /// Whether a term is of the name of somebody who speaks.
    pub(crate) fn is_speaker(&self, term: TermId) -> bool {
        self.known.get(term as usize).is_some_and(|known| known.is_speaker)
    }

    /// The words of all messages.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }
}

/// A piece on its way into the digest.
struct Reading<'d> {
    digest: &'d mut Digest,
    signs: SignReader,
    n_words: u32,
    n_distinct: u32,
    n_echoes: u32,
    same: u32,
    /// Where the postings of its message begin.
    first_posting: usize,
    /// Whether it is data: its quotes mark no titles.
    is_data: bool,
}

impl<'d> Reading<'d> {
    fn new(digest: &'d mut Digest, first_posting: usize) -> Self {
        let signs = SignReader::default();
        Self { digest, signs, n_words: 0, n_distinct: 0, n_echoes: 0, same: 0, first_posting, is_data: false }
    }

    fn end(self) -> (Signs, u32) {
        let mut signs = self.signs.end();
        let echo = 255 * u64::from(self.n_echoes) / u64::from(self.n_distinct.max(1));
        signs.echo = u8::try_from(echo).unwrap_or(u8::MAX);
        (signs, self.same)
    }
}

impl Reader for Reading<'_> {
    fn word(&mut self, lower: &[u8], how: Word) {
        let meaning = self.digest.terms.learn(lower);
        let mut is_speaker = false;
        if let Some(term) = meaning.term {
            self.n_words = self.n_words.saturating_add(1);
            let (is_new, is_echo) = self.digest.count(term, self.first_posting);
            self.n_distinct += u32::from(is_new);
            self.n_echoes += u32::from(is_echo);
            if is_new {
                // Order does not matter, and no term counts as none.
                self.same = self
                    .same
                    .wrapping_add(term.wrapping_add(1).wrapping_mul(0x9E37_79B1).rotate_left(term % 31))
                    .max(1);
            }
            is_speaker = self.digest.known[term as usize].is_speaker;
        }
        let mut cues = meaning.cues;
        if let Some(term) = meaning.term {
            cues.add(self.digest.terms.kinds()[term as usize]);
        }
        self.signs.see_word(cues, how, is_speaker);
    }

    fn mark(&mut self, mark: char, opens: bool) {
        if !self.is_data {
            self.signs.see_mark(mark, opens);
        }
    }
}
