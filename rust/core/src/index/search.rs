//! The search: sketches rule out most rows, nibbles and bytes nearly all that are left, and float64 decides.

use std::ops::Range;

use super::chunk::{Bits, Chunk, SLOTS};
use super::codes::{BatchCaps, Coded};
use super::row::{Query, Row};
use super::{FlatIndex, Found};
use crate::simd::{BATCH, ROWS};

/// Slots of a chunk, in the type of slots.
#[expect(clippy::cast_possible_truncation, reason = "1024")]
const CHUNK: u32 = SLOTS as u32;

/// Blocks of 64 rows whose sketches are read before it is asked whether that pays.
const STRETCH: usize = 4;

/// Most chunks whose sketches are left unread, after some that ruled out too little.
const MOST_BLIND: usize = 7;

/// Rows left by their high nibbles after which the most promising ones are decided.
const MANY: usize = 32;

/// Up to so many, the best are kept in order while they are looked for.
const FEW: usize = 32;

/// The best `top_k` rows that reach `threshold`, best first.
pub(super) fn search(index: &FlatIndex, query: &Query, top_k: usize, threshold: f64) -> Vec<Found> {
    if top_k == 0 {
        return Vec::new();
    }
    let top_k = top_k.min(index.len());
    hunt(index, query, Best { found: Vec::new(), top_k, threshold }).found
}

/// The score from which sketches alone rule out nearly all other rows: signs are at 0.8 of a row, so that a row of no likeness is
/// bounded by 0.6 and what chance adds.
pub(super) const SURE: f64 = 0.7;

/// The rows that `admits` takes by their numbers, that reach `threshold` and score at most `margin` less than the best; best first.
///
/// Where `is_likely_sure`, they are looked for as if the best were a sure one first, which takes a fourth of the time where it is and a fifth
/// more where it is not.
pub(super) fn near(
    index: &FlatIndex,
    query: &Query,
    threshold: f64,
    margin: f64,
    is_likely_sure: bool,
    admits: impl Fn(u64) -> bool,
) -> Vec<Found> {
    let near = |limit| hunt(index, query, Near { found: Vec::new(), limit, margin, admits: &admits });
    let first = if is_likely_sure { threshold.max(SURE) } else { threshold };
    let mut hunted = near(first);
    if threshold < first && hunted.limit <= first {
        hunted = near(threshold);
    }
    let (limit, mut found) = (hunted.limit, hunted.found);
    found.retain(|row| row.score >= limit);
    found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then((a.id, a.slot).cmp(&(b.id, b.slot))));
    // The promising ones were decided twice.
    found.dedup_by_key(|row| row.slot);
    found
}

/// Offers `wanted` every row that may reach its limit.
fn hunt<W: Wanted>(index: &FlatIndex, query: &Query, wanted: W) -> W {
    if index.is_empty() {
        return wanted;
    }
    let coded = Coded::new(&index.frame, query);
    let mut hunt =
        Hunt { index, query, coded, wanted, sketched: Vec::with_capacity(BATCH), weighed: Vec::new(), n_seen: 0 };
    hunt.coded.raise(hunt.wanted.limit());
    // How many chunks go unread next, and how many last time.
    let (mut blind, mut last_blind) = (0, 0);
    for (number, chunk) in (0..).zip(&index.chunks) {
        let mut first = 0;
        while blind == 0 && first < chunk.blocks() {
            let blocks = first..(first + STRETCH).min(chunk.blocks());
            // Without a limit nothing is ruled out, which says nothing of what follows.
            let most = if hunt.coded.has_limit() { blocks.len() * ROWS / 3 } else { usize::MAX };
            first = blocks.end;
            // Rows one after another cost a third of rows here and there.
            let pays = hunt.sketch(chunk, number, blocks) <= most;
            last_blind = if pays { 0 } else { (2 * last_blind + 1).min(MOST_BLIND) };
            blind = last_blind;
        }
        if blind > 0 {
            blind -= 1;
            hunt.weigh_all(chunk, number, first..chunk.blocks());
        }
    }
    hunt.weigh();
    hunt.decide_promising(0, hunt.wanted.at_once() + 1);
    let weighed = std::mem::take(&mut hunt.weighed);
    hunt.decide(&weighed);
    hunt.wanted
}

/// A row that its high nibbles do not rule out.
#[derive(Debug, Clone, Copy)]
struct Weighed {
    /// At most what it scores.
    bound: f32,
    slot: u32,
    /// The dot product of its high nibbles.
    high: i32,
}

/// Which rows a search is for.
trait Wanted {
    /// What a row has to reach to be one of them.
    fn limit(&self) -> f64;

