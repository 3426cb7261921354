//! Putting an entry in, and making room for it: all of it or nothing.

use std::sync::Arc;

use super::Address;
use super::expiry::{Deadline, NEVER};
use super::face::{Face, Handle};
use super::item::Item;
use super::space::{Held, Rows, Space};
use super::store::{Busy, Node, Store};
use super::table::{growth_when_full, is_full, reserve_one};
use crate::error::{Error, Result};

/// Most entries: their numbers have 32 bits, and one stands for none.
const MOST_ENTRIES: usize = u32::MAX as usize - 1;

/// An entry to be put in.
#[derive(Debug)]
pub struct New<'a, F> {
    /// Where to; the item's own key.
    pub at: Address<'a>,
    /// What.
    pub item: Arc<Item>,
    /// What it is shown by; taken when the entry goes in, unless its time is limited: then each look-up shows another rest.
    pub face: Option<F>,
    /// Whether it must not be evicted. It expires all the same.
    pub is_pinned: bool,
    /// How long it is good for, in nanoseconds; the cache's own time if not given.
    pub time_to_live_ns: Option<u64>,
}

impl<F: Face> Store<F> {
    /// Puts an entry in, or replaces that of its key. Entries are evicted until it fits.
    ///
    /// # Errors
    /// [`Busy`] while a space that has to be written is being searched. Inside, [`Error::Cache`] when the entry does not fit
    /// beside the pinned ones; then nothing has changed, but for entries that expired.
    ///
    /// # Panics
    /// When the row is of another length than the cache's.
    pub fn put(&mut self, new: &mut New<'_, F>, now_ns: Option<u64>) -> Result<Result<()>, Busy> {
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
        // What cannot be made to fit is found out before anything goes.
        let scope = new.at.scope;
        let known = self.spaces.find(scope);
        let needed = self.needed(new, old, known);
        if needed + self.order.growth_by_evicting() > self.settings.max_bytes.saturating_add(self.can_go(old, known)) {
            return Ok(self.put_beside_the_pinned(new, old, now));
        }
        // All that may have to wait comes before anything grows: others see the cache meanwhile.
        let space = self.spaces.get_or_make(known, scope, self.settings.dim);
        let Some(mut rows) = space.try_write() else { return Err(Busy(Arc::clone(&space))) };
        if let Some(id) = known {
            self.spaces.enter(id);
        }
        let old_loose = old.filter(|&old| !self.node(old).is_pinned);
        let uses = old_loose.map(|old| self.order.remove(old));
        let room = self.make_room(new, old, needed, known, &mut rows);
        if !matches!(room, Ok(true)) {
            if let Some(id) = known {
                self.spaces.removed(id);
            }
            if let Some((old, uses)) = old_loose.zip(uses) {
                let newcomer = Self::newcomer(hash, &self.node(old).item, uses);
                self.order.insert(old, newcomer);
            }
            if self.bytes().total() > self.settings.max_bytes {
                self.order.forget_evicted();
            }
            drop(rows);
            return room.map(|_| self.put_beside_the_pinned(new, old, now));
        }
        let space_id = known.unwrap_or_else(|| self.spaces.list(&space));
        let number = old.unwrap_or_else(|| self.new_number());
        let id = self.next_id;
        let slot = rows.insert(Held { item: Arc::clone(&new.item), node: number }, id);
        self.spaces.changed(space_id, &rows);
        self.next_id += 1;
        self.counts.puts += 1;
        let face = new.face.take_if(|_| deadline_ns == NEVER);
        let (item, is_pinned) = (Arc::clone(&new.item), new.is_pinned);
        let node = Node { item, id, hash, deadline_ns, space: space_id, slot, is_pinned };
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
            let gone_face = std::mem::replace(&mut self.handle(hash, number).face, face);
            self.leave(gone, gone_face, &mut rows);
        } else {
            self.list(hash, Handle { face, number, space: space_id });
        }
        Ok(Ok(()))
    }

    /// A number for one more entry, with room for it in all tables.
    fn new_number(&mut self) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            if self.nodes.len() == self.nodes.capacity() {
                self.nodes.reserve_exact(self.more_places());
                self.free.reserve_exact(self.nodes.capacity());
                self.order.reserve(self.nodes.capacity());
            }
            self.nodes.push(None);
            u32::try_from(self.nodes.len() - 1).expect("fewer than 2^32 entries")
        });
        let nodes = &self.nodes;
        reserve_one(&mut self.keys, |handle| hash_of(nodes, handle));
        number
    }

    /// By how many places tables grow.
    fn more_places(&self) -> usize {
        (self.nodes.capacity() / 4 + 8).min(self.settings.capacity.min(MOST_ENTRIES) - self.nodes.len())
    }

    /// Bytes of everything with the new entry in place of the old, with all by which tables may grow for it. `space` is the
    /// number of its space, if there is one.
    fn needed(&self, new: &New<'_, F>, old: Option<u32>, space: Option<u32>) -> usize {
        let has_deadline = new.time_to_live_ns.or(self.settings.time_to_live_ns).is_some();
        let without = self.bytes().total() - old.map_or(0, |old| self.node(old).item.bytes().total());
        let growth =
            self.growth(old.is_none(), has_deadline) + self.spaces.growth(space, new.at.scope, self.settings.dim);
        without + new.item.bytes().total() + growth
    }

    /// The same, with what evictions for it may add. Where nothing can be evicted, it is the least limit with which the entry goes in.
    pub(super) fn needed_at_most(&self, new: &New<'_, F>, old: Option<u32>) -> usize {
        self.needed(new, old, self.spaces.find(new.at.scope)) + self.order.growth_by_evicting()
    }

    /// Bytes that evicting all but the old entry frees; those of the space `but` stay.
    fn can_go(&self, old: Option<u32>, but: Option<u32>) -> usize {
        let old = old.filter(|&old| !self.node(old).is_pinned);
        self.loose_items + self.spaces.loose(but) - old.map_or(0, |old| self.node(old).item.bytes().total())
    }

    /// Bytes by which an insertion may make the tables of all entries grow: those that are full double at most.
    fn growth(&self, is_new: bool, has_deadline: bool) -> usize {
        const FIRST: usize = 128;
        let mut growth = 0;
        if is_new && self.free.is_empty() && self.nodes.len() == self.nodes.capacity() {
            growth += self.more_places() * (size_of::<Option<Node>>() + FIRST / 2) + FIRST;
        }
        if is_new && is_full(&self.keys) {
            growth += growth_when_full(&self.keys);
        }
        if has_deadline && self.expiry.is_full() {
            growth += self.expiry.bytes() + FIRST;
        }
        growth
    }

    /// Evicts until the new entry, for which so many bytes are needed, fits in place of the old; false when that does not do. At
    /// the limit an entry goes rather than that tables grow.
    fn make_room(
        &mut self,
        new: &New<'_, F>,
        old: Option<u32>,
        mut needed: usize,
        space: Option<u32>,
        rows: &mut Rows,
    ) -> Result<bool, Busy> {
        let most = self.settings.capacity.min(MOST_ENTRIES) - usize::from(old.is_none());
        while self.keys.len() > most || needed > self.settings.max_bytes {
            if !self.evict(space, rows)? {
                return Ok(false);
            }
            needed = self.needed(new, old, space);
        }
        Ok(true)
    }

    /// The last resort, where tables that grew with many small entries leave no room: starts anew with only the pinned entries
    /// and this one, if they fit.
    fn put_beside_the_pinned(&mut self, new: &mut New<'_, F>, old: Option<u32>, now: u64) -> Result<()> {
        if self.order.len() == 0 {
            return Err(self.too_large(new, old));
        }
        let old_id = old.map(|old| self.node(old).id);
        let is_kept = |node: &Node| node.is_pinned && Some(node.id) != old_id;
        let mut fresh = self.emptied();
        let mut adopted = Vec::new();
        for (number, node) in self.numbered().filter(|(_, node)| is_kept(node)) {
            adopted.push((number, fresh.adopt(node, &self.spaces.get(node.space))));
        }
        let n_evicted = self.keys.len() - fresh.keys.len() - usize::from(old.is_some());
        fresh.put(new, Some(now)).expect("nobody else has seen this store")?;
        fresh.counts.evictions += n_evicted as u64;
        for (from, to) in adopted {
            let node = self.nodes[from as usize].take().expect("it was adopted");
            let face = self.handle(node.hash, from).face.take();
            fresh.handle(node.hash, to).face = face;
        }
        std::mem::replace(self, fresh).let_go();
        Ok(())
    }

    /// What is said of an entry that does not fit where nothing can be evicted.
    fn too_large(&self, new: &New<'_, F>, old: Option<u32>) -> Error {
        let (least, max_bytes) = (self.needed_at_most(new, old), self.settings.max_bytes);
        let pinned = self.items.total();
        let (beside, way_out) = match pinned {
            0 => (String::new(), "put in less"),
            _ => (format!(" and pinned entries take {pinned}"), "unpin or remove some"),
        };
        Error::Cache(format!(
            "max_bytes is {max_bytes}{beside}; with its tables this entry needs max_bytes from {least} on: raise it, or {way_out}"
        ))
    }

    /// Takes over a pinned entry of another store, without its face. Returns its number.
    fn adopt(&mut self, node: &Node, space: &Space) -> u32 {
        let known = self.spaces.find(space.scope());
        let space = self.spaces.get_or_make(known, space.scope(), self.settings.dim);
        let mut rows = space.try_write().expect("nobody else has seen this store");
        if let Some(id) = known {
            self.spaces.enter(id);
        }
        let id = known.unwrap_or_else(|| self.spaces.list(&space));
        let number = self.new_number();
        let slot = rows.insert(Held { item: Arc::clone(&node.item), node: number }, node.id);
        self.spaces.changed(id, &rows);
        self.spaces.pinned(id, true);
        self.items += node.item.bytes();
        if node.deadline_ns != NEVER {
            self.expiry.add(Deadline { at_ns: node.deadline_ns, id: node.id, node: number });
        }
        self.nodes[number as usize] = Some(Node { item: Arc::clone(&node.item), space: id, slot, ..*node });
        self.list(node.hash, Handle { face: None, number, space: id });
        number
    }

    /// An entry gets into the table of keys, which has room for it.
    fn list(&mut self, hash: u64, handle: Handle<F>) {
        let nodes = &self.nodes;
        self.keys.insert_unique(hash, handle, |handle| hash_of(nodes, handle));
    }

    /// The entry of a number in the table of keys.
    pub(super) fn handle(&mut self, hash: u64, number: u32) -> &mut Handle<F> {
        self.keys.find_mut(hash, |handle| handle.number == number).expect("an entry is in the table")
    }
}

fn hash_of<F>(nodes: &[Option<Node>], handle: &Handle<F>) -> u64 {
    nodes[handle.number as usize].as_ref().map_or(0, |node| node.hash)
}
