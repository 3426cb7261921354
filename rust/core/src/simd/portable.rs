//! The definition of each kernel, in plain Rust: what every level must give, bit by bit.
//!
//! Sums of floats run in [`LANES`] lanes, which vector units of every width can do without changing a bit; products are
//! fused with sums only where it is written so. The bodies are inlined into functions that are compiled for a level; those that compilers make
//! vector code of well have no other form.

use super::{BATCH, CodeReach, HEAD, LANES, Line, ROWS, Reach};

/// Each number of `row` times `scale` and its sign; zeros where `out` is longer.
#[inline(always)]
pub(super) fn flip(row: &[f32], scale: f64, signs: &[f32], out: &mut [f32]) {
    for ((out, &x), sign) in out.iter_mut().zip(row).zip(signs) {
        #[expect(clippy::cast_possible_truncation, reason = "of unit length, but for rounding")]
        let x = (f64::from(x) * scale) as f32;
        *out = x * sign;
    }
    out[row.len()..].fill(0.0);
}

/// Multiplies each sixteen numbers by Sylvester's Hadamard matrix, without its scale.
#[inline(always)]
pub(super) fn mix_within(x: &mut [f32]) {
    for x in x.as_chunks_mut::<LANES>().0 {
        for half in [1, 2, 4, 8] {
            let before = *x;
            for k in 0..LANES {
                x[k] = before[k ^ half] + if k & half == 0 { before[k] } else { -before[k] };
            }
        }
    }
}

/// Makes of blocks of `size` numbers, a power of two, that [`mix_within`] has gone over, their products with the matrix of that size.
#[inline(always)]
pub(super) fn mix_across(x: &mut [f32], size: usize) {
    let mut half = 1;
    while LANES * half < size {
        for pair in x.as_chunks_mut::<LANES>().0.chunks_exact_mut(2 * half) {
            let (a, b) = pair.split_at_mut(half);
            for (a, b) in a.iter_mut().zip(b) {
                for k in 0..LANES {
                    (a[k], b[k]) = (a[k] + b[k], a[k] - b[k]);
                }
            }
        }
        half *= 2;
    }
}

/// The dot product of two vectors of whole [`LANES`].
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for k in 0..LANES {
            sums[k] += a[k] * b[k];
        }
    }
    fold(sums)
}

/// The float64 dot product. Products of two float32 are exact in float64, so only sums round.
#[inline(always)]
pub(super) fn score(a: &[f32], b: &[f32]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for k in 0..LANES {
            sums[k] += f64::from(a[k]) * f64::from(b[k]);
        }
    }
    for (k, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        sums[k] += f64::from(a) * f64::from(b);
    }
    fold(sums)
}

#[inline(always)]
fn fold<T: std::ops::AddAssign + Copy>(mut sums: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for k in 0..half {
            let other = sums[k + half];
            sums[k] += other;
        }
        half /= 2;
    }
    sums[0]
}

/// Adds `by` times `a` to `x`.
#[inline(always)]
pub(super) fn add_scaled(x: &mut [f32], by: f32, a: &[f32]) {
    for (x, a) in x.iter_mut().zip(a) {
        *x += by * a;
    }
}

/// The largest magnitude.
#[inline(always)]
pub(super) fn peak(x: &[f32]) -> f32 {
    let mut peaks = [0.0_f32; LANES];
    for x in x.as_chunks::<LANES>().0 {
        for k in 0..LANES {
            let size = x[k].abs();
            peaks[k] = if size > peaks[k] { size } else { peaks[k] };
        }
    }
    peaks.into_iter().fold(0.0, f32::max)
}

/// The nearest whole number, to even at ties, as float and as integer, of magnitudes under 2^21. By adding and taking off a
/// number whose last bit is worth one: conversions that check their range would not run side by side.
#[inline(always)]
fn nearest(x: f32) -> (f32, u32) {
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x + SHIFT;
    (shifted - SHIFT, shifted.to_bits().wrapping_sub(SHIFT.to_bits()))
}

/// `x` as whole numbers of `step`, at most 127 steps either way; returns the squared length of what that leaves out, and the sum of
/// the whole numbers.
#[inline(always)]
pub(super) fn quantise(x: &[f32], step: f32, out: &mut [i8]) -> (f32, i32) {
    let per_step = if step > 0.0 { 1.0 / step } else { 0.0 };
    let (mut squares, mut codes) = ([0.0; LANES], [0_u32; LANES]);
    for (x, out) in x.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0) {
        for k in 0..LANES {
            let (size, code) = nearest(x[k] * per_step);
            let left = x[k] - size * step;
            squares[k] += left * left;
            codes[k] = code.wrapping_add(codes[k]);
            out[k] = code.to_le_bytes()[0].cast_signed();
        }
    }
    (fold(squares), codes.into_iter().fold(0, u32::wrapping_add).cast_signed())
}

