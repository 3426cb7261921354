//! Kernels for AVX2: nearly every x86-64 CPU since 2013.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _mm_add_epi32, _mm_loadu_si128,
    _mm_storeu_si128, _mm256_abs_epi8, _mm256_add_epi8, _mm256_add_epi16, _mm256_add_epi32, _mm256_add_ps,
    _mm256_and_ps, _mm256_and_si256, _mm256_andnot_ps, _mm256_avg_epu8, _mm256_blend_ps, _mm256_broadcastsi128_si256,
    _mm256_castsi256_si128, _mm256_cmp_ps, _mm256_cvtepi32_ps, _mm256_cvtepu16_epi32, _mm256_extracti128_si256,
    _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_hadd_epi32, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_movemask_ps, _mm256_mul_ps, _mm256_permute_ps, _mm256_permute2f128_ps,
    _mm256_permute2x128_si256, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_sign_epi8, _mm256_slli_epi16,
    _mm256_srli_epi16, _mm256_storeu_ps, _mm256_sub_epi16, _mm256_sub_ps, _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
    _mm256_xor_si256,
};

use super::rows::{AHEAD, announce, row_of};
use super::{BATCH, HEAD, Line, Reach};

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_half(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the array is 32 readable bytes.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_table(table: &[u8; 16]) -> __m256i {
    // SAFETY: a table is 16 readable bytes.
    let table: __m128i = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(table)
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(values: __m256, out: &mut [f32; 8]) {
    // SAFETY: the array is 32 writable bytes.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) }
}

/// The 16-bit numbers of half a line, as floats.
#[inline]
#[target_feature(enable = "avx2")]
fn floats_of_u16(words: __m256i) -> [__m256; 2] {
    let (front, back) = (_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    [_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(front)), _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(back))]
}

/// See [`super::portable::mix_within`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn mix_within(x: &mut [f32]) {
    for x in x.as_chunks_mut::<16>().0 {
        let [front, back] = x.as_chunks_mut::<8>().0 else { continue };
        let (a, b) = (mix_eight(front), mix_eight(back));
        store(_mm256_add_ps(b, a), front);
        store(_mm256_sub_ps(a, b), back);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_eight(floats: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 readable bytes.
    unsafe { _mm256_loadu_ps(floats.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn mix_eight(x: &[f32; 8]) -> __m256 {
    let v = load_eight(x);
    let other = _mm256_permute_ps::<0b10_11_00_01>(v);
    let v = _mm256_blend_ps::<0b1010_1010>(_mm256_add_ps(other, v), _mm256_sub_ps(other, v));
    let other = _mm256_permute_ps::<0b01_00_11_10>(v);
    let v = _mm256_blend_ps::<0b1100_1100>(_mm256_add_ps(other, v), _mm256_sub_ps(other, v));
    let other = _mm256_permute2f128_ps::<1>(v, v);
    _mm256_blend_ps::<0b1111_0000>(_mm256_add_ps(other, v), _mm256_sub_ps(other, v))
}

pub(super) use super::portable::tables;

/// See [`super::portable::sketch`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn sketch(block: &[Line], tables: &[[u8; 16]], head: Option<&[i8; HEAD]>, reach: &Reach) -> u64 {
    let (columns, rest) = block.split_at(tables.len() / 2);
    let (heads, caps) = rest.split_at(if head.is_some() { HEAD } else { 0 });
    let nibble = _mm256_set1_epi8(0xf);
    let half = |line: &Line, side: usize| load_half(&line.0.as_chunks::<32>().0[side]);

    // As in `avx512`: the sums of the high bytes are taken off at the end.
    let (mut both, mut odd) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
    for (columns, tables) in columns.as_chunks::<4>().0.iter().zip(tables.as_chunks::<8>().0) {
        let mut sums = [[_mm256_setzero_si256(); 4]; 2];
        for k in 0..4 {
            let (low, high) = (load_table(&tables[2 * k]), load_table(&tables[2 * k + 1]));
            for side in 0..2 {
                let codes = half(&columns[k], side);
                let front = _mm256_shuffle_epi8(low, _mm256_and_si256(codes, nibble));
                let back = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble));
                sums[side][k] = _mm256_add_epi8(front, back);
            }
        }
        for side in 0..2 {
            let [a, b, c, d] = sums[side];
            let sums = _mm256_avg_epu8(_mm256_avg_epu8(a, b), _mm256_avg_epu8(c, d));
            both[side] = _mm256_add_epi16(both[side], sums);
            odd[side] = _mm256_add_epi16(odd[side], _mm256_srli_epi16::<8>(sums));
        }
    }
    let mut mask = 0;
    for side in 0..2 {
        let (both, odd) = (both[side], odd[side]);
        let even = _mm256_sub_epi16(both, _mm256_slli_epi16::<8>(odd));
        let (front, back) = (_mm256_unpacklo_epi16(even, odd), _mm256_unpackhi_epi16(even, odd));
        let [s0, s1] = floats_of_u16(_mm256_permute2x128_si256::<0x20>(front, back));
        let [s2, s3] = floats_of_u16(_mm256_permute2x128_si256::<0x31>(front, back));
        let ([a0, a1], [a2, a3]) = (floats_of_u16(half(&caps[side], 0)), floats_of_u16(half(&caps[side], 1)));
        let ([b0, b1], [b2, b3]) = (floats_of_u16(half(&caps[2 + side], 0)), floats_of_u16(half(&caps[2 + side], 1)));

        let mut heads_of = [_mm256_setzero_si256(); 4];
        if let Some(head) = head {
            // Bytes less 128 have signs, and with the query's signs on them no sum of two products overflows 16 bits.
            let sum = head.iter().map(|&q| i32::from(q)).sum::<i32>();
            heads_of = [_mm256_set1_epi32(128 * sum); 4];
            let (flip, ones) = (_mm256_set1_epi8(i8::MIN), _mm256_set1_epi16(1));
            for (lines, four) in heads.as_chunks::<4>().0.iter().zip(head.as_chunks::<4>().0) {
                let four = _mm256_set1_epi32(i32::from_le_bytes(four.map(i8::cast_unsigned)));
                let size = _mm256_abs_epi8(four);
                for k in 0..4 {
                    let bytes = _mm256_xor_si256(half(&lines[2 * side + k / 2], k % 2), flip);
                    let pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(bytes, four));
                    heads_of[k] = _mm256_add_epi32(heads_of[k], _mm256_madd_epi16(pairs, ones));
                }
            }
        }

        let all = |x: f32| _mm256_set1_ps(x);
        let (sign, part) = (all(-0.0), all(Reach::PART));
        let quarters = [(s0, a0, b0), (s1, a1, b1), (s2, a2, b2), (s3, a3, b3)];
        for (k, (sum, a, b)) in quarters.into_iter().enumerate() {
            let x = _mm256_fmadd_ps(sum, all(reach.x_scale), all(reach.x_base));
            let h = _mm256_fmadd_ps(_mm256_cvtepi32_ps(heads_of[k]), all(reach.h_scale), all(reach.h_base));
            let x_part = _mm256_mul_ps(x, part);
            let to_go = _mm256_sub_ps(all(reach.limit), h);
            let d = _mm256_fnmadd_ps(x_part, a, to_go);
            let beyond = _mm256_fnmadd_ps(x, x_part, all(reach.square * Reach::PART));
            // With its sign: a negative one is less than any square.
            let d_square = _mm256_mul_ps(d, _mm256_andnot_ps(sign, d));
            let rising = _mm256_cmp_ps::<_CMP_LE_OQ>(x, _mm256_mul_ps(a, all(reach.length * Reach::PART)));
            let short = _mm256_cmp_ps::<_CMP_GT_OQ>(to_go, _mm256_setzero_ps());
            let less = _mm256_cmp_ps::<_CMP_LT_OQ>(_mm256_mul_ps(b, beyond), d_square);
            let below = _mm256_movemask_ps(_mm256_and_ps(_mm256_and_ps(rising, short), less));
            mask |= u64::from(!below.cast_unsigned() & 0xff) << (32 * side + 8 * k);
        }
    }
    mask
}

/// See [`super::portable::reaching`].
#[target_feature(enable = "avx2,fma")]
pub(super) fn reaching(bounds: &[f32; BATCH], limit: f32) -> u64 {
    let limit = _mm256_set1_ps(limit);
    let mut mask = 0;
    for (k, bounds) in bounds.as_chunks::<8>().0.iter().enumerate() {
        let reaches = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(load_eight(bounds), limit));
        mask |= u64::from(reaches.cast_unsigned()) << (8 * k);
    }
    mask
}

