//! The choice by pieces of messages: the worthiest that fit, each paying for its message when it is the first of it.

mod settle;

use std::cell::Cell;
use std::ops::Range;

use hashbrown::{HashMap, HashSet};

use super::ablation::{Signal, is_on};
use super::assemble::MarkTokens;
use super::data::{Data, NOTE_TOKENS};
use super::fit::{Choice, Plan};
use super::pieces::{Form, data_of};
use super::query::Query;
use super::select::{ORDER_WORTH, piece_worth};
use crate::error::Result;
use crate::history::History;
use crate::tokens::slices::SliceTokens;

/// A choice of pieces in the making.
pub(crate) struct SentenceChoice<'h> {
    history: &'h History,
    marks: MarkTokens,
    candidates: Vec<Candidate>,
    /// Numbers of `candidates`, the worthiest first, of equals the newer.
    order: Vec<u32>,
    /// How many of `order` hold what a user forbids or demands.
    n_orders: usize,
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
    /// By message: what is known of its exact tokens.
    exact: Vec<Cell<Exact>>,
    /// By group: its candidates.
    of_group: Vec<Range<u32>>,
    /// By message: the JSON text of a result that is cut between its values, and which of its containers hold a kept one.
    data: HashMap<usize, Data>,
}

/// What is known of a kept message's exact tokens.
#[derive(Debug, Clone, Copy)]
enum Exact {
    /// Its pieces changed since it was counted.
    Unknown,
    /// All of it is kept.
    Whole,
    /// This many are left.
    CutTo(u64),
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    group: u32,
    message: u32,
    /// None: the part of a group that is not cut, such as a tool call.
    piece: Option<u32>,
    /// Whether the same text has a piece before it, and one after it.
    has_before: bool,
    has_after: bool,
    /// Whether it is a value of a JSON text.
    is_value: bool,
}