/// What a row's bytes say of its direction: the dot products of the row with them, and their squared lengths.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Coded {
    pub(crate) high_dot: f32,
    pub(crate) high_square: f32,
    pub(crate) byte_dot: f32,
    pub(crate) byte_square: f32,
}

/// Codes a row by a byte a number, `peak` being its largest magnitude: byte `c` stands for `c - 127.5`, and its high four bits
/// alone, `h`, for `16 h - 120`. The nibbles of numbers `k` and `k + 32` of each 64 share a byte, `k` in the low half.
#[inline(always)]
pub(super) fn encode(x: &[f32], peak: f32, high: &mut [u8], low: &mut [u8]) -> Coded {
    let per_step = 127.5 / peak;
    let mut sums = [[0.0; LANES]; 4];
    let halves = high.as_chunks_mut::<32>().0.iter_mut().zip(low.as_chunks_mut::<32>().0);
    for (x, (high, low)) in x.as_chunks::<64>().0.iter().zip(halves) {
        let mut codes = [0_u8; 64];
        for i in 0..4 {
            for k in 0..LANES {
                let x = x[LANES * i + k];
                let (size, code) = nearest((x * per_step + 127.5).clamp(0.0, 255.0));
                let code = code.to_le_bytes()[0];
                codes[LANES * i + k] = code;
                let (high, byte) = (f32::from(code & 0xf0) - 120.0, size - 127.5);
                sums[0][k] += x * high;
                sums[1][k] += high * high;
                sums[2][k] += x * byte;
                sums[3][k] += byte * byte;
            }
        }
        for k in 0..32 {
            high[k] = codes[k] >> 4 | codes[k + 32] & 0xf0;
            low[k] = codes[k] & 0xf | codes[k + 32] << 4;
        }
    }
    let [high_dot, high_square, byte_dot, byte_square] = sums.map(fold);
    Coded { high_dot, high_square, byte_dot, byte_square }
}

/// Dot products of rows of nibbles, `stride` bytes each and laid as [`encode`] does, with a query of whole numbers.
#[inline(always)]
pub(super) fn nibbles(codes: &[u8], stride: usize, rows: &[u32], query: &[i8], out: &mut [i32]) {
    for (&row, out) in rows.iter().zip(out) {
        let codes = &codes[row as usize * stride..][..stride];
        *out = codes
            .as_chunks::<32>()
            .0
            .iter()
            .zip(query.as_chunks::<64>().0)
            .map(|(codes, query)| {
                let one = |k: usize| {
                    i32::from(codes[k] & 0xf) * i32::from(query[k])
                        + i32::from(codes[k] >> 4) * i32::from(query[k + 32])
                };
                (0..32).map(one).sum::<i32>()
            })
            .sum();
    }
}

/// The signs of each 64 numbers as eight bytes, set where positive; returns the sum of magnitudes. Numbers `k`, `k + 16`, `k + 32` and
/// `k + 48` share a nibble, in this order from its lowest bit: byte `k` holds the nibbles `k` and `k + 8`.
#[inline(always)]
pub(super) fn signs(x: &[f32], out: &mut [u8]) -> f32 {
    let mut sums = [0.0; LANES];
    for (x, out) in x.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        let mut nibbles = [0_u32; LANES];
        for (i, x) in x.as_chunks::<LANES>().0.iter().enumerate() {
            for k in 0..LANES {
                sums[k] += x[k].abs();
                nibbles[k] |= u32::from(x[k] > 0.0) << i;
            }
        }
        for k in 0..8 {
            out[k] = (nibbles[k] | nibbles[k + 8] << 4).to_le_bytes()[0];
        }
    }
    fold(sums)
}

/// The largest sum of magnitudes that two tables in a row are made of, and the sum of all.
#[inline(always)]
pub(super) fn spans(x: &[f32]) -> (f32, f32) {
    let (mut widest, mut total) = ([0.0_f32; LANES / 2], [0.0; LANES / 2]);
    for x in x.as_chunks::<64>().0 {
        let mut sums = [0.0; LANES];
        for x in x.as_chunks::<LANES>().0 {
            for k in 0..LANES {
                sums[k] += x[k].abs();
            }
        }
        for k in 0..LANES / 2 {
            let sum = sums[k] + sums[k + LANES / 2];
            total[k] += sum;
            widest[k] = if sum > widest[k] { sum } else { widest[k] };
        }
    }
    (widest.into_iter().fold(0.0, f32::max), total.into_iter().sum())
}

