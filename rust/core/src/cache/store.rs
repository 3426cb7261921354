//! What the cache's lock guards: entries by key, their order of eviction, their deadlines and their bytes.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::bytes::{Parts, allocation, vec};
use super::expiry::{Deadline, Expiry, NEVER};
use super::face::{Face, Handle};
use super::item::Item;
use super::order::{Newcomer, Order};
use super::space::{Rows, Scope, Space, Spaces};
use super::{Address, Entry, Outcome, Settings, Stats};

/// An operation cannot go on: this space is being searched. Nothing of it is done, but for entries that expired or were evicted, and
/// the cache is within its limits: others see it before the operation is tried again.
#[derive(Debug)]
pub struct Busy(pub(super) Arc<Space>);

/// The entries of a cache, each with a face of type `F`: whatever the caller shows it by, made once and not once a look-up. Every method is given the time, in nanoseconds of a clock that the caller has; `None` stands for a
/// monotonic clock of the cache's own, which is only read when some entry can expire.
#[derive(Debug)]
pub struct Store<F> {
    pub(super) settings: Settings,
    pub(super) nodes: Vec<Option<Node>>,
    pub(super) free: Vec<u32>,
    pub(super) keys: HashTable<Handle<F>>,
    pub(super) hasher: DefaultHashBuilder,
    pub(super) order: Order,
    pub(super) expiry: Expiry,
    pub(super) spaces: Spaces,
    /// The number of the next insertion.
    pub(super) next_id: u64,
    /// Bytes of all items, and of those that are not pinned.
    pub(super) items: Parts,
    pub(super) loose_items: usize,
    pub(super) viewed: Arc<AtomicUsize>,
    pub(super) counts: Stats,
    started: Instant,
}

/// An entry; all of it but its face, which is in the table of keys.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) item: Arc<Item>,
    /// The number of its insertion.
    pub(super) id: u64,
    pub(super) hash: u64,
    pub(super) deadline_ns: u64,
    pub(super) space: u32,
    pub(super) slot: u32,
    pub(super) is_pinned: bool,
}

