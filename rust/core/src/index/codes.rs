//! Rows as bytes: how a row is coded, and what a query needs to be held against codes.

use super::bound::{self, Cap, LENGTH_DOWN, SQUARE_UP};
use super::chunk::Caps;
use super::frame::Frame;
use super::row::Query;
use crate::simd::{BATCH, CodeReach, HEAD, Kernels, Line, Reach};

/// A row's sketch: signs of its tail, its head, and how near the signs are to the tail.
#[derive(Debug)]
pub(super) struct Sketch {
    signs: Vec<u8>,
    head: [u8; HEAD],
    has_head: bool,
    cosine: u16,
    sine_square: u16,
    /// Whether its bound holds.
    pub(super) is_bound: bool,
}

/// A rotated row and its buffers, used again for the next.
#[derive(Debug)]
pub(super) struct Encoder {
    rotated: Vec<f32>,
    pub(super) sketch: Sketch,
}

impl Encoder {
    pub(super) fn new(frame: &Frame) -> Self {
        let signs = vec![0; frame.padded / 8];
        let sketch = Sketch { signs, head: [0; HEAD], has_head: false, cosine: 0, sine_square: 0, is_bound: true };
        Self { rotated: vec![0.0; frame.padded], sketch }
    }

    /// Heap bytes.
    pub(super) fn bytes(&self) -> usize {
        self.rotated.capacity() * size_of::<f32>() + self.sketch.signs.capacity()
    }

    /// The row in the frame's coordinates.
    pub(super) fn rotate(&mut self, frame: &Frame, row: &[f32]) -> &[f32] {
        frame.rotate(row, 1.0, &mut self.rotated);
        &self.rotated
    }

    /// Codes the row that was rotated last in four and four bits a number.
    pub(super) fn encode(&self, frame: &Frame, high: &mut [u8], low: &mut [u8]) -> [Cap; 2] {
        let kernels = frame.kernels;
        let coded = (kernels.encode)(&self.rotated, (kernels.peak)(&self.rotated), high, low);
        let padded = self.rotated.len();
        [Cap::new(coded.high_dot, coded.high_square, padded), Cap::new(coded.byte_dot, coded.byte_square, padded)]
    }

    /// Makes the sketch of the row that was rotated last, which is its tail after that.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded where they are made")]
    pub(super) fn make_sketch(&mut self, frame: &Frame) {
        let (kernels, padded) = (frame.kernels, frame.padded);
        let sketch = &mut self.sketch;
        sketch.has_head = frame.has_head();
        sketch.is_bound = true;
        if frame.has_head() {
            let mut parts = frame.head_of(&self.rotated);
            for (part, step) in parts.iter_mut().zip(&frame.steps) {
                *part = (*part / step).round_ties_even().clamp(-127.0, 127.0);
            }
            frame.take_head(&mut self.rotated, &std::array::from_fn(|k| parts[k] * frame.steps[k]));
            let left: f32 = frame.head_of(&self.rotated).iter().map(|part| part * part).sum();
            sketch.is_bound = left.sqrt() + bound::slack(padded) <= frame.head_error;
            sketch.head = parts.map(|part| (part as i32 + 128) as u8);
        }
        let tail = &self.rotated;
        let error = bound::dot_error(padded);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
        let along = (kernels.signs)(tail, &mut sketch.signs) / (padded as f32).sqrt() * (1.0 - 2.0 * error);
        let square = (kernels.dot)(tail, tail) * (1.0 + 2.0 * error);
        let cosine = (along / Reach::PART).floor().max(0.0);
        let along = cosine * Reach::PART;
        sketch.cosine = cosine as u16;
        sketch.sine_square = ((square * SQUARE_UP - along * along) / Reach::PART).ceil().max(0.0) as u16 + 1;
    }
}

impl Sketch {
    /// Lines that the sketches of 64 rows take.
    pub(super) fn lines(frame: &Frame) -> usize {
        Self::lines_with(frame.padded, frame.has_head())
    }

