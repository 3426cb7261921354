//! How well each message answers a query: by its own words, and by those of the talk around it.
//!
//! The answer to a question seldom repeats its words: they stand in the message before, or anywhere in that part of a meeting. So the
//! matches of each word spread to the messages around, and what counts is how many different words of the query meet at a place.
//!
//! What each constant is worth was measured by evidence kept on four sets (docs/history.md), in points on the mean of all sets and budgets
//! unless it says otherwise.

use super::ablation::{Signal, is_on};
use super::digest::{Digest, Document};
use super::meaning::{MEANING_WEIGHT, meanings};
use super::query::{Query, Wanted};
use super::register::Register;

/// How well a history matches a query.
#[derive(Debug)]
pub(crate) struct Matches {
    /// By message: 1 for the best, 0 for none.
    pub(crate) messages: Vec<f32>,
    wanted: Wanted,
}

/// BM25's saturation and length constants. Source: Robertson and Zaragoza (2009), the customary values.
const K1: f32 = 1.2;
const B: f32 = 0.75;

impl Matches {
    /// None if no message holds a word of the query and none is told to mean it. `prior`, by message, is 0 to 1 for what its
    /// density says.
    ///
    /// Cost: O(terms of all pieces + messages x words of the query).
    pub(crate) fn of(digest: &Digest, registers: &[Register], prior: &[f32], query: Query<'_>) -> Option<Self> {
        let mut wanted = Wanted::of_query(digest, query.text);
        let mut places = Places::new(digest, registers, prior, &wanted);
        let mut rows = Rows::of(digest, &wanted, &places.lengths);
        wanted.weigh(digest, &rows.n_holding);
        let words: f32 = wanted.weights.iter().sum();
        match query.similarity.and_then(|similarity| meanings(similarity, digest.len(), wanted.asked_by)) {
            None if words <= 0.0 => return None,
            None => {}
            Some(meanings) if words <= 0.0 => {
                places.add(&Rows::of_meanings(meanings), &[1.0]);
                return Some(Self { messages: places.matches(), wanted });
            }
            Some(mut meanings) => {
                for (meaning, register) in meanings.iter_mut().zip(registers) {
                    *meaning *= 1.0 - register.group;
                }
                places.add(&Rows::of_meanings(meanings), &[MEANING_WEIGHT * words]);
            }
        }
        places.add(&rows, &wanted.weights);
        let mut messages = places.matches();
        if is_on(Signal::Feedback)
            && let Some(more) = wanted.more(digest, &messages)
        {
            rows = Rows::of(digest, &more, &places.lengths);
            places.add(&rows, &more.weights);
            messages = places.matches();
        }
        Some(Self { messages, wanted })
    }

    /// By piece: how well it matches by its own words and those beside it in its message, 1 for the best.
    pub(crate) fn pieces(&self, digest: &Digest) -> Vec<f32> {
        let mut own = vec![0.0; digest.n_pieces()];
        for (p, sum) in own.iter_mut().enumerate() {
            let postings = digest.postings(p);
            self.wanted.each_of(postings, |row, n| *sum += self.wanted.weights[row] * n * (K1 + 1.0) / (n + K1));
        }
        let mut spread = own.clone();
        for i in 0..digest.len() {
            let pieces = digest.document(i).pieces;
            let mut reach = 0.0;
            for p in pieces.clone() {
                spread[p] += reach;
                reach = (reach + own[p]) * PIECE_DECAY;
            }
            reach = 0.0;
            for p in pieces.rev() {
                spread[p] += reach;
                reach = (reach + own[p]) * PIECE_DECAY;
            }
        }
        to_one(&mut spread);
        spread
    }
}

/// e^(-1/3): what is left of a match one piece on.
const PIECE_DECAY: f32 = 0.716_531_3;

/// Rows computed side by side.
const LANES: usize = 8;
type Lanes = [f32; LANES];

