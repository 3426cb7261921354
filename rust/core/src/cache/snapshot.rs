//! Snapshots: a cache in a file, written whole or not at all, and read with trust in nothing.
//!
//! All numbers are little-endian. The file is a header of 128 bytes and two sections, each from a multiple of 64 on and filled up with
//! zeros to the next.
//!
//! | at | bytes | in the header |
//! |---|---|---|
//! | 0 | 8 | `89` `72 63 61 63 68 65` `0a`: what it is |
//! | 8 | 4 | 1: the version of the format |
//! | 12 | 4 | numbers of a row |
//! | 16 | 8 | most entries; 2^64 - 1 for no limit |
//! | 24 | 8 | most bytes; likewise |
//! | 32 | 8 | time to live in nanoseconds; 2^64 - 1 for none |
//! | 40 | 8 | when it was saved, in nanoseconds since 1970 |
//! | 48 | 4 | policy: 0 lru, 1 s3fifo, 2 gdsf |
//! | 52 | 4 | metric: 0 cosine |
//! | 56 | 2 x 16 | a section each: its bytes without the zeros (8), the CRC-32 of all of it (4), nothing (4) |
//! | 88 | 36 | nothing |
//! | 124 | 4 | the CRC-32 of the header up to here |
//!
//! | section | what is in it |
//! |---|---|
//! | rows | float32, a row an entry |
//! | entries | a `CacheEntry` each, as `fbs/cache_entry.fbs` has it: the pinned ones, then the others from the one that is evicted next on |
//!
//! An entry is a size-prefixed buffer, and begins at a multiple of 8: its size without these 4 bytes, itself, zeros up to the next
//! multiple. Row n is the vector of entry n, which has none of its own. The rows are apart because a buffer ends at 2 GiB and a cache
//! does not, and because they alone are read in place.
//!
//! No entry has an offset to another, and counts follow from lengths: what is not said twice cannot disagree. CRC-32 is that of zlib
//! and PNG. The codes that searches read are not in the file: made anew from the rows, they are right whatever the file says.

#[cfg(test)]
mod damage_tests;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::expiry::NEVER;
use super::face::Face;
use super::item::Item;
use super::order::Standing;
use super::put::New;
use super::store::Store;
use super::{Address, Cache, Policy, Scope, Settings, Stats};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = *b"\x89rcache\n";
const VERSION: u32 = 1;
/// What sections begin at multiples of.
const ALIGNMENT: usize = 64;
const HEADER: usize = 128;
/// Where the header says what sections there are, and where its checksum is.
const SECTIONS_AT: usize = 56;
const CHECKSUM_AT: usize = HEADER - 4;
const SECTIONS: [&str; 2] = ["rows", "entries"];
const POLICIES: [Policy; 3] = [Policy::Lru, Policy::S3Fifo, Policy::Gdsf];

/// What a loaded cache has otherwise than the one that was saved.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// Most entries.
    pub capacity: Option<usize>,
    /// Most bytes of everything together.
    pub max_bytes: Option<usize>,
    /// How long entries are good for that are put in from now on, in nanoseconds.
    pub time_to_live_ns: Option<u64>,
}

/// The state of a store at one moment.
#[derive(Debug)]
struct Snapshot {
    settings: Settings,
    /// Nanoseconds since 1970.
    saved_at_ns: u64,
    spaces: Vec<Names>,
    /// The pinned ones, then the others from the one that is evicted next on.
    entries: Vec<Saved>,
}

#[derive(Debug)]
struct Names {
    tenant: Box<[u8]>,
    model_id: Box<[u8]>,
}

#[derive(Debug)]
struct Saved {
    item: Arc<Item>,
    /// A place among the spaces.
    space: u32,
    /// Its place by age, the oldest 0.
    age: u32,
    /// Nanoseconds since 1970.
    deadline_ns: u64,
    is_pinned: bool,
    standing: Standing,
}