impl<'h> SentenceChoice<'h> {
    /// # Errors
    /// [`Error::Budget`] if nothing is required and no message fits, not even with one piece.
    pub(crate) fn new(history: &'h History, plan: &Plan, budget_tokens: u64, query: Option<Query<'_>>) -> Result<Self> {
        let groups = history.groups();
        let n_pieces = history.digest().n_pieces();
        let mut choice = Self {
            history,
            marks: MarkTokens::of(history),
            candidates: Vec::with_capacity(n_pieces),
            order: Vec::new(),
            n_orders: 0,
            frames: vec![0; groups.len()],
            n_taken: plan.required.iter().map(|reason| u32::from(reason.is_some())).collect(),
            keep: plan.required.iter().map(Option::is_some).collect(),
            is_required: plan.required.iter().map(Option::is_some).collect(),
            kept: vec![false; n_pieces],
            taken: Vec::new(),
            budget_tokens,
            left: signed(budget_tokens - plan.required_tokens),
            exact: vec![Cell::new(Exact::Unknown); history.len()],
            of_group: vec![0..0; groups.len()],
            data: HashMap::new(),
        };
        let worth = piece_worth(history.digest(), query);
        let mut keys: Vec<u64> = Vec::with_capacity(n_pieces);
        for g in plan.open() {
            choice.add_group(g, &worth, &mut keys);
        }
        keys.sort_unstable_by(|a, b| b.cmp(a));
        choice.n_orders = keys.partition_point(|&key| key >> 32 >= u64::from(ORDER_WORTH.to_bits()));
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
        let first = number(self.candidates.len());
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
            let part = |p: usize| {
                let place = if document.pieces.contains(&p) { digest.place(p) } else { None };
                place.map(|place| place.part)
            };
            for p in document.pieces.clone() {
                let Some(place) = digest.place(p) else { continue };
                frame -= i64::from(place.tokens.inner) + i64::from(place.tokens.join);
                let candidate = Candidate {
                    group: number(g),
                    message: number(i),
                    piece: Some(number(p)),
                    has_before: p > 0 && part(p - 1) == Some(place.part),
                    has_after: part(p + 1) == Some(place.part),
                    is_value: document.form == Form::Json,
                };
                add(candidate, worth[p]);
            }
            let json = if document.form == Form::Json { self.history.message(i).and_then(data_of) } else { None };
            frame += if json.is_some() { NOTE_TOKENS } else { signed(self.marks.head) };
            if let Some(json) = json {
                self.data.insert(i, Data::new(json));
            }
        }
        if is_cut {
            let candidate = Candidate {
                group: number(g),
                message: number(group.start),
                piece: None,
                has_before: false,
                has_after: false,
                is_value: false,
            };
            add(candidate, frame_worth);
        }
        self.frames[g] = frame.max(0).cast_unsigned();
        self.of_group[g] = first..number(self.candidates.len());
    }

    /// What taking a candidate costs now, by the pieces' own counts.
    fn cost(&self, candidate: Candidate) -> i64 {
        let group = candidate.group as usize;
        let opening = if self.keep[group] { 0 } else { signed(self.frames[group]) };
        let Some(p) = candidate.piece.map(|p| p as usize) else { return opening };
        let digest = self.history.digest();
        let Some(place) = digest.place(p) else { return opening };
        if candidate.is_value
            && let Some(data) = self.data.get(&(candidate.message as usize))
        {
            return opening + data.cost(p - self.pieces_of(candidate).start, place.tokens);
        }
        let tokens_of = |p: usize| digest.place(p).map_or_else(SliceTokens::default, |other| other.tokens);
        let mark = signed(self.marks.inner);
        let mut cost = i64::from(place.tokens.inner) - mark;
        if candidate.has_before {
            cost += if self.kept[p - 1] {
                i64::from(place.tokens.join) - i64::from(tokens_of(p - 1).trail)
            } else {
                i64::from(place.tokens.lead) + mark
            };
        }
        if candidate.has_after {
            cost += if self.kept[p + 1] {
                let after = tokens_of(p + 1);
                i64::from(after.join) - i64::from(after.lead)
            } else {
                i64::from(place.tokens.trail) + mark
            };
        }
        opening + cost
    }

    /// Takes a candidate if it fits and is not there yet; returns the candidates that this makes cheaper, itself among them.
    pub(crate) fn take_one(&mut self, c: u32) -> Option<Range<u32>> {
        let candidate = self.candidates[c as usize];
        let cost = self.cost(candidate);
        if self.is_taken(c) || cost > self.left {
            return None;
        }
        self.left -= cost;
        let was_open = self.keep[candidate.group as usize];
        self.put(c);
        let cheaper = self.opened_by(candidate).map_or(c.saturating_sub(1)..c + 2, |leaves| {
            let leaf = candidate.piece.map_or(0, |p| p as usize) - self.pieces_of(candidate).start;
            c - number(leaf) + number(leaves.start)..c - number(leaf) + number(leaves.end)
        });
        let group = self.of_group[candidate.group as usize].clone();
        Some(if was_open { cheaper.start.max(group.start)..cheaper.end.min(group.end) } else { group })
    }

    /// Opens the containers around a leaf; the leaves of the outermost that was not open.
    fn opened_by(&mut self, candidate: Candidate) -> Option<Range<usize>> {
        let mut opened = Vec::new();
        self.open_containers(candidate, &mut opened);
        let start = self.pieces_of(candidate).start;
        let data = self.data.get(&(candidate.message as usize))?;
        let leaf = candidate.piece? as usize - start;
        let outermost = opened.last().map(|&(_, at)| at);
        Some(data.leaves_of(outermost.unwrap_or(data.json.leaf(leaf))))
    }

    /// Opens the containers around a leaf, and adds those that were closed to `opened`, the outermost last.
    fn open_containers(&mut self, candidate: Candidate, opened: &mut Vec<(usize, usize)>) {
        let start = self.pieces_of(candidate).start;
        let message = candidate.message as usize;
        let (Some(data), Some(p)) = (self.data.get_mut(&message), candidate.piece) else { return };
        let Data { json, is_open } = data;
        for at in json.leaf_path(p as usize - start) {
            if std::mem::replace(&mut is_open[at], true) {
                break;
            }
            opened.push((message, at));
        }
    }

    /// Opens the containers of a candidate until they are closed again.
    pub(crate) fn open_for_now(&mut self, c: u32, opened: &mut Vec<(usize, usize)>) {
        self.open_containers(self.candidates[c as usize], opened);
    }

    pub(crate) fn close(&mut self, opened: &[(usize, usize)]) {
        for &(message, at) in opened {
            if let Some(data) = self.data.get_mut(&message) {
                data.is_open[at] = false;
            }
        }
    }

    fn pieces_of(&self, candidate: Candidate) -> Range<usize> {
        self.history.digest().document(candidate.message as usize).pieces
    }

    pub(crate) fn history(&self) -> &'h History {
        self.history
    }

    /// Tokens that may still be spent, by the pieces' own counts.
    pub(crate) fn left(&self) -> i64 {
        self.left
    }

    pub(crate) fn is_required(&self, group: usize) -> bool {
        self.is_required[group]
    }

    pub(crate) fn group_of(&self, c: u32) -> usize {
        self.candidates[c as usize].group as usize
    }

    /// What taking a candidate costs now, by the pieces' own counts.
    pub(crate) fn cost_of(&self, c: u32) -> i64 {
        self.cost(self.candidates[c as usize])
    }

    pub(crate) fn is_taken(&self, c: u32) -> bool {
        let Candidate { group, piece, .. } = self.candidates[c as usize];
        piece.map_or(self.keep[group as usize], |p| self.kept[p as usize])
    }

    /// Whether anything of a group is kept.
    pub(crate) fn is_open(&self, group: usize) -> bool {
        self.keep[group]
    }

    pub(crate) fn candidates_of(&self, group: usize) -> Range<u32> {
        self.of_group[group].clone()
    }

    /// Tokens of a group beyond its pieces.
    pub(crate) fn frame_of(&self, group: usize) -> i64 {
        signed(self.frames[group])
    }

    pub(crate) fn piece_of(&self, c: u32) -> Option<usize> {
        self.candidates[c as usize].piece.map(|p| p as usize)
    }

    /// Calls `f` with each piece that taking a candidate brings: itself, and what is not cut of a group that it opens.
    pub(crate) fn each_piece(&self, c: u32, mut f: impl FnMut(usize)) {
        let Candidate { group, piece, .. } = self.candidates[c as usize];
        if let Some(p) = piece {
            f(p as usize);
        }
        if !self.keep[group as usize] {
            self.each_frame_piece(group as usize, f);
        }
    }

    /// Calls `f` with each piece of a group that is not cut.
    pub(crate) fn each_frame_piece(&self, group: usize, f: impl FnMut(usize)) {
        let group = &self.history.groups()[group];
        let live = (group.start..group.end).filter(|&i| self.history.is_live(i));
        let whole = live.map(|i| self.history.digest().document(i)).filter(|document| document.form == Form::Whole);
        whole.flat_map(|document| document.pieces).for_each(f);
    }

    /// Calls `f` with each piece that is in the window so far.
    pub(crate) fn each_kept_piece(&self, mut f: impl FnMut(usize)) {
        for (g, group) in self.history.groups().iter().enumerate().filter(|(g, _)| self.keep[*g]) {
            for i in (group.start..group.end).filter(|&i| self.history.is_live(i)) {
                let document = self.history.digest().document(i);
                let is_whole = self.is_required[g] || document.form == Form::Whole;
                document.pieces.filter(|&p| is_whole || self.kept[p]).for_each(&mut f);
            }
        }
    }

    fn put(&mut self, c: u32) {
        let Candidate { group, message, piece, .. } = self.candidates[c as usize];
        self.open_or_close(group as usize, true);
        self.exact[message as usize].set(Exact::Unknown);
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
        self.open_or_close(group, self.n_taken[group] > 0);
        self.exact[candidate.message as usize].set(Exact::Unknown);
        Some(candidate)
    }

    fn open_or_close(&mut self, g: usize, is_kept: bool) {
        if self.keep[g] != is_kept {
            self.keep[g] = is_kept;
            let group = &self.history.groups()[g];
            for exact in &self.exact[group.start..group.end] {
                exact.set(Exact::Unknown);
            }
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
        for _ in 0..MAX_ROUNDS {
            self.take_once(wanted);
            // What was estimated too high can be spent again.
            let left = signed(self.budget_tokens) - signed(self.total());
            if left <= self.left {
                break;
            }
            self.left = left;
        }
    }
}

impl SentenceChoice<'_> {
    fn take_once(&mut self, wanted: &dyn Fn(usize) -> bool) {
        // What a user forbids or demands comes before everything, among tools too.
        for at in 0..self.n_orders {
            if wanted(self.group_of(self.order[at])) {
                self.take_one(self.order[at]);
            }
        }
        self.take_values(wanted);
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
            let is_said = same != 0 && said.contains(&same) && is_on(Signal::Repeats);
            if is_said && self.cost(self.candidates[c as usize]) > SHORT_TOKENS {
                waiting.push(c);
            } else if self.take_one(c).is_some() {
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

/// How often what is left over is spent again.
const MAX_ROUNDS: usize = 4;

fn signed(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

fn number(i: usize) -> u32 {
    u32::try_from(i).expect("4 * 10^9 pieces need more memory than a machine has")
}
