//! Spaces: the rows of one tenant and one embedding model, in an index of their own. No search reads two of them.

use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::bytes::{Parts, allocation, shared, vec};
use super::item::Item;
use super::table::{is_full, reserve_one};
use crate::index::{FlatIndex, Found, Query};

/// Whose rows: names of any bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope<'a> {
    /// The tenant.
    pub tenant: &'a [u8],
    /// What made the vectors: those of different models are never compared.
    pub model_id: &'a [u8],
}

/// The rows of a scope.
#[derive(Debug)]
pub(super) struct Space {
    tenant: Box<[u8]>,
    model_id: Box<[u8]>,
    rows: RwLock<Rows>,
}

/// An index, and what is at its slots.
#[derive(Debug)]
pub(super) struct Rows {
    index: FlatIndex,
    held: Vec<Option<Held>>,
}

/// An entry as a search finds it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) item: Arc<Item>,
    pub(super) node: u32,
}

/// All spaces that have rows.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    places: Vec<Option<Place>>,
    free: Vec<u32>,
    by_scope: HashTable<u32>,
    /// That of no tenant and no model, by far the most common.
    unnamed: Option<u32>,
    hasher: DefaultHashBuilder,
    /// Bytes of all spaces, and of those without a pinned row, which evictions can free.
    codes: usize,
    others: usize,
    loose: usize,
}

#[derive(Debug)]
struct Place {
    space: Arc<Space>,
    n_rows: usize,
    n_pinned: usize,
    codes: usize,
    others: usize,
    /// By how much one more row may make it grow.
    growth: usize,
}

impl Scope<'_> {
    /// Whether it is that of no tenant and no model.
    pub(super) fn is_unnamed(&self) -> bool {
        self.tenant.is_empty() && self.model_id.is_empty()
    }
}

impl Space {
    fn new(scope: Scope<'_>, dim: usize) -> Self {
        let rows = RwLock::new(Rows { index: FlatIndex::new(dim), held: Vec::new() });
        Self { tenant: scope.tenant.into(), model_id: scope.model_id.into(), rows }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope { tenant: &self.tenant, model_id: &self.model_id }
    }

    /// For searching. Waits while somebody writes.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Rows> {
        // Whoever panicked with it held the store's lock too, which refuses from then on.
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For writing, unless a search is running.
    pub(super) fn try_write(&self) -> Option<RwLockWriteGuard<'_, Rows>> {
        match self.rows.try_write() {
            Ok(rows) => Some(rows),
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits until no search is running.
    pub(super) fn wait(&self) {
        drop(self.rows.write());
    }
}

impl Rows {
    pub(super) fn insert(&mut self, held: Held, id: u64) -> u32 {
        let slot = self.index.insert(held.item.row().clone(), id);
        let at = slot as usize;
        if at >= self.held.len() {
            self.held.resize(at + 1, None);
        }
        self.held[at] = Some(held);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.index.remove(slot);
        self.held[slot as usize] = None;
    }

    /// The best row, if it reaches `threshold`.
    pub(super) fn lookup(&self, query: &Query<'_>, threshold: f64) -> Option<(Found, Held)> {
        self.index.lookup(query, threshold).map(|found| (found, self.at(found.slot)))
    }

    /// The `top_k` best rows, best first.
    pub(super) fn search(&self, query: &Query<'_>, top_k: usize) -> Vec<(Found, Held)> {
        let found = self.index.search(query, top_k);
        found.into_iter().map(|found| (found, self.at(found.slot))).collect()
    }

    fn at(&self, slot: u32) -> Held {
        self.held[slot as usize].clone().expect("a row in the index is held")
    }
}

impl Spaces {
    pub(super) fn len(&self) -> usize {
        self.by_scope.len()
    }

    pub(super) fn get(&self, id: u32) -> Arc<Space> {
        Arc::clone(&self.place(id).space)
    }

    #[inline]
    pub(super) fn find(&self, scope: Scope<'_>) -> Option<u32> {
        if scope.is_unnamed() {
            return self.unnamed;
        }
        self.by_scope.find(self.hasher.hash_one(scope), |&id| self.is(id, scope)).copied()
    }

    /// The space of a number; without one a new space of the scope, which nobody sees before [`Spaces::list`].
    pub(super) fn get_or_make(&self, id: Option<u32>, scope: Scope<'_>, dim: usize) -> Arc<Space> {
        id.map_or_else(|| Arc::new(Space::new(scope, dim)), |id| self.get(id))
    }

    /// A row is counted in advance, so that its space stays: it is then put in, or given back by [`Spaces::removed`].
    pub(super) fn enter(&mut self, id: u32) {
        self.change(id, |place| place.n_rows += 1);
    }

