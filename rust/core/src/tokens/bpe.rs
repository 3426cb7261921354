//! The merge engine: byte-pair encoding of one piece of text over a compact, immutable vocabulary.
//!
//! Two flat hash tables do all the work: (left id, right id) -> rank of the merge, and bytes of a whole token -> its id. Both
//! are open-addressed arrays of `u64` at most half full, with a fixed hash: they are built from vocabularies, not from input.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Ids and ranks fit in this many bits, so that a pair and its rank fit in one `u64` (3 x 21 = 63 bits).
pub(crate) const ID_BITS: u32 = 21;
/// No rank: the pair does not merge.
const NONE: u32 = u32::MAX;
/// A free slot; never a stored value, which leaves the top bit clear.
const EMPTY: u64 = u64::MAX;
/// The bits of a hash kept beside the id of a whole token: most wrong slots are passed over without reading the token.
const TAG: u64 = !(1 << 63) & !((1 << ID_BITS) - 1);
/// Pieces up to this many bytes are merged by scanning a stack buffer, longer ones through a heap. Most words are under 20
/// bytes; Chinese clauses reach 100, where the scan still beats a heap's allocations.
const SHORT: usize = 192;
/// A longer single piece is merged in chunks of this size: positions in the heap are 32 bits wide.
const CHUNK: usize = 1 << 31;

/// A byte-level vocabulary with its merges.
#[derive(Debug)]
pub(crate) struct Bpe {
    byte_ids: [u32; 256],
    /// Rank of every pair of bytes: half of all look-ups, in a table that stays in the cache.
    byte_ranks: Vec<u32>,
    pairs: Slots,
    /// Token id of each merge, by rank.
    joined: Vec<u32>,
    /// Tokens that a piece of exactly their bytes becomes.
    whole: Slots,
    /// Start and length in `arena` of each id; length 0 where the vocabulary has a hole.
    spans: Vec<[u32; 2]>,
    arena: Vec<u8>,
    max_len: usize,
}

/// The bytes of all tokens, by id.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    spans: Vec<[u32; 2]>,
    arena: Vec<u8>,
}

impl Tokens {
    pub(crate) fn with_capacity(n_tokens: usize, n_bytes: usize) -> Self {
        Self { spans: Vec::with_capacity(n_tokens), arena: Vec::with_capacity(n_bytes) }
    }

    /// Add token `id`; false if the id is taken or out of range, or the token empty or of more than 4 GiB in all.
    pub(crate) fn insert(&mut self, id: usize, bytes: &[u8]) -> bool {
        let (start, len) = (u32::try_from(self.arena.len()), u32::try_from(bytes.len()));
        let (Ok(start), Ok(len)) = (start, len) else { return false };
        if id >= 1 << ID_BITS || len == 0 || self.get(id).is_some() {
            return false;
        }
        if self.spans.len() <= id {
            self.spans.resize(id + 1, [0, 0]);
        }
        self.spans[id] = [start, len];
        self.arena.extend_from_slice(bytes);
        true
    }

    /// Append the token made of two older ones; false if either does not exist.
    pub(crate) fn push_joined(&mut self, left: usize, right: usize) -> bool {
        let (Some(left), Some(right)) = (self.span(left), self.span(right)) else { return false };
        let start = self.arena.len();
        self.arena.extend_from_within(left);
        self.arena.extend_from_within(right);
        let (Ok(start), Ok(len)) = (u32::try_from(start), u32::try_from(self.arena.len() - start)) else {
            return false;
        };
        self.spans.push([start, len]);
        true
    }

    pub(crate) fn get(&self, id: usize) -> Option<&[u8]> {
        self.span(id).map(|span| &self.arena[span])
    }

    fn span(&self, id: usize) -> Option<std::ops::Range<usize>> {
        match self.spans.get(id) {
            None | Some([_, 0]) => None,
            Some(&[start, len]) => Some(start as usize..start as usize + len as usize),
        }
    }
}

