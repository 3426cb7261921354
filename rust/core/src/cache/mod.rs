//! A cache of rows by key and by meaning: bounded in entries and bytes, with tenants that cannot see each other.
//!
//! Two kinds of locks, always taken in this order: the store's mutex, which guards everything but the rows in the indexes, and a
//! read-write lock for each space. A search holds only the read lock of its space, so [`Store::get`], which takes the store's
//! mutex alone, never waits for one. Whoever has to write to a space that is being searched lets the store go, keeps new searches
//! from beginning, and tries again once the running ones have ended.
//!
//! What a search returns is what it found while it held the read lock: each space keeps the items of its rows beside its index. An
//! entry that is gone by the time the search has ended was there when it began.

mod answer;
mod bytes;
mod expiry;
mod face;
mod gdsf;
mod item;
mod lru;
mod order;
#[cfg(test)]
mod order_tests;
mod put;
mod s3fifo;
mod snapshot;
mod space;
mod store;
mod table;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

pub use answer::Answered;
pub use bytes::Parts;
pub use face::{Face, Shown};
pub use item::{Item, Value};
pub use order::Policy;
pub use put::New;
pub use snapshot::Overrides;
pub use space::Scope;
pub use store::{Busy, Store};

use crate::error::{Error, Result};
use crate::index::{Found, Query};
use space::{Held, Rows};

/// Numbers a row may have at most.
pub const MOST_DIM: usize = 1 << 16;

/// What a cache may hold.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Numbers of a row.
    pub dim: usize,
    /// Most entries.
    pub capacity: usize,
    /// Most bytes of everything together.
    pub max_bytes: usize,
    /// How long entries are good for that say nothing else, in nanoseconds; for ever if not given.
    pub time_to_live_ns: Option<u64>,
    /// Which entry goes when one has to.
    pub policy: Policy,
}

/// Where an entry is: keys of different scopes have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<'a> {
    /// Whose.
    pub scope: Scope<'a>,
    /// Any bytes.
    pub key: &'a [u8],
}

impl Hash for Address<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.key);
        // Most often there is nothing more to it.
        if !self.scope.is_unnamed() {
            self.scope.hash(state);
        }
    }
}

/// What a key was found to stand for.
#[derive(Debug)]
pub enum Entry<'a, F> {
    /// What it was put in with, to show it by. It never expires.
    Shown(&'a F),
    /// One without a face.
    Faceless {
        /// Key, value and row.
        item: &'a Arc<Item>,
        /// How long it was still good for when it was looked up; for ever if not given.
        expires_in_ns: Option<u64>,
    },
}

impl<'a, F: Face> Entry<'a, F> {
    /// Key, value and row.
    pub fn item(&self) -> &'a Arc<Item> {
        match self {
            Self::Shown(face) => face.shown().item(),
            Self::Faceless { item, .. } => item,
        }
    }
}

/// An entry that was found by its row.
#[derive(Debug, Clone)]
pub struct Hit {
    /// Key, value and row.
    pub item: Arc<Item>,
    /// The float64 dot product of the query, brought to unit length, with the row.
    pub score: f64,
    node: u32,
    /// The number of its insertion.
    id: u64,
}

/// What came of a search.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// This entry is used.
    Hit(&'a Hit),
    /// Entries were found, and the caller takes none of them.
    Refused,
    /// Nothing was found.
    Miss,
}

/// What happened since a cache was made, and how full it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Keys that were found.
    pub hits_exact: u64,
    /// Look-ups by vector that found a row.
    pub hits_semantic: u64,
    /// Look-ups by vector that found rows of which the caller took none.
    pub refused: u64,
    /// Look-ups of both kinds that found nothing.
    pub misses: u64,
    /// Entries put in, those that replaced one too.
    pub puts: u64,
    /// Entries that went to make room.
    pub evictions: u64,
    /// Entries that went because their time was over.
    pub expiries: u64,
    /// What hits saved: the sum of the costs of the entries they found.
    pub tokens_saved: f64,
    /// Entries now.
    pub rows: usize,
    /// Of them pinned.
    pub pinned: usize,
    /// Pairs of tenant and model that have entries.
    pub spaces: usize,
    /// Bytes of everything together.
    pub bytes: usize,
}

/// A cache of rows, by key and by meaning. Safe to share between threads.
#[derive(Debug)]
pub struct Cache<F> {
    dim: usize,
    store: Mutex<Store<F>>,
    /// Whoever holds it keeps new searches from beginning. Taken before all other locks.
    turnstile: Mutex<()>,
}

