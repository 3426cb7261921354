//! What each piece and each group of messages is worth keeping: the one interface between a history and the choice of a window.

use super::ablation::{Signal, is_on};
use super::density::density;
use super::digest::{Digest, Document};
use super::matching::Matches;
use super::math::{exp, ln};
use super::query::Query;
use super::register::{Register, registers};

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

/// The worth of each candidate per token it costs: the higher is kept first. All values are finite and greater than 0.
///
/// Without a query, or when no message holds a word of it and none is told to be like it, density: facts and topics for each token. With
/// one, how well the best message of a group matches, for a gentle power of its cost, and density where the query says nothing.
/// `order_room`: tokens in which orders outweigh what matches.
///
/// Cost: O(distinct terms of all pieces + messages x words of the query).
pub(crate) fn worth(digest: &Digest, candidates: &[Candidate], order_room: u64, query: Option<Query<'_>>) -> Vec<f32> {
    let registers = registers(digest);
    let mut pieces = density(digest, &registers);
    let of_groups = |pieces: &[f32]| candidates.iter().map(|one| of_group(digest, pieces, one)).collect::<Vec<f32>>();
    let Some(matches) = query.and_then(|query| matches(digest, &registers, &pieces, query)) else {
        lift_prohibitions(digest, &mut pieces);
        return of_groups(&pieces);
    };
    let worth: Vec<f32> = candidates
        .iter()
        .map(|one| {
            let best = matches.messages[one.start..one.end].iter().copied().fold(0.0, f32::max);
            best / power(tokens(one).max(1.0), MESSAGE_COST)
        })
        .collect();
    let best = worth.iter().copied().fold(0.0, f32::max).max(LEAST);
    let share = |one: &Candidate| MESSAGE_PRIOR.share(&registers[one.start]);
    let mut worth = with_prior(worth, of_groups(&pieces), candidates.iter().map(share));
    let holds_order = |one: &Candidate| {
        let document = digest.document(one.start);
        document.pieces.clone().any(|p| forbids(digest, &document, p))
    };
    let mut orders: Vec<usize> = (0..candidates.len()).filter(|&at| holds_order(&candidates[at])).collect();
    orders.sort_by(|&a, &b| worth[b].total_cmp(&worth[a]));
    let mut left = order_room;
    for at in orders {
        if candidates[at].tokens <= left {
            left -= candidates[at].tokens;
            worth[at] *= PROHIBITION;
        } else {
            worth[at] += best * (MESSAGE_PRIOR.share(&registers[candidates[at].start]) + PROHIBITION_SHARE);
        }
    }
    worth
}

/// The worth of each piece per token it costs. All values are finite and greater than 0.
///
/// With a query, how well its message matches, up to half as much again for its own words: whole answers are worth more than the
/// sentences that repeat the question.
pub(crate) fn piece_worth(digest: &Digest, query: Option<Query<'_>>) -> Vec<f32> {
    let registers = registers(digest);
    let mut pieces = density(digest, &registers);
    let Some(matches) = query.and_then(|query| matches(digest, &registers, &pieces, query)) else {
        lift_prohibitions(digest, &mut pieces);
        return pieces;
    };
    let own = matches.pieces(digest);
    let mut worth = vec![0.0; own.len()];
    let mut shares = Vec::with_capacity(own.len());
    for (i, matched) in matches.messages.iter().enumerate() {
        let document = digest.document(i);
        for p in document.pieces.clone() {
            #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
            let cost = 0.5 * document.tokens as f32 + 0.5 * alone(digest, p) + OVERHEAD_TOKENS;
            worth[p] = matched * (1.0 + OWN_SHARE * own[p]) / power(cost, PIECE_COST);
            let id = if digest.looks(p).has_id { ID_SHARE * (1.0 - registers[i].group) } else { 0.0 };
            shares.push(PIECE_PRIOR.share(&registers[i]) + id);
        }
    }
    let mut worth = with_prior(worth, pieces, shares);
    lift_prohibitions(digest, &mut worth);
    worth
}

/// What a user forbids or demands outweighs all else, whatever a query asks for; but by message see [`ORDER_PART`]. Everything else is worth less than e^15, and
/// more than 1e-9.
const PROHIBITION: f32 = 1e20;
/// Only what a user forbids or demands is worth this much.
pub(crate) const ORDER_WORTH: f32 = 1e10;

/// By message with a query, orders outweigh all in this part of the budget only, one of so many: an order in a long speech brings all of
/// it. Measured: outweighing all, they leave Chinese meetings 20.6 % of the evidence at 5 %, in half of the budget 24.7, nowhere 27.2.
pub(crate) const ORDER_PART: u64 = 2;
/// An order beyond that comes before all that the query hardly touches: it is worth this share of the best match beyond its own and
/// beyond what density can be.
const PROHIBITION_SHARE: f32 = 0.2;