impl<F: Face> Store<F> {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            order: Order::new(settings.policy),
            settings,
            nodes: Vec::new(),
            free: Vec::new(),
            keys: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            expiry: Expiry::default(),
            spaces: Spaces::default(),
            next_id: 0,
            items: Parts::default(),
            loose_items: 0,
            viewed: Arc::default(),
            counts: Stats::default(),
            started: Instant::now(),
        }
    }

    /// The entry of a key, unless it has expired. Counts as a use. Never waits for a search.
    pub fn get(&mut self, at: &Address<'_>, now_ns: Option<u64>) -> Option<Entry<'_, F>> {
        let now = self.now(now_ns);
        // What expired in a space that is being searched is purged by a later call.
        let _ = self.purge(now);
        let Self { keys, nodes, spaces, hasher, order, counts, .. } = self;
        let found = find(keys, nodes, spaces, hasher.hash_one(at), at);
        let good = found.filter(|handle| handle.face.is_some() || now < at_number(nodes, handle.number).deadline_ns);
        let Some(Handle { face, number, .. }) = good else {
            counts.misses += 1;
            return None;
        };
        counts.hits_exact += 1;
        if let Some(face) = face {
            let shown = face.shown();
            counts.tokens_saved += shown.cost();
            if !shown.is_pinned() {
                order.touch(*number);
            }
            return Some(Entry::Shown(face));
        }
        let node = at_number(nodes, *number);
        counts.tokens_saved += node.item.cost();
        if !node.is_pinned {
            order.touch(*number);
        }
        let expires_in_ns = (node.deadline_ns != NEVER).then(|| node.deadline_ns - now);
        Some(Entry::Faceless { item: &node.item, expires_in_ns })
    }

    /// Whether a key has an entry. Counts as no use.
    ///
    /// # Errors
    /// [`Busy`] while a space with expired entries is being searched.
    pub fn has(&mut self, at: Address<'_>, now_ns: Option<u64>) -> Result<bool, Busy> {
        let now = self.now(now_ns);
        self.purge(now)?;
        Ok(self.find(at).1.is_some())
    }

    /// Whether there was an entry, which is gone now.
    ///
    /// # Errors
    /// [`Busy`] while its space is being searched.
    pub fn remove(&mut self, at: Address<'_>, now_ns: Option<u64>) -> Result<bool, Busy> {
        let now = self.now(now_ns);
        self.purge(now)?;
        let Some(number) = self.find(at).1 else { return Ok(false) };
        let space = self.spaces.get(self.node(number).space);
        let mut rows = space.try_write().ok_or_else(|| Busy(Arc::clone(&space)))?;
        if !self.node(number).is_pinned {
            self.order.remove(number);
        }
        self.take(number, &mut rows);
        Ok(true)
    }

    /// Removes all entries and gives their memory back; keeps the counts.
    pub fn clear(&mut self) {
        let empty = self.emptied();
        std::mem::replace(self, empty).let_go();
    }

    /// Entries that have not expired.
    ///
    /// # Errors
    /// [`Busy`] while a space with expired entries is being searched.
    pub fn len(&mut self, now_ns: Option<u64>) -> Result<usize, Busy> {
        let now = self.now(now_ns);
        self.purge(now)?;
        Ok(self.keys.len())
    }

    /// Counts since the cache was made, and how full it is.
    ///
    /// # Errors
    /// [`Busy`] while a space with expired entries is being searched.
    pub fn stats(&mut self, now_ns: Option<u64>) -> Result<Stats, Busy> {
        let rows = self.len(now_ns)?;
        let pinned = rows - self.order.len();
        Ok(Stats { rows, pinned, spaces: self.spaces.len(), bytes: self.bytes().total(), ..self.counts.clone() })
    }

    /// Bytes by part, and those of entries that are gone and still looked at by somebody, which no limit counts.
    ///
    /// # Errors
    /// [`Busy`] while a space with expired entries is being searched.
    pub fn memory(&mut self, now_ns: Option<u64>) -> Result<(Parts, usize), Busy> {
        let now = self.now(now_ns);
        self.purge(now)?;
        Ok((self.bytes(), self.viewed.load(Ordering::Relaxed)))
    }

    /// The space of a scope, without what has expired.
    pub(super) fn space(&mut self, scope: Scope<'_>, now_ns: Option<u64>) -> Result<Option<Arc<Space>>, Busy> {
        let now = self.now(now_ns);
        self.purge(now)?;
        Ok(self.spaces.find(scope).map(|id| self.spaces.get(id)))
    }

    /// Counts what came of a search. A hit is a use of its entry, which may be gone by now.
    pub fn settle(&mut self, outcome: Outcome<'_>) {
        let hit = match outcome {
            Outcome::Hit(hit) => hit,
            Outcome::Refused => return self.counts.refused += 1,
            Outcome::Miss => return self.counts.misses += 1,
        };
        self.counts.hits_semantic += 1;
        self.counts.tokens_saved += hit.item.cost();
        let node = self.nodes.get(hit.node as usize).and_then(Option::as_ref).filter(|node| node.id == hit.id);
        if node.is_some_and(|node| !node.is_pinned) {
            self.order.touch(hit.node);
        }
    }

    /// Nothing can expire while no entry has a deadline: then no clock is read.
    pub(super) fn now(&self, now_ns: Option<u64>) -> u64 {
        if self.expiry.is_empty() { 0 } else { self.read_clock(now_ns) }
    }

    pub(super) fn read_clock(&self, now_ns: Option<u64>) -> u64 {
        now_ns.unwrap_or_else(|| u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(NEVER))
    }

    /// Removes what has expired, the earliest first.
    pub(super) fn purge(&mut self, now: u64) -> Result<(), Busy> {
        while let Some(Deadline { id, node: number, .. }) = self.expiry.due(now) {
            let node = self.nodes[number as usize].as_mut().filter(|node| node.id == id);
            let Some(node) = node else {
                self.expiry.pop(true);
                continue;
            };
            let space = self.spaces.get(node.space);
            let mut rows = space.try_write().ok_or_else(|| Busy(Arc::clone(&space)))?;
            self.expiry.pop(false);
            node.deadline_ns = NEVER;
            if !node.is_pinned {
                self.order.remove(number);
            }
            self.take(number, &mut rows);
            self.counts.expiries += 1;
        }
        Ok(())
    }

    pub(super) fn numbered(&self) -> impl Iterator<Item = (u32, &Node)> {
        (0..).zip(&self.nodes).filter_map(|(number, node)| Some((number, node.as_ref()?)))
    }

    /// The hash of an address, and the number of its entry.
    pub(super) fn find(&self, at: Address<'_>) -> (u64, Option<u32>) {
        let hash = self.hasher.hash_one(at);
        (hash, find(&self.keys, &self.nodes, &self.spaces, hash, &at).map(|handle| handle.number))
    }

    pub(super) fn node(&self, number: u32) -> &Node {
        at_number(&self.nodes, number)
    }

    /// Takes an entry out of all but the order of eviction. `rows` are those of its space.
    pub(super) fn take(&mut self, number: u32, rows: &mut Rows) {
        let node = self.nodes[number as usize].take().expect("an entry is taken once");
        let found = self.keys.find_entry(node.hash, |handle| handle.number == number);
        let (handle, _) = found.ok().expect("an entry is in the table").remove();
        self.free.push(number);
        self.leave(node, handle.face, rows);
    }

    /// An entry leaves: what its node, number and key take stays, for the one that replaces it.
    pub(super) fn leave(&mut self, node: Node, face: Option<F>, rows: &mut Rows) {
        rows.remove(node.slot);
        self.spaces.changed(node.space, rows);
        if node.is_pinned {
            self.spaces.pinned(node.space, false);
        } else {
            self.loose_items -= node.item.bytes().total();
        }
        self.spaces.removed(node.space);
        self.items -= node.item.bytes();
        if node.deadline_ns != NEVER {
            let nodes = &self.nodes;
            self.expiry
                .removed(|deadline| nodes[deadline.node as usize].as_ref().is_some_and(|node| node.id == deadline.id));
        }
        // The face goes first: it may be what holds the item.
        drop(face);
        node.item.let_go(&self.viewed);
    }

    /// An entry goes to make room; false when there is none that may. `rows` are those of the space `held`, to which the caller writes.
    pub(super) fn evict(&mut self, held: Option<u32>, rows: &mut Rows) -> Result<bool, Busy> {
        let Some(number) = self.order.victim() else { return Ok(false) };
        let &Node { space: id, hash, .. } = self.node(number);
        if held == Some(id) {
            self.order.evict(number, hash);
            self.take(number, rows);
        } else {
            let space = self.spaces.get(id);
            let mut rows = space.try_write().ok_or_else(|| Busy(Arc::clone(&space)))?;
            self.order.evict(number, hash);
            self.take(number, &mut rows);
        }
        self.counts.evictions += 1;
        Ok(true)
    }

    /// How an entry enters the order of eviction.
    pub(super) fn newcomer(hash: u64, item: &Item, uses: u32) -> Newcomer {
        #[expect(clippy::cast_precision_loss, reason = "bytes of one entry: far below 2^53")]
        let worth = item.cost() / item.bytes().total() as f64;
        Newcomer { hash, worth, uses }
    }

    /// All bytes, in O(1).
    pub(super) fn bytes(&self) -> Parts {
        let mut bytes = self.items;
        bytes += self.spaces.bytes();
        bytes.nodes += vec(&self.nodes) + vec(&self.free) + self.order.bytes();
        bytes.tables += allocation(self.keys.allocation_size()) + self.expiry.bytes();
        bytes
    }

    /// A store with the same settings, counts and numbers, and no entries.
    pub(super) fn emptied(&self) -> Self {
        let fresh = Self::new(self.settings.clone());
        Self {
            hasher: self.hasher.clone(),
            next_id: self.next_id,
            viewed: Arc::clone(&self.viewed),
            counts: self.counts.clone(),
            started: self.started,
            ..fresh
        }
    }

    /// Drops the store; items that are gone with it and still looked at are counted as such.
    pub(super) fn let_go(self) {
        let Self { keys, nodes, spaces, viewed, .. } = self;
        drop((spaces, keys));
        for node in nodes.into_iter().flatten() {
            node.item.let_go(&viewed);
        }
    }
}

/// The entry of an address in the table of keys.
#[inline]
fn find<'a, F: Face>(
    keys: &'a HashTable<Handle<F>>,
    nodes: &[Option<Node>],
    spaces: &Spaces,
    hash: u64,
    at: &Address<'_>,
) -> Option<&'a Handle<F>> {
    let space = spaces.find(at.scope)?;
    keys.find(hash, |handle| {
        handle.space == space
            && match &handle.face {
                Some(face) => face.shown().is_of(at.key),
                None => at_number(nodes, handle.number).item.key() == at.key,
            }
    })
}

/// What is at the number of an entry.
fn at_number(nodes: &[Option<Node>], number: u32) -> &Node {
    nodes[number as usize].as_ref().expect("a number that is in use has an entry")
}
