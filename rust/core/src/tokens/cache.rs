//! Remembers how many tokens a short part of a text is, where finding out takes merging.
//!
//! A fixed number of tables of a fixed size, shared by all vocabularies of the process: 5 MB once all are in use, whatever is
//! counted. A thread uses one table at a time, and goes without where another one holds it. A part has one place in a table and
//! takes it from the part that was there: the whole part is stored and compared, so an answer is never another part's.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

const N_TABLES: usize = 4;
/// Parts of up to 26 bytes have an entry of 32, those of up to 122 bytes, such as lines and banners, one of 128.
const SHORT: usize = 26;
const LONG: usize = 122;
const N_SHORT: usize = 1 << 15;
const N_LONG: usize = 1 << 11;

/// A part, zero-padded; in the last word the vocabulary's number, the part's length and its tokens. Zeros where there is none.
type Entry<const WORDS: usize> = [u64; WORDS];

/// One table; empty until something is stored in it.
pub(super) struct Cache {
    short: Vec<Entry<4>>,
    long: Vec<Entry<16>>,
}

static TABLES: [Mutex<Cache>; N_TABLES] = [const { Mutex::new(Cache { short: Vec::new(), long: Vec::new() }) }; N_TABLES];

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
    /// The tokens of a part: as remembered, or else by `count`.
    #[inline]
    pub(super) fn count(&mut self, part: &[u8], count: impl FnOnce() -> usize) -> usize {
        match part.len() {
            ..=SHORT => look_up(&mut self.cache.short, N_SHORT, self.owner, part, count),
            ..=LONG => look_up(&mut self.cache.long, N_LONG, self.owner, part, count),
            _ => count(),
        }
    }
}

#[inline]
fn look_up<const WORDS: usize>(
    entries: &mut Vec<Entry<WORDS>>,
    n_entries: usize,
    owner: u32,
    part: &[u8],
    count: impl FnOnce() -> usize,
) -> usize {
    let mut key = [0; WORDS];
    for (word, bytes) in key.iter_mut().zip(part.chunks(8)) {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(padded);
    }
    key[WORDS - 1] |= u64::from(owner) << 16 | (part.len() as u64) << 48;
    let mix = |hash: u64, word: &u64| (hash.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let hash = key.iter().fold(0, mix);
    if entries.is_empty() {
        entries.resize(n_entries, [0; WORDS]);
    }
    let held = &mut entries[(hash >> 32) as usize % n_entries];
    // The top byte of the last word is the answer.
    let mut held_key = *held;
    held_key[WORDS - 1] &= u64::MAX >> 8;
    if held_key == key {
        return (held[WORDS - 1] >> 56) as usize;
    }
    let n = count();
    // At most one token a byte: it fits.
    key[WORDS - 1] |= (n as u64) << 56;
    *held = key;
    n
}
