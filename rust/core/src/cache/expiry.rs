//! Deadlines: a heap of them, in which those of entries that are gone stay until they come up or become too many.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bytes::allocation;

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;
/// So few stale deadlines are left alone.
const FEW: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Expiry {
    heap: BinaryHeap<Reverse<Deadline>>,
    n_stale: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    pub(super) at_ns: u64,
    /// The number of the insertion: no two entries have the same, now or later.
    pub(super) id: u64,
    pub(super) node: u32,
}

impl Expiry {
    /// Whether no entry has a deadline.
    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// Whether one more takes more bytes.
    pub(super) fn is_full(&self) -> bool {
        self.heap.len() == self.heap.capacity()
    }

    pub(super) fn add(&mut self, deadline: Deadline) {
        self.heap.push(Reverse(deadline));
    }

    /// The next deadline, if it is over; maybe that of an entry that is gone.
    pub(super) fn due(&self, now_ns: u64) -> Option<Deadline> {
        self.heap.peek().map(|next| next.0).filter(|next| next.at_ns <= now_ns)
    }

    /// Drops the next deadline; `is_stale` when its entry was gone before.
    pub(super) fn pop(&mut self, is_stale: bool) {
        self.heap.pop();
        self.n_stale -= usize::from(is_stale);
    }

    /// An entry that has a deadline is gone; `is_live` says which are not.
    pub(super) fn removed(&mut self, is_live: impl Fn(&Deadline) -> bool) {
        self.n_stale += 1;
        if self.n_stale > FEW && 2 * self.n_stale > self.heap.len() {
            self.heap.retain(|deadline| is_live(&deadline.0));
            self.n_stale = 0;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        allocation(self.heap.capacity() * size_of::<Deadline>())
    }
}