impl<F: Face> Cache<F> {
    /// An empty cache.
    ///
    /// # Errors
    /// [`Error::Cache`] when `dim` is not from 1 to [`MOST_DIM`], or `capacity` or `max_bytes` is 0.
    pub fn new(settings: Settings) -> Result<Self> {
        if !(1..=MOST_DIM).contains(&settings.dim) {
            return Err(Error::Cache(format!("dim is {}; it must be from 1 to {MOST_DIM}", settings.dim)));
        }
        if settings.capacity == 0 || settings.max_bytes == 0 {
            return Err(Error::Cache("a cache of no entries or no bytes can hold nothing".to_owned()));
        }
        Ok(Self { dim: settings.dim, store: Mutex::new(Store::new(settings)), turnstile: Mutex::new(()) })
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Runs `f`, as often as it takes. It waits, for other threads' operations and for running searches.
    ///
    /// # Errors
    /// [`Error::Cache`] when an earlier operation failed halfway.
    pub fn run<T>(&self, mut f: impl FnMut(&mut Store<F>) -> Result<T, Busy>) -> Result<T> {
        let done = f(&mut *self.lock()?);
        let mut busy = match done {
            Ok(done) => return Ok(done),
            Err(busy) => busy,
        };
        let _no_new_searches = self.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            busy.0.wait();
            let done = f(&mut *self.lock()?);
            match done {
                Ok(done) => return Ok(done),
                Err(next) => busy = next,
            }
        }
    }

    /// Runs `f` unless that would have to wait; then returns None, and [`Cache::run`] does it.
    ///
    /// # Errors
    /// [`Error::Cache`] when an earlier operation failed halfway.
    pub fn try_run<T>(&self, f: impl FnOnce(&mut Store<F>) -> Result<T, Busy>) -> Result<Option<T>> {
        match self.store.try_lock() {
            Ok(mut store) => Ok(f(&mut store).ok()),
            Err(TryLockError::Poisoned(_)) => Err(poisoned()),
            Err(TryLockError::WouldBlock) => Ok(None),
        }
    }

    /// The entry whose row is nearest to `query`, if their cosine reaches `threshold`: exact, and the oldest of several. Counts as
    /// a use of it.
    ///
    /// # Errors
    /// [`Error::Cache`] when an earlier operation failed halfway.
    ///
    /// # Panics
    /// When `query` is of another length than the rows.
    pub fn lookup(
        &self,
        scope: Scope<'_>,
        query: &Query<'_>,
        threshold: f64,
        now_ns: Option<u64>,
    ) -> Result<Option<Hit>> {
        let found = self.nearest(scope, query, threshold, now_ns)?;
        self.lock()?.settle(found.as_ref().map_or(Outcome::Miss, Outcome::Hit));
        Ok(found)
    }

    /// The same, but counted in nothing: the caller says by [`Store::settle`] what came of it.
    ///
    /// # Errors
    /// [`Error::Cache`] when an earlier operation failed halfway.
    ///
    /// # Panics
    /// When `query` is of another length than the rows.
    pub fn nearest(
        &self,
        scope: Scope<'_>,
        query: &Query<'_>,
        threshold: f64,
        now_ns: Option<u64>,
    ) -> Result<Option<Hit>> {
        Ok(self.scan(scope, now_ns, |rows| rows.lookup(query, threshold))?.flatten().map(hit))
    }

    /// The `top_k` entries whose rows are nearest to `query`, nearest first, of equals the oldest. Counts as no use.
    ///
    /// # Errors
    /// [`Error::Cache`] when an earlier operation failed halfway.
    ///
    /// # Panics
    /// When `query` is of another length than the rows.
    pub fn search(&self, scope: Scope<'_>, query: &Query<'_>, top_k: usize, now_ns: Option<u64>) -> Result<Vec<Hit>> {
        let found = self.scan(scope, now_ns, |rows| rows.search(query, top_k))?;
        Ok(found.into_iter().flatten().map(hit).collect())
    }

    /// Runs `f` on the rows of a scope, without the store's lock; not if there are none.
    fn scan<T>(&self, scope: Scope<'_>, now_ns: Option<u64>, f: impl FnOnce(&Rows) -> T) -> Result<Option<T>> {
        let Some(space) = self.run(|store| store.space(scope, now_ns))? else { return Ok(None) };
        let turn = self.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = space.read();
        drop(turn);
        Ok(Some(f(&rows)))
    }

    fn lock(&self) -> Result<MutexGuard<'_, Store<F>>> {
        self.store.lock().map_err(|_| poisoned())
    }
}

fn hit((found, held): (Found, Held)) -> Hit {
    Hit { item: held.item, score: found.score, node: held.node, id: found.id }
}

fn poisoned() -> Error {
    Error::Cache("this cache is unusable: an earlier call failed halfway; make a new one".to_owned())
}