    /// Likewise, with heads or without.
    pub(super) fn lines_with(padded: usize, has_head: bool) -> usize {
        padded / 8 + if has_head { HEAD } else { 0 } + 4
    }

    /// Writes the sketch of row `row` of 64.
    pub(super) fn write(&self, block: &mut [Line], row: usize) {
        let (columns, rest) = block.split_at_mut(self.signs.len());
        for (column, &signs) in columns.iter_mut().zip(&self.signs) {
            column.0[row] = signs;
        }
        let (heads, caps) = rest.split_at_mut(if self.has_head { HEAD } else { 0 });
        for (lines, four) in heads.as_chunks_mut::<4>().0.iter_mut().zip(self.head.as_chunks::<4>().0) {
            lines[row / 16].0[row % 16 * 4..][..4].copy_from_slice(four);
        }
        let at = row % 32 * 2;
        caps[row / 32].0[at..][..2].copy_from_slice(&self.cosine.to_le_bytes());
        caps[2 + row / 32].0[at..][..2].copy_from_slice(&self.sine_square.to_le_bytes());
    }
}

/// A query in the frame's coordinates, as whole numbers.
#[derive(Debug)]
pub(super) struct Coded {
    kernels: &'static Kernels,
    tables: Vec<[u8; 16]>,
    head: Option<[i8; HEAD]>,
    reach: Reach,
    whole: Vec<i8>,
    sum: i32,
    step: f32,
    left_out: f32,
    slack: f32,
}

impl Coded {
    pub(super) fn new(frame: &Frame, query: &Query) -> Self {
        let (kernels, padded) = (frame.kernels, frame.padded);
        let mut rotated = vec![0.0; padded];
        query.rotate(frame, &mut rotated);

        let step = (kernels.peak)(&rotated) / 127.0;
        let mut whole = vec![0; padded];
        let (left_out, sum) = (kernels.quantise)(&rotated, step, &mut whole);
        let left_out = left_out.sqrt() * SQUARE_UP;

        let mut reach =
            Reach { x_scale: 0.0, x_base: 0.0, h_scale: 0.0, h_base: 0.0, square: 0.0, length: 0.0, limit: 0.0 };
        let mut head = None;
        if frame.has_head() {
            let parts = frame.head_of(&rotated);
            frame.take_head(&mut rotated, &parts);
            let length = parts.iter().map(|part| part * part).sum::<f32>().sqrt();
            // In steps of each direction's own: a row's head is whole numbers up to 127 of those.
            let scaled: [f32; HEAD] = std::array::from_fn(|k| parts[k] * frame.steps[k]);
            let step = (kernels.peak)(&scaled) / 127.0;
            let mut whole = [0; HEAD];
            let (_, sum) = (kernels.quantise)(&scaled, step, &mut whole);
            let mut left_out = 0.0;
            for k in 0..HEAD {
                let left = parts[k] - f32::from(whole[k]) * step / frame.steps[k];
                left_out += left * left;
            }
            reach.h_scale = step;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
            let offset = (128 * sum) as f32 * step;
            reach.h_base = left_out.sqrt() * 1.02 + length * frame.head_error - offset;
            head = Some(whole);
        }
        let mut tables = vec![[0; 16]; padded / 4];
        let (widest, total) = (kernels.spans)(&rotated);
        // Rounding adds at most a half to each of two tables that share a byte; a fourth of a total of 200,000 fits the counters.
        let per_count = (widest * 2.0 / 253.5).max(total * 2.0 / 200_000.0).max(f32::MIN_POSITIVE);
        (kernels.tables)(&rotated, 2.0 / per_count, &mut tables);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^24")]
        let (n_tables, per_sign) = ((padded / 4) as f32, 1.0 / (padded as f32).sqrt());
        // Each four columns count by their mean.
        reach.x_scale = 4.0 * per_count * per_sign;
        reach.x_base = (0.5 * per_count * n_tables - total) * per_sign;
        let square = (kernels.dot)(&rotated, &rotated);
        let error = bound::dot_error(padded);
        reach.square = square * (1.0 + error) * SQUARE_UP;
        reach.length = (square * (1.0 - error)).sqrt() * LENGTH_DOWN;
        Self { kernels, tables, head, reach, whole, sum, step, left_out, slack: bound::slack(padded) }
    }

