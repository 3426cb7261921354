//! Putting an entry in, and making room for it: all of it or nothing.

use std::sync::Arc;

use super::Address;
use super::expiry::{Deadline, NEVER};
use super::item::Item;
use super::space::{Held, Rows, Space};
use super::store::{Busy, Node, Store};
use crate::error::{Error, Result};

/// Most entries: their numbers have 32 bits, and one stands for none.
const MOST_ENTRIES: usize = u32::MAX as usize - 1;

/// An entry to be put in.
#[derive(Debug, Clone)]
pub struct New<'a> {
    /// Where to; the item's own key.
    pub at: Address<'a>,
    /// What.
    pub item: Arc<Item>,
    /// Whether it must not be evicted. It expires all the same.
    pub is_pinned: bool,
    /// How long it is good for, in nanoseconds; the cache's own time if not given.
    pub time_to_live_ns: Option<u64>,
}

impl Store {
    /// Puts an entry in, or replaces that of its key. Entries are evicted until it fits.
    ///
    /// # Errors
    /// [`Busy`] while a space that has to be written is being searched. Inside, [`Error::Cache`] when the entry does not fit
    /// beside the pinned ones; then nothing has changed, but for entries that expired.
    ///
    /// # Panics
    /// When the row is of another length than the cache's.
    pub fn put(&mut self, new: &New<'_>, now_ns: Option<u64>) -> Result<Result<()>, Busy> {
        let ttl = new.time_to_live_ns.or(self.settings.time_to_live_ns);
        let now = if ttl.is_some() || !self.expiry.is_empty() { self.read_clock(now_ns) } else { 0 };
        self.purge(now)?;
        let deadline_ns = ttl.map_or(NEVER, |ttl| now.saturating_add(ttl));
        let (hash, old) = self.find(new.at);
        let n_pinned =
            self.keys.len() - self.order.len() - usize::from(old.is_some_and(|old| self.node(old).is_pinned));
        if n_pinned >= self.settings.capacity.min(MOST_ENTRIES) {
            return Ok(Err(Error::Cache(format!(
                "{n_pinned} entries are pinned and capacity is {}; raise capacity, or unpin or remove some",
                self.settings.capacity
            ))));
        }
        let space_id = self.spaces.enter(new.at.scope, self.settings.dim);
        let space = self.spaces.get(space_id);
        let Some(mut rows) = space.try_write() else {
            self.spaces.removed(space_id);
            return Err(Busy(space));
        };
        let number = match old {
            Some(old) => old,
            None => match self.free_number(new, space_id, &mut rows) {
                Ok(number) => number,
                Err(busy) => {
                    self.spaces.removed(space_id);
                    return Err(busy);
                }
            },
        };
        // From here on the row is in the index, the entry nowhere else: what both will take is known, and undone where it does not fit.
        let id = self.next_id;
        let slot = rows.insert(Held { item: Arc::clone(&new.item), node: number }, id);
        self.spaces.added(space_id, &rows);
        if deadline_ns != NEVER {
            self.expiry.reserve();
        }
        let old_loose = old.filter(|&old| !self.node(old).is_pinned);
        let uses = old_loose.map(|old| self.order.remove(old));
        let room = self.make_room(new, old, space_id, &mut rows);
        if !matches!(room, Ok(true)) {
            rows.remove(slot);
            self.spaces.removed(space_id);
            if let Some((old, uses)) = old_loose.zip(uses) {
                let newcomer = Self::newcomer(hash, &self.node(old).item, uses);
                self.order.insert(old, newcomer);
            }
            if old.is_none() {
                self.free.push(number);
            }
            drop(rows);
            return room.map(|_| self.put_beside_the_pinned(new, old, now));
        }
        self.next_id += 1;
        self.counts.puts += 1;
        let node = Node {
            item: Arc::clone(&new.item),
            id,
            hash,
            deadline_ns,
            space: space_id,
            slot,
            is_pinned: new.is_pinned,
        };
        let gone = self.nodes[number as usize].replace(node);
        self.items += new.item.bytes();
        if new.is_pinned {
            self.spaces.pinned(space_id, true);
        } else {
            self.loose_items += new.item.bytes().total();
            self.order.insert(number, Self::newcomer(hash, &new.item, uses.map_or(0, |uses| uses.saturating_add(1))));
        }
        if deadline_ns != NEVER {
            self.expiry.add(Deadline { at_ns: deadline_ns, id, node: number });
        }
        if let Some(gone) = gone {
            self.leave(gone, &mut rows);
        } else {
            let nodes = &self.nodes;
            self.keys.insert_unique(hash, number, |&at| hash_of(nodes, at));
        }
        Ok(Ok(()))
    }