impl Bpe {
    /// Build the tables. `merges` holds (left, right, merged) ids in rank order; a pair given twice keeps its later rank.
    pub(crate) fn new(tokens: Tokens, byte_ids: &[u32; 256], merges: &[[u32; 3]]) -> Self {
        let mut pairs = Slots::new(merges.len());
        for (rank, &[left, right, _]) in merges.iter().enumerate() {
            let key = pair_key(left, right);
            let at = pairs.find(pair_hash(key), |slot| slot >> ID_BITS == key);
            pairs.slots[at] = key << ID_BITS | rank as u64;
        }
        let max_len = tokens.spans.iter().map(|span| span[1] as usize).max().unwrap_or(1).max(1);
        let joined = merges.iter().map(|merge| merge[2]).collect();
        let whole = Slots::new(tokens.spans.len());
        let mut bpe = Self {
            byte_ids: *byte_ids,
            byte_ranks: Vec::new(),
            pairs,
            joined,
            whole,
            spans: tokens.spans,
            arena: tokens.arena,
            max_len,
        };
        let pair_of = |pair: usize| bpe.rank(byte_ids[pair >> 8], byte_ids[pair & 0xFF]);
        bpe.byte_ranks = (0..1 << 16).map(pair_of).collect();
        bpe
    }

    /// Let a piece that is exactly one of `ids` be that token, without merging.
    pub(crate) fn add_whole(&mut self, ids: impl Iterator<Item = u32>) {
        for id in ids {
            let hash = bytes_hash(self.bytes_of(id));
            let at = self.whole.find(hash, |_| false);
            self.whole.slots[at] = hash & TAG | u64::from(id);
        }
    }

    /// Whether merging the bytes of `id` gives just `id`.
    pub(crate) fn is_reachable(&self, id: u32) -> bool {
        let mut first = None;
        self.merge(self.bytes_of(id), |ids| first = (ids.len() == 1).then(|| ids[0]));
        first == Some(id)
    }

    /// Length in bytes of the longest token.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// The bytes of a token; empty if there is no such id.
    pub(crate) fn bytes_of(&self, id: u32) -> &[u8] {
        match self.spans.get(id as usize) {
            Some(&[start, len]) => &self.arena[start as usize..start as usize + len as usize],
            None => &[],
        }
    }

    /// Number of tokens of a piece.
    pub(crate) fn count(&self, piece: &[u8]) -> usize {
        if self.whole_token(piece).is_some() {
            return 1;
        }
        let mut n = 0;
        self.merge(piece, |ids| n += ids.len());
        n
    }

    /// Append the tokens of a piece.
    pub(crate) fn encode(&self, piece: &[u8], out: &mut Vec<u32>) {
        match self.whole_token(piece) {
            Some(id) => out.push(id),
            None => self.merge(piece, |ids| out.extend_from_slice(ids)),
        }
    }

    fn whole_token(&self, piece: &[u8]) -> Option<u32> {
        if piece.len() > self.max_len {
            return None;
        }
        let hash = bytes_hash(piece);
        let is_it = |slot: u64| (slot ^ hash) & TAG == 0 && self.bytes_of(low_id(slot)) == piece;
        let slot = self.whole.slots[self.whole.find(hash, is_it)];
        (slot != EMPTY).then(|| low_id(slot))
    }

    fn rank(&self, left: u32, right: u32) -> u32 {
        let key = pair_key(left, right);
        let slot = self.pairs.slots[self.pairs.find(pair_hash(key), |slot| slot >> ID_BITS == key)];
        if slot == EMPTY { NONE } else { low_id(slot) }
    }

    fn byte_rank(&self, pair: &[u8]) -> u32 {
        self.byte_ranks[usize::from(pair[0]) << 8 | usize::from(pair[1])]
    }

    fn merge(&self, piece: &[u8], mut emit: impl FnMut(&[u32])) {
        if piece.len() <= SHORT {
            let mut ids = [0; SHORT];
            let n = self.merge_short(piece, &mut ids);
            emit(&ids[..n]);
        } else {
            for chunk in piece.chunks(CHUNK) {
                emit(&self.merge_long(chunk));
            }
        }
    }