/// How much each message says of each wanted word: BM25 without the word's weight.
struct Rows {
    /// By eight rows, by message.
    blocks: Vec<Vec<Lanes>>,
    /// By row: messages that hold it.
    n_holding: Vec<u32>,
}

impl Rows {
    fn of(digest: &Digest, wanted: &Wanted, lengths: &[f32]) -> Self {
        let n_rows = wanted.weights.len();
        let mut blocks = vec![vec![[0.0; LANES]; digest.len()]; n_rows.div_ceil(LANES)];
        let mut n_holding = vec![0; n_rows];
        for i in (0..digest.len()).filter(|&i| wanted.asked_by != Some(i)) {
            let pieces = digest.document(i).pieces;
            wanted.each_of(digest.postings_of(pieces), |row, n| {
                let sum = &mut blocks[row / LANES][i][row % LANES];
                n_holding[row] += u32::from(*sum == 0.0);
                *sum += n;
            });
        }
        for block in &mut blocks {
            for (lanes, length) in block.iter_mut().zip(lengths) {
                for n in lanes {
                    *n *= (K1 + 1.0) / (*n + length);
                }
            }
        }
        Self { blocks, n_holding }
    }

    /// What messages mean as one row: it spreads and meets the words as one more word would.
    fn of_meanings(meanings: Vec<f32>) -> Self {
        let block = meanings.into_iter().map(|meaning| {
            let mut lanes = [0.0; LANES];
            lanes[0] = meaning;
            lanes
        });
        Self { blocks: vec![block.collect()], n_holding: Vec::new() }
    }
}

/// How far a match reaches: what is left of it one message on.
#[derive(Debug, Clone, Copy)]
struct Scale {
    decay: f32,
}

/// e^(-1/1.5): a few messages, where a question meets its answer. Measured: 1.25 and 1.75 lose 0.4 points.
const NARROW: Scale = Scale { decay: 0.513_417_1 };
/// e^(-1/16): a part of a meeting. Measured: 8 loses 0.5 points, 24 the same in sum but loses on Chinese meetings.
const WIDE: Scale = Scale { decay: 0.939_413 };
/// What a match counts for later messages and for earlier ones. Measured: 1 for both loses 0.5 points.
const FOR_LATER: f32 = 1.25;
const FOR_EARLIER: f32 = 0.8;
/// Where more of one word counts half as much as the first of another. Measured: no bend loses 0.7 points on the mean of all sets and 1.8 on
/// Chinese meetings at 5 %; 2 loses 0.5, 5 nothing.
const BEND: f32 = 3.0;
/// What is below says nothing; without an end, numbers near 2^-126 would slow the machine down.
const LEAST: f32 = 1e-12;

impl Scale {
    /// Adds to `sums`, by message, how much of the weighted rows meets there. `before` is room to work in.
    ///
    /// Two passes, since an exponential needs no more than what it was one message ago: O(messages) at any width. Gauss's, a
    /// triangle's and a box's shape were no better, nor were distances in tokens.
    fn spread(self, rows: &[Lanes], weights: &Lanes, before: &mut [Lanes], sums: &mut [f32]) {
        let mut reach = [0.0; LANES];
        for (own, before) in rows.iter().zip(before.iter_mut()) {
            *before = reach;
            self.step(&mut reach, own);
        }
        reach = [0.0; LANES];
        let [later, earlier] = if is_on(Signal::LaterFirst) { [FOR_LATER, FOR_EARLIER] } else { [1.0; 2] };
        for ((own, before), sum) in rows.iter().zip(before.iter()).zip(sums).rev() {
            let mut met = [0.0; LANES];
            for k in 0..LANES {
                let all = own[k] + later * before[k] + earlier * reach[k];
                met[k] = weights[k] * if is_on(Signal::MeetingWords) { (BEND + 1.0) * all / (all + BEND) } else { all };
            }
            *sum += met.iter().sum::<f32>();
            self.step(&mut reach, own);
        }
    }