    /// A number for one more entry, with room for it in all tables. At the limit an entry goes rather than that tables grow.
    fn free_number(&mut self, new: &New<'_>, space_id: u32, rows: &mut Rows) -> Result<u32, Busy> {
        if self.free.is_empty() && self.nodes.len() == self.nodes.capacity() {
            let growth = self.growth() * size_of::<Node>() + new.item.bytes().total();
            if self.bytes().total().saturating_add(growth) > self.settings.max_bytes {
                self.evict(space_id, rows)?;
            }
        }
        Ok(self.new_number())
    }

    fn new_number(&mut self) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.nodes.len() == self.nodes.capacity() {
                self.nodes.reserve_exact(self.growth());
                self.free.reserve_exact(self.nodes.capacity());
                self.order.reserve(self.nodes.capacity());
            }
            self.nodes.push(None);
            u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 entries")
        });
        let nodes = &self.nodes;
        self.keys.reserve(1, |&at| hash_of(nodes, at));
        number
    }

    /// By how many places tables grow. There is one more than entries: a new one has its number before another goes.
    fn growth(&self) -> usize {
        (self.nodes.capacity() / 4 + 8).min(self.settings.capacity.min(MOST_ENTRIES) + 1 - self.nodes.len())
    }

    /// Evicts until the new entry fits in place of the old; false, with nothing evicted, when that may not do.
    fn make_room(&mut self, new: &New<'_>, old: Option<u32>, space_id: u32, rows: &mut Rows) -> Result<bool, Busy> {
        let old_item = old.map(|old| self.node(old)).map(|node| (node.item.bytes().total(), node.is_pinned));
        let old_bytes = old_item.map_or(0, |(bytes, _)| bytes);
        let old_loose = old_item.filter(|(_, is_pinned)| !is_pinned).map_or(0, |(bytes, _)| bytes);
        let needed = |store: &Self| store.bytes().total() + new.item.bytes().total() - old_bytes;
        let can_go = self.loose_items - old_loose + self.spaces.loose(space_id);
        if needed(self) + self.order.growth_by_evicting() > self.settings.max_bytes.saturating_add(can_go) {
            return Ok(false);
        }
        let most = self.settings.capacity.min(MOST_ENTRIES) - usize::from(old.is_none());
        while self.keys.len() > most || needed(self) > self.settings.max_bytes {
            if !self.evict(space_id, rows)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The last resort, where tables that grew with many small entries leave no room: starts anew with only the pinned entries
    /// and this one, if they fit.
    fn put_beside_the_pinned(&mut self, new: &New<'_>, old: Option<u32>, now: u64) -> Result<()> {
        let refused = |pinned: &Self| {
            let pinned = pinned.items.total() - pinned.loose_items;
            Error::Cache(format!(
                "the entry needs {} bytes and the tables around it, max_bytes is {}, pinned entries take {pinned}; raise \
                 max_bytes, or unpin or remove some",
                new.item.bytes().total(),
                self.settings.max_bytes
            ))
        };
        if self.order.len() == 0 {
            return Err(refused(self));
        }
        let old_id = old.map(|old| self.node(old).id);
        let is_kept = |node: &Node| node.is_pinned && Some(node.id) != old_id;
        let mut fresh = self.emptied();
        for node in self.nodes.iter().flatten().filter(|node| is_kept(node)) {
            fresh.adopt(node.clone(), &self.spaces.get(node.space));
        }
        let n_evicted = self.keys.len() - fresh.keys.len() - usize::from(old.is_some());
        if !matches!(fresh.put(new, Some(now)), Ok(Ok(()))) {
            return Err(refused(self));
        }
        fresh.counts.evictions += n_evicted as u64;
        std::mem::replace(self, fresh).let_go(|node| !is_kept(node));
        Ok(())
    }

    /// Takes over a pinned entry of another store.
    fn adopt(&mut self, mut node: Node, space: &Space) {
        let id = self.spaces.enter(space.scope(), self.settings.dim);
        let space = self.spaces.get(id);
        let mut rows = space.try_write().expect("nobody else has seen this store");
        let number = self.new_number();
        node.space = id;
        node.slot = rows.insert(Held { item: Arc::clone(&node.item), node: number }, node.id);
        self.spaces.added(id, &rows);
        self.spaces.pinned(id, true);
        self.items += node.item.bytes();
        if node.deadline_ns != NEVER {
            self.expiry.add(Deadline { at_ns: node.deadline_ns, id: node.id, node: number });
        }
        let hash = node.hash;
        self.nodes[number as usize] = Some(node);
        let nodes = &self.nodes;
        self.keys.insert_unique(hash, number, |&at| hash_of(nodes, at));
    }
}

fn hash_of(nodes: &[Option<Node>], number: u32) -> u64 {
    nodes[number as usize].as_ref().map_or(0, |node| node.hash)
}