fn lift_prohibitions(digest: &Digest, pieces: &mut [f32]) {
    for document in (0..digest.len()).map(|i| digest.document(i)) {
        for p in document.pieces.clone().filter(|&p| forbids(digest, &document, p)) {
            pieces[p] *= PROHIBITION;
        }
    }
}

/// Whether piece `p` of a message is a user's prohibition or demand.
fn forbids(digest: &Digest, document: &Document, p: usize) -> bool {
    document.is_user && digest.looks(p).is_order && is_on(Signal::Orders)
}

/// Tokens a message pays beyond its words.
const OVERHEAD_TOKENS: f32 = 6.0;

fn of_group(digest: &Digest, pieces: &[f32], candidate: &Candidate) -> f32 {
    let sum: f32 = (candidate.start..candidate.end).map(|i| of_message(digest, pieces, i)).sum();
    // A message without words has none.
    (sum / tokens(candidate).max(1.0)).max(f32::MIN_POSITIVE)
}

fn of_message(digest: &Digest, pieces: &[f32], i: usize) -> f32 {
    digest.document(i).pieces.map(|p| pieces[p] * (alone(digest, p) + OVERHEAD_TOKENS)).sum()
}

#[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
fn alone(digest: &Digest, p: usize) -> f32 {
    digest.place(p).map_or(0.0, |place| place.alone() as f32)
}

/// Powers of the cost that a match is divided by. Measured: by message 0.3 and 0.5 lose up to 0.9 points, since a message that is worth
/// keeping is worth its tokens; by piece 0.4 gains 0.2 of evidence and loses 1.4 of an answer's terms.
const MESSAGE_COST: f32 = 0.4;
const PIECE_COST: f32 = 0.25;

/// Share of the best match that great density is worth.
#[derive(Debug, Clone, Copy)]
struct Prior {
    in_talk: f32,
    /// In work with tools. There a query names the next step; what later steps need are values of old results.
    with_tools: f32,
}

/// Orders what the query does not touch. Measured: in talk 0.05 and 0.15 lose 0.4 points of evidence; with tools 0.1 loses 3 points
/// of the values that agents need next at 60 %, and 0.5 as many at 20 %.
const MESSAGE_PRIOR: Prior = Prior { in_talk: 0.1, with_tools: 0.3 };
/// Measured: in talk 0.2 loses 3 points of evidence and gains 0.8 of an answer's terms; with tools 0.02 loses 4 to 6 of those values.
const PIECE_PRIOR: Prior = Prior { in_talk: 0.02, with_tools: 2.0 };
/// What density counts more in a piece with an identifier, which the next step may need whatever it is about.
const ID_SHARE: f32 = 2.0;
/// What a piece's own match adds to its message's. Measured: 1 loses 0.6 points of evidence, 0.25 0.3 of an answer's terms.
const OWN_SHARE: f32 = 0.5;

fn matches(digest: &Digest, registers: &[Register], pieces: &[f32], query: Query<'_>) -> Option<Matches> {
    #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
    let density = |i: usize| of_message(digest, pieces, i) / (digest.document(i).tokens as f32 + OVERHEAD_TOKENS);
    Matches::of(digest, registers, &prior((0..digest.len()).map(density).collect()), query)
}

/// Density as a share of itself and the mean: between 0 and 1 whatever the script, since pairs of characters hold more terms for each
/// token than words do.
#[expect(clippy::cast_precision_loss, reason = "a mean needs no more than 24 bits")]
fn prior(mut density: Vec<f32>) -> Vec<f32> {
    let mean = density.iter().sum::<f32>() / density.len().max(1) as f32;
    for value in &mut density {
        *value /= (*value + mean).max(f32::MIN_POSITIVE);
    }
    density
}

impl Prior {
    fn share(self, register: &Register) -> f32 {
        self.in_talk + register.tools * (self.with_tools - self.in_talk)
    }
}

/// Adds to each worth what density is worth there, as a share of the best.
fn with_prior(mut worth: Vec<f32>, density: Vec<f32>, shares: impl IntoIterator<Item = f32>) -> Vec<f32> {
    let best = worth.iter().copied().fold(0.0, f32::max);
    // What matches may all be required already.
    let best = if best > 0.0 { best } else { 1.0 };
    for ((value, prior), share) in worth.iter_mut().zip(prior(density)).zip(shares) {
        *value = (*value + best * share * prior).max(LEAST);
    }
    worth
}

/// No worth is less.
const LEAST: f32 = 1e-9;

fn power(x: f32, exponent: f32) -> f32 {
    exp(exponent * ln(x))
}

#[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
fn tokens(candidate: &Candidate) -> f32 {
    candidate.tokens as f32
}
