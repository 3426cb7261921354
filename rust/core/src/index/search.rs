//! The search: sketches rule out most rows, nibbles and bytes nearly all that are left, and float64 decides.

use std::ops::Range;

use super::chunk::{Bits, Chunk, SLOTS};
use super::codes::{BatchCaps, Coded};
use super::row::{Query, Row};
use super::{FlatIndex, Found};
use crate::simd::{BATCH, ROWS, Sketched, caps_of};

/// Slots of a chunk, in the type of slots.
#[expect(clippy::cast_possible_truncation, reason = "1024")]
const CHUNK: u32 = SLOTS as u32;

/// Blocks of 64 rows whose sketches are read before it is asked whether that pays.
const STRETCH: usize = 4;

/// Rows left by their sketches after which the most promising ones are decided.
const SEED_AFTER: usize = 128;

/// Most chunks whose sketches are left unread, after some that ruled out too little.
const MOST_BLIND: usize = 7;

/// Up to so many, the best are kept in order while they are looked for.
const FEW: usize = 32;

/// The best `top_k` rows that reach `threshold`, best first.
pub(super) fn search(index: &FlatIndex, query: &Query, top_k: usize, threshold: f64) -> Vec<Found> {
    if index.is_empty() || top_k == 0 {
        return Vec::new();
    }
    let top_k = top_k.min(index.len());
    let coded = Coded::new(&index.frame, query);
    let mut hunt = Hunt { index, query, coded, best: Best { found: Vec::new(), top_k, threshold } };
    hunt.coded.raise(threshold);
    let (mut sketched, mut weighed) = (Vec::new(), Vec::new());
    let mut read = Read::new();
    // How many chunks go unread next, and how many last time; and how many rows have been looked through for promising ones.
    let (mut blind, mut last_blind, mut n_seen) = (0, 0, 0);
    for (number, chunk) in (0..).zip(&index.chunks) {
        let mut first = 0;
        while blind == 0 && first < chunk.blocks() {
            let blocks = first..(first + STRETCH).min(chunk.blocks());
            let (n_before, many) = (sketched.len(), blocks.len() * ROWS / 3);
            hunt.sketch(chunk, number, blocks.clone(), &mut read, &mut sketched);
            if sketched.len() > n_seen + SEED_AFTER.min(many) {
                hunt.seed(&sketched[n_seen..]);
                let limit = hunt.coded.limit();
                let n_left = sketched[n_before..].iter().filter(|row| row.bound >= limit).count();
                // Rows one after another cost a third of rows here and there.
                if n_left > many {
                    sketched.truncate(n_before);
                    blind = (2 * last_blind + 1).min(MOST_BLIND);
                    last_blind = blind;
                    n_seen = n_before;
                    break;
                }
                n_seen = sketched.len();
            }
            last_blind = 0;
            first = blocks.end;
        }
        if first < chunk.blocks() {
            blind -= 1;
            let n_before = weighed.len();
            hunt.weigh_all(chunk, number, first..chunk.blocks(), &mut weighed);
            hunt.decide(&hunt.promising(&weighed[n_before..], hunt.best.missing() + 1));
        }
    }
    hunt.seed(&sketched);
    sketched.retain(|row| row.bound >= hunt.coded.limit());
    hunt.weigh(&sketched, &mut weighed);
    hunt.decide(&hunt.promising(&weighed, top_k + 1));
    hunt.decide(&weighed);
    hunt.best.found
}

/// A row that is not ruled out yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    /// At most what it scores.
    bound: f32,
    slot: u32,
    /// The dot product of its high nibbles, once it has been weighed.
    high: i32,
}

/// What was read of sketches last, and those of a batch that are left; in one place, so that nothing has to be cleared.
struct Read {
    x: [f32; ROWS],
    h: [f32; ROWS],
    bounds: [f32; BATCH],
    batch: Sketched,
    slots: [u32; BATCH],
}

impl Read {
    fn new() -> Self {
        Self { x: [0.0; ROWS], h: [0.0; ROWS], bounds: [0.0; BATCH], batch: Sketched::new(), slots: [0; BATCH] }
    }
}

/// One search.
struct Hunt<'a> {
    index: &'a FlatIndex,
    query: &'a Query<'a>,
    coded: Coded,
    best: Best,
}

