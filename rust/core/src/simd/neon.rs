//! Kernels for NEON, which every 64-bit ARM CPU has.

use std::arch::aarch64::{
    float32x4_t, int8x16_t, int16x8_t, int32x4_t, uint8x16_t, uint16x8_t, uint32x4_t, vabsq_f32, vaddlvq_s8, vaddq_f32,
    vaddq_s32, vaddq_u8, vaddw_high_u8, vaddw_u8, vandq_u8, vandq_u32, vcgeq_f32, vcgtzq_f32, vcleq_f32, vclezq_f32,
    vcltq_f32, vcltq_u8, vcvtq_f32_s32, vcvtq_f32_u32, vdupq_n_f32, vdupq_n_s16, vdupq_n_s32, vdupq_n_u8, vdupq_n_u16,
    vdupq_n_u32, veorq_u8, vfmaq_f32, vfmsq_f32, vget_low_s8, vget_low_u8, vget_low_u16, vld1q_f32, vld1q_s8, vld1q_u8,
    vld1q_u16, vld1q_u32, vmlal_high_s8, vmlal_s8, vmovl_high_u16, vmovl_u16, vmovn_high_u16, vmovn_high_u32,
    vmovn_u16, vmovn_u32, vmull_high_s8, vmull_s8, vmulq_f32, vorrq_u8, vpadalq_s16, vpaddq_s32, vpaddq_u8, vqtbl1q_u8,
    vreinterpretq_f32_u32, vreinterpretq_s8_s32, vreinterpretq_s8_u8, vreinterpretq_u32_f32, vrhaddq_u8, vshrq_n_u8,
    vst1_u8, vst1q_f32, vst1q_s32, vst1q_u8, vsubq_f32, vsubq_u8, vuzp1q_f32, vuzp2q_f32,
};

use super::rows::{AHEAD, announce, row_of};
use super::{BATCH, HEAD, Line, Reach};

