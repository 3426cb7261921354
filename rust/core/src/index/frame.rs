//! The coordinates in which rows are coded: a fixed rotation, and the directions that most of the rows share.

use crate::simd::{HEAD, Kernels};

/// Most rows that directions are learnt from.
pub(super) const SAMPLE: usize = 1024;

/// Rounds of subspace iteration. Directions only have to be good, since bounds hold for any.
const ROUNDS: usize = 4;

/// The share of squared length, above twice what any directions would hold, from which they pay for their bytes.
const WORTH: f32 = 0.1;

/// Coordinates for rows of one length.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kernels: &'static Kernels,
    /// Numbers of a rotated row: a multiple of 64.
    pub(super) padded: usize,
    /// Blocks that are rotated on their own: the largest power of two that divides `padded`.
    block: usize,
    /// For each number of a row, a sign by which it is multiplied first, times the rotation's scale.
    signs: Vec<f32>,
    /// [`HEAD`] orthonormal rows, once learnt and worth it; else nothing.
    directions: Vec<f32>,
    /// The steps that rows' parts along the directions are kept in, 127 either way.
    pub(super) steps: [f32; HEAD],
    /// At least the length of what rounding to whole steps takes from a head.
    pub(super) head_error: f32,
}

impl Frame {
    pub(super) fn new(dim: usize, kernels: &'static Kernels) -> Self {
        let padded = Self::padded(dim);
        let block = 1 << padded.trailing_zeros();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let signs = (0..dim).map(|_| {
            // Xorshift; any fixed signs do, as long as they follow no pattern that embeddings have.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if state >> 63 == 1 { 1.0 } else { -1.0 }
        });
        #[expect(clippy::cast_precision_loss, reason = "a small power of two")]
        let scale = 1.0 / (block as f32).sqrt();
        let signs = signs.map(|sign: f32| sign * scale).collect();
        Self { kernels, padded, block, signs, directions: Vec::new(), steps: [0.0; HEAD], head_error: 0.0 }
    }

    /// Numbers of a rotated row of `dim`.
    pub(super) fn padded(dim: usize) -> usize {
        dim.next_multiple_of(64)
    }

    /// Whether rows' heads are kept.
    pub(super) fn has_head(&self) -> bool {
        !self.directions.is_empty()
    }

    /// `row`, each number times `scale`, rotated: a random sign each, then Hadamard's matrix a block. What a few numbers held is then
    /// spread over all, so that signs and bytes say as much of sparse rows as of dense ones.
    pub(super) fn rotate(&self, row: &[f32], scale: f64, out: &mut [f32]) {
        (self.kernels.flip)(row, scale, &self.signs, out);
        (self.kernels.mix_within)(out);
        (self.kernels.mix_across)(out, self.block);
    }

    /// A rotated row's parts along the directions; zeros where there are none.
    pub(super) fn head_of(&self, rotated: &[f32]) -> [f32; HEAD] {
        let mut head = [0.0; HEAD];
        for (part, direction) in head.iter_mut().zip(self.directions.chunks_exact(self.padded)) {
            *part = (self.kernels.dot)(direction, rotated);
        }
        head
    }

    /// Takes `head` parts along the directions off a rotated row.
    pub(super) fn take_head(&self, rotated: &mut [f32], head: &[f32; HEAD]) {
        for (&part, direction) in head.iter().zip(self.directions.chunks_exact(self.padded)) {
            (self.kernels.add_scaled)(rotated, -part, direction);
        }
    }

    /// Learns the directions from rotated rows, `padded` numbers each; returns whether heads are kept from now on.
    ///
    /// Source: subspace iteration, Golub and Van Loan, Matrix Computations, section 8.2.4.
    pub(super) fn learn(&mut self, sample: &[f32]) -> bool {
        let rows = || sample.chunks_exact(self.padded);
        let n = rows().len();
        let mut directions: Vec<f32> = rows().step_by((n / HEAD).max(1)).take(HEAD).flatten().copied().collect();
        self.directions.clear();
        // Rows of fewer numbers than four heads have are told apart by their signs alone.
        if self.signs.len() < 4 * HEAD
            || directions.len() < HEAD * self.padded
            || !self.make_orthonormal(&mut directions)
        {
            return false;
        }
        let mut held = 0.0;
        for _ in 0..ROUNDS {
            let mut next = vec![0.0; directions.len()];
            held = 0.0;
            for row in rows() {
                let parts = directions.chunks_exact(self.padded).zip(next.chunks_exact_mut(self.padded));
                for (direction, next) in parts {
                    let part = (self.kernels.dot)(direction, row);
                    held += part * part;
                    (self.kernels.add_scaled)(next, part, row);
                }
            }
            if !self.make_orthonormal(&mut next) {
                return false;
            }
            directions = next;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most a sample")]
        let worth = n as f32 * (WORTH + 2.0 * HEAD as f32 / self.padded as f32);
        if held >= worth {
            self.directions = directions;
            self.measure(sample);
        }
        self.has_head()
    }

    /// Chooses the steps: such that the sample's longest part is well within 127 of them.
    fn measure(&mut self, sample: &[f32]) {
        const ROOM: f32 = 1.25;
        let mut peaks = [1e-3_f32; HEAD];
        for row in sample.chunks_exact(self.padded) {
            for (peak, part) in peaks.iter_mut().zip(self.head_of(row)) {
                *peak = peak.max(part.abs());
            }
        }
        self.steps = peaks.map(|peak| (peak * ROOM).min(1.0) / 127.0);
        let square: f32 = self.steps.iter().map(|step| step * step).sum();
        self.head_error = 0.5 * square.sqrt() * 1.02;
    }

    /// Gram and Schmidt, twice over, which leaves nothing but rounding; false where the rows span less than their number.
    fn make_orthonormal(&self, rows: &mut [f32]) -> bool {
        let dot = self.kernels.dot;
        for i in 0..HEAD {
            let (before, rest) = rows.split_at_mut(i * self.padded);
            let row = &mut rest[..self.padded];
            for _ in 0..2 {
                let length = dot(row, row).sqrt();
                if length < 1e-12 {
                    return false;
                }
                for x in &mut *row {
                    *x /= length;
                }
                for other in before.chunks_exact(self.padded) {
                    let part = dot(other, row);
                    (self.kernels.add_scaled)(row, -part, other);
                }
                if dot(row, row) < 1e-6 {
                    return false;
                }
            }
            let length = dot(row, row).sqrt();
            for x in row {
                *x /= length;
            }
        }
        true
    }

    /// Heap bytes, with heads or without.
    pub(super) fn bytes(&self, has_head: bool) -> usize {
        (self.signs.capacity() + if has_head { HEAD * self.padded } else { 0 }) * size_of::<f32>()
    }
}
