//! Remembers how many tokens a short part of a text is, where finding out takes merging.
//!
//! A fixed number of tables of a fixed size, shared by all vocabularies of the process: 4 MB once all are in use, whatever is
//! counted. A thread uses one table at a time, and goes without where another one holds it. A part has one place in a table and
//! takes it from the part that was there: the whole part is stored and compared, so an answer is never another part's.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// Bytes of a part that an entry holds.
const MAX_LEN: usize = 26;
const N_ENTRIES: usize = 1 << 14;
const N_TABLES: usize = 8;

/// A part, zero-padded; then the vocabulary's number, the part's length and its tokens. Zeros where there is none.
type Entry = [u64; 4];

/// One table; empty until something is stored in it.
pub(super) struct Cache(Vec<Entry>);

static TABLES: [Mutex<Cache>; N_TABLES] = [const { Mutex::new(Cache(Vec::new())) }; N_TABLES];

/// What keeps the parts of vocabularies apart: none after the first four billion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(Option<u32>);

impl Owner {
    /// A number that no vocabulary had before.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
        Self(next.ok())
    }

    /// This thread's table, if no other uses it.
    pub(super) fn table(self) -> Option<Table> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static PLACE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % N_TABLES));
        let owner = self.0?;
        let place = PLACE.try_with(Cell::get).ok()?;
        match TABLES[place].try_lock() {
            Ok(cache) => Some(Table { cache, owner }),
            // Whoever panicked left whole entries.
            Err(TryLockError::Poisoned(error)) => Some(Table { cache: error.into_inner(), owner }),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// A table in use.
pub(super) struct Table {
    cache: MutexGuard<'static, Cache>,
    owner: u32,
}

impl Table {
    /// The tokens of `text[start..end]`: as remembered, or else by `count`.
    #[inline]
    pub(super) fn count(&mut self, text: &[u8], start: usize, end: usize, count: impl FnOnce() -> usize) -> usize {
        let len = end - start;
        if len > MAX_LEN {
            return count();
        }
        let mut bytes = [0; 32];
        bytes[..len].copy_from_slice(&text[start..end]);
        let mut entry: Entry = [0; 4];
        for (word, bytes) in entry.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        entry[3] |= u64::from(self.owner) << 16 | (len as u64) << 48;
        let [a, b, c, d] = entry;
        let hash = (a ^ b.rotate_left(23).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ c.rotate_left(41) ^ d).wrapping_mul(0xE703_7ED1_A0B4_28DB);
        let at = (hash >> (64 - N_ENTRIES.trailing_zeros())) as usize;
        if self.cache.0.is_empty() {
            self.cache.0.resize(N_ENTRIES, [0; 4]);
        }
        let held = &mut self.cache.0[at];
        const KEY: u64 = u64::MAX >> 8;
        if held[..3] == entry[..3] && held[3] & KEY == entry[3] {
            return (held[3] >> 56) as usize;
        }
        let n = count();
        // At most one token a byte.
        entry[3] |= (n as u64) << 56;
        *held = entry;
        n
    }
}