#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array is 16 readable bytes.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store(bytes: uint8x16_t, out: &mut [u8; 16]) {
    // SAFETY: the array is 16 writable bytes.
    unsafe { vst1q_u8(out.as_mut_ptr(), bytes) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_numbers(numbers: &[i8; 16]) -> int8x16_t {
    // SAFETY: the array is 16 readable bytes.
    unsafe { vld1q_s8(numbers.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_floats(floats: &[f32; 4]) -> float32x4_t {
    // SAFETY: the array is 16 readable bytes.
    unsafe { vld1q_f32(floats.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn store_floats(floats: float32x4_t, out: &mut [f32; 4]) {
    // SAFETY: the array is 16 writable bytes.
    unsafe { vst1q_f32(out.as_mut_ptr(), floats) }
}

/// The lowest byte of each of 16 numbers.
#[inline]
#[target_feature(enable = "neon")]
fn lowest_bytes([a, b, c, d]: [uint32x4_t; 4]) -> uint8x16_t {
    let (front, back) = (vmovn_high_u32(vmovn_u32(a), b), vmovn_high_u32(vmovn_u32(c), d));
    vmovn_high_u16(vmovn_u16(front), back)
}

/// The lowest bit of a 64-bit mask for the first of 64 bytes, all of whose bits are alike, and so on.
#[inline]
#[target_feature(enable = "neon")]
fn mask_of([a, b, c, d]: [uint8x16_t; 4]) -> u64 {
    let bits = load(&[1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
    let front = vpaddq_u8(vandq_u8(a, bits), vandq_u8(b, bits));
    let back = vpaddq_u8(vandq_u8(c, bits), vandq_u8(d, bits));
    let sums = vpaddq_u8(front, back);
    let sums = vget_low_u8(vpaddq_u8(sums, sums));
    let mut mask = [0; 8];
    // SAFETY: the array is 8 writable bytes.
    unsafe { vst1_u8(mask.as_mut_ptr(), sums) }
    u64::from_le_bytes(mask)
}

/// Which of 64 bytes are among the `n` from `first` on.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn among(quarters: [uint8x16_t; 4], first: u8, n: u8) -> u64 {
    let mut which = [vdupq_n_u8(0); 4];
    for k in 0..4 {
        which[k] = vcltq_u8(vsubq_u8(quarters[k], vdupq_n_u8(first)), vdupq_n_u8(n));
    }
    mask_of(which)
}

/// See [`super::portable::mix_within`].
#[target_feature(enable = "neon")]
pub(super) fn mix_within(x: &mut [f32]) {
    for x in x.as_chunks_mut::<16>().0 {
        let [a, b, c, d] = x.as_chunks_mut::<4>().0 else { continue };
        let [front, more] = mix_eight(load_floats(a), load_floats(b));
        let [back, rest] = mix_eight(load_floats(c), load_floats(d));
        store_floats(vaddq_f32(back, front), a);
        store_floats(vaddq_f32(rest, more), b);
        store_floats(vsubq_f32(front, back), c);
        store_floats(vsubq_f32(more, rest), d);
    }
}

/// Three times the same: sums of neighbours go to the front, differences to the back, which ends in the first order.
#[inline]
#[target_feature(enable = "neon")]
fn mix_eight(mut front: float32x4_t, mut back: float32x4_t) -> [float32x4_t; 2] {
    for _ in 0..3 {
        let (even, odd) = (vuzp1q_f32(front, back), vuzp2q_f32(front, back));
        (front, back) = (vaddq_f32(odd, even), vsubq_f32(even, odd));
    }
    [front, back]
}

/// `x` in the lanes whose bits are set, zero in the others.
#[inline]
#[target_feature(enable = "neon")]
fn only(x: f32, lanes: [u32; 4]) -> float32x4_t {
    // SAFETY: the array is 16 readable bytes.
    let lanes = unsafe { vld1q_u32(lanes.as_ptr()) };
    vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(vdupq_n_f32(x)), lanes))
}

/// See [`super::portable::tables`]. A table's subsets are summed side by side; numbers below zero change its order, by bytes.
#[target_feature(enable = "neon")]
pub(super) fn tables(x: &[f32], per_unit: f32, out: &mut [[u8; 16]]) {
    let places = load(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    // Adding this leaves the nearest whole number in the lowest bits.
    let shift = vdupq_n_f32(12_582_912.0);
    for (x, out) in x.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<16>().0) {
        let (mut sizes, mut signs) = ([[0.0; 16]; 4], vdupq_n_u8(0));
        for (i, x) in x.as_chunks::<16>().0.iter().enumerate() {
            let mut below = [vdupq_n_u32(0); 4];
            for (k, x) in x.as_chunks::<4>().0.iter().enumerate() {
                let x = load_floats(x);
                below[k] = vclezq_f32(x);
                let size = vmulq_f32(vabsq_f32(x), vdupq_n_f32(per_unit));
                store_floats(size, &mut sizes[i].as_chunks_mut::<4>().0[k]);
            }
            signs = vorrq_u8(signs, vandq_u8(lowest_bytes(below), vdupq_n_u8(1 << i)));
        }
        let mut negative = [0; 16];
        store(signs, &mut negative);
        for k in 0..16 {
            let two = vaddq_f32(only(sizes[0][k], [0, !0, 0, !0]), only(sizes[1][k], [0, 0, !0, !0]));
            let three = vaddq_f32(two, vdupq_n_f32(sizes[2][k]));
            let last = vdupq_n_f32(sizes[3][k]);
            let sums = [two, three, vaddq_f32(two, last), vaddq_f32(three, last)];
            let mut shifted = [vdupq_n_u32(0); 4];
            for i in 0..4 {
                shifted[i] = vreinterpretq_u32_f32(vaddq_f32(sums[i], shift));
            }
            let order = veorq_u8(places, vdupq_n_u8(negative[k]));
            store(vqtbl1q_u8(lowest_bytes(shifted), order), &mut out[k % 8 * 2 + k / 8]);
        }
    }
}

/// See [`super::portable::sketch`].
#[target_feature(enable = "neon")]
pub(super) fn sketch(block: &[Line], tables: &[[u8; 16]], head: Option<&[i8; HEAD]>, reach: &Reach) -> u64 {
    let (columns, rest) = block.split_at(tables.len() / 2);
    let (heads, caps) = rest.split_at(if head.is_some() { HEAD } else { 0 });
    let nibble = vdupq_n_u8(0xf);

    let mut sums = [[vdupq_n_u16(0); 2]; 4];
    for (columns, tables) in columns.as_chunks::<4>().0.iter().zip(tables.as_chunks::<8>().0) {
        for (i, sums) in sums.iter_mut().enumerate() {
            let mut bytes = [vdupq_n_u8(0); 4];
            for k in 0..4 {
                let codes = load(&columns[k].0.as_chunks::<16>().0[i]);
                let low = vqtbl1q_u8(load(&tables[2 * k]), vandq_u8(codes, nibble));
                let high = vqtbl1q_u8(load(&tables[2 * k + 1]), vshrq_n_u8::<4>(codes));
                bytes[k] = vaddq_u8(low, high);
            }
            let [a, b, c, d] = bytes;
            let mean = vrhaddq_u8(vrhaddq_u8(a, b), vrhaddq_u8(c, d));
            *sums = [vaddw_u8(sums[0], vget_low_u8(mean)), vaddw_high_u8(sums[1], mean)];
        }
    }

    let mut below = [vdupq_n_u8(0); 4];
    for k in 0..4 {
        let sums = floats_of_u16(sums[k]);
        let a = floats_of_u16(load_words(&caps[k / 2].0.as_chunks::<32>().0[k % 2]));
        let b = floats_of_u16(load_words(&caps[2 + k / 2].0.as_chunks::<32>().0[k % 2]));
        let heads = if let Some(head) = head { heads_of(heads, k, head) } else { [vdupq_n_s32(0); 4] };
        let mut lanes = [vdupq_n_u32(0); 4];
        for i in 0..4 {
            lanes[i] = is_below(reach, sums[i], vcvtq_f32_s32(heads[i]), a[i], b[i]);
        }
        below[k] = lowest_bytes(lanes);
    }
    !mask_of(below)
}

#[inline]
#[target_feature(enable = "neon")]
fn load_words(bytes: &[u8; 32]) -> [uint16x8_t; 2] {
    let [front, back] = [&bytes[..16], &bytes[16..]];
    // SAFETY: the slice is 16 readable bytes, and words may lie anywhere.
    let front = unsafe { vld1q_u16(front.as_ptr().cast()) };
    // SAFETY: as above.
    let back = unsafe { vld1q_u16(back.as_ptr().cast()) };
    [front, back]
}

#[inline]
#[target_feature(enable = "neon")]
fn floats_of_u16([front, back]: [uint16x8_t; 2]) -> [float32x4_t; 4] {
    [
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(front))),
        vcvtq_f32_u32(vmovl_high_u16(front)),
        vcvtq_f32_u32(vmovl_u16(vget_low_u16(back))),
        vcvtq_f32_u32(vmovl_high_u16(back)),
    ]
}

/// What the head adds for sixteen rows, those of line `k` of each four.
#[inline]
#[target_feature(enable = "neon")]
fn heads_of(heads: &[Line], k: usize, head: &[i8; HEAD]) -> [int32x4_t; 4] {
    // Bytes less 128 have signs; what that takes off is the same for each row.
    let (flip, off) = (vdupq_n_u8(0x80), vdupq_n_s32(128 * i32::from(vaddlvq_s8(load_numbers(head)))));
    let mut pairs = [[vdupq_n_s32(0); 2]; 4];
    for (lines, four) in heads.as_chunks::<4>().0.iter().zip(head.as_chunks::<4>().0) {
        let four = vreinterpretq_s8_s32(vdupq_n_s32(i32::from_le_bytes(four.map(i8::cast_unsigned))));
        for (pairs, bytes) in pairs.iter_mut().zip(lines[k].0.as_chunks::<16>().0) {
            let bytes = vreinterpretq_s8_u8(veorq_u8(load(bytes), flip));
            let front = vmull_s8(vget_low_s8(bytes), vget_low_s8(four));
            *pairs = [vpadalq_s16(pairs[0], front), vpadalq_s16(pairs[1], vmull_high_s8(bytes, four))];
        }
    }
    let mut sums = [vdupq_n_s32(0); 4];
    for i in 0..4 {
        sums[i] = vaddq_s32(vpaddq_s32(pairs[i][0], pairs[i][1]), off);
    }
    sums
}

/// See [`Reach::is_below`].
#[inline]
#[target_feature(enable = "neon")]
fn is_below(reach: &Reach, sum: float32x4_t, head: float32x4_t, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
    let x = vfmaq_f32(vdupq_n_f32(reach.x_base), sum, vdupq_n_f32(reach.x_scale));
    let h = vfmaq_f32(vdupq_n_f32(reach.h_base), head, vdupq_n_f32(reach.h_scale));
    let x_part = vmulq_f32(x, vdupq_n_f32(Reach::PART));
    let to_go = vsubq_f32(vdupq_n_f32(reach.limit), h);
    let d = vfmsq_f32(to_go, x_part, a);
    let beyond = vfmsq_f32(vdupq_n_f32(reach.square * Reach::PART), x, x_part);
    let rising = vcleq_f32(x, vmulq_f32(a, vdupq_n_f32(reach.length * Reach::PART)));
    let less = vcltq_f32(vmulq_f32(b, beyond), vmulq_f32(d, vabsq_f32(d)));
    vandq_u32(vandq_u32(rising, vcgtzq_f32(to_go)), less)
}

/// See [`super::portable::reaching`].
#[target_feature(enable = "neon")]
pub(super) fn reaching(bounds: &[f32; BATCH], limit: f32) -> u64 {
    let limit = vdupq_n_f32(limit);
    let mut reaches = [vdupq_n_u8(0); 4];
    for (k, bounds) in bounds.as_chunks::<16>().0.iter().enumerate() {
        let mut lanes = [vdupq_n_u32(0); 4];
        for (i, bounds) in bounds.as_chunks::<4>().0.iter().enumerate() {
            lanes[i] = vcgeq_f32(load_floats(bounds), limit);
        }
        reaches[k] = lowest_bytes(lanes);
    }
    mask_of(reaches)
}

/// See [`super::portable::nibbles`]. Four rows at a time, the next ones announced.
#[target_feature(enable = "neon")]
pub(super) fn nibbles(codes: &[u8], stride: usize, rows: &[u32], query: &[i8], out: &mut [i32]) {
    let mut ahead = rows.iter().skip(AHEAD);
    for (rows, out) in rows.chunks(4).zip(out.chunks_mut(4)) {
        for &row in ahead.by_ref().take(4) {
            announce(codes, stride, row);
        }
        let last = rows.len() - 1;
        let a = row_of(codes, stride, rows[0]).as_chunks::<32>().0;
        let b = row_of(codes, stride, rows[last.min(1)]).as_chunks::<32>().0;
        let c = row_of(codes, stride, rows[last.min(2)]).as_chunks::<32>().0;
        let d = row_of(codes, stride, rows[last]).as_chunks::<32>().0;
        let mut sums = [vdupq_n_s32(0); 4];
        for ((((query, a), b), c), d) in query.as_chunks::<64>().0.iter().zip(a).zip(b).zip(c).zip(d) {
            let [low, more, high, rest] = query.as_chunks::<16>().0 else { continue };
            let (low, high) = ([load_numbers(low), load_numbers(more)], [load_numbers(high), load_numbers(rest)]);
            let codes = [a, b, c, d];
            for k in 0..4 {
                let [front, back] = codes[k].as_chunks::<16>().0 else { continue };
                // Eight products of a nibble with a byte are at most 15,360, which 16 bits hold.
                let products = add_products(vdupq_n_s16(0), load(front), low[0], high[0]);
                sums[k] = vpadalq_s16(sums[k], add_products(products, load(back), low[1], high[1]));
            }
        }
        let mut four = [0; 4];
        let sums = vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]));
        // SAFETY: the array is 16 writable bytes.
        unsafe { vst1q_s32(four.as_mut_ptr(), sums) }
        out.copy_from_slice(&four[..out.len()]);
    }
}

/// Adds the products of low nibbles and of high ones.
#[inline]
#[target_feature(enable = "neon")]
fn add_products(sums: int16x8_t, codes: uint8x16_t, low: int8x16_t, high: int8x16_t) -> int16x8_t {
    let front = vreinterpretq_s8_u8(vandq_u8(codes, vdupq_n_u8(0xf)));
    let back = vreinterpretq_s8_u8(vshrq_n_u8::<4>(codes));
    let sums = vmlal_high_s8(vmlal_s8(sums, vget_low_s8(front), vget_low_s8(low)), front, low);
    vmlal_high_s8(vmlal_s8(sums, vget_low_s8(back), vget_low_s8(high)), back, high)
}