    /// Takes a new space in, with its first row counted in advance. Returns its number.
    pub(super) fn list(&mut self, space: &Arc<Space>) -> u32 {
        let (space, scope) = (Arc::clone(space), space.scope());
        let id = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            // So that freeing one takes no more bytes.
            self.free.reserve_exact(self.places.capacity());
            u32::try_from(self.places.len() - 1).expect("fewer spaces than rows, of which there are fewer than 2^32")
        });
        self.places[id as usize] = Some(Place { space, n_rows: 1, n_pinned: 0, codes: 0, others: 0, growth: 0 });
        let (places, hasher) = (&self.places, &self.hasher);
        let hash_of = |&id: &u32| {
            hasher.hash_one(places[id as usize].as_ref().expect("a space in the table is there").space.scope())
        };
        reserve_one(&mut self.by_scope, hash_of);
        self.by_scope.insert_unique(hasher.hash_one(scope), id, hash_of);
        if scope.is_unnamed() {
            self.unnamed = Some(id);
        }
        id
    }

    /// A row is in that was counted in advance, or one is out and [`Spaces::removed`] follows.
    pub(super) fn changed(&mut self, id: u32, rows: &Rows) {
        self.change(id, |place| place.measure(rows));
    }

    /// A row is out, or does not come. The last one frees the space.
    pub(super) fn removed(&mut self, id: u32) {
        self.change(id, |place| place.n_rows -= 1);
        if self.place(id).n_rows == 0 {
            self.free(id);
        }
    }

    /// Whether one more row is pinned, or one fewer.
    pub(super) fn pinned(&mut self, id: u32, is_pinned: bool) {
        self.change(id, |place| {
            if is_pinned {
                place.n_pinned += 1;
            } else {
                place.n_pinned -= 1;
            }
        });
    }

    fn free(&mut self, id: u32) {
        let Place { space, codes, others, .. } = self.places[id as usize].take().expect("a space is freed once");
        self.codes -= codes;
        self.others -= others;
        self.loose -= codes + others;
        let found = self.by_scope.find_entry(self.hasher.hash_one(space.scope()), |&at| at == id);
        found.expect("a space is in the table").remove();
        if space.scope().is_unnamed() {
            self.unnamed = None;
        }
        self.free.push(id);
    }

    /// Bytes that go when all rows but the pinned ones go, those of the space `but` left out.
    pub(super) fn loose(&self, but: Option<u32>) -> usize {
        let kept = but.map(|but| self.place(but)).filter(|place| place.n_pinned == 0);
        self.loose - kept.map_or(0, |place| place.codes + place.others)
    }

    /// Bytes by which a row of a scope, whose space has this number, may make its space and the tables grow.
    pub(super) fn growth(&self, id: Option<u32>, scope: Scope<'_>, dim: usize) -> usize {
        const FIRST: usize = 512;
        if let Some(id) = id {
            return self.place(id).growth;
        }
        let tables = self.bytes().tables - self.others;
        let is_full = is_full(&self.by_scope) || self.free.is_empty() && self.places.len() == self.places.capacity();
        let names = scope.tenant.len() + scope.model_id.len();
        names + FIRST + FlatIndex::first_bytes(dim) + if is_full { tables + FIRST } else { 0 }
    }

    pub(super) fn bytes(&self) -> Parts {
        let tables = vec(&self.places) + vec(&self.free) + allocation(self.by_scope.allocation_size());
        Parts { codes: self.codes, tables: self.others + tables, ..Parts::default() }
    }

    /// The same, from scratch.
    #[cfg(test)]
    pub(super) fn recount(&self) -> Parts {
        let mut parts = Parts::default();
        for place in self.places.iter().flatten() {
            let rows = place.space.read();
            assert!(place.n_rows > 0 && place.n_rows == rows.index.len(), "a space has rows");
            let names = allocation(place.space.tenant.len()) + allocation(place.space.model_id.len());
            parts.codes += rows.index.bytes();
            parts.tables += names + shared(size_of::<Space>()) + vec(&rows.held);
        }
        parts.tables += vec(&self.places) + vec(&self.free) + allocation(self.by_scope.allocation_size());
        parts
    }

    fn is(&self, id: u32, scope: Scope<'_>) -> bool {
        let space = &self.place(id).space;
        is_same(&space.tenant, scope.tenant) && is_same(&space.model_id, scope.model_id)
    }

    fn place(&self, id: u32) -> &Place {
        self.places[id as usize].as_ref().expect("rows keep their space")
    }

    fn change(&mut self, id: u32, change: impl FnOnce(&mut Place)) {
        let place = self.places[id as usize].as_mut().expect("rows keep their space");
        let loose = |place: &Place| if place.n_pinned == 0 { place.codes + place.others } else { 0 };
        self.codes -= place.codes;
        self.others -= place.others;
        self.loose -= loose(place);
        change(place);
        self.codes += place.codes;
        self.others += place.others;
        self.loose += loose(place);
    }
}

/// More than the first places for what a space holds take.
const FIRST_HELD: usize = 128;

impl Place {
    fn measure(&mut self, rows: &Rows) {
        let names = allocation(self.space.tenant.len()) + allocation(self.space.model_id.len());
        self.codes = rows.index.bytes();
        self.growth = rows.index.growth()
            + if rows.held.len() == rows.held.capacity() { vec(&rows.held) + FIRST_HELD } else { 0 };
        self.others = names + shared(size_of::<Space>()) + vec(&rows.held);
    }
}

/// Names are empty more often than not, and glibc's `memcmp` with AVX-512 takes 100 ns for nothing at an address where nothing is.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}
