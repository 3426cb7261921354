//! What a query looks for in a history: its words as rows of terms, each with a weight.

use super::ablation::{Signal, is_on};
use super::cues::{Cues, stem};
use super::digest::{Digest, MAX_COUNT, Postings};
use super::math::ln;
use super::terms::TermId;
use super::words::{Word, read};

/// What a window is chosen for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'q> {
    pub(crate) text: &'q str,
    /// By message: cosine of its meaning with the query's, where an embedder told it. Messages past its end are not told.
    pub(crate) similarity: Option<&'q [f32]>,
}

impl<'q> From<&'q str> for Query<'q> {
    fn from(text: &'q str) -> Self {
        Self { text, similarity: None }
    }
}

/// Words that are looked for together, a row each.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// By term: what it is looked for as.
    rows: Vec<Row>,
    /// By row.
    pub(crate) weights: Vec<f32>,
    /// The message that asks: the newest user's, where it says nothing but the query. It answers nothing.
    pub(crate) asked_by: Option<usize>,
}

/// The row of a term, if it has one, and whether it is the word itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Row(u8);

impl Row {
    const NONE: Self = Self(u8::MAX);
    const RELATIVE: u8 = 0x80;
}

/// A query's rarest words; more than these are a pasted text, of which the rest changes nothing but the time it takes.
const MAX_ROWS: usize = 64;
/// What an occurrence of a word counts that only begins like the query's. Measured: with it 0.5 points more on English chat.
const RELATIVE_SHARE: f32 = 0.5;
/// What words count that say who speaks, or how to answer, rather than what about. Measured: 1 for speakers' names loses 0.5
/// points on English chat, whose greetings hold them; 1 for requests 0.4 on the mean of all sets.
const MINOR_WEIGHT: f32 = 0.3;

impl Wanted {
    /// The words of `query` that the history knows, or knows relatives of.
    ///
    /// Cost: O(bytes of the query + distinct words of the history).
    pub(crate) fn of_query(digest: &Digest, query: &str) -> Self {
        let terms = digest.terms();
        let mut words: Vec<(String, Option<TermId>)> = Vec::new();
        let mut n_words = 0;
        read(query, &mut |word: &[u8], _: Word| {
            let text = std::str::from_utf8(word).unwrap_or_default();
            if !Cues::of(text).has(Cues::STOP) {
                n_words += 1;
                words.push((stem(text).to_owned(), terms.look_up(word).and_then(|meaning| meaning.term)));
            }
        });
        words.sort_unstable();
        words.dedup();
        if words.len() > MAX_ROWS {
            words.retain(|(_, term)| term.is_some());
            words.sort_by_key(|(_, term)| term.map(|term| digest.n_holding(term)));
            words.truncate(MAX_ROWS);
        }
        let mut wanted =
            Self { rows: vec![Row::NONE; terms.len()], weights: Vec::with_capacity(words.len()), asked_by: None };
        let stems: Vec<&str> = words.iter().map(|(stem, _)| stem.as_str()).collect();
        if is_on(Signal::Relatives) {
            terms.each_relative(&stems, |at, relative| wanted.rows[relative as usize] = row(at, Row::RELATIVE));
        }
        for (at, (stem, term)) in words.iter().enumerate() {
            let is_name = term.is_some_and(|term| digest.is_speaker(term));
            let is_minor = is_name || Cues::of(stem).has(Cues::REQUEST);
            wanted.weights.push(if is_minor && is_on(Signal::MinorWords) { MINOR_WEIGHT } else { 1.0 });
            if let Some(term) = term {
                wanted.rows[*term as usize] = row(at, 0);
            }
        }
        let newest = (0..digest.len()).rev().find(|&i| digest.document(i).is_user);
        wanted.asked_by = newest.filter(|&i| {
            let document = digest.document(i);
            let is_of_query = |&term: &TermId| {
                let row = wanted.rows[term as usize];
                row != Row::NONE && row.0 & Row::RELATIVE == 0
            };
            document.n_words == n_words && digest.postings_of(document.pieces).terms.iter().all(is_of_query)
        });
        wanted
    }