    fn step(self, reach: &mut Lanes, own: &Lanes) {
        for (reach, own) in reach.iter_mut().zip(own) {
            let next = (*reach + own) * self.decay;
            *reach = if next > LEAST { next } else { 0.0 };
        }
    }
}

/// The messages of a history, with how much of a query meets at each.
struct Places {
    narrow: Vec<f32>,
    wide: Vec<f32>,
    /// By message: what its narrow match counts.
    factors: Vec<f32>,
    /// By message: what its wide match counts.
    shares: Vec<f32>,
    /// By message: [`K1`] for its length.
    lengths: Vec<f32>,
}

/// What a match counts in a message by the speaker whom the query names. Measured: 1 loses 2 points on English chat.
const SPEAKER: f32 = 2.0;
/// Share of a wide match in a group's talk; a chat of two changes its topic too soon for it. Measured: in chats 0.05 loses 0.2 points; in
/// meetings 0.3 loses 2.
const WIDE_SHARE: f32 = 0.5;

impl Places {
    fn new(digest: &Digest, registers: &[Register], prior: &[f32], wanted: &Wanted) -> Self {
        let documents: Vec<Document> = (0..digest.len()).map(|i| digest.document(i)).collect();
        let is_named = |document: &Document| document.name.is_some_and(|name| wanted.wants(name));
        let speaker = if documents.iter().all(is_named) || !is_on(Signal::Speaker) { 1.0 } else { SPEAKER };
        let mean_words = digest.mean_words().max(1.0);
        #[expect(clippy::cast_precision_loss, reason = "a length needs no more than 24 bits")]
        let length = |document: &Document| K1 * (1.0 - B + B * document.n_words as f32 / mean_words);
        // Density speaks for facts, as chats of two have them.
        let density = |prior: f32, group: f32| prior.sqrt() + group * (1.0 - prior.sqrt());
        let factor = |((document, &prior), register): ((&Document, &f32), &Register)| {
            density(prior, register.group) * if is_named(document) { speaker } else { 1.0 }
        };
        let wide_share = if is_on(Signal::WideMatch) { WIDE_SHARE } else { 0.0 };
        Self {
            narrow: vec![0.0; documents.len()],
            wide: vec![0.0; documents.len()],
            factors: documents.iter().zip(prior).zip(registers).map(factor).collect(),
            shares: registers.iter().map(|register| wide_share * register.group).collect(),
            lengths: documents.iter().map(length).collect(),
        }
    }

    fn add(&mut self, rows: &Rows, weights: &[f32]) {
        let is_wide = self.shares.iter().any(|&share| share > 0.0);
        let mut before = vec![[0.0; LANES]; self.lengths.len()];
        for (block, of_block) in rows.blocks.iter().zip(weights.chunks(LANES)) {
            let mut weights = [0.0; LANES];
            weights[..of_block.len()].copy_from_slice(of_block);
            NARROW.spread(block, &weights, &mut before, &mut self.narrow);
            if is_wide {
                WIDE.spread(block, &weights, &mut before, &mut self.wide);
            }
        }
    }

    /// By message: 1 for the best.
    fn matches(&self) -> Vec<f32> {
        let mut matches: Vec<f32> =
            self.narrow.iter().zip(&self.factors).map(|(narrow, factor)| narrow * factor).collect();
        to_one(&mut matches);
        let most = self.wide.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        for ((value, wide), share) in matches.iter_mut().zip(&self.wide).zip(&self.shares) {
            *value += share * wide / most;
        }
        to_one(&mut matches);
        matches
    }
}

/// Scales numbers, none of them negative, so that the greatest is 1.
fn to_one(values: &mut [f32]) {
    let most = values.iter().copied().fold(0.0, f32::max);
    if most > 0.0 {
        for value in values {
            *value /= most;
        }
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;
