//! Merging: from the bytes of a piece to its tokens, always the adjacent pair of lowest rank first, the leftmost of equals.
//!
//! Up to [`SCAN`] bytes are merged by scanning for the lowest rank, more through a heap. A long piece is taken in windows: the
//! tokens of a window but for the last few are taken over if the next window, which begins where they end, begins with a token that
//! stays apart from the last of them when the bytes of both are merged. That is exact: tokens are those of a text if each two
//! neighbours stay apart. For take the first merge in the text that joins bytes of two of them. Up to then nothing has crossed into
//! or out of what those two span, so it has gone through the very merges it goes through alone, where the lowest rank, leftmost of
//! equals, is the same; so the two would have been joined alone, too. And neighbours in the tokens of any text stay apart, likewise.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bpe::{ID_BITS, Tokens};
use super::words::{Slots, low_id};

/// No rank: the pair does not merge.
const NONE: u32 = u32::MAX;
/// Bytes that one scan merges: positions are bits of a word, and six bits of a key.
pub(super) const SCAN: usize = 64;
/// Tokens of a window that are taken over at the least, and from which on the next one is smaller: a window of few long tokens
/// is mostly overlap.
const MIN_TAKEN: usize = 4;
const MANY_TAKEN: usize = 32;
/// The largest window: positions in the heap are 32 bits wide. A piece of more that needs one window is cut there.
const MAX_WINDOW: usize = u32::MAX as usize - 1;

/// Which pairs merge, and into what.
#[derive(Debug)]
pub(super) struct Merges {
    byte_ids: [u32; 256],
    /// Rank of every pair of bytes: half of all look-ups, in a table that stays in the cache.
    byte_ranks: Vec<u32>,
    pairs: Slots,
    /// Bits of the hashes of all pairs: most pairs that do not merge are told by one look at a small table.
    filter: Vec<u64>,
    /// Token id of each merge, by rank; none where it is the rank and `first_id`, as it mostly is.
    joined: Vec<u32>,
    first_id: u32,
}

impl Merges {
    /// `merges` holds (left, right, merged) ids in rank order; a pair given twice keeps its later rank.
    pub(super) fn new(byte_ids: &[u32; 256], merges: &[[u32; 3]]) -> Self {
        let mut pairs = Slots::new(merges.len());
        let mut filter = vec![0_u64; FILTER_BITS / 64];
        for (rank, &[left, right, _]) in merges.iter().enumerate() {
            let key = pair_key(left, right);
            let hash = pair_hash(key);
            let at = pairs.find(hash, |slot| slot >> ID_BITS == key);
            pairs.set(at, key << ID_BITS | rank as u64);
            let bit = filter_bit(hash);
            filter[bit / 64] |= 1 << (bit % 64);
        }
        let first_id = merges.first().map_or(0, |merge| merge[2]);
        let is_joined_in_order = merges.iter().zip(first_id..).all(|(merge, id)| merge[2] == id);
        let joined = if is_joined_in_order { Vec::new() } else { merges.iter().map(|merge| merge[2]).collect() };
        let byte_ranks = Vec::new();
        let mut made = Self { byte_ids: *byte_ids, byte_ranks, pairs, filter, joined, first_id };
        let pair_of = |pair: usize| made.rank(byte_ids[pair >> 8], byte_ids[pair & 0xFF]);
        made.byte_ranks = (0..1 << 16).map(pair_of).collect();
        made
    }

    #[inline]
    pub(super) fn rank(&self, left: u32, right: u32) -> u32 {
        let key = pair_key(left, right);
        let hash = pair_hash(key);
        let bit = filter_bit(hash);
        if self.filter[bit / 64] >> (bit % 64) & 1 == 0 {
            return NONE;
        }
        self.pairs.get(self.pairs.find(hash, |slot| slot >> ID_BITS == key)).map_or(NONE, low_id)
    }

    /// The token that the merge of a rank gives.
    #[inline]
    fn joined(&self, rank: u32) -> u32 {
        self.joined.get(rank as usize).copied().unwrap_or(self.first_id + rank)
    }

    fn byte_rank(&self, pair: &[u8]) -> u32 {
        self.byte_ranks[usize::from(pair[0]) << 8 | usize::from(pair[1])]
    }

    /// Number of tokens of a piece.
    pub(super) fn count(&self, tokens: &Tokens, piece: &[u8]) -> usize {
        if piece.len() <= SCAN {
            return self.scan(piece, &mut [0; SCAN]).count_ones() as usize;
        }
        let mut ids = Vec::new();
        self.long(tokens, piece, &mut ids);
        ids.len()
    }

    /// Append the tokens of a piece.
    pub(super) fn encode(&self, tokens: &Tokens, piece: &[u8], out: &mut Vec<u32>) {
        if piece.len() <= SCAN {
            self.window(piece, out);
        } else {
            self.long(tokens, piece, out);
        }
    }