    /// The most telling words of the messages that match best, without those of `self`: what goes with a query's words answers it too.
    ///
    /// Source: pseudo-relevance feedback, Rocchio (1971), with term weights after Lavrenko and Croft (2001): a term's share of
    /// the best messages, each by its match. Measured: 0.5 points on the mean of all sets, 1.2 on English meetings; 3 or 10
    /// messages and 20 terms lose up to half a point.
    pub(crate) fn more(&self, digest: &Digest, matches: &[f32]) -> Option<Self> {
        let best = best(matches);
        let sum_of_matches: f32 = best.iter().map(|&i| matches[i]).sum();
        let mut found: Vec<(TermId, f32)> = Vec::new();
        for &i in &best {
            let mut counts: Vec<(TermId, f32)> = Vec::new();
            let postings = digest.postings_of(digest.document(i).pieces);
            let new = postings.terms.iter().zip(postings.counts).filter(|&(&term, _)| !self.wants(term));
            counts.extend(new.map(|(&term, &count)| (term, f32::from(count & MAX_COUNT))));
            add_up(&mut counts);
            found.extend(counts.iter().map(|&(term, n)| (term, matches[i] / sum_of_matches * n / (n + 1.0))));
        }
        add_up(&mut found);
        // What one message alone holds leads to no other.
        found.retain(|&(term, _)| digest.n_holding(term) > 1);
        for (term, weight) in &mut found {
            *weight *= rarity(digest, digest.n_holding(*term));
        }
        found.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        found.truncate(MORE_TERMS);
        let sum: f32 = found.iter().map(|&(_, weight)| weight).sum();
        if sum <= 0.0 {
            return None;
        }
        // So that one chance word of a short history does not take the weight of ten.
        #[expect(clippy::cast_precision_loss, reason = "at most 10")]
        let share = MORE_WEIGHT * found.len() as f32 / MORE_TERMS as f32;
        let scale = share * self.weights.iter().sum::<f32>() / sum;
        let mut more = Self {
            rows: vec![Row::NONE; self.rows.len()],
            weights: Vec::with_capacity(found.len()),
            asked_by: self.asked_by,
        };
        for (at, &(term, weight)) in found.iter().enumerate() {
            more.rows[term as usize] = row(at, 0);
            more.weights.push(weight * scale);
        }
        Some(more)
    }

    /// Weighs each row by how few messages hold it.
    pub(crate) fn weigh(&mut self, digest: &Digest, n_holding: &[u32]) {
        for (weight, &n) in self.weights.iter_mut().zip(n_holding) {
            *weight *= if n == 0 { 0.0 } else { rarity(digest, n) };
        }
    }

    /// Gives the row of each wanted term among `postings` with how much it occurs there.
    pub(crate) fn each_of(&self, postings: Postings<'_>, mut found: impl FnMut(usize, f32)) {
        for (&term, &count) in postings.terms.iter().zip(postings.counts) {
            let row = self.rows[term as usize];
            if row != Row::NONE {
                let share = if row.0 & Row::RELATIVE == 0 { 1.0 } else { RELATIVE_SHARE };
                found(usize::from(row.0 & !Row::RELATIVE), share * f32::from(count & MAX_COUNT));
            }
        }
    }

    /// Whether a term is looked for.
    pub(crate) fn wants(&self, term: TermId) -> bool {
        self.rows[term as usize] != Row::NONE
    }
}

/// Messages that feedback draws on, terms that it adds, and what those weigh together beside the query's own words.
const MORE_MESSAGES: usize = 5;
const MORE_TERMS: usize = 10;
const MORE_WEIGHT: f32 = 0.5;

fn row(at: usize, kind: u8) -> Row {
    Row(u8::try_from(at).expect("there are at most 64 rows") | kind)
}

/// How telling a word is that `n_holding` messages hold: BM25's idf to the power of 1.5. Measured: the idf itself loses 0.9 points.
#[expect(clippy::cast_precision_loss, reason = "counts of messages, and 24 bits are enough")]
fn rarity(digest: &Digest, n_holding: u32) -> f32 {
    let (n, df) = (digest.len() as f32, n_holding as f32);
    let idf = ln(1.0 + (n - df + 0.5) / (df + 0.5));
    idf * idf.sqrt()
}

/// The messages that match best, the best first, of equals the older.
fn best(matches: &[f32]) -> Vec<usize> {
    let mut best: Vec<usize> = (0..matches.len()).filter(|&i| matches[i] > 0.0).collect();
    let order = |a: &usize, b: &usize| matches[*b].total_cmp(&matches[*a]).then(a.cmp(b));
    if best.len() > MORE_MESSAGES {
        best.select_nth_unstable_by(MORE_MESSAGES, order);
        best.truncate(MORE_MESSAGES);
    }
    best.sort_unstable_by(order);
    best
}

/// Adds up what is told of the same term.
fn add_up(found: &mut Vec<(TermId, f32)>) {
    found.sort_by_key(|&(term, _)| term);
    found.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        kept.1 += if is_same { next.1 } else { 0.0 };
        is_same
    });
}
