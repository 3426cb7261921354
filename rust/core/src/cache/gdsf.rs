//! Greedy dual size frequency: entries by what their uses saved for their bytes, from a level that rises with each eviction.
//!
//! Source: Cherkasova, "Improving WWW proxies performance with greedy-dual-size-frequency caching policy", HP Labs 1998.

use std::cmp::Ordering;

use super::bytes::vec;
use super::order::{NONE, Newcomer, Standing, grow};

#[derive(Debug, Default)]
pub(super) struct Gdsf {
    /// A binary heap of entries' numbers, the least first.
    heap: Vec<u32>,
    ranks: Vec<Rank>,
    /// The priority of what went last.
    level: f64,
    /// Counts insertions and uses: of two entries of one priority, the one longer unused goes.
    now: u64,
}

#[derive(Debug, Clone, Copy)]
struct Rank {
    priority: f64,
    worth: f64,
    used_at: u64,
    uses: u32,
    /// Where it is in the heap.
    at: u32,
}

impl Gdsf {
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn reserve(&mut self, n: usize) {
        grow(&mut self.ranks, n, Rank { priority: 0.0, worth: 0.0, used_at: 0, uses: 0, at: NONE });
        self.heap.reserve_exact(n - self.heap.len());
    }

    pub(super) fn insert(&mut self, id: u32, new: Newcomer) {
        let at = u32::try_from(self.heap.len()).expect("fewer than 2^32 entries");
        self.heap.push(id);
        self.ranks[id as usize] = Rank { priority: 0.0, worth: new.worth, used_at: 0, uses: new.uses, at };
        self.rise(id);
        self.sift_up(at as usize);
    }

    pub(super) fn touch(&mut self, id: u32) {
        self.rise(id);
        self.sift_down(self.ranks[id as usize].at as usize);
    }

    pub(super) fn victim(&self) -> Option<u32> {
        self.heap.first().copied()
    }

    pub(super) fn evict(&mut self, id: u32) {
        self.level = self.ranks[id as usize].priority;
        self.remove(id);
    }

    pub(super) fn remove(&mut self, id: u32) -> u32 {
        let Rank { at, uses, .. } = self.ranks[id as usize];
        let at = at as usize;
        self.heap.swap_remove(at);
        if let Some(&moved) = self.heap.get(at) {
            self.put(at, moved);
            self.sift_up(at);
            self.sift_down(self.ranks[moved as usize].at as usize);
        }
        uses
    }

    pub(super) fn standings(&self) -> Vec<(u32, Standing)> {
        let mut in_order = self.heap.clone();
        in_order.sort_unstable_by(|&a, &b| self.compare(a, b));
        let standing = |id: u32| {
            let Rank { uses, priority, .. } = self.ranks[id as usize];
            (id, Standing { uses, is_main: false, priority: priority - self.level })
        };
        in_order.into_iter().map(standing).collect()
    }

    pub(super) fn restore(&mut self, id: u32, Standing { uses, priority, .. }: Standing) {
        let rank = &mut self.ranks[id as usize];
        rank.uses = uses;
        rank.priority = (self.level + priority).min(f64::MAX);
        let at = rank.at as usize;
        self.sift_up(at);
        self.sift_down(self.ranks[id as usize].at as usize);
    }

    pub(super) fn bytes(&self) -> usize {
        vec(&self.heap) + vec(&self.ranks)
    }

    /// One more use.
    fn rise(&mut self, id: u32) {
        self.now += 1;
        let rank = &mut self.ranks[id as usize];
        rank.uses = rank.uses.saturating_add(1);
        // Costs may be so high that the sum is infinite: then the order is that of the last use.
        rank.priority = (self.level + f64::from(rank.uses) * rank.worth).min(f64::MAX);
        rank.used_at = self.now;
    }

    fn put(&mut self, at: usize, id: u32) {
        self.heap[at] = id;
        self.ranks[id as usize].at = u32::try_from(at).expect("fewer than 2^32 entries");
    }

    fn goes_first(&self, a: u32, b: u32) -> bool {
        self.compare(a, b).is_lt()
    }

    fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (&self.ranks[a as usize], &self.ranks[b as usize]);
        a.priority.total_cmp(&b.priority).then(a.used_at.cmp(&b.used_at))
    }

    fn sift_up(&mut self, mut at: usize) {
        let id = self.heap[at];
        while at > 0 {
            let above = (at - 1) / 2;
            if !self.goes_first(id, self.heap[above]) {
                break;
            }
            self.put(at, self.heap[above]);
            at = above;
        }
        self.put(at, id);
    }

    fn sift_down(&mut self, mut at: usize) {
        let id = self.heap[at];
        loop {
            let below = 2 * at + 1;
            let Some(&left) = self.heap.get(below) else { break };
            let right = self.heap.get(below + 1).copied().filter(|&right| self.goes_first(right, left));
            let least = right.unwrap_or(left);
            if !self.goes_first(least, id) {
                break;
            }
            self.put(at, least);
            at = below + usize::from(right.is_some());
        }
        self.put(at, id);
    }
}
