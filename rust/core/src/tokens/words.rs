//! Whole tokens by their bytes: one look-up tells whether a piece of text is a token, and which.
//!
//! Tokens of up to 12 bytes lie in the table itself, four entries to a cache line; they are nine of ten. Longer ones are found
//! by a hash and compared in the vocabulary's own bytes. Both tables are open-addressed and filled in order of ids: frequent tokens,
//! which have the low ones, stand where their search begins.

use super::bpe::{ID_BITS, Tokens};
use crate::simd::prefetch;

/// Bytes of a token that an entry holds.
pub(super) const SHORT: usize = 12;
const LEN_SHIFT: u32 = 32;
const LEN_BITS: u32 = 4;
const ID_SHIFT: u32 = LEN_SHIFT + LEN_BITS;
/// The bits of an entry's high half that are its key: four bytes and the length.
const KEY: u64 = (1 << ID_SHIFT) - 1;

/// Up to 12 bytes, padded with zeros, and their length; a length of 0 is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Key {
    low: u64,
    high: u64,
}

/// The bits of both halves that the bytes of each length take.
const MASKS: [[u64; 2]; SHORT + 1] = {
    let mut masks = [[0; 2]; SHORT + 1];
    let mut len = 1;
    while len <= SHORT {
        masks[len] = if len <= 8 { [u64::MAX >> (64 - 8 * len), 0] } else { [u64::MAX, u64::MAX >> (128 - 8 * len)] };
        len += 1;
    }
    masks
};

impl Key {
    /// The key of `text[at..at + len]`, if that is no longer than an entry.
    #[inline]
    pub(super) fn new(text: &[u8], at: usize, len: usize) -> Option<Self> {
        if len == 0 || len > SHORT {
            return None;
        }
        let (low, high) = match text.get(at..).and_then(<[u8]>::first_chunk::<SHORT>) {
            Some(bytes) => {
                let [low_mask, high_mask] = MASKS[len];
                let low = u64::from_le_bytes(std::array::from_fn(|i| bytes[i]));
                let high = u32::from_le_bytes(std::array::from_fn(|i| bytes[8 + i]));
                (low & low_mask, u64::from(high) & high_mask)
            }
            None => halves(&text[at..at + len]),
        };
        Some(Self { low, high: high | (len as u64) << LEN_SHIFT })
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        low_bits(self.high >> LEN_SHIFT & 0xF)
    }

    /// Whether the bytes are all ASCII.
    #[inline]
    pub(super) fn is_ascii(self) -> bool {
        (self.low | self.high) & 0x8080_8080_8080_8080 == 0
    }

    /// Both halves, with a number of up to 24 bits above them; the last four bits stay free.
    #[inline]
    pub(super) fn with(self, number: u64) -> (u64, u64) {
        (self.low, self.high | number << ID_SHIFT)
    }

    #[inline]
    pub(super) fn hash(self) -> u64 {
        (self.low ^ self.high.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xE703_7ED1_A0B4_28DB)
    }
}

/// The first eight of up to 12 bytes and the others, where there is nothing to read behind them.
#[cold]
#[inline(never)]
fn halves(bytes: &[u8]) -> (u64, u64) {
    let four = |at: usize| bytes[at..].first_chunk().map_or(0, |four| u64::from(u32::from_le_bytes(*four)));
    let len = bytes.len();
    match len {
        ..4 => (bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0),
        // The last four bytes overlap the first.
        4..8 => (four(0) | four(len - 4) << (8 * (len - 4)), 0),
        _ => (four(0) | four(4) << 32, four(len - 4) >> (8 * (SHORT - len))),
    }
}

/// The tokens that a piece of exactly their bytes becomes.
#[derive(Debug)]
pub(super) struct Words {
    /// Key and id; a free entry has no length.
    short: Vec<[u64; 2]>,
    shift: u32,
    /// Tag and id of the longer ones.
    long: Slots,
    max_len: usize,
}