    /// How many are looked for to begin with.
    fn at_once(&self) -> usize;

    /// How many more have to be found before the limit says something.
    fn missing(&self) -> usize;

    fn offer(&mut self, new: Found);
}

/// One search.
struct Hunt<'a, W> {
    index: &'a FlatIndex,
    query: &'a Query<'a>,
    coded: Coded,
    wanted: W,
    /// Slots of rows that their sketches do not rule out, to be weighed together: fewer than a batch.
    sketched: Vec<u32>,
    weighed: Vec<Weighed>,
    /// How many of those have been looked through for promising ones.
    n_seen: usize,
}

impl<'a, W: Wanted> Hunt<'a, W> {
    /// Takes on the rows of some blocks that their sketches do not rule out; returns how many those are.
    fn sketch(&mut self, chunk: &Chunk, number: u32, blocks: Range<usize>) -> usize {
        let mut n = 0;
        for block in blocks {
            let (lines, taken, unbound) = chunk.block(block, &self.index.frame);
            let left = (self.coded.sketch(lines) | unbound) & taken;
            n += left.count_ones() as usize;
            for place in Bits(left) {
                self.sketched.push(slot(number, block, place));
                if self.sketched.len() == BATCH {
                    self.weigh();
                }
            }
        }
        n
    }

    /// Weighs the rows that were taken on, and keeps those that their high nibbles do not rule out.
    fn weigh(&mut self) {
        if self.sketched.is_empty() {
            return;
        }
        let (mut places, mut high, mut bounds) = ([0; BATCH], [0; BATCH], [0.0; BATCH]);
        let mut caps = BatchCaps::new();
        let mut first = 0;
        for slots in self.sketched.chunk_by(|a, b| a / CHUNK == b / CHUNK) {
            let (codes, all) = self.index.chunks[(slots[0] / CHUNK) as usize].high();
            let places = &mut places[..slots.len()];
            for (place, slot) in places.iter_mut().zip(slots) {
                *place = slot % CHUNK;
            }
            self.coded.nibbles(codes, places, &mut high[first..]);
            caps.gather(first, all, places);
            first += slots.len();
        }
        let left = self.coded.left_by_high(&high, &caps, &mut bounds) & first_bits(first);
        for k in Bits(left) {
            let k = k as usize;
            self.weighed.push(Weighed { bound: bounds[k], slot: self.sketched[k], high: high[k] });
        }
        self.sketched.clear();
        self.settle();
    }

    /// Weighs all rows of some blocks, likewise.
    fn weigh_all(&mut self, chunk: &Chunk, number: u32, blocks: Range<usize>) {
        let (codes, all) = chunk.high();
        let (mut places, mut high, mut bounds) = ([0; BATCH], [0; BATCH], [0.0; BATCH]);
        let mut caps = BatchCaps::new();
        for block in blocks {
            for (place, row) in places.iter_mut().zip(slot(0, block, 0)..) {
                *place = row;
            }
            let n = ROWS.min(chunk.slots() - block * ROWS);
            self.coded.nibbles(codes, &places[..n], &mut high);
            caps.copy(all, block * ROWS, n);
            let left = self.coded.left_by_high(&high, &caps, &mut bounds) & chunk.taken(block);
            self.weighed.reserve(ROWS);
            for place in Bits(left) {
                let k = place as usize;
                self.weighed.push(Weighed { bound: bounds[k], slot: slot(number, block, place), high: high[k] });
            }
        }
        self.settle();
    }

    /// Decides the most promising of the rows that were weighed since it last did, if they are many, so that the limit is high when
    /// the others' turn comes.
    fn settle(&mut self) {
        let n_new = self.weighed.len() - self.n_seen;
        if n_new > if self.coded.has_limit() { MANY } else { 0 } {
            self.decide_promising(self.n_seen, self.wanted.missing() + 1);
            self.n_seen = self.weighed.len();
        }
    }

    /// Decides the rows of the highest bounds, `n` at most, of those that were weighed from the `first` on.
    fn decide_promising(&mut self, first: usize, n: usize) {
        let rows = &self.weighed[first..];
        let n = n.min(rows.len());
        let mut most: Vec<Weighed> = Vec::new();
        if n > FEW {
            most.extend_from_slice(rows);
            most.select_nth_unstable_by(n - 1, |a, b| b.bound.total_cmp(&a.bound));
            most.truncate(n);
        } else if n > 0 {
            let mut least = self.coded.limit();
            for row in rows.iter().filter(|row| row.bound >= self.coded.limit()) {
                if most.len() < n || row.bound > least {
                    most.truncate(n - 1);
                    most.insert(most.partition_point(|other| other.bound >= row.bound), *row);
                    least = most[most.len() - 1].bound;
                }
            }
        }
        self.decide(&most);
    }

