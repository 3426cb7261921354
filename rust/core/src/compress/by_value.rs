//! The choice inside tool-calling sessions: the pieces that hold the most worth of values not held yet.

use std::collections::BinaryHeap;

use super::by_sentence::SentenceChoice;
use super::register::in_tool_talk;
use super::values::Values;

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
        if !history.has_tools() {
            return;
        }
        let is_tool_talk = in_tool_talk(history);
        let open = |g: usize| history.groups()[g].start;
        let mut share = [0_u64; 2];
        for g in (0..history.groups().len()).filter(|&g| wanted(g) && !self.is_required(g)) {
            share[usize::from(is_tool_talk[open(g)])] += history.groups()[g].tokens;
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
        let is_open = |c: u32, choice: &Self| {
            let g = choice.group_of(c);
            wanted(g) && is_tool_talk[open(g)]
        };
        let push = |heap: &mut BinaryHeap<Ranked>, choice: &Self, cover: &Cover<'_>, c: u32| {
            let rank = choice.rank(cover, c);
            if rank > 0.0 {
                heap.push(u64::from(rank.to_bits()) << 32 | u64::from(c));
            }
        };
        for c in (0..self.n_candidates()).filter(|&c| is_open(c, self)) {
            push(&mut heap, self, &cover, c);
        }
        while let Some(top) = heap.pop() {
            #[expect(clippy::cast_possible_truncation, reason = "the low half is a number of a candidate")]
            let c = top as u32;
            if self.is_taken(c) {
                continue;
            }
            let rank = self.rank(&cover, c);
            if rank <= 0.0 {
                continue;
            }
            if u64::from(rank.to_bits()) < top >> 32 {
                push(&mut heap, self, &cover, c);
                continue;
            }
            if self.left() - self.cost_of(c) < rest {
                continue;
            }
            let mut brought = Vec::new();
            self.each_piece(c, |p| brought.push(p));
            let Some(cheaper) = self.take_one(c) else { continue };
            brought.into_iter().for_each(|p| cover.hold(p));
            for c in cheaper.filter(|&c| !self.is_taken(c)) {
                push(&mut heap, self, &cover, c);
            }
        }
    }

    /// Worth of the values that a candidate would add, for each token it costs now.
    fn rank(&self, cover: &Cover<'_>, c: u32) -> f32 {
        let mut gain = 0.0;
        self.each_piece(c, |p| gain += cover.gain(p));
        #[expect(clippy::cast_precision_loss, reason = "a cost needs no more than 24 bits")]
        let cost = self.cost_of(c).max(1) as f32;
        gain / cost
    }
}

/// Which values are held already.
struct Cover<'v> {
    /// What each value is still worth.
    weights: Vec<f32>,
    values: &'v Values,
}

impl Cover<'_> {
    fn hold(&mut self, p: usize) {
        for &value in self.values.of_piece(p) {
            self.weights[value as usize] = 0.0;
        }
    }

    fn gain(&self, p: usize) -> f32 {
        self.values.of_piece(p).iter().map(|&value| self.weights[value as usize]).sum()
    }
}