impl Words {
    pub(super) fn new(tokens: &Tokens, ids: impl Iterator<Item = u32> + Clone) -> Self {
        let is_short = |id: &u32| tokens.bytes_of(*id).len() <= SHORT;
        let (n_short, n) = ids.clone().fold((0, 0), |(short, n), id| (short + usize::from(is_short(&id)), n + 1));
        // Up to half of the entries are taken: at three quarters counting is a twelfth slower, with 4 MB less.
        let size = (n_short * 2 + 1).next_power_of_two().max(4);
        let mut words = Self {
            short: vec![[0; 2]; size],
            shift: u64::BITS - size.trailing_zeros(),
            long: Slots::new(n - n_short),
            max_len: ids.clone().map(|id| tokens.bytes_of(id).len()).max().unwrap_or(0),
        };
        for id in ids {
            let bytes = tokens.bytes_of(id);
            if let Some(key) = Key::new(bytes, 0, bytes.len()) {
                let at = words.place(key, words.announce(key));
                words.short[at] = [key.low, key.high | u64::from(id) << ID_SHIFT];
            } else {
                let hash = ends_hash(bytes);
                let at = words.long.find(hash, |_| false);
                words.long.set(at, hash & TAG | u64::from(id));
            }
        }
        words
    }

    /// Where the look-up of a key begins; what is there is on its way into the processor's caches.
    #[inline]
    pub(super) fn announce(&self, key: Key) -> usize {
        let place = low_bits(key.hash() >> self.shift);
        prefetch(&self.short[place]);
        place
    }

    /// Whether a key is that of a token; its look-up begins at `place`.
    #[inline]
    pub(super) fn holds(&self, key: Key, place: usize) -> bool {
        self.short[self.place(key, place)][1] != 0
    }

    /// The id of the token of `text[start..end]`.
    #[inline]
    pub(super) fn find(&self, tokens: &Tokens, text: &[u8], start: usize, end: usize) -> Option<u32> {
        match Key::new(text, start, end - start) {
            Some(key) => {
                let [_, high] = self.short[self.place(key, self.announce(key))];
                (high != 0).then_some(low_id(high >> ID_SHIFT))
            }
            None => self.long(tokens, &text[start..end]),
        }
    }

    /// The id of a token longer than an entry.
    #[inline(never)]
    fn long(&self, tokens: &Tokens, bytes: &[u8]) -> Option<u32> {
        if bytes.is_empty() || bytes.len() > self.max_len {
            return None;
        }
        let hash = ends_hash(bytes);
        let is_it = |slot: u64| (slot ^ hash) & TAG == 0 && tokens.bytes_of(low_id(slot)) == bytes;
        self.long.get(self.long.find(hash, is_it)).map(low_id)
    }

    /// The entry of a key, or the free one where it would be.
    #[inline]
    fn place(&self, key: Key, mut at: usize) -> usize {
        loop {
            let [low, high] = self.short[at];
            if (low == key.low && high & KEY == key.high) || high == 0 {
                return at;
            }
            at = (at + 1) & (self.short.len() - 1);
        }
    }
}

/// A free slot; never a stored value, which leaves the top bit clear.
const EMPTY: u64 = u64::MAX;
/// The bits of a hash kept beside the id of a whole token: most wrong slots are passed over without reading the token.
const TAG: u64 = !(1 << 63) & !((1 << ID_BITS) - 1);

/// An open-addressed table of `u64` with linear probing, at most four fifths full.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<u64>,
    shift: u32,
}

impl Slots {
    pub(super) fn new(n_entries: usize) -> Self {
        let size = (n_entries * 5 / 4 + 1).next_power_of_two();
        Self { slots: vec![EMPTY; size], shift: u64::BITS - size.trailing_zeros() }
    }

    /// The first slot from the place of `hash` on that is free or for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut is_it: impl FnMut(u64) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = low_bits(hash >> self.shift) & mask;
        while self.slots[at] != EMPTY && !is_it(self.slots[at]) {
            at = (at + 1) & mask;
        }
        at
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<u64> {
        Some(self.slots[at]).filter(|&slot| slot != EMPTY)
    }

    pub(super) fn set(&mut self, at: usize, value: u64) {
        self.slots[at] = value;
    }
}

/// A place in a table, of which only bits are used that a `usize` has anywhere.
#[inline]
pub(super) fn low_bits(bits: u64) -> usize {
    usize::try_from(bits & u64::from(u32::MAX)).unwrap_or(0)
}

/// The low bits of a slot: an id or a rank.
#[inline]
pub(super) fn low_id(slot: u64) -> u32 {
    (slot & ((1 << ID_BITS) - 1)) as u32
}

/// Of the length and both ends of more than 12 bytes: few tokens agree in those, and they are compared in full.
fn ends_hash(bytes: &[u8]) -> u64 {
    let eight = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (first, last) = (eight(bytes.first_chunk()), eight(bytes.last_chunk()));
    let hash = (first ^ bytes.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (hash ^ hash >> 32 ^ last).wrapping_mul(0xE703_7ED1_A0B4_28DB)
}
