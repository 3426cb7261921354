//! Exact nearest rows by cosine: one flat index of unit rows, with insert and remove in O(1) slots.

mod bound;
mod chunk;
mod codes;
mod frame;
mod row;
mod search;
#[cfg(test)]
mod tests;

use chunk::{Chunk, SLOTS};
use codes::Encoder;
use frame::{Frame, SAMPLE};

use crate::simd::{Kernels, kernels};

pub use row::{Query, Row};

/// A row that a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Where the row is; given to another row once this one is removed.
    pub slot: u32,
    /// The number the row was inserted under, by which ties are decided: the lowest wins.
    pub id: u64,
    /// The float64 dot product of the query, brought to unit length, with the row.
    pub score: f64,
}

/// Rows after which the directions that rows share are learnt, and learnt again.
const LEARN_AT: [usize; 3] = [512, 4096, 32_768];

/// Slots that the first chunk starts with.
const FIRST_SLOTS: usize = 8;

/// Unit rows of one length, found exactly.
#[derive(Debug)]
pub struct FlatIndex {
    dim: usize,
    frame: Frame,
    encoder: Encoder,
    chunks: Vec<Chunk>,
    free: Vec<u32>,
    /// Slots that ever held a row.
    n_used: u32,
    /// Directions learnt so far: a place in [`LEARN_AT`].
    n_learnt: usize,
}

impl FlatIndex {
    /// No rows yet, of `dim` numbers each.
    ///
    /// # Panics
    /// When `dim` is 0.
    pub fn new(dim: usize) -> Self {
        Self::on(dim, kernels())
    }

