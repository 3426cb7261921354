//! The choice by pieces of messages: the worthiest that fit, each paying for its message when it is the first of it.

use hashbrown::HashSet;

use super::assemble::{MarkTokens, cut_texts, cut_tokens};
use super::fit::{Choice, Plan};
use super::pieces::Form;
use super::select::piece_worth;
use super::window::Entry;
use crate::error::{Error, Result};
use crate::history::{Group, History};

/// A choice of pieces in the making.
pub(crate) struct SentenceChoice<'h> {
    history: &'h History,
    marks: MarkTokens,
    candidates: Vec<Candidate>,
    /// Numbers of `candidates`, the worthiest first, of equals the newer.
    order: Vec<u32>,
    /// Tokens of each group beyond its pieces, when all of those are cut.
    frames: Vec<u64>,
    /// By group: how many of its candidates are taken; of a required one, 1.
    n_taken: Vec<u32>,
    /// By group: whether anything of it is kept.
    keep: Vec<bool>,
    is_required: Vec<bool>,
    /// By piece.
    kept: Vec<bool>,
    /// What is taken, in that order.
    taken: Vec<u32>,
    budget_tokens: u64,
    /// Tokens that may still be spent, by the pieces' own counts.
    left: i64,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    group: u32,
    message: u32,
    /// None: the part of a group that is not cut, such as a tool call.
    piece: Option<u32>,
}

impl<'h> SentenceChoice<'h> {
    /// # Errors
    /// [`Error::Budget`] if nothing is required and no message fits, not even with one piece.
    pub(crate) fn new(history: &'h History, plan: &Plan, budget_tokens: u64, query: Option<&str>) -> Result<Self> {
        let groups = history.groups();
        let n_pieces = history.digest().n_pieces();
        let mut choice = Self {
            history,
            marks: MarkTokens::of(history),
            candidates: Vec::with_capacity(n_pieces),
            order: Vec::new(),
            frames: vec![0; groups.len()],
            n_taken: plan.required.iter().map(|reason| u32::from(reason.is_some())).collect(),
            keep: plan.required.iter().map(Option::is_some).collect(),
            is_required: plan.required.iter().map(Option::is_some).collect(),
            kept: vec![false; n_pieces],
            taken: Vec::new(),
            budget_tokens,
            left: signed(budget_tokens - plan.required_tokens),
        };
        let worth = piece_worth(history.digest(), query);
        let mut keys: Vec<u64> = Vec::with_capacity(n_pieces);
        for g in plan.open() {
            choice.add_group(g, &worth, &mut keys);
        }
        keys.sort_unstable_by(|a, b| b.cmp(a));
        #[expect(clippy::cast_possible_truncation, reason = "the low half is a number of a candidate")]
        choice.order.extend(keys.iter().map(|&key| key as u32));
        if !plan.is_bound() {
            choice.check_budget()?;
        }
        Ok(choice)
    }

    /// Adds what may be kept of a group, with its worth and number as one key each.
    fn add_group(&mut self, g: usize, worth: &[f32], keys: &mut Vec<u64>) {
        let group = &self.history.groups()[g];
        let digest = self.history.digest();
        let mut frame = signed(group.tokens);
        let mut frame_worth = 0.0_f32;
        let mut is_cut = false;
        let mut add = |candidate: Candidate, worth: f32| {
            let number = number(self.candidates.len());
            keys.push(u64::from(worth.max(0.0).to_bits()) << 32 | u64::from(number));
            self.candidates.push(candidate);
        };
        for i in (group.start..group.end).filter(|&i| self.history.is_live(i)) {
            let document = digest.document(i);
            if document.form == Form::Whole || document.pieces.is_empty() {
                frame_worth = document.pieces.map(|p| worth[p]).fold(frame_worth, f32::max);
                is_cut |= i == group.start;
                continue;
            }
            for p in document.pieces {
                frame -=
                    digest.place(p).map_or(0, |place| i64::from(place.tokens.inner) + i64::from(place.tokens.join));
                add(Candidate { group: number(g), message: number(i), piece: Some(number(p)) }, worth[p]);
            }
            frame += signed(self.marks.head);
        }
        if is_cut {
            add(Candidate { group: number(g), message: number(group.start), piece: None }, frame_worth);
        }
        self.frames[g] = frame.max(0).cast_unsigned();
    }