impl<F: Face> Cache<F> {
    /// Writes what is in the cache at one moment to a file: whole, or not at all. Waits for no search, and nobody waits for the disk.
    ///
    /// `wall_ns` is the time since 1970, by which deadlines go on while the cache is on disk.
    ///
    /// # Errors
    /// [`crate::Error::Os`] when the file cannot be written, [`crate::Error::Cache`] when a key or a name is no text, an entry has 2 GiB or
    /// more besides its vector, or an earlier operation failed halfway. What was at `path` before is then still there.
    pub fn save(&self, path: &Path, now_ns: Option<u64>, wall_ns: u64) -> Result<()> {
        let snapshot = self.run(|store| Ok(store.snapshot(now_ns, wall_ns)))?;
        snapshot.write(path)
    }

    /// The cache that was saved to a file, without faces and with all counts at 0. Its rows are read where they are in the file.
    ///
    /// Entries whose time was over meanwhile are left out; so are those that would be evicted next, where there are too many.
    ///
    /// # Errors
    /// [`crate::Error::Os`] when the file cannot be read, [`crate::Error::Cache`] when it is no snapshot or damaged, or its pinned
    /// entries do not fit.
    pub fn load(path: &Path, overrides: Overrides, now_ns: Option<u64>, wall_ns: u64) -> Result<Self> {
        let snapshot = Snapshot::read(path)?;
        let mut settings = snapshot.settings.clone();
        settings.capacity = overrides.capacity.unwrap_or(settings.capacity);
        settings.max_bytes = overrides.max_bytes.unwrap_or(settings.max_bytes);
        let time_to_live_ns = overrides.time_to_live_ns.or(settings.time_to_live_ns.take());
        let mut cache = Self::new(settings)?;
        let store = cache.store.get_mut().unwrap_or_else(PoisonError::into_inner);
        store.restore(&snapshot, now_ns, wall_ns)?;
        store.settings.time_to_live_ns = time_to_live_ns;
        Ok(cache)
    }

    /// Gives the entries that have none a face, of their item and whether they are pinned; those that expire need none.
    ///
    /// # Errors
    /// What `face` returns.
    pub fn show<E>(&mut self, mut face: impl FnMut(&Arc<Item>, bool) -> Result<F, E>) -> Result<(), E> {
        let store = self.store.get_mut().unwrap_or_else(PoisonError::into_inner);
        for handle in &mut store.keys {
            let node = store.nodes[handle.number as usize].as_ref().filter(|node| node.deadline_ns == NEVER);
            if let (None, Some(node)) = (&handle.face, node) {
                handle.face = Some(face(&node.item, node.is_pinned)?);
            }
        }
        Ok(())
    }
}

impl<F: Face> Store<F> {
    /// All entries that have not expired.
    fn snapshot(&self, now_ns: Option<u64>, wall_ns: u64) -> Snapshot {
        let now = self.now(now_ns);
        let pinned = self.numbered().filter(|(_, node)| node.is_pinned);
        let pinned = pinned.map(|(number, _)| (number, Standing::default()));
        let mut by_age = Vec::new();
        let mut spaces = Vec::new();
        let mut space_at = HashMap::new();
        let mut entries = Vec::new();
        for (number, standing) in pinned.chain(self.order.standings()) {
            let node = self.node(number);
            if node.deadline_ns <= now {
                continue;
            }
            let space = *space_at.entry(node.space).or_insert_with(|| {
                let space = self.spaces.get(node.space);
                let Scope { tenant, model_id } = space.scope();
                spaces.push(Names { tenant: tenant.into(), model_id: model_id.into() });
                u32::try_from(spaces.len() - 1).expect("fewer spaces than entries, of which there are fewer than 2^32")
            });
            let deadline_ns =
                if node.deadline_ns == NEVER { NEVER } else { wall_ns.saturating_add(node.deadline_ns - now) };
            by_age.push((node.id, entries.len()));
            let item = Arc::clone(&node.item);
            entries.push(Saved { item, space, age: 0, deadline_ns, is_pinned: node.is_pinned, standing });
        }
        by_age.sort_unstable();
        for (age, (_, at)) in (0..).zip(by_age) {
            entries[at].age = age;
        }
        Snapshot { settings: self.settings.clone(), saved_at_ns: wall_ns, spaces, entries }
    }