/// See [`super::portable::nibbles`]. Four rows at a time, the next ones announced unless all lie in one run: that the processor sees by
/// itself, and on Zen 3 it takes a tenth of the time to announce them.
#[target_feature(enable = "avx2,fma")]
pub(super) fn nibbles(codes: &[u8], stride: usize, rows: &[u32], query: &[i8], out: &mut [i32]) {
    let (fours, rest) = rows.as_chunks::<4>();
    let (out_fours, out_rest) = out[..rows.len()].as_chunks_mut::<4>();
    let is_run = rows.is_sorted_by(|a, b| a + 1 == *b);
    let mut ahead = fours[if is_run { fours.len() } else { fours.len().min(AHEAD / 4) }..].iter();
    for (rows, out) in fours.iter().zip(out_fours) {
        for &row in ahead.next().into_iter().flatten() {
            announce(codes, stride, row);
        }
        *out = four_rows(codes, stride, *rows, query);
    }
    if let Some(&last) = rest.last() {
        let mut rows = [last; 4];
        rows[..rest.len()].copy_from_slice(rest);
        let sums = four_rows(codes, stride, rows, query);
        out_rest.copy_from_slice(&sums[..rest.len()]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn four_rows(codes: &[u8], stride: usize, [a, b, c, d]: [u32; 4], query: &[i8]) -> [i32; 4] {
    let (nibble, ones) = (_mm256_set1_epi8(0xf), _mm256_set1_epi16(1));
    let query = query.as_chunks::<32>().0.as_chunks::<2>().0;
    let row = |row| &row_of(codes, stride, row).as_chunks::<32>().0[..query.len()];
    let rows = [row(a), row(b), row(c), row(d)];
    let mut sums = [_mm256_setzero_si256(); 4];
    for i in 0..query.len() {
        let (low, high) = (load_numbers(&query[i][0]), load_numbers(&query[i][1]));
        for k in 0..4 {
            let codes = load_half(&rows[k][i]);
            // Four products of a nibble with a byte are at most 7,620: no 16-bit sum saturates.
            let low = _mm256_maddubs_epi16(_mm256_and_si256(codes, nibble), low);
            let high = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble), high);
            sums[k] = _mm256_add_epi32(sums[k], _mm256_madd_epi16(_mm256_add_epi16(low, high), ones));
        }
    }
    four_sums(sums)
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_numbers(numbers: &[i8; 32]) -> __m256i {
    // SAFETY: the array is 32 readable bytes.
    unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) }
}

/// The sum of each of four vectors.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn four_sums([a, b, c, d]: [__m256i; 4]) -> [i32; 4] {
    let halves = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let sums = _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
    let mut out = [0; 4];
    // SAFETY: the array is 16 writable bytes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), sums) };
    out
}