    /// What taking a candidate costs now, by the pieces' own counts.
    fn cost(&self, candidate: Candidate) -> i64 {
        let group = candidate.group as usize;
        let opening = if self.keep[group] { 0 } else { signed(self.frames[group]) };
        let Some(p) = candidate.piece else { return opening };
        let digest = self.history.digest();
        let pieces = digest.document(candidate.message as usize).pieces;
        let p = p as usize;
        let Some(place) = digest.place(p) else { return opening };
        // Neighbours in another part of the message are no neighbours.
        let beside = |q: usize| {
            Some(q)
                .filter(|q| pieces.contains(q))
                .and_then(|q| digest.place(q))
                .filter(|other| other.part == place.part)
        };
        let (before, after) = (p.checked_sub(1).and_then(beside), beside(p + 1));
        let mark = signed(self.marks.inner);
        let mut cost = i64::from(place.tokens.inner) - mark;
        cost += match before {
            None => 0,
            Some(other) if self.kept[p - 1] => i64::from(place.tokens.join) - i64::from(other.tokens.trail),
            Some(_) => i64::from(place.tokens.lead) + mark,
        };
        cost += match after {
            None => 0,
            Some(other) if self.kept[p + 1] => i64::from(other.tokens.join) - i64::from(other.tokens.lead),
            Some(_) => i64::from(place.tokens.trail) + mark,
        };
        opening + cost
    }

    /// Takes a candidate if it fits and is not there yet.
    fn take_one(&mut self, c: u32) -> bool {
        let candidate = self.candidates[c as usize];
        let is_open = self.keep[candidate.group as usize];
        if candidate.piece.map_or(is_open, |p| self.kept[p as usize]) {
            return false;
        }
        let cost = self.cost(candidate);
        let fits = cost <= self.left;
        if fits {
            self.left -= cost;
            self.put(c);
        }
        fits
    }

    fn put(&mut self, c: u32) {
        let Candidate { group, piece, .. } = self.candidates[c as usize];
        self.keep[group as usize] = true;
        self.n_taken[group as usize] += 1;
        if let Some(p) = piece {
            self.kept[p as usize] = true;
        }
        self.taken.push(c);
    }

    /// Gives the candidate back that was taken last.
    fn pop(&mut self) -> Option<Candidate> {
        let candidate = self.candidates[self.taken.pop()? as usize];
        let group = candidate.group as usize;
        if let Some(p) = candidate.piece {
            self.kept[p as usize] = false;
        }
        self.n_taken[group] -= 1;
        self.keep[group] = self.n_taken[group] > 0;
        Some(candidate)
    }

    /// Exact tokens of what is kept of a group, if anything is.
    pub(crate) fn tokens(&self, g: usize, group: &Group) -> Option<u64> {
        if !self.keep[g] {
            return None;
        }
        let cut: i64 = (group.start..group.end)
            .filter_map(|i| Some(signed(self.cut_to(i)?) - signed(self.history.message_tokens(i))))
            .sum();
        Some((signed(group.tokens) + cut).max(0).cast_unsigned())
    }

    /// Exact tokens of message `i`, if it is cut.
    fn cut_to(&self, i: usize) -> Option<u64> {
        let document = self.history.digest().document(i);
        let is_cut = document.form != Form::Whole
            && self.history.is_live(i)
            && document.pieces.clone().any(|p| !self.kept[p])
            && !self.is_required[self.history.group_of(i)];
        is_cut.then(|| cut_tokens(self.history, i, &self.kept, self.marks))
    }

    /// Message `i` of a kept group, with its tokens if it is cut.
    pub(crate) fn entry(&self, i: usize) -> (Entry, Option<u64>) {
        match self.cut_to(i) {
            Some(tokens) => (Entry::Cut { index: i, texts: cut_texts(self.history, i, &self.kept) }, Some(tokens)),
            None => (Entry::Whole(i), None),
        }
    }