/// For each four numbers whose signs share a nibble, what each nibble adds: twice the magnitudes of the numbers whose signs it has,
/// in steps, of which `per_unit` make one half.
#[inline(always)]
pub(super) fn tables(x: &[f32], per_unit: f32, out: &mut [[u8; 16]]) {
    for (x, out) in x.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<16>().0) {
        for k in 0..LANES {
            let four = [x[k], x[k + 16], x[k + 32], x[k + 48]];
            let mut negative = 0;
            for i in 0..4 {
                negative |= usize::from(four[i] <= 0.0) << i;
            }
            let table = &mut out[k % 8 * 2 + k / 8];
            for subset in 0..16_usize {
                let mut sum = 0.0;
                for i in 0..4 {
                    sum += if subset >> i & 1 == 1 { four[i].abs() * per_unit } else { 0.0 };
                }
                table[subset ^ negative] = nearest(sum).1.to_le_bytes()[0];
            }
        }
    }
}

/// Reads 64 rows' sketches; returns a bit for each row that may reach the limit. See `index/bound.rs`.
///
/// A column holds for each row a byte of [`signs`], whose nibbles choose in two tables, and columns are summed by fours, see [`mean`];
/// `head` has four lines for each four directions, `[row][direction]`, in bytes that are not 0; `caps` the rows' cosines, then their
/// squared sines, as parts of 65,000.
#[inline(always)]
pub(super) fn sketch(block: &[Line], tables: &[[u8; 16]], head: Option<&[i8; HEAD]>, reach: &Reach) -> u64 {
    let (columns, rest) = block.split_at(tables.len() / 2);
    let (heads, caps) = rest.split_at(if head.is_some() { HEAD } else { 0 });
    let mut mask = 0;
    for row in 0..ROWS {
        let mut sum = 0_u32;
        for (columns, tables) in columns.as_chunks::<4>().0.iter().zip(tables.as_chunks::<8>().0) {
            let mut sums = [0; 4];
            for k in 0..4 {
                let byte = usize::from(columns[k].0[row]);
                sums[k] = u32::from(tables[2 * k][byte & 0xf]) + u32::from(tables[2 * k + 1][byte >> 4]);
            }
            sum += mean(mean(sums[0], sums[1]), mean(sums[2], sums[3]));
        }
        let mut head_sum = 0;
        if let Some(head) = head {
            for (k, &q) in head.iter().enumerate() {
                let byte = heads[k / 4 * 4 + row / 16].0[row % 16 * 4 + k % 4];
                head_sum += i32::from(byte) * i32::from(q);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "under 2^24")]
        let (sum, head_sum) = (sum as f32, head_sum as f32);
        let x = sum.mul_add(reach.x_scale, reach.x_base);
        let h = head_sum.mul_add(reach.h_scale, reach.h_base);
        let (a, b) = caps_of(caps, row);
        mask |= u64::from(!reach.is_below(x, h, a, b)) << row;
    }
    mask
}

/// The mean, rounded up: bytes can be summed this way without more than a byte each.
#[inline(always)]
fn mean(a: u32, b: u32) -> u32 {
    (a + b).div_ceil(2)
}

/// The cosine and the squared sine of a row, in parts.
#[inline(always)]
fn caps_of(caps: &[Line], row: usize) -> (f32, f32) {
    let part = |line: &Line| {
        let bytes = &line.0[row % 32 * 2..][..2];
        f32::from(u16::from_le_bytes([bytes[0], bytes[1]]))
    };
    (part(&caps[row / 32]), part(&caps[2 + row / 32]))
}

/// At most what rows can score, from the dot products of their codes with the query's whole numbers, and their codes' cosines and
/// scales. See `index/bound.rs`.
#[inline(always)]
pub(super) fn code_bounds(
    sums: &[i32; BATCH],
    cosines: &[f32; BATCH],
    scales: &[f32; BATCH],
    reach: &CodeReach,
    out: &mut [f32; BATCH],
) {
    for k in 0..BATCH {
        #[expect(clippy::cast_precision_loss, reason = "rounds once, as everything here")]
        let x = sums[k].wrapping_sub(reach.offset) as f32 * (reach.step * scales[k]) + reach.left_out;
        let a = cosines[k];
        let beyond = reach.square - x * x;
        let beyond = if beyond > 0.0 { beyond } else { 0.0 };
        let bound = x * a + (beyond * (reach.square - a * a)).sqrt();
        out[k] = if x > a * reach.length { reach.square } else { bound };
    }
}

/// A bit for each bound that is `limit` or more.
#[inline(always)]
pub(super) fn reaching(bounds: &[f32; BATCH], limit: f32) -> u64 {
    let mut mask = 0;
    for (byte, bounds) in (0..).step_by(8).zip(bounds.as_chunks::<8>().0) {
        let mut bits = 0;
        for k in 0..8 {
            bits |= u64::from(bounds[k] >= limit) << k;
        }
        mask |= bits << byte;
    }
    mask
}
