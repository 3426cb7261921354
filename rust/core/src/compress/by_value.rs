//! The choice inside tool-calling sessions: the pieces that hold the most worth of values not held yet.

use std::collections::BinaryHeap;

use super::ablation::{Signal, is_on};
use super::by_sentence::SentenceChoice;
use super::register::in_tool_talk;
use super::values::{ValueId, Values};

/// A candidate with its worth per token when it was last looked at, in one number; of equals the newer is the greater.
type Ranked = u64;

impl SentenceChoice<'_> {
    /// Takes pieces of tool talk, each time the one that adds the most worth for each token it costs now, until that talk has had its
    /// share of what may still be spent.
    ///
    /// A value held once is worth nothing more, so worth only falls as pieces are taken, except where taking one makes its neighbours
    /// cheaper: those are looked at again. So what comes up is recomputed, and taken if it is still the best.
    pub(crate) fn take_values(&mut self, wanted: &dyn Fn(usize) -> bool) {
        let history = self.history();
        if !history.has_tools() || !is_on(Signal::Values) {
            return;
        }
        let is_tool_talk = in_tool_talk(history);
        let first = |g: usize| history.groups()[g].start;
        let mut share = [0_u64; 2];
        for g in (0..history.groups().len()).filter(|&g| wanted(g) && !self.is_required(g)) {
            share[usize::from(is_tool_talk[first(g)])] += history.groups()[g].tokens;
        }
        if share[1] == 0 {
            return;
        }
        let all = i128::from(share[0] + share[1]);
        let of_tools = i64::try_from(i128::from(self.left()) * i128::from(share[1]) / all).unwrap_or(i64::MAX);
        let rest = self.left() - of_tools;

        let mut values = history.values();
        values.catch_up(history.messages(), history.digest());
        let mut cover = Cover { weights: values.weights(), values: &values };
        self.each_kept_piece(|p| cover.hold(p));
        let mut heap: BinaryHeap<Ranked> = BinaryHeap::new();
        let groups: Vec<usize> = (0..history.groups().len())
            .filter(|&g| wanted(g) && is_tool_talk[first(g)] && !self.is_required(g))
            .collect();
        for &g in &groups {
            self.push(&mut heap, &mut cover, g, rest);
        }
        while let Some(top) = heap.pop() {
            #[expect(clippy::cast_possible_truncation, reason = "the low half is a number of a candidate")]
            let c = top as u32;
            if self.is_taken(c) {
                continue;
            }
            let g = self.group_of(c);
            let (rank, bundle) = self.best(&mut cover, c, rest);
            if rank <= 0.0 {
                continue;
            }
            if u64::from(rank.to_bits()) < top >> 32 {
                heap.push(key(rank, c));
                continue;
            }
            let was_open = self.is_open(g);
            for c in bundle {
                let mut brought = Vec::new();
                self.each_piece(c, |p| brought.push(p));
                let Some(cheaper) = self.take_one(c) else { continue };
                for p in brought {
                    cover.hold(p);
                }
                for c in cheaper.filter(|_| was_open) {
                    if !self.is_taken(c) {
                        let (rank, _) = self.best(&mut cover, c, rest);
                        heap.push(key(rank, c));
                    }
                }
            }
            if !was_open {
                self.push(&mut heap, &mut cover, g, rest);
            }
        }
    }

    /// Puts a group on the heap: as one bundle while it is closed, else each of its pieces.
    fn push(&mut self, heap: &mut BinaryHeap<Ranked>, cover: &mut Cover<'_>, g: usize, rest: i64) {
        let all = self.candidates_of(g);
        let n = if self.is_open(g) { all.len() } else { 1 };
        for c in all.take(n).filter(|&c| !self.is_taken(c)).collect::<Vec<u32>>() {
            let (rank, _) = self.best(cover, c, rest);
            if rank > 0.0 {
                heap.push(key(rank, c));
            }
        }
    }

    /// Worth of the values that a candidate would add, for each token it costs now; of a closed group, that of the pieces which
    /// together are worth most for what they and the opening of the group cost.
    fn best(&mut self, cover: &mut Cover<'_>, c: u32, rest: i64) -> (f32, Vec<u32>) {
        let room = self.left() - rest;
        let g = self.group_of(c);
        if self.is_open(g) {
            let cost = self.cost_of(c);
            let mut gain = 0.0;
            self.each_piece(c, |p| gain += cover.gain(p));
            return if cost > room { (0.0, Vec::new()) } else { (density(gain, cost), vec![c]) };
        }
        let frame = self.frame_of(g);
        let mut held = Vec::new();
        let mut gain = 0.0;
        self.each_frame_piece(g, |p| gain += cover.hold_for_now(p, &mut held));
        let mut cost = frame;
        let mut bundle: Vec<u32> = self.candidates_of(g).filter(|&c| self.piece_of(c).is_none()).collect();
        let mut pieces: Vec<(f32, u32)> = Vec::new();
        for c in self.candidates_of(g) {
            let worth = self.piece_of(c).map_or(0.0, |p| cover.gain(p));
            if worth > 0.0 {
                pieces.push((density(worth, self.cost_of(c) - frame), c));
            }
        }
        pieces.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
        let mut opened = Vec::new();
        for (alone, c) in pieces {
            // What was half as dense before its containers were open is not dense enough after.
            if alone < 0.5 * density(gain, cost) && is_on(Signal::Bundles) {
                break;
            }
            let Some(p) = self.piece_of(c) else { continue };
            let more = cover.gain(p);
            let price = (self.cost_of(c) - frame).max(1);
            let is_thinner = density(more, price) < density(gain, cost) && is_on(Signal::Bundles);
            if more <= 0.0 || cost + price > room || is_thinner {
                continue;
            }
            gain += cover.hold_for_now(p, &mut held);
            cost += price;
            bundle.push(c);
            self.open_for_now(c, &mut opened);
        }
        self.close(&opened);
        cover.give_back(&held);
        if cost > room || bundle.is_empty() { (0.0, Vec::new()) } else { (density(gain, cost), bundle) }
    }
}

fn key(rank: f32, c: u32) -> Ranked {
    u64::from(rank.to_bits()) << 32 | u64::from(c)
}

#[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
fn density(gain: f32, cost: i64) -> f32 {
    gain / cost.max(1) as f32
}

/// Which values are held already.
struct Cover<'v> {
    /// What each value is still worth.
    weights: Vec<f32>,
    values: &'v Values,
}

impl Cover<'_> {
    fn hold(&mut self, p: usize) {
        for &value in self.values.of_piece(p).iter().filter(|_| is_on(Signal::Coverage)) {
            self.weights[value as usize] = 0.0;
        }
    }

    /// Holds the values of a piece until they are given back; returns what they are worth.
    fn hold_for_now(&mut self, p: usize, held: &mut Vec<(ValueId, f32)>) -> f32 {
        let gain = self.gain(p);
        for &value in self.values.of_piece(p).iter().filter(|_| is_on(Signal::Coverage)) {
            held.push((value, std::mem::take(&mut self.weights[value as usize])));
        }
        gain
    }

    fn give_back(&mut self, held: &[(ValueId, f32)]) {
        for &(value, weight) in held.iter().rev() {
            self.weights[value as usize] = weight;
        }
    }

    fn gain(&self, p: usize) -> f32 {
        self.values.of_piece(p).iter().map(|&value| self.weights[value as usize]).sum()
    }
}
