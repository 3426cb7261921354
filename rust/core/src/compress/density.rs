//! What each piece is worth for the tokens it costs, when nobody says what will be asked.
//!
//! Two things make a sentence worth keeping, and each fails where the other serves. In a chat of two it is the fact: rare words, names,
//! numbers, times, what somebody says of themselves. In the long speech of a meeting it is the topic: what the talk keeps coming
//! back to. So both are measured, and every stretch of the history is weighed by what it looks like itself: how many speak, and at
//! what length. Nothing is asked of the caller.
//!
//! Measured on four sets (docs/retention.md): facts alone lose 19 points on Chinese meetings, topics alone 36 on English chat.

use super::cues::Cues;
use super::digest::Digest;
use super::facts::Signs;
use super::math::{exp, ln};
use super::register::Register;
use super::terms::TermId;

/// The worth of each piece of the history per token it costs: greater than 0, and finite.
///
/// Cost: O(distinct terms of all pieces).
pub(crate) fn density(digest: &Digest, registers: &[Register]) -> Vec<f32> {
    let idf = digest.idf();
    let (fact, topic) = (digest.fact(&idf), digest.topic(&idf));
    let mut scores = vec![0.0; digest.n_pieces()];
    let mut costs = vec![0.0; digest.n_pieces()];
    for (i, register) in registers.iter().enumerate() {
        let document = digest.document(i);
        for p in document.pieces.clone() {
            let label = if p == document.pieces.start { document.label_tokens } else { 0 };
            #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
            let tokens = digest.place(p).map_or(0, |place| place.alone().saturating_sub(label)) as f32;
            let terms = digest.postings(p).terms;
            let signs = digest.signs(p);
            let facts = ln((sum_at(&fact, terms) + 1.0) / (tokens + 6.0)) + fact_signs(signs) - register.long_turn;
            let topics = ln((sum_at(&topic, terms) + 2.0) / (tokens + 2.0)) + topic_signs(signs);
            scores[p] = facts + register.topic * (topics - facts);
            costs[p] = tokens;
        }
    }
    level(digest, registers, &mut scores, &costs);
    for score in &mut scores {
        *score = exp(*score);
    }
    scores
}

/// What each sign adds to the logarithm of a fact's density.
///
/// Source: set by hand on the development conversations of docs/retention.md and checked by leaving each set out; no single one is
/// worth more than the noise, the group is worth 14 points on English chat.
fn fact_signs(signs: Signs) -> f32 {
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
    ];
    sum_of(signs, &weights) + 0.2 * f32::from(signs.names) + 0.6 * f32::from(signs.quotes)
        - 0.4 / 255.0 * f32::from(signs.echo)
}

/// The same for a topic's density; worth 2 to 4 points on meetings.
fn topic_signs(signs: Signs) -> f32 {
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
            scores[p] = ((f64::from(scores[p]) - mean) / deviation) as f32;
        }
    }
}

/// The sum of `values` at `places`, in four lanes: one lane would wait for each addition before the next.
fn sum_at(values: &[f32], places: &[TermId]) -> f32 {
    let at = |place: TermId| values[place as usize];
    let fours = places.chunks_exact(4);
    let rest: f32 = fours.remainder().iter().map(|&place| at(place)).sum();
    let lanes =
        fours.fold([0.0; 4], |[a, b, c, d], four| [a + at(four[0]), b + at(four[1]), c + at(four[2]), d + at(four[3])]);
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}
