//! What a choice of sentences costs by exact count, and how it is brought under its budget.

use super::super::assemble::{cut_texts, cut_tokens};
use super::super::pieces::Form;
use super::super::window::Entry;
use super::{Exact, SentenceChoice, number, signed};
use crate::error::{Error, Result};
use crate::history::Group;

impl SentenceChoice<'_> {
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

    /// Exact tokens of message `i` of a kept group, if it is cut.
    fn cut_to(&self, i: usize) -> Option<u64> {
        match self.exact[i].get() {
            Exact::Unknown => {}
            Exact::Whole => return None,
            Exact::CutTo(tokens) => return Some(tokens),
        }
        let document = self.history.digest().document(i);
        let is_cut = document.form != Form::Whole
            && self.history.is_live(i)
            && document.pieces.clone().any(|p| !self.kept[p])
            && !self.is_required[self.history.group_of(i)];
        let tokens = is_cut.then(|| cut_tokens(self.history, i, &self.kept, self.marks));
        self.exact[i].set(tokens.map_or(Exact::Whole, Exact::CutTo));
        tokens
    }

    /// Message `i` of a kept group, with its tokens if it is cut.
    pub(crate) fn entry(&self, i: usize) -> (Entry, Option<u64>) {
        match self.cut_to(i) {
            Some(tokens) => (Entry::Cut { index: i, texts: cut_texts(self.history, i, &self.kept) }, Some(tokens)),
            None => (Entry::Whole(i), None),
        }
    }

    /// Exact tokens of the window so far.
    pub(super) fn total(&self) -> u64 {
        self.history.groups().iter().enumerate().filter_map(|(g, group)| self.tokens(g, group)).sum()
    }

    /// Makes the exact count hold: gives back what was taken last until it does.
    pub(crate) fn settle(&mut self) {
        let mut total = self.total();
        while total > self.budget_tokens {
            // As much at once as should do: what is cut has to be counted again each time.
            let mut over = signed(total - self.budget_tokens);
            while over > 0 {
                let Some(candidate) = self.pop() else { break };
                over -= self.cost(candidate).max(1);
            }
            if self.taken.is_empty() {
                break;
            }
            total = self.total();
        }
        total = self.total();
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
    pub(super) fn check_budget(&mut self) -> Result<()> {
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
