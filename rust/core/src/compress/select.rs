//! What each piece and each group of messages is worth keeping: the one interface between a history and the choice of a window.

use super::density::density;
use super::digest::{Digest, MAX_COUNT, REPEATED};
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
    let mut pieces = density(digest);
    lift_prohibitions(digest, &mut pieces);
    let density: Vec<f32> = candidates.iter().map(|candidate| of_group(digest, &pieces, candidate)).collect();
    match query.map(|query| digest.query_terms(query)) {
        Some(terms) if !terms.is_empty() => by_query(digest, &digest.idf(), candidates, &density, &terms),
        _ => density,
    }
}

/// The worth of each piece per token it costs.
pub(crate) fn piece_worth(digest: &Digest, query: Option<&str>) -> Vec<f32> {
    let mut density = density(digest);
    lift_prohibitions(digest, &mut density);
    let Some(terms) = query.map(|query| digest.query_terms(query)).filter(|terms| !terms.is_empty()) else {
        return density;
    };
    let _ = terms;
    density
}

/// What a user forbids or demands outweighs all else: by more than any two densities differ, which are within e^+-10 of 1.
const PROHIBITION: f32 = 1e12;
/// Only what a user forbids or demands is worth this much.
pub(crate) const ORDER_WORTH: f32 = 1e6;

fn lift_prohibitions(digest: &Digest, pieces: &mut [f32]) {
    for document in (0..digest.len()).map(|i| digest.document(i)).filter(|document| document.is_user) {
        for p in document.pieces {
            if digest.looks(p).is_order {
                pieces[p] *= PROHIBITION;
            }
        }
    }
}

/// Tokens a message pays beyond its words.
const OVERHEAD_TOKENS: f32 = 6.0;

fn of_group(digest: &Digest, pieces: &[f32], candidate: &Candidate) -> f32 {
    let mut sum = 0.0;
    for i in candidate.start..candidate.end {
        for p in digest.document(i).pieces {
            #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
            let tokens = digest.place(p).map_or(0.0, |place| place.alone() as f32);
            sum += pieces[p] * (tokens + OVERHEAD_TOKENS);
        }
    }
    sum / tokens(candidate).max(1.0)
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
    let mut found: Vec<(TermId, f32)> = Vec::new();
    let score = |i: usize| {
        let document = digest.document(i);
        #[expect(clippy::cast_precision_loss, reason = "a length needs no more than 24 bits")]
        let length = 1.0 - B + B * document.n_words as f32 / mean_words;
        found.clear();
        for p in document.pieces {
            let postings = digest.postings(p);
            for (&term, &count) in postings.terms.iter().zip(postings.counts) {
                if wanted[term as usize] {
                    let n = f32::from(count & MAX_COUNT);
                    match found.iter_mut().find(|(known, _)| count & REPEATED != 0 && *known == term) {
                        Some((_, sum)) => *sum += n,
                        None => found.push((term, n)),
                    }
                }
            }
        }
        let sum: f32 =
            found.iter().map(|&(term, count)| idf[term as usize] * count * (K1 + 1.0) / (count + K1 * length)).sum();
        if document.name.is_some_and(|name| wanted[name as usize]) { sum * SPEAKER } else { sum }
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