    /// Makes the exact count hold: gives back what was taken last until it does.
    pub(crate) fn settle(&mut self) {
        let groups = self.history.groups();
        let mut exact: Vec<u64> =
            groups.iter().enumerate().map(|(g, group)| self.tokens(g, group).unwrap_or(0)).collect();
        let mut total: u64 = exact.iter().sum();
        while total > self.budget_tokens {
            let Some(candidate) = self.pop() else { break };
            let g = candidate.group as usize;
            let now = self.tokens(g, &groups[g]).unwrap_or(0);
            total = total - exact[g] + now;
            exact[g] = now;
        }
        if total == 0 && !self.is_required.contains(&true) {
            self.take_smallest();
        }
    }

    /// The cheapest single candidate or whole group, with its exact tokens.
    fn smallest(&mut self) -> Option<(Vec<u32>, u64)> {
        let mut best: Option<(Vec<u32>, u64)> = None;
        let groups = self.history.groups();
        let mut all: Vec<u32> = Vec::new();
        for c in 0..number(self.candidates.len()) {
            let g = self.candidates[c as usize].group as usize;
            self.put(c);
            let tokens = self.tokens(g, &groups[g]).unwrap_or(0);
            self.pop();
            if best.as_ref().is_none_or(|(_, least)| tokens < *least) {
                best = Some((vec![c], tokens));
            }
            all.push(c);
            let is_last = self.candidates.get(c as usize + 1).is_none_or(|next| next.group as usize != g);
            if is_last {
                if best.as_ref().is_none_or(|(_, least)| groups[g].tokens < *least) {
                    best = Some((all.clone(), groups[g].tokens));
                }
                all.clear();
            }
        }
        best
    }

    fn take_smallest(&mut self) {
        if let Some((cheapest, _)) = self.smallest() {
            for c in cheapest {
                self.put(c);
            }
        }
    }

    /// Refuses a budget under which nothing fits. One candidate that fits is proof enough; all are tried only when the one that
    /// should be the cheapest does not.
    fn check_budget(&mut self) -> Result<()> {
        let cheapest = (0..number(self.candidates.len())).min_by_key(|&c| self.cost(self.candidates[c as usize]));
        let Some(cheapest) = cheapest else { return Ok(()) };
        let g = self.candidates[cheapest as usize].group as usize;
        self.put(cheapest);
        let tokens = self.tokens(g, &self.history.groups()[g]).unwrap_or(0);
        self.pop();
        if tokens <= self.budget_tokens {
            return Ok(());
        }
        match self.smallest() {
            Some((_, needed)) if needed > self.budget_tokens => {
                Err(Error::Budget { needed, budget: self.budget_tokens })
            }
            _ => Ok(()),
        }
    }
}

impl Choice for SentenceChoice<'_> {
    fn keep(&self) -> &[bool] {
        &self.keep
    }

    fn drop_group(&mut self, group: usize) {
        let taken = std::mem::take(&mut self.taken);
        let (gone, stay) =
            taken.into_iter().partition::<Vec<u32>, _>(|&c| self.candidates[c as usize].group as usize == group);
        self.taken = gone;
        while let Some(candidate) = self.pop() {
            self.left += self.cost(candidate);
        }
        self.taken = stay;
    }

    fn take(&mut self, wanted: &dyn Fn(usize) -> bool) {
        // What says the same as a piece that is kept already waits until the rest has had its turn.
        let mut said = HashSet::new();
        let mut waiting = Vec::new();
        for at in 0..self.order.len() {
            let c = self.order[at];
            let Candidate { group, piece, .. } = self.candidates[c as usize];
            if !wanted(group as usize) {
                continue;
            }
            let same = piece.map_or(0, |p| self.history.digest().same(p as usize));
            if same != 0 && said.contains(&same) && self.cost(self.candidates[c as usize]) > SHORT_TOKENS {
                waiting.push(c);
            } else if self.take_one(c) {
                said.insert(same);
            }
        }
        for c in waiting {
            self.take_one(c);
        }
    }
}

/// What costs no more than this need not wait: a mark in its place would cost about as much. Measured: with a query, whole messages of
/// English chat lose 3 points without it; without a query nothing changes.
const SHORT_TOKENS: i64 = 8;

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

fn number(i: usize) -> u32 {
    u32::try_from(i).expect("4 * 10^9 pieces need more memory than a machine has")
}
