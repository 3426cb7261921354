//! What a piece is worth without a query.

use super::cues::Cues;
use super::digest::Digest;
use super::facts::Signs;
use super::terms::TermId;

/// The worth of each piece of the history per token it costs, not negative.
pub(crate) fn density(digest: &Digest, mean_tokens: f32) -> Vec<f32> {
    let idf = digest.idf();
    let topic = digest.topic(&idf);
    let gate = 1.0 / (1.0 + (-(mean_tokens - 70.0) / 8.0).exp());
    let worth = |p: usize| {
        let terms = digest.postings(p).terms;
        #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
        let tokens = digest.place(p).map_or(1.0, |place| place.alone() as f32);
        let (si, sl) = (sum_at(&idf, terms), sum_at(&topic, terms));
        let signs = digest.signs(p);
        let fact = (si + 1.0).ln() - (tokens + 6.0).ln() + fact_weight(signs);
        let topic = (sl + 2.0).ln() - (tokens + 2.0).ln() + topic_weight(signs);
        ((1.0 - gate) * fact + gate * topic).exp()
    };
    (0..digest.n_pieces()).map(worth).collect()
}

fn fact_weight(signs: Signs) -> f32 {
    let mut w = 0.0;
    let mut add = |cue: Cues, x: f32| {
        if signs.has(cue) {
            w += x;
        }
    };
    add(Cues::QUESTION, -0.8);
    add(Cues::OPENS_POLITELY, -0.3);
    add(Cues::NUMBER, 0.35);
    add(Cues::TIME, 0.35);
    add(Cues::EVENT, 0.2);
    add(Cues::FIRST_PERSON, 0.3);
    add(Cues::PREFERENCE, 0.2);
    add(Cues::FIRST_SENTENCE, 0.2);
    if signs.has(Cues::SECOND_PERSON) && !signs.has(Cues::FIRST_PERSON) {
        w -= 0.5;
    }
    w + 0.2 * f32::from(signs.names()) + 0.4 * f32::from(signs.quotes())
}

fn topic_weight(signs: Signs) -> f32 {
    let mut w = 0.0;
    let mut add = |cue: Cues, x: f32| {
        if signs.has(cue) {
            w += x;
        }
    };
    add(Cues::QUESTION, -0.3);
    add(Cues::OPENS_POLITELY, -0.4);
    add(Cues::TIME, -0.3);
    add(Cues::EVENT, -0.3);
    if signs.has(Cues::SECOND_PERSON) && !signs.has(Cues::FIRST_PERSON) {
        w -= 0.3;
    }
    w
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
