//! Vector code, chosen at run time by what this CPU offers, never at build time; the only place with `unsafe` in it.
#![allow(unsafe_code, reason = "kernels are written in the CPU's own instructions")]
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    clippy::many_single_char_names,
    reason = "compilers make vector code of loops over lanes, inlined into a function of a level; bounds are named as in the proof"
)]

mod ascii;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod level;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod rows;

pub(crate) use ascii::{AsciiMasks, prefetch};
#[cfg(test)]
pub(crate) use level::available;
pub use level::level;
pub(crate) use level::{Kernels, kernels};

/// Rows that a sketch kernel reads at once: one bit each in its answer.
pub(crate) const ROWS: usize = 64;

/// Rows whose codes are held against the limit together.
pub(crate) const BATCH: usize = 64;

/// Directions of a sketch's head.
pub(crate) const HEAD: usize = 16;

/// Sums of floats that run side by side, on every level.
const LANES: usize = 16;

/// A cache line: where rows' codes lie.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Line(pub(crate) [u8; 64]);

impl Line {
    pub(crate) const ZERO: Self = Self([0; 64]);

    /// The bytes of lines, one after another.
    pub(crate) fn bytes(lines: &[Self]) -> &[u8] {
        // SAFETY: a line is 64 bytes and nothing else, so the slice covers as many times 64 initialised bytes.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * 64) }
    }

    /// The bytes of lines, one after another, to be written.
    pub(crate) fn bytes_mut(lines: &mut [Self]) -> &mut [u8] {
        // SAFETY: as in `bytes`; any byte may be written, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 64) }
    }
}

/// How a query's integer sums become bounds, and the limit they are held against. See `index/bound.rs`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// `x`, at least the query's part along a row's signs, is the sum of its tables' entries times this, plus the next.
    pub(crate) x_scale: f32,
    pub(crate) x_base: f32,
    /// `h`, at least what the head adds, likewise.
    pub(crate) h_scale: f32,
    pub(crate) h_base: f32,
    /// At least the squared length of the query's tail, and at most its length.
    pub(crate) square: f32,
    pub(crate) length: f32,
    /// What a row has to reach, less all that rounding may take from a bound.
    pub(crate) limit: f32,
}

impl Reach {
    /// Caps are kept in parts of 65,000.
    pub(crate) const PART: f32 = 1.0 / 65_000.0;

    /// Whether a row of cap `(a, b)`, in parts, surely stays below the limit.
    #[inline(always)]
    fn is_below(&self, x: f32, h: f32, a: f32, b: f32) -> bool {
        let x_part = x * Self::PART;
        let to_go = self.limit - h;
        let d = (-x_part).mul_add(a, to_go);
        let beyond = (-x).mul_add(x_part, self.square * Self::PART);
        x <= a * (self.length * Self::PART) && to_go > 0.0 && b * beyond < d * d.abs()
    }
}

/// The same for rows' codes: the query's dot product with one is its integer sum less `offset`, times `step` and the code's scale,
/// plus at most `left_out`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CodeReach {
    pub(crate) offset: i32,
    pub(crate) step: f32,
    pub(crate) left_out: f32,
    /// At least the squared length of query and of row, and the product of both; at most the ratio of their lengths.
    pub(crate) square: f32,
    pub(crate) length: f32,
}
