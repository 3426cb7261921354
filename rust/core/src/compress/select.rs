//! What each group of messages is worth keeping: the one interface between a history and the choice of a window.

use super::digest::Digest;
use super::terms::TermId;

/// One unit of choice: consecutive messages that stay or go together, and what they cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    /// First message.
    pub(crate) start: usize,
    /// One past the last message.
    pub(crate) end: usize,
    /// Tokens of the group.
    pub(crate) tokens: u64,
}

/// The worth of each candidate per token it costs: the higher is kept first. All values are finite and not negative.
///
/// Without a query, fact density: information that only few messages hold, weighed by how much the message looks like a
/// fact, for each token. With one, BM25 with each message's neighbours, and density where the query says nothing.
///
/// Cost: O(distinct terms of all messages).
pub(crate) fn worth(digest: &Digest, candidates: &[Candidate], query: Option<&str>) -> Vec<f32> {
    let idf = digest.idf();
    let density = fact_density(digest, &idf, candidates);
    match query.map(|query| digest.query_terms(query)) {
        Some(terms) if !terms.is_empty() => by_query(digest, &idf, candidates, &density, &terms),
        _ => density,
    }
}

/// Tokens every message pays beyond its words; keeps the shortest ones from winning by their shortness alone.
const OVERHEAD_TOKENS: f32 = 6.0;

fn fact_density(digest: &Digest, idf: &[f32], candidates: &[Candidate]) -> Vec<f32> {
    let worth = |candidate: &Candidate| {
        let mut sum = 0.0;
        for i in candidate.start..candidate.end {
            let document = digest.document(i);
            let information = sum_at(idf, document.terms);
            sum += (information + 1.0) * document.fact_weight;
        }
        sum / (tokens(candidate) + OVERHEAD_TOKENS)
    };
    candidates.iter().map(worth).collect()
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

/// BM25's saturation and length constants. Source: Robertson and Zaragoza (2009), the customary values.
const K1: f32 = 1.2;
const B: f32 = 0.75;
/// Share of a message's match that the ones before and after it get: the answer to a question seldom repeats its words.
const NEIGHBOUR: f32 = 0.4;
/// What a match counts in a message by the speaker whom the query names.
const SPEAKER: f32 = 1.5;
/// Share of the best match that a message of great density gets: orders what the query does not touch.
const PRIOR: f32 = 0.1;

fn by_query(digest: &Digest, idf: &[f32], candidates: &[Candidate], density: &[f32], query: &[TermId]) -> Vec<f32> {
    let matches = smooth(&bm25(digest, idf, query));
    let mut worth: Vec<f32> = candidates
        .iter()
        .map(|candidate| {
            let best = matches[candidate.start..candidate.end].iter().copied().fold(0.0, f32::max);
            best / tokens(candidate).max(1.0).sqrt()
        })
        .collect();
    let best = worth.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    #[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 24 bits")]
    let mean = density.iter().sum::<f32>() / density.len().max(1) as f32;
    for (value, density) in worth.iter_mut().zip(density) {
        // Between 0 and 1 whatever the script: pairs of characters hold more terms for each token than words do.
        *value += PRIOR * best * density / (density + mean);
    }
    worth
}

fn bm25(digest: &Digest, idf: &[f32], query: &[TermId]) -> Vec<f32> {
    let mean_words = digest.mean_words().max(1.0);
    let mut wanted = vec![false; idf.len()];
    for &term in query {
        wanted[term as usize] = true;
    }
    let score = |i: usize| {
        let document = digest.document(i);
        #[expect(clippy::cast_precision_loss, reason = "a length needs no more than 24 bits")]
        let length = 1.0 - B + B * document.n_words as f32 / mean_words;
        let mut sum = 0.0;
        for (&term, &count) in document.terms.iter().zip(document.counts) {
            if wanted[term as usize] {
                let count = f32::from(count);
                sum += idf[term as usize] * count * (K1 + 1.0) / (count + K1 * length);
            }
        }
        if document.speaker.is_some_and(|speaker| wanted[speaker as usize]) { sum * SPEAKER } else { sum }
    };
    (0..digest.len()).map(score).collect()
}

fn smooth(scores: &[f32]) -> Vec<f32> {
    let at = |i: Option<usize>| i.and_then(|i| scores.get(i)).copied().unwrap_or(0.0);
    (0..scores.len()).map(|i| scores[i] + NEIGHBOUR * (at(i.checked_sub(1)) + at(Some(i + 1)))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
fn tokens(candidate: &Candidate) -> f32 {
    candidate.tokens as f32
}