impl<'a> Hunt<'a> {
    /// Adds the rows of some blocks that their sketches do not rule out.
    fn sketch(&self, chunk: &Chunk, number: u32, blocks: Range<usize>, read: &mut Read, out: &mut Vec<Pending>) {
        let Read { x, h, bounds, batch, slots } = read;
        let mut n = 0;
        let mut flush = |batch: &Sketched, slots: &[u32]| {
            self.coded.sketch_bounds(batch, bounds);
            out.extend(slots.iter().zip(&*bounds).map(|(&slot, &bound)| Pending { bound, slot, high: 0 }));
        };
        for block in blocks {
            let (lines, taken, unbound) = chunk.block(block, &self.index.frame);
            let left = (self.coded.sketch(lines, x, h) | unbound) & taken;
            for place in Bits(left) {
                let row = place as usize;
                slots[n] = slot(number, block, place);
                let h = if unbound >> place & 1 == 1 { f32::INFINITY } else { h[row] };
                batch.set(n, x[row], h, caps_of(&lines[lines.len() - 4..], row));
                n += 1;
                if n == BATCH {
                    flush(batch, slots);
                    n = 0;
                }
            }
        }
        if n > 0 {
            flush(batch, &slots[..n]);
        }
    }

    /// Decides the rows that promise most by their sketches, so that the limit is high when the others' turn comes.
    fn seed(&mut self, sketched: &[Pending]) {
        let mut weighed = Vec::new();
        self.weigh(&self.promising(sketched, self.best.missing() + 1), &mut weighed);
        self.decide(&weighed);
    }

    /// The rows of the highest bounds, `n` at most.
    fn promising(&self, rows: &[Pending], n: usize) -> Vec<Pending> {
        let n = n.min(rows.len());
        if n > FEW {
            let mut most = rows.to_vec();
            most.select_nth_unstable_by(n - 1, |a, b| b.bound.total_cmp(&a.bound));
            most.truncate(n);
            return most;
        }
        let mut most: Vec<Pending> = Vec::with_capacity(n);
        let mut least = self.coded.limit();
        for row in rows {
            if row.bound > least {
                if most.len() == n {
                    most.pop();
                }
                most.insert(most.partition_point(|other| other.bound >= row.bound), *row);
                if most.len() == n {
                    least = most[n - 1].bound;
                }
            }
        }
        most
    }

    /// Adds those rows of some blocks that their high nibbles do not rule out.
    fn weigh_all(&self, chunk: &Chunk, number: u32, blocks: Range<usize>, out: &mut Vec<Pending>) {
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
            out.reserve(ROWS);
            for place in Bits(left) {
                let k = place as usize;
                out.push(Pending { bound: bounds[k], slot: slot(number, block, place), high: high[k] });
            }
        }
    }

    /// Adds those of `rows` that their high nibbles do not rule out.
    fn weigh(&self, rows: &[Pending], out: &mut Vec<Pending>) {
        let (mut places, mut high, mut bounds) = ([0; BATCH], [0; BATCH], [0.0; BATCH]);
        let mut caps = BatchCaps::new();
        for rows in rows.chunks(BATCH) {
            let mut first = 0;
            for rows in rows.chunk_by(of_one_chunk) {
                let (codes, all) = self.index.chunks[(rows[0].slot / CHUNK) as usize].high();
                let places = &mut places[..rows.len()];
                for (place, row) in places.iter_mut().zip(rows) {
                    *place = row.slot % CHUNK;
                }
                self.coded.nibbles(codes, places, &mut high[first..]);
                caps.gather(first, all, places);
                first += rows.len();
            }
            let left = self.coded.left_by_high(&high, &caps, &mut bounds) & first_bits(rows.len());
            out.reserve(ROWS);
            for k in Bits(left) {
                let k = k as usize;
                out.push(Pending { bound: bounds[k], slot: rows[k].slot, high: high[k] });
            }
        }
    }

    /// Scores those of `rows`, which have been weighed, that both their nibbles do not rule out.
    fn decide(&mut self, rows: &[Pending]) {
        let (mut places, mut high, mut low, mut bounds) = ([0; BATCH], [0; BATCH], [0; BATCH], [0.0; BATCH]);
        let mut batch = [Pending { bound: 0.0, slot: 0, high: 0 }; BATCH];
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
        self.best.offer(Found { slot, id, score: self.query.score(row) });
        self.coded.raise(self.best.limit());
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

fn of_one_chunk(a: &Pending, b: &Pending) -> bool {
    a.slot / CHUNK == b.slot / CHUNK
}

/// The best rows so far.
struct Best {
    found: Vec<Found>,
    top_k: usize,
    threshold: f64,
}

impl Best {
    /// What a row has to reach to be among them.
    fn limit(&self) -> f64 {
        let worst = self.found.get(self.top_k - 1);
        worst.map_or(self.threshold, |worst| worst.score)
    }

    /// How many more are sought than are there.
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
