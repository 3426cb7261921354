//! A stretch of slots: the rows in them, and their codes, where a search reads them one after another.

use super::bound::Cap;
use super::codes::{Encoder, Sketch};
use super::frame::Frame;
use super::row::Row;
use crate::simd::{Line, ROWS};

/// Slots of a chunk, once it has grown: chunks after the first start with so many, and never move.
pub(super) const SLOTS: usize = 1024;

/// Slots and what is in them.
#[derive(Debug)]
pub(super) struct Chunk {
    sketches: Vec<Line>,
    high: Vec<Line>,
    low: Vec<Line>,
    high_caps: Caps,
    low_caps: Caps,
    /// A bit a slot: whether there is a row.
    taken: Vec<u64>,
    /// A bit a slot: whether its sketch is no bound.
    unbound: Vec<u64>,
    rows: Vec<Option<Row>>,
    ids: Vec<u64>,
}

impl Chunk {
    pub(super) fn new(frame: &Frame, slots: usize) -> Self {
        let mut chunk = Self {
            sketches: Vec::new(),
            high: Vec::new(),
            low: Vec::new(),
            high_caps: Caps::default(),
            low_caps: Caps::default(),
            taken: Vec::new(),
            unbound: Vec::new(),
            rows: Vec::new(),
            ids: Vec::new(),
        };
        chunk.grow(frame, slots);
        chunk
    }

    pub(super) fn slots(&self) -> usize {
        self.ids.len()
    }

    /// Makes room for `slots` of them, an even number.
    pub(super) fn grow(&mut self, frame: &Frame, slots: usize) {
        fn resize<T: Clone>(all: &mut Vec<T>, n: usize, empty: T) {
            all.reserve_exact(n - all.len());
            all.resize(n, empty);
        }
        let blocks = slots.div_ceil(ROWS);
        resize(&mut self.sketches, blocks * Sketch::lines(frame), Line::ZERO);
        resize(&mut self.high, slots * frame.padded / 128, Line::ZERO);
        resize(&mut self.low, slots * frame.padded / 128, Line::ZERO);
        for caps in [&mut self.high_caps, &mut self.low_caps] {
            resize(&mut caps.cosines, slots, 0.0);
            resize(&mut caps.scales, slots, 0.0);
        }
        resize(&mut self.taken, blocks, 0);
        resize(&mut self.unbound, blocks, 0);
        resize(&mut self.rows, slots, None);
        resize(&mut self.ids, slots, 0);
    }

    /// Puts a row into a free slot; `encoder` has rotated it.
    pub(super) fn put(&mut self, slot: usize, row: Row, id: u64, encoder: &mut Encoder, frame: &Frame) {
        let half = frame.padded / 2;
        let bytes = slot * half..(slot + 1) * half;
        let high = &mut Line::bytes_mut(&mut self.high)[bytes.clone()];
        let [high, low] = encoder.encode(frame, high, &mut Line::bytes_mut(&mut self.low)[bytes]);
        self.high_caps.set(slot, high);
        self.low_caps.set(slot, low);
        self.sketch(slot, encoder, frame);
        self.taken[slot / ROWS] |= 1 << (slot % ROWS);
        self.rows[slot] = Some(row);
        self.ids[slot] = id;
    }

    /// Sketches the row that `encoder` has rotated.
    fn sketch(&mut self, slot: usize, encoder: &mut Encoder, frame: &Frame) {
        encoder.make_sketch(frame);
        let (block, bit) = (slot / ROWS, 1 << (slot % ROWS));
        let lines = Sketch::lines(frame);
        encoder.sketch.write(&mut self.sketches[block * lines..][..lines], slot % ROWS);
        self.unbound[block] &= !bit;
        if !encoder.sketch.is_bound {
            self.unbound[block] |= bit;
        }
    }

    /// Sketches all rows anew, for another frame of the same rotation.
    pub(super) fn resketch(&mut self, encoder: &mut Encoder, frame: &Frame) {
        self.sketches = vec![Line::ZERO; self.blocks() * Sketch::lines(frame)];
        for slot in 0..self.slots() {
            if let Some(row) = &self.rows[slot] {
                encoder.rotate(frame, row);
                self.sketch(slot, encoder, frame);
            }
        }
    }

    /// Takes a row out.
    pub(super) fn take(&mut self, slot: usize) -> Option<Row> {
        self.taken[slot / ROWS] &= !(1 << (slot % ROWS));
        self.rows[slot].take()
    }

    /// The row in a slot, and its number.
    pub(super) fn row(&self, slot: usize) -> Option<(&Row, u64)> {
        Some((self.rows.get(slot)?.as_ref()?, self.ids[slot]))
    }

    /// The sketches of 64 slots, the bits of those that are taken, and of those whose sketch is no bound.
    pub(super) fn block(&self, block: usize, frame: &Frame) -> (&[Line], u64, u64) {
        let lines = Sketch::lines(frame);
        (&self.sketches[block * lines..][..lines], self.taken[block], self.unbound[block])
    }

    /// A bit for each of 64 slots that is taken.
    pub(super) fn taken(&self, block: usize) -> u64 {
        self.taken[block]
    }

    /// How many blocks of 64 slots there are.
    pub(super) fn blocks(&self) -> usize {
        self.taken.len()
    }

    /// The rows that are there, with their numbers.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Row, u64)> {
        (0..self.slots()).filter_map(|slot| self.row(slot))
    }

    /// The high nibbles and what they say of each row.
    pub(super) fn high(&self) -> (&[Line], &Caps) {
        (&self.high, &self.high_caps)
    }

    /// The low nibbles, and what both say of each row.
    pub(super) fn low(&self) -> (&[Line], &Caps) {
        (&self.low, &self.low_caps)
    }

    /// Heap bytes of chunks of `n_slots` in all, without the rows themselves.
    pub(super) fn bytes(n_slots: usize, padded: usize, has_head: bool) -> usize {
        let a_block = Sketch::lines_with(padded, has_head) * size_of::<Line>() + 2 * size_of::<u64>();
        let a_slot = padded + 4 * size_of::<f32>() + size_of::<Option<Row>>() + size_of::<u64>();
        n_slots.div_ceil(ROWS) * a_block + n_slots * a_slot
    }
}

/// Caps of all slots.
#[derive(Debug, Default)]
pub(super) struct Caps {
    pub(super) cosines: Vec<f32>,
    pub(super) scales: Vec<f32>,
}

impl Caps {
    fn set(&mut self, slot: usize, cap: Cap) {
        self.cosines[slot] = cap.cosine;
        self.scales[slot] = cap.scale;
    }
}

/// The places of the set bits, lowest first.
pub(super) struct Bits(pub(super) u64);

impl Iterator for Bits {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let place = self.0.trailing_zeros();
        self.0 &= self.0.checked_sub(1)?;
        Some(place)
    }
}
