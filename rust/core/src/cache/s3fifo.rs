//! S3-FIFO: a small queue that sorts out what is used once, a main queue, and the keys that were evicted of late.
//!
//! Source: Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023, algorithm 1, with a smaller queue and an easier
//! way out of it.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::bytes::{allocation, vec};
use super::order::{Links, List, Newcomer, Standing, grow};
use super::table::reserve_one;

/// Uses that are counted; more count as this many.
const MOST_USES: u8 = 3;
/// Uses in the small queue that bring an entry into the main one.
const USES_FOR_MAIN: u8 = 1;
/// The small queue is one in so many of all entries. Hits on Zipf 1.0 at a tenth of the keys, in points above LRU: 4.0 so, 3.9 with
/// the paper's tenth, 3.5 with a tenth and its two uses.
const SMALL_SHARE: usize = 20;

#[derive(Debug, Default)]
pub(super) struct S3Fifo {
    links: Links,
    small: List,
    main: List,
    state: Vec<State>,
    ghosts: Ghosts,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    uses: u8,
    is_main: bool,
}

/// Hashes of keys that went from the small queue, as many as there are entries at most.
#[derive(Debug, Default)]
struct Ghosts {
    in_order: VecDeque<u64>,
    /// Without those that came back, which stay in the queue until they are the oldest.
    known: HashTable<u64>,
}

impl S3Fifo {
    pub(super) fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }

    pub(super) fn reserve(&mut self, n: usize) {
        self.links.reserve(n);
        grow(&mut self.state, n, State::default());
    }

    pub(super) fn insert(&mut self, id: u32, new: Newcomer) {
        let is_main = self.ghosts.take(new.hash) || new.uses > 0;
        let uses = u8::try_from(new.uses).unwrap_or(MOST_USES).min(MOST_USES);
        self.state[id as usize] = State { uses, is_main };
        let queue = if is_main { &mut self.main } else { &mut self.small };
        queue.push(&mut self.links, id);
    }

    pub(super) fn touch(&mut self, id: u32) {
        let uses = &mut self.state[id as usize].uses;
        *uses = (*uses + 1).min(MOST_USES);
    }

    /// Moves on what is worth it, until something is not.
    pub(super) fn victim(&mut self) -> Option<u32> {
        loop {
            let from_small = self.small.len() * SMALL_SHARE >= self.len() || self.main.len() == 0;
            if let Some(id) = self.small.oldest().filter(|_| from_small) {
                let state = &mut self.state[id as usize];
                if state.uses < USES_FOR_MAIN {
                    return Some(id);
                }
                *state = State { uses: 0, is_main: true };
                self.small.remove(&mut self.links, id);
                self.main.push(&mut self.links, id);
            } else {
                let id = self.main.oldest()?;
                let uses = &mut self.state[id as usize].uses;
                if *uses == 0 {
                    return Some(id);
                }
                *uses -= 1;
                self.main.remove(&mut self.links, id);
                self.main.push(&mut self.links, id);
            }
        }
    }

    pub(super) fn evict(&mut self, id: u32, hash: u64) {
        let is_main = self.state[id as usize].is_main;
        self.remove(id);
        if !is_main {
            self.ghosts.push(hash, self.len());
        }
    }

    pub(super) fn remove(&mut self, id: u32) -> u32 {
        let State { uses, is_main } = self.state[id as usize];
        let queue = if is_main { &mut self.main } else { &mut self.small };
        queue.remove(&mut self.links, id);
        u32::from(uses.max(u8::from(is_main)))
    }

    pub(super) fn standings(&self) -> Vec<(u32, Standing)> {
        let in_order = self.small.iter(&self.links).chain(self.main.iter(&self.links));
        let standing = |id: u32| {
            let State { uses, is_main } = self.state[id as usize];
            (id, Standing { uses: uses.into(), is_main, priority: 0.0 })
        };
        in_order.map(standing).collect()
    }

    pub(super) fn restore(&mut self, id: u32, Standing { uses, is_main, .. }: Standing) {
        self.remove(id);
        let uses = u8::try_from(uses).unwrap_or(MOST_USES).min(MOST_USES);
        self.state[id as usize] = State { uses, is_main };
        let queue = if is_main { &mut self.main } else { &mut self.small };
        queue.push(&mut self.links, id);
    }

    pub(super) fn bytes(&self) -> usize {
        self.links.bytes() + vec(&self.state) + self.ghosts.bytes()
    }

    pub(super) fn forget_evicted(&mut self) {
        self.ghosts = Ghosts::default();
    }

    /// Queue and table of the ghosts may each double once: there are never more of them than entries.
    pub(super) fn growth_by_evicting(&self) -> usize {
        let per_ghost = 2 * size_of::<u64>() + 2 * (size_of::<u64>() + 1);
        128 + 2 * per_ghost * self.len().max(self.ghosts.in_order.len())
    }
}

impl Ghosts {
    fn push(&mut self, hash: u64, most: usize) {
        while self.in_order.len() >= most.max(1) {
            let oldest = self.in_order.pop_front().expect("it is not empty");
            self.take(oldest);
        }
        self.in_order.push_back(hash);
        if self.known.find(hash, |&known| known == hash).is_none() {
            reserve_one(&mut self.known, |&hash| hash);
            self.known.insert_unique(hash, hash, |&hash| hash);
        }
    }

    /// Whether it is one; then no more.
    fn take(&mut self, hash: u64) -> bool {
        match self.known.find_entry(hash, |&known| known == hash) {
            Ok(found) => {
                found.remove();
                true
            }
            Err(_) => false,
        }
    }

    fn bytes(&self) -> usize {
        allocation(self.in_order.capacity() * size_of::<u64>()) + allocation(self.known.allocation_size())
    }
}