    /// Merge up to [`SCAN`] bytes; the bits of the result are the places of `ids` where tokens are.
    #[inline]
    fn scan(&self, piece: &[u8], ids: &mut [u32; SCAN]) -> u64 {
        // A key is a rank and, in its low bits, the place of the pair: the least key is the leftmost of the lowest.
        let key = |rank: u32, at: usize| if rank == NONE { NONE } else { rank << 6 | low_id(at as u64) };
        let mut keys = [NONE; SCAN];
        let n = piece.len();
        for (id, &byte) in ids.iter_mut().zip(piece) {
            *id = self.byte_ids[usize::from(byte)];
        }
        for (i, pair) in piece.windows(2).enumerate() {
            keys[i] = key(self.byte_rank(pair), i);
        }
        let mut live = if n == 0 { 0 } else { u64::MAX >> (64 - n) };
        let keys_in_use = n.next_multiple_of(8);
        loop {
            let least = lowest(&keys[..keys_in_use]);
            if least == NONE {
                return live;
            }
            let at = (least & 63) as usize;
            ids[at] = self.joined(least >> 6);
            // The token behind goes; it is there, since a pair was.
            let behind = live & (u64::MAX << at) & !(1 << at);
            let gone = behind.trailing_zeros() as usize & 63;
            live &= !(1 << gone);
            keys[gone] = NONE;
            let after = behind & !(1 << gone);
            keys[at] = match after.trailing_zeros() as usize {
                64 => NONE,
                after => key(self.rank(ids[at], ids[after]), at),
            };
            let before = live & !(u64::MAX << at);
            if before != 0 {
                let before = 63 - before.leading_zeros() as usize;
                keys[before] = key(self.rank(ids[before], ids[at]), before);
            }
        }
    }

    fn long(&self, tokens: &Tokens, piece: &[u8], out: &mut Vec<u32>) {
        let already = out.len();
        if !self.windows(tokens, piece, out) {
            out.truncate(already);
            piece.chunks(MAX_WINDOW).for_each(|chunk| self.heap(chunk, out));
        }
    }

    /// Append the tokens of a piece, window by window; false where that leads nowhere, and `out` holds too much.
    fn windows(&self, tokens: &Tokens, piece: &[u8], out: &mut Vec<u32>) -> bool {
        let len_of = |id: u32| tokens.bytes_of(id).len();
        // The window begins at `at`; the last token before it begins at `last`.
        let (mut at, mut size, mut last) = (0, SCAN, None);
        // Bytes of two tokens that stay apart, and where the second begins. A run of one character has the same windows and the
        // same two all along.
        let mut apart: (&[u8], usize) = (&[], 0);
        let (mut ids, mut next_ids) = (Vec::new(), Vec::new());
        self.window(&piece[..size.min(piece.len())], &mut ids);
        while at + size < piece.len() {
            let limit = at + size - size / 4;
            let (mut n, mut start, mut end) = (0, at, at);
            while end + len_of(ids[n]) <= limit {
                (start, end, n) = (end, end + len_of(ids[n]), n + 1);
            }
            if n >= MIN_TAKEN {
                let next_size = if n >= MANY_TAKEN { (size / 4).max(SCAN) } else { size };
                let next = &piece[end..piece.len().min(end + next_size)];
                next_ids.clear();
                if *next == piece[at..at + size] {
                    next_ids.extend_from_slice(&ids);
                } else {
                    self.window(next, &mut next_ids);
                }
                let pair = (&piece[start..end + len_of(next_ids[0])], end - start);
                if pair == apart || self.stay_apart(pair.0, pair.1) {
                    out.extend_from_slice(&ids[..n]);
                    (at, size, last, apart) = (end, next_size, Some(start), pair);
                    std::mem::swap(&mut ids, &mut next_ids);
                    continue;
                }
            }
            size *= 4;
            if size > MAX_WINDOW {
                return false;
            }
            ids.clear();
            self.window(&piece[at..piece.len().min(at + size)], &mut ids);
            if last.is_some_and(|last| !self.stay_apart(&piece[last..at + len_of(ids[0])], at - last)) {
                return false;
            }
        }
        out.extend_from_slice(&ids);
        true
    }

    /// Whether two tokens stay two when their bytes are merged; `pair` holds both, the second from `at` on.
    fn stay_apart(&self, pair: &[u8], at: usize) -> bool {
        if pair.len() <= SCAN {
            return self.scan(pair, &mut [0; SCAN]) == 1 | 1 << at;
        }
        let mut ids = Vec::new();
        self.heap(&pair[..at], &mut ids);
        let is_first_one = ids.len() == 1;
        self.heap(&pair[at..], &mut ids);
        let apart = std::mem::take(&mut ids);
        self.heap(pair, &mut ids);
        is_first_one && ids == apart
    }

    /// Append the tokens of a piece, merged at once.
    fn window(&self, piece: &[u8], out: &mut Vec<u32>) {
        if piece.len() > SCAN {
            return self.heap(piece, out);
        }
        let mut ids = [0; SCAN];
        let live = self.scan(piece, &mut ids);
        out.extend(ids.iter().zip(0..).filter(|(_, i)| live >> i & 1 == 1).map(|(&id, _)| id));
    }

    /// Merge through a heap and a linked list: O(n log n) whatever the text.
    fn heap(&self, piece: &[u8], out: &mut Vec<u32>) {
        let n = piece.len();
        let mut ids: Vec<u32> = piece.iter().map(|&byte| self.byte_ids[usize::from(byte)]).collect();
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
            ids[here] = self.joined(rank);
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
        let mut at = 0;
        while at < n {
            out.push(ids[at]);
            at = next[at] as usize;
        }
    }
}

/// The least of some keys; their number is a multiple of eight, which lets it be vector code.
#[inline]
fn lowest(keys: &[u32]) -> u32 {
    let mut least = [NONE; 8];
    for keys in keys.as_chunks::<8>().0 {
        for (least, &key) in least.iter_mut().zip(keys) {
            *least = (*least).min(key);
        }
    }
    least.into_iter().fold(NONE, u32::min)
}

const FILTER_BITS: usize = 1 << 21;

#[inline]
fn filter_bit(hash: u64) -> usize {
    (hash >> 20) as usize % FILTER_BITS
}

#[inline]
fn pair_key(left: u32, right: u32) -> u64 {
    u64::from(left) << ID_BITS | u64::from(right)
}

#[inline]
fn pair_hash(key: u64) -> u64 {
    (key ^ key >> 19).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