    /// Likewise, on the kernels of a level.
    fn on(dim: usize, kernels: &'static Kernels) -> Self {
        assert!(dim > 0, "a row has numbers");
        let frame = Frame::new(dim, kernels);
        let encoder = Encoder::new(&frame);
        Self { dim, frame, encoder, chunks: Vec::new(), free: Vec::new(), n_used: 0, n_learnt: 0 }
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.n_used as usize - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row and returns its slot. Of rows that score the same, the one with the lowest `id` is found first.
    ///
    /// Cost: O(dim); at 512, 4,096 and 32,768 rows O(rows x dim) once.
    ///
    /// # Panics
    /// When `row` is of another length, or past 2^32 rows.
    pub fn insert(&mut self, row: Row, id: u64) -> u32 {
        assert_eq!(row.len(), self.dim, "all rows are of one length");
        let slot = self.free.pop().unwrap_or_else(|| self.new_slot());
        self.encoder.rotate(&self.frame, &row);
        let (chunk, place) = place(slot);
        self.chunks[chunk].put(place, row, id, &mut self.encoder, &self.frame);
        if LEARN_AT.get(self.n_learnt).is_some_and(|&at| self.len() >= at) {
            self.n_learnt += 1;
            self.learn();
        }
        slot
    }

    /// Takes a row out; its slot is free at once, and [`FlatIndex::bytes`] is no more than before.
    ///
    /// # Panics
    /// When there is no row in `slot`.
    pub fn remove(&mut self, slot: u32) -> Row {
        let (chunk, place) = place(slot);
        let row = self.chunks[chunk].take(place).expect("a row is removed once");
        self.free.push(slot);
        row
    }

    /// The best row, if it reaches `threshold`; exact.
    ///
    /// # Panics
    /// When `query` is of another length.
    pub fn lookup(&self, query: &Query, threshold: f64) -> Option<Found> {
        assert_eq!(query.len(), self.dim, "a query is as long as the rows");
        search::search(self, query, 1, threshold).pop()
    }

    /// The `top_k` best rows, best first; exact.
    ///
    /// # Panics
    /// When `query` is of another length.
    pub fn search(&self, query: &Query, top_k: usize) -> Vec<Found> {
        assert_eq!(query.len(), self.dim, "a query is as long as the rows");
        search::search(self, query, top_k, f64::NEG_INFINITY)
    }

    /// The score from which a best row is found in a fourth of the time, if it is looked for as such.
    pub const SURE: f64 = search::SURE;

    /// All rows that reach `threshold` and score at most `margin` less than the best, best first; exact. Rows whose number `admits`
    /// refuses are as if they were not there.
    ///
    /// `is_likely_sure`: whether the best is likely to score `margin` over [`Self::SURE`]; it changes the time, not what is found.
    ///
    /// # Panics
    /// When `query` is of another length.
    pub fn near(
        &self,
        query: &Query,
        threshold: f64,
        margin: f64,
        is_likely_sure: bool,
        admits: impl Fn(u64) -> bool,
    ) -> Vec<Found> {
        assert_eq!(query.len(), self.dim, "a query is as long as the rows");
        search::near(self, query, threshold, margin, is_likely_sure, admits)
    }

    /// The float64 dot product of the query, brought to unit length, with the row in a slot.
    ///
    /// # Panics
    /// When there is no row in `slot`, or `query` is of another length.
    pub fn score(&self, query: &Query, slot: u32) -> f64 {
        let (chunk, place) = place(slot);
        query.score(self.chunks[chunk].row(place).expect("a slot with a row").0)
    }

    fn new_slot(&mut self) -> u32 {
        let slot = self.n_used;
        let (chunk, place) = place(slot);
        match self.chunks.get_mut(chunk) {
            Some(chunk) if place < chunk.slots() => {}
            Some(chunk) => {
                let slots = (2 * chunk.slots()).min(SLOTS);
                chunk.grow(&self.frame, slots);
            }
            None => {
                let slots = if chunk == 0 { FIRST_SLOTS } else { SLOTS };
                self.chunks.reserve_exact(1);
                self.chunks.push(Chunk::new(&self.frame, slots));
            }
        }
        if self.free.capacity() <= slot as usize {
            // So that removing a row takes no more bytes.
            self.free.reserve_exact(chunk * SLOTS + self.chunks[chunk].slots());
        }
        self.n_used = slot.checked_add(1).expect("fewer than 2^32 rows");
        slot
    }

    /// Learns the directions of the rows that are there, and sketches all rows by them.
    fn learn(&mut self) {
        let step = (self.len() / SAMPLE).max(1);
        let rows = self.chunks.iter().flat_map(Chunk::rows);
        let mut sample = Vec::new();
        for (row, _) in rows.step_by(step).take(SAMPLE) {
            sample.extend_from_slice(self.encoder.rotate(&self.frame, row));
        }
        let had_head = self.frame.has_head();
        if self.frame.learn(&sample) || had_head {
            for chunk in &mut self.chunks {
                chunk.resketch(&mut self.encoder, &self.frame);
            }
        }
    }

    /// Bytes of the rows' codes and slots, without the rows themselves. Cost: O(1).
    pub fn bytes(&self) -> usize {
        self.bytes_with(self.n_slots(), self.frame.has_head())
    }

    /// By how much the next row may make [`FlatIndex::bytes`] grow, at most. Cost: O(1).
    pub fn growth(&self) -> usize {
        let (n_slots, is_full) = (self.n_slots(), self.len() == self.n_slots());
        let more = match n_slots {
            0 => FIRST_SLOTS,
            n => n.min(SLOTS),
        };
        let learns = LEARN_AT.get(self.n_learnt).is_some_and(|&at| self.len() + 1 >= at);
        let grown = self.bytes_with(n_slots + if is_full { more } else { 0 }, self.frame.has_head() || learns);
        grown - self.bytes()
    }

    /// At most what an index of one row takes. Cost: O(1).
    pub fn first_bytes(dim: usize) -> usize {
        let padded = Frame::padded(dim);
        (dim + padded) * size_of::<f32>()
            + padded / 8
            + size_of::<Chunk>()
            + Chunk::bytes(FIRST_SLOTS, padded, false)
            + FIRST_SLOTS * size_of::<u32>()
    }

    fn n_slots(&self) -> usize {
        let last = self.chunks.last().map_or(0, Chunk::slots);
        self.chunks.len().saturating_sub(1) * SLOTS + last
    }

    fn bytes_with(&self, n_slots: usize, has_head: bool) -> usize {
        let chunks = n_slots.div_ceil(SLOTS) * size_of::<Chunk>();
        let free = n_slots * size_of::<u32>();
        chunks
            + free
            + Chunk::bytes(n_slots, self.frame.padded, has_head)
            + self.frame.bytes(has_head)
            + self.encoder.bytes()
    }
}

/// Where a slot is: its chunk, and its place in it.
fn place(slot: u32) -> (usize, usize) {
    (slot as usize / SLOTS, slot as usize % SLOTS)
}