    /// Puts the entries in, into a store that has none.
    fn restore(&mut self, snapshot: &Snapshot, now_ns: Option<u64>, wall_ns: u64) -> Result<()> {
        let now = self.read_clock(now_ns);
        // A clock that was put back makes nothing last longer.
        let wall_ns = wall_ns.max(snapshot.saved_at_ns);
        for (saved, mut new) in snapshot.live(wall_ns) {
            self.next_id = saved.age.into();
            let put = self.put(&mut new, Some(now)).expect("nobody else has seen this store");
            match put {
                Ok(()) if saved.is_pinned => {}
                Ok(()) => {
                    let number = self.find(new.at).1.expect("it was just put in");
                    self.order.restore(number, saved.standing);
                }
                Err(_) if saved.is_pinned => return Err(self.too_narrow(snapshot, wall_ns)),
                // Too large for limits that are narrower now.
                Err(_) => {}
            }
        }
        self.next_id = snapshot.entries.len() as u64;
        self.counts = Stats::default();
        Ok(())
    }

    /// What is said of limits that the pinned entries do not fit in.
    fn too_narrow(&self, snapshot: &Snapshot, wall_ns: u64) -> Error {
        let Settings { capacity, max_bytes, .. } = self.settings;
        let mut unlimited =
            Self::new(Settings { capacity: usize::MAX, max_bytes: usize::MAX, ..self.settings.clone() });
        let mut least = 0;
        for (_, mut new) in snapshot.live(wall_ns).filter(|(saved, _)| saved.is_pinned) {
            least = least.max(unlimited.needed_at_most(&new, None));
            let put = unlimited.put(&mut new, Some(0)).expect("nobody else has seen this store");
            put.expect("without limits everything fits");
        }
        let n_pinned = unlimited.keys.len();
        if n_pinned > capacity {
            return Error::Cache(format!(
                "capacity is {capacity} and the snapshot has {n_pinned} pinned entries; load it with capacity from {n_pinned} on"
            ));
        }
        Error::Cache(format!(
            "max_bytes is {max_bytes} and the snapshot's pinned entries need more; load it with max_bytes from {least} on"
        ))
    }
}

impl Snapshot {
    /// The entries whose time is not over, to be put in.
    fn live<F>(&self, wall_ns: u64) -> impl Iterator<Item = (&Saved, New<'_, F>)> {
        self.entries.iter().filter_map(move |saved| {
            let left = (saved.deadline_ns != NEVER).then(|| saved.deadline_ns.saturating_sub(wall_ns));
            let new = New {
                at: Address { scope: self.spaces[saved.space as usize].scope(), key: saved.item.key() },
                item: Arc::clone(&saved.item),
                face: None,
                is_pinned: saved.is_pinned,
                time_to_live_ns: left,
            };
            (left != Some(0)).then_some((saved, new))
        })
    }
}

impl Names {
    fn scope(&self) -> Scope<'_> {
        Scope { tenant: &self.tenant, model_id: &self.model_id }
    }
}

/// Whether bytes are a text in UTF-8, in which a surrogate may be written as if it were a character.
fn is_text(mut bytes: &[u8]) -> bool {
    loop {
        let Err(error) = std::str::from_utf8(bytes) else { return true };
        match bytes[error.valid_up_to()..] {
            [0xED, 0xA0..=0xBF, 0x80..=0xBF, ref rest @ ..] => bytes = rest,
            _ => return false,
        }
    }
}