    /// Scores those of `rows`, which have been weighed, that both their nibbles do not rule out.
    fn decide(&mut self, rows: &[Weighed]) {
        let (mut places, mut high, mut low, mut bounds) = ([0; BATCH], [0; BATCH], [0; BATCH], [0.0; BATCH]);
        let mut batch = [Weighed { bound: 0.0, slot: 0, high: 0 }; BATCH];
        let mut caps = BatchCaps::new();
        let mut rows = rows.iter();
        loop {
            let limit = self.coded.limit();
            let mut n = 0;
            for row in rows.by_ref() {
                // Written first and kept or not then: a branch would be mispredicted.
                batch[n] = *row;
                n += usize::from(row.bound >= limit);
                if n == BATCH {
                    break;
                }
            }
            if n == 0 {
                return;
            }
            let mut first = 0;
            for rows in batch[..n].chunk_by(of_one_chunk) {
                let (codes, all) = self.index.chunks[(rows[0].slot / CHUNK) as usize].low();
                let places = &mut places[..rows.len()];
                for (i, (place, row)) in places.iter_mut().zip(rows).enumerate() {
                    *place = row.slot % CHUNK;
                    high[first + i] = row.high;
                }
                self.coded.nibbles(codes, places, &mut low[first..]);
                caps.gather(first, all, places);
                first += rows.len();
            }
            let left = self.coded.left_by_bytes(&high, &low, &caps, &mut bounds) & first_bits(n);
            for k in Bits(left) {
                self.row(batch[k as usize].slot).0.announce();
            }
            for k in Bits(left) {
                let k = k as usize;
                if bounds[k] >= self.coded.limit() {
                    self.score(batch[k].slot);
                }
            }
        }
    }

    /// The row in a slot, and its number.
    fn row(&self, slot: u32) -> (&'a Row, u64) {
        let chunk = &self.index.chunks[(slot / CHUNK) as usize];
        chunk.row((slot % CHUNK) as usize).expect("a taken slot holds a row")
    }

    /// Scores a row.
    fn score(&mut self, slot: u32) {
        let (row, id) = self.row(slot);
        self.wanted.offer(Found { slot, id, score: self.query.score(row) });
        self.coded.raise(self.wanted.limit());
    }
}

/// The slot of a place in a block of a chunk.
fn slot(chunk: u32, block: usize, place: u32) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "a chunk has 16 blocks of 64")]
    let first = (block * ROWS) as u32;
    chunk * CHUNK + first + place
}

/// The lowest `n` of 64 bits, at least one.
fn first_bits(n: usize) -> u64 {
    u64::MAX >> (ROWS - n)
}

fn of_one_chunk(a: &Weighed, b: &Weighed) -> bool {
    a.slot / CHUNK == b.slot / CHUNK
}

/// The best rows so far.
struct Best {
    found: Vec<Found>,
    top_k: usize,
    threshold: f64,
}

impl Wanted for Best {
    fn limit(&self) -> f64 {
        let worst = self.found.get(self.top_k - 1);
        worst.map_or(self.threshold, |worst| worst.score)
    }

    fn at_once(&self) -> usize {
        self.top_k
    }

    fn missing(&self) -> usize {
        self.top_k - self.found.len()
    }

    fn offer(&mut self, new: Found) {
        if new.score < self.threshold {
            return;
        }
        #[expect(clippy::float_cmp, reason = "ties are of equal scores")]
        let is_before = |found: &Found| found.score > new.score || (found.score == new.score && found.id < new.id);
        let place = self.found.partition_point(is_before);
        let is_known = self.found.get(place).is_some_and(|found| found.id == new.id);
        if place < self.top_k && !is_known {
            self.found.truncate(self.top_k - 1);
            self.found.insert(place, new);
        }
    }
}

/// The rows near the best so far, in no order, and such as were near an earlier best.
struct Near<F> {
    found: Vec<Found>,
    limit: f64,
    margin: f64,
    admits: F,
}

impl<F: Fn(u64) -> bool> Wanted for Near<F> {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn at_once(&self) -> usize {
        1
    }

    fn missing(&self) -> usize {
        usize::from(self.found.is_empty())
    }

    fn offer(&mut self, new: Found) {
        if new.score >= self.limit && (self.admits)(new.id) {
            self.limit = self.limit.max(new.score - self.margin);
            self.found.push(new);
        }
    }
}
