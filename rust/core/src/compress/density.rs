//! What each piece is worth for the tokens it costs, when nobody says what will be asked.
//!
//! Two things make a sentence worth keeping, and each fails where the other serves. In a chat of two it is the fact: rare words, names,
//! numbers, times, what somebody says of themselves. In the long speech of a meeting it is the topic: what the talk keeps coming
//! back to. So both are measured, and every stretch of the history is weighed by what it looks like itself: how many speak, and at
//! what length. Nothing is asked of the caller.
//!
//! Measured on four sets (docs/retention.md): facts alone lose 19 points on Chinese meetings, topics alone 36 on English chat.

use super::ablation::{Signal, is_on};
use super::digest::Digest;
use super::math::{exp, ln};
use super::register::Register;
use super::terms::TermId;

/// The worth of each piece of the history per token it costs: greater than 0, and finite.
///
/// Cost: O(distinct terms of all pieces).
pub(crate) fn density(digest: &Digest, registers: &[Register]) -> Vec<f32> {
    let weights = digest.term_weights(&digest.idf());
    let mut scores = vec![0.0; digest.n_pieces()];
    let mut costs = vec![0.0; digest.n_pieces()];
    for (i, register) in registers.iter().enumerate() {
        let document = digest.document(i);
        for p in document.pieces.clone() {
            let label = if p == document.pieces.start { document.label_tokens } else { 0 };
            #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
            let tokens = digest.place(p).map_or(0, |place| place.alone().saturating_sub(label)) as f32;
            let terms = digest.postings(p).terms;
            let looks = digest.looks(p);
            let [fact, topic] = sum_at(&weights, terms);
            let facts = ln((fact + 1.0) / (tokens + 6.0)) + looks.fact - register.long_turn;
            let topics = ln((topic + 2.0) / (tokens + 2.0)) + looks.topic;
            scores[p] = facts + register.topic * (topics - facts);
            costs[p] = tokens;
        }
    }
    if is_on(Signal::Level) {
        level(digest, registers, &mut scores, &costs);
    }
    for score in &mut scores {
        *score = exp(*score);
    }
    scores
}

/// No score is further than this from the mean, in deviations: only a stray one is.
const MAX_DEVIATIONS: f64 = 15.0;

/// Brings every stretch of the history to the same mean and spread, each token counting once: or one register, or one script, would
/// take the budget of the others.
#[expect(clippy::cast_possible_truncation, reason = "sums are kept in f64 and read in f32")]
fn level(digest: &Digest, registers: &[Register], scores: &mut [f32], costs: &[f32]) {
    let mut sums = vec![[0.0_f64; 3]; digest.len() + 1];
    for i in 0..digest.len() {
        let mut sum = sums[i];
        for p in digest.document(i).pieces {
            let (score, cost) = (f64::from(scores[p]), f64::from(costs[p]));
            sum = [sum[0] + cost, sum[1] + cost * score, sum[2] + cost * score * score];
        }
        sums[i + 1] = sum;
    }
    for (i, register) in registers.iter().enumerate() {
        let [cost, sum, squares] = [0, 1, 2].map(|k| sums[register.around.end][k] - sums[register.around.start][k]);
        let mean = sum / cost.max(1.0);
        let deviation = (squares / cost.max(1.0) - mean * mean).max(1e-6).sqrt();
        for p in digest.document(i).pieces {
            scores[p] = ((f64::from(scores[p]) - mean) / deviation).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS) as f32;
        }
    }
}

/// The sums of `values` at `places`, in four lanes: one lane would wait for each addition before the next.
fn sum_at(values: &[[f32; 2]], places: &[TermId]) -> [f32; 2] {
    let plus = |[a, b]: [f32; 2], place: TermId| {
        let [x, y] = values[place as usize];
        [a + x, b + y]
    };
    let fours = places.chunks_exact(4);
    let rest = fours.remainder().iter().fold([0.0; 2], |sum, &place| plus(sum, place));
    let lanes = fours.fold([[0.0; 2]; 4], |[a, b, c, d], four| {
        [plus(a, four[0]), plus(b, four[1]), plus(c, four[2]), plus(d, four[3])]
    });
    [0, 1].map(|k| (lanes[0][k] + lanes[1][k]) + (lanes[2][k] + lanes[3][k]) + rest[k])
}