    /// Merge by scanning for the lowest rank, leftmost first; return how many ids are left at the front of `ids`.
    fn merge_short(&self, piece: &[u8], ids: &mut [u32; SHORT]) -> usize {
        let mut ranks = [NONE; SHORT];
        let mut n = piece.len();
        for (id, &byte) in ids.iter_mut().zip(piece) {
            *id = self.byte_ids[byte as usize];
        }
        for (rank, pair) in ranks.iter_mut().zip(piece.windows(2)) {
            *rank = self.byte_rank(pair);
        }
        while n > 1 {
            // ranks[i] belongs to the pair (i, i + 1); the last token has none.
            let (mut at, mut lowest) = (0, ranks[0]);
            for (i, &rank) in ranks[..n - 1].iter().enumerate() {
                if rank < lowest {
                    (at, lowest) = (i, rank);
                }
            }
            if lowest == NONE {
                break;
            }
            ids[at] = self.joined[lowest as usize];
            ids.copy_within(at + 2..n, at + 1);
            ranks.copy_within(at + 2..n, at + 1);
            n -= 1;
            ranks[at] = if at + 1 < n { self.rank(ids[at], ids[at + 1]) } else { NONE };
            if at > 0 {
                ranks[at - 1] = self.rank(ids[at - 1], ids[at]);
            }
        }
        n
    }

    /// The same through a heap and a linked list: O(n log n) whatever the text.
    fn merge_long(&self, piece: &[u8]) -> Vec<u32> {
        let n = piece.len();
        let mut ids: Vec<u32> = piece.iter().map(|&byte| self.byte_ids[byte as usize]).collect();
        // Rank of the pair that starts at each position; NONE too where a token has been swallowed by the one before it.
        let mut ranks: Vec<u32> = piece.windows(2).map(|pair| self.byte_rank(pair)).chain([NONE]).collect();
        let mut next: Vec<u32> = (1..).take(n).collect();
        let mut previous: Vec<u32> = [NONE].into_iter().chain(0..).take(n).collect();
        let live = |(&rank, at): (&u32, u32)| (rank != NONE).then_some(Reverse((rank, at)));
        let mut heap: BinaryHeap<Reverse<(u32, u32)>> = ranks.iter().zip(0..).filter_map(live).collect();
        while let Some(Reverse((rank, at))) = heap.pop() {
            let here = at as usize;
            if ranks[here] != rank {
                continue; // this pair has gone since it was pushed
            }
            let gone = next[here] as usize;
            let after = next[gone] as usize;
            ids[here] = self.joined[rank as usize];
            ranks[gone] = NONE;
            next[here] = next[gone];
            ranks[here] = NONE;
            if after < n {
                previous[after] = at;
                ranks[here] = self.rank(ids[here], ids[after]);
                if ranks[here] != NONE {
                    heap.push(Reverse((ranks[here], at)));
                }
            }
            if let Some(before) = previous.get(here).copied().filter(|&before| before != NONE) {
                let rank = self.rank(ids[before as usize], ids[here]);
                ranks[before as usize] = rank;
                if rank != NONE {
                    heap.push(Reverse((rank, before)));
                }
            }
        }
        let (mut kept, mut at) = (0, 0);
        while at < n {
            ids[kept] = ids[at];
            kept += 1;
            at = next[at] as usize;
        }
        ids.truncate(kept);
        ids
    }
}

/// An open-addressed table with linear probing, never full.
#[derive(Debug)]
struct Slots {
    slots: Vec<u64>,
    shift: u32,
}

impl Slots {
    fn new(n_entries: usize) -> Self {
        let size = (n_entries.max(1) * 2).next_power_of_two();
        Self { slots: vec![EMPTY; size], shift: u64::BITS - size.trailing_zeros() }
    }

    /// The first slot from the place of `hash` on that is free or for which `is_it` holds.
    #[inline]
    fn find(&self, hash: u64, mut is_it: impl FnMut(u64) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = usize::try_from(hash >> self.shift).unwrap_or(0) & mask;
        while self.slots[at] != EMPTY && !is_it(self.slots[at]) {
            at = (at + 1) & mask;
        }
        at
    }
}

fn low_id(slot: u64) -> u32 {
    (slot & ((1 << ID_BITS) - 1)) as u32
}

fn pair_key(left: u32, right: u32) -> u64 {
    u64::from(left) << ID_BITS | u64::from(right)
}

fn pair_hash(key: u64) -> u64 {
    (key ^ key >> 19).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Eight bytes at a time: multiply, fold the high half down. The length is mixed in first, so padding cannot collide.
fn bytes_hash(bytes: &[u8]) -> u64 {
    let mut hash = (bytes.len() as u64).wrapping_mul(0xA076_1D64_78BD_642F);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^= hash >> 32;
    }
    hash.wrapping_mul(0xE703_7ED1_A0B4_28DB)
}

#[cfg(test)]
#[path = "bpe_tests.rs"]
mod tests;
