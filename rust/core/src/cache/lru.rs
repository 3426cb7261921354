//! Least recently used: a list that every use moves an entry to the front of.

use super::order::{Links, List, Newcomer, Standing};

#[derive(Debug, Default)]
pub(super) struct Lru {
    links: Links,
    list: List,
}

impl Lru {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn reserve(&mut self, n: usize) {
        self.links.reserve(n);
    }

    pub(super) fn insert(&mut self, id: u32, _: Newcomer) {
        self.list.push(&mut self.links, id);
    }

    #[inline]
    pub(super) fn touch(&mut self, id: u32) {
        if !self.list.is_newest(id) {
            self.list.remove(&mut self.links, id);
            self.list.push(&mut self.links, id);
        }
    }

    pub(super) fn victim(&self) -> Option<u32> {
        self.list.oldest()
    }

    pub(super) fn remove(&mut self, id: u32) -> u32 {
        self.list.remove(&mut self.links, id);
        0
    }

    pub(super) fn standings(&self) -> Vec<(u32, Standing)> {
        self.list.iter(&self.links).map(|id| (id, Standing::default())).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.links.bytes()
    }
}
