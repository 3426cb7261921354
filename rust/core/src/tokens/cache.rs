//! Remembers how many tokens a short part of a text is, where finding out takes merging.
//!
//! A fixed number of tables of a fixed size, shared by all vocabularies of the process: 4 MB once all are in use, whatever is
//! counted. A thread uses one table at a time, and goes without where others hold all of them. A part has a place for two in a table, and
//! takes it from the older of them: the whole part is stored and compared, so an answer is never another part's.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use super::words::{Key, low_bits};
use crate::simd::prefetch;

const N_TABLES: usize = 4;
/// Parts of a key's length have an entry of 16 bytes, those of up to 122, such as lines and banners, one of 128.
const N_SHORT: usize = 1 << 14;
const N_LONG: usize = 1 << 11;
const LONG: usize = 122;
/// Where a long entry's last word holds its length and its tokens, above the vocabulary's number; a key leaves room for both.
const LEN_SHIFT: u32 = 48;
const COUNT_SHIFT: u32 = 56;
const OWNER_BITS: u32 = 24;

/// One table; empty until something is stored in it.
struct Cache {
    /// Key, with the vocabulary's number and the tokens above it.
    short: Vec<[[u64; 2]; 2]>,
    /// A part, zero-padded; in the last two bytes of the last word its length and its tokens, below them the vocabulary's number.
    long: Vec<[[u64; 16]; 2]>,
}

static TABLES: [Mutex<Cache>; N_TABLES] =
    [const { Mutex::new(Cache { short: Vec::new(), long: Vec::new() }) }; N_TABLES];

/// What keeps the parts of vocabularies apart: none after the first 16 million.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(Option<u32>);

impl Owner {
    /// A number that no vocabulary had before.
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let next = NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n >> OWNER_BITS == 0).then_some(n + 1));
        Self(next.ok().filter(|n| n >> OWNER_BITS == 0))
    }

    /// A table that no other thread uses, if there is one; mostly this thread has the same each time.
    pub(super) fn table(self) -> Option<Table> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static PLACE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % N_TABLES));
        let owner = u64::from(self.0?);
        let place = PLACE.try_with(Cell::get).ok()?;
        // Another one where this is in use, so that threads do without only when there are more of them than tables.
        let mut cache = (place..place + N_TABLES).find_map(|place| match TABLES[place % N_TABLES].try_lock() {
            Ok(cache) => Some(cache),
            // Whoever panicked left whole entries.
            Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })?;
        if cache.short.len() < N_SHORT || cache.long.len() < N_LONG {
            cache.short.resize(N_SHORT, [[0; 2]; 2]);
            cache.long.resize(N_LONG, [[0; 16]; 2]);
        }
        Some(Table { cache, owner })
    }
}

/// A table in use.
pub(super) struct Table {
    cache: MutexGuard<'static, Cache>,
    owner: u64,
}

impl Table {
    #[inline]
    fn place(&self, key: Key) -> usize {
        // The lower bits of a hash know the first bytes only.
        low_bits(key.hash() >> 48 ^ self.owner) % N_SHORT
    }

    /// Bring the entries of a key into the processor's caches, for `short`.
    #[inline]
    pub(super) fn prefetch(&self, key: Key) {
        prefetch(&self.cache.short[self.place(key)]);
    }

    /// The tokens of the part of this key: as remembered, or else by `count`.
    #[inline]
    pub(super) fn short(&mut self, key: Key, count: impl FnOnce() -> usize) -> usize {
        let (low, high) = key.with(self.owner);
        let place = self.place(key);
        let pair = &mut self.cache.short[place];
        for held in *pair {
            if held[0] == low && held[1] << 4 >> 4 == high {
                return low_bits(held[1] >> 60);
            }
        }
        let n = count();
        // At most one token a byte: 12.
        *pair = [[low, high | (n as u64) << 60], pair[0]];
        n
    }

    /// The same for a part too long for a key.
    pub(super) fn long(&mut self, part: &[u8], count: impl FnOnce() -> usize) -> usize {
        if part.len() > LONG {
            return count();
        }
        let mut key = [0; 16];
        for (word, bytes) in key.iter_mut().zip(part.chunks(8)) {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_le_bytes(padded);
        }
        // 122 bytes leave six: three of the number, one free, the length, the tokens.
        key[15] |= self.owner << 16 | (part.len() as u64) << LEN_SHIFT;
        let mix = |hash: u64, word: &u64| (hash.rotate_left(29) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let pair = &mut self.cache.long[low_bits(key.iter().fold(0, mix) >> 32) % N_LONG];
        for held in &*pair {
            if held[..15] == key[..15] && held[15] & (u64::MAX >> 8) == key[15] {
                return low_bits(held[15] >> COUNT_SHIFT);
            }
        }
        let n = count();
        key[15] |= (n as u64) << COUNT_SHIFT;
        *pair = [key, pair[0]];
        n
    }
}