    /// From now on only rows that score at least `limit` matter.
    #[expect(clippy::cast_possible_truncation, reason = "its rounding is in the slack")]
    pub(super) fn raise(&mut self, limit: f64) {
        self.reach.limit = limit as f32 - self.slack;
    }

    /// What a bound has to reach.
    pub(super) fn limit(&self) -> f32 {
        self.reach.limit
    }

    /// Whether some rows may be ruled out.
    pub(super) fn has_limit(&self) -> bool {
        self.reach.limit > f32::NEG_INFINITY
    }

    /// A bit for each of 64 rows that their sketches do not rule out.
    pub(super) fn sketch(&self, block: &[Line]) -> u64 {
        (self.kernels.sketch)(block, &self.tables, self.head.as_ref(), &self.reach)
    }

    /// The dot product of each of `rows` with the query, from its high or low nibbles.
    pub(super) fn nibbles(&self, codes: &[Line], rows: &[u32], out: &mut [i32]) {
        (self.kernels.nibbles)(Line::bytes(codes), self.whole.len() / 2, rows, &self.whole, out);
    }

    /// A bit for each row that its high nibbles, whose dot products are given, do not rule out; `bounds` is told at most what each scores.
    pub(super) fn left_by_high(&self, high: &[i32; BATCH], caps: &BatchCaps, bounds: &mut [f32; BATCH]) -> u64 {
        let mut sums = [0; BATCH];
        for (sum, high) in sums.iter_mut().zip(high) {
            *sum = high << 4;
        }
        self.left(&sums, caps, 120 * self.sum, self.step, bounds)
    }

    /// Likewise by both nibbles. In halves, since a byte stands for its value less 127.5.
    pub(super) fn left_by_bytes(
        &self,
        high: &[i32; BATCH],
        low: &[i32; BATCH],
        caps: &BatchCaps,
        bounds: &mut [f32; BATCH],
    ) -> u64 {
        let mut sums = [0; BATCH];
        for (sum, (high, low)) in sums.iter_mut().zip(high.iter().zip(low)) {
            *sum = (high << 5).wrapping_add(low << 1);
        }
        self.left(&sums, caps, 255 * self.sum, self.step * 0.5, bounds)
    }

    fn left(&self, sums: &[i32; BATCH], caps: &BatchCaps, offset: i32, step: f32, bounds: &mut [f32; BATCH]) -> u64 {
        let reach = CodeReach { offset, step, left_out: self.left_out, square: SQUARE_UP, length: LENGTH_DOWN };
        (self.kernels.code_bounds)(sums, &caps.cosines, &caps.scales, &reach, bounds);
        (self.kernels.reaching)(bounds, self.reach.limit)
    }
}

/// Caps of the rows of a batch.
#[derive(Debug)]
pub(super) struct BatchCaps {
    cosines: [f32; BATCH],
    scales: [f32; BATCH],
}

impl BatchCaps {
    pub(super) fn new() -> Self {
        Self { cosines: [0.0; BATCH], scales: [0.0; BATCH] }
    }

    /// Those of `n` rows from `first` on.
    pub(super) fn copy(&mut self, caps: &Caps, first: usize, n: usize) {
        self.cosines[..n].copy_from_slice(&caps.cosines[first..][..n]);
        self.scales[..n].copy_from_slice(&caps.scales[first..][..n]);
    }

    /// Those of some rows of a chunk, from place `first` on.
    pub(super) fn gather(&mut self, first: usize, caps: &Caps, rows: &[u32]) {
        let places = self.cosines[first..].iter_mut().zip(&mut self.scales[first..]);
        for (&row, (cosine, scale)) in rows.iter().zip(places) {
            (*cosine, *scale) = (caps.cosines[row as usize], caps.scales[row as usize]);
        }
    }
}
