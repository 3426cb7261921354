//! The choice by whole groups of messages: the worthiest that fit.

use super::fit::{Choice, Plan};
use super::query::Query;
use super::select::{Candidate, ORDER_PART, worth};
use crate::history::{Group, History};

/// A choice of groups in the making.
pub(crate) struct GroupChoice<'h> {
    groups: &'h [Group],
    /// The groups that may be chosen, with their worth.
    open: Vec<Ranked>,
    /// By group: whether it is kept.
    keep: Vec<bool>,
    /// Tokens that may still be spent.
    left: u64,
}

impl Choice for GroupChoice<'_> {
    fn keep(&self) -> &[bool] {
        &self.keep
    }

    fn drop_group(&mut self, group: usize) {
        self.keep[group] = false;
        self.left += self.groups[group].tokens;
    }

    fn take(&mut self, wanted: &dyn Fn(usize) -> bool) {
        let is_wanted = |one: &&Ranked| wanted(one.group()) && !self.keep[one.group()];
        let mut ranked: Vec<Ranked> = self.open.iter().filter(is_wanted).copied().collect();
        self.take_ranked(&mut ranked);
    }
}

impl<'h> GroupChoice<'h> {
    pub(crate) fn new(history: &'h History, plan: &Plan, budget_tokens: u64, query: Option<Query<'_>>) -> Self {
        let groups = history.groups();
        let open: Vec<usize> = plan.open().collect();
        let candidates: Vec<Candidate> = open.iter().map(|&g| candidate(&groups[g])).collect();
        let left = budget_tokens - plan.required_tokens;
        let worth = worth(history.digest(), &candidates, left / ORDER_PART, query);
        Self {
            groups,
            open: open.iter().zip(worth).map(|(&g, worth)| Ranked::new(worth, g)).collect(),
            keep: plan.required.iter().map(Option::is_some).collect(),
            left,
        }
    }

    /// Takes in falling worth what still fits, skipping what does not.
    ///
    /// Gives what a walk over the sorted list would, but sorts only near the boundary: halves are split by worth, and one that
    /// fits as a whole is taken unsorted. Cost: O(n) as long as few that come after the boundary still fit, O(n log n) at most.
    fn take_ranked(&mut self, ranked: &mut [Ranked]) {
        if ranked.len() <= SORT_BELOW {
            ranked.sort_unstable_by(|a, b| b.cmp(a));
            for one in ranked {
                self.take_one(one.group());
            }
            return;
        }
        let (top, _, _) = ranked.select_nth_unstable_by(ranked.len() / 2, |a, b| b.cmp(a));
        let n_top = top.len();
        let (top, rest) = ranked.split_at_mut(n_top);
        if top.iter().map(|one| self.groups[one.group()].tokens).sum::<u64>() <= self.left {
            for one in top {
                self.take_one(one.group());
            }
            self.take_ranked(rest);
        } else {
            self.take_ranked(top);
            let n_fitting = partition(rest, |one| self.groups[one.group()].tokens <= self.left);
            self.take_ranked(&mut rest[..n_fitting]);
        }
    }

    fn take_one(&mut self, group: usize) {
        let tokens = self.groups[group].tokens;
        if tokens <= self.left {
            self.left -= tokens;
            self.keep[group] = true;
        }
    }
}

/// Where sorting costs less than splitting further.
const SORT_BELOW: usize = 32;

/// A group with its worth in one number: the greater, the sooner it is taken; of equals the newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ranked(u64);

impl Ranked {
    /// `worth` is not negative: such floats order as their bits do.
    pub(crate) fn new(worth: f32, group: usize) -> Self {
        Self(u64::from(worth.to_bits()) << 32 | group as u64)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half is an index below 2^32")]
    pub(crate) fn group(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }
}

/// Moves what satisfies `is_first` to the front; returns how many those are.
fn partition<T>(items: &mut [T], is_first: impl Fn(&T) -> bool) -> usize {
    let mut n = 0;
    for i in 0..items.len() {
        if is_first(&items[i]) {
            items.swap(i, n);
            n += 1;
        }
    }
    n
}

fn candidate(group: &Group) -> Candidate {
    Candidate { start: group.start, end: group.end, tokens: group.tokens }
}
