//! Kernels for AVX-512 with byte permutes and integer dot products: Intel from Ice Lake on, AMD from Zen 4 on.

use std::arch::x86_64::{
    __m128i, __m256i, __m512, __m512i, _CMP_GE_OQ, _CMP_GT_OQ, _CMP_LE_OQ, _CMP_LT_OQ, _mm_loadu_si128,
    _mm_shuffle_epi8, _mm_storeu_si128, _mm256_add_epi32, _mm256_and_si256, _mm256_dpbusd_epi32, _mm256_setzero_si256,
    _mm256_srli_epi16, _mm512_abs_ps, _mm512_add_epi8, _mm512_add_epi16, _mm512_add_epi32, _mm512_add_ps,
    _mm512_and_si512, _mm512_andnot_ps, _mm512_andnot_si512, _mm512_avg_epu8, _mm512_broadcast_i32x4,
    _mm512_castps_si512, _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_cmp_ps_mask, _mm512_cvtepi32_epi8,
    _mm512_cvtepi32_ps, _mm512_cvtepu16_epi32, _mm512_dpbusd_epi32, _mm512_extracti64x4_epi64, _mm512_fmadd_ps,
    _mm512_fnmadd_ps, _mm512_inserti64x4, _mm512_load_si512, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_add_ps,
    _mm512_mask_cmp_ps_mask, _mm512_mask_sub_ps, _mm512_maskz_mov_ps, _mm512_mul_ps, _mm512_permute_ps,
    _mm512_permutex2var_epi16, _mm512_permutexvar_epi8, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_f32x4, _mm512_slli_epi16, _mm512_srai_epi32,
    _mm512_srli_epi16, _mm512_storeu_ps, _mm512_sub_epi16, _mm512_sub_ps,
};

use super::avx2::{four_sums, load_half, load_numbers};
use super::rows::{AHEAD, announce, row_of};
use super::{BATCH, HEAD, Line, Reach};

#[inline]
#[target_feature(enable = "avx512f")]
fn load(line: &Line) -> __m512i {
    // SAFETY: a line is 64 readable bytes, aligned to 64.
    unsafe { _mm512_load_si512(std::ptr::from_ref(line).cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_table(table: &[u8; 16]) -> __m512i {
    _mm512_broadcast_i32x4(load_16(table))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_16(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the array is 16 readable bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store_16(bytes: __m128i, out: &mut [u8; 16]) {
    // SAFETY: the array is 16 writable bytes.
    unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), bytes) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_floats(floats: &[f32; 16]) -> __m512 {
    // SAFETY: the array is 64 readable bytes.
    unsafe { _mm512_loadu_ps(floats.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(values: __m512, out: &mut [f32; 16]) {
    // SAFETY: the array is 64 writable bytes.
    unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) }
}

/// The 16-bit numbers of two lines, as floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn floats_of_u16(words: __m512i) -> [__m512; 2] {
    let (front, back) = (_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64::<1>(words));
    [_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(front)), _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(back))]
}

/// See [`super::portable::mix_within`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
pub(super) fn mix_within(x: &mut [f32]) {
    for x in x.as_chunks_mut::<16>().0 {
        let v = load_floats(x);
        let other = _mm512_permute_ps::<0b10_11_00_01>(v);
        let v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0xaaaa, other, v);
        let other = _mm512_permute_ps::<0b01_00_11_10>(v);
        let v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0xcccc, other, v);
        let other = _mm512_shuffle_f32x4::<0b10_11_00_01>(v, v);
        let v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0xf0f0, other, v);
        let other = _mm512_shuffle_f32x4::<0b01_00_11_10>(v, v);
        let v = _mm512_mask_sub_ps(_mm512_add_ps(other, v), 0xff00, other, v);
        store(v, x);
    }
}

/// See [`super::portable::tables`]. A table's subsets are summed side by side; numbers below zero change its order, by bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
pub(super) fn tables(x: &[f32], per_unit: f32, out: &mut [[u8; 16]]) {
    const ORDERS: [[u8; 16]; 16] = {
        let mut orders = [[0; 16]; 16];
        let (mut negative, mut order) = (0, 0_u8);
        while negative < 16 {
            let mut i = 0;
            let mut place = 0_u8;
            while i < 16 {
                orders[negative][i] = place ^ order;
                place += 1;
                i += 1;
            }
            negative += 1;
            order += 1;
        }
        orders
    };
    // Adding this leaves the nearest whole number in the lowest bits.
    let shift = _mm512_set1_ps(12_582_912.0);
    for (x, out) in x.as_chunks::<64>().0.iter().zip(out.as_chunks_mut::<16>().0) {
        let (mut sizes, mut negative) = ([[0.0; 16]; 4], [0; 4]);
        for (i, x) in x.as_chunks::<16>().0.iter().enumerate() {
            let x = load_floats(x);
            negative[i] = usize::from(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(x, _mm512_setzero_ps()));
            store(_mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(per_unit)), &mut sizes[i]);
        }
        for k in 0..16 {
            let all = |i: usize| _mm512_set1_ps(sizes[i][k]);
            let sums = _mm512_maskz_mov_ps(0xaaaa, all(0));
            let sums = _mm512_mask_add_ps(sums, 0xcccc, sums, all(1));
            let sums = _mm512_mask_add_ps(sums, 0xf0f0, sums, all(2));
            let sums = _mm512_mask_add_ps(sums, 0xff00, sums, all(3));
            let bytes = _mm512_cvtepi32_epi8(_mm512_castps_si512(_mm512_add_ps(sums, shift)));
            let bit = |i: usize| (negative[i] >> k & 1) << i;
            let order = load_16(&ORDERS[bit(0) | bit(1) | bit(2) | bit(3)]);
            store_16(_mm_shuffle_epi8(bytes, order), &mut out[k % 8 * 2 + k / 8]);
        }
    }
}

/// See [`super::portable::sketch`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
pub(super) fn sketch(block: &[Line], tables: &[[u8; 16]], head: Option<&[i8; HEAD]>, reach: &Reach) -> u64 {
    const FIRST: [u16; 32] = interleaved(0);
    const SECOND: [u16; 32] = interleaved(16);
    let (columns, rest) = block.split_at(tables.len() / 2);
    let (heads, caps) = rest.split_at(if head.is_some() { HEAD } else { 0 });

    // A byte's low six bits choose in a table of 16 that is there four times, so what else they hold does not matter. Sums of
    // two bytes in one word go modulo 2^16, and those of its high byte are taken off at the end.
    let (mut both, mut odd) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (columns, tables) in columns.as_chunks::<4>().0.iter().zip(tables.as_chunks::<8>().0) {
        let mut sums = [_mm512_setzero_si512(); 4];
        for k in 0..4 {
            let codes = load(&columns[k]);
            let low = _mm512_permutexvar_epi8(codes, load_table(&tables[2 * k]));
            let high = _mm512_permutexvar_epi8(_mm512_srli_epi16::<4>(codes), load_table(&tables[2 * k + 1]));
            sums[k] = _mm512_add_epi8(low, high);
        }
        let [a, b, c, d] = sums;
        let sums = _mm512_avg_epu8(_mm512_avg_epu8(a, b), _mm512_avg_epu8(c, d));
        both = _mm512_add_epi16(both, sums);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16::<8>(sums));
    }
    let even = _mm512_sub_epi16(both, _mm512_slli_epi16::<8>(odd));
    let rows = |order: &[u16; 32]| {
        // SAFETY: the array is 64 readable bytes.
        let order = unsafe { _mm512_loadu_si512(order.as_ptr().cast()) };
        floats_of_u16(_mm512_permutex2var_epi16(even, order, odd))
    };
    let ([s0, s1], [s2, s3]) = (rows(&FIRST), rows(&SECOND));
    let ([a0, a1], [a2, a3]) = (floats_of_u16(load(&caps[0])), floats_of_u16(load(&caps[1])));
    let ([b0, b1], [b2, b3]) = (floats_of_u16(load(&caps[2])), floats_of_u16(load(&caps[3])));

    let mut heads_of = [_mm512_setzero_si512(); 4];
    if let Some(head) = head {
        for (lines, four) in heads.as_chunks::<4>().0.iter().zip(head.as_chunks::<4>().0) {
            let four = _mm512_set1_epi32(i32::from_le_bytes(four.map(i8::cast_unsigned)));
            for (sum, line) in heads_of.iter_mut().zip(lines) {
                *sum = _mm512_dpbusd_epi32(*sum, load(line), four);
            }
        }
    }

    let all = |x: f32| _mm512_set1_ps(x);
    let (sign, part) = (_mm512_set1_ps(-0.0), all(Reach::PART));
    let mut mask = 0;
    let quarters = [(s0, a0, b0), (s1, a1, b1), (s2, a2, b2), (s3, a3, b3)];
    for (k, (sum, a, b)) in quarters.into_iter().enumerate() {
        let x = _mm512_fmadd_ps(sum, all(reach.x_scale), all(reach.x_base));
        let h = _mm512_fmadd_ps(_mm512_cvtepi32_ps(heads_of[k]), all(reach.h_scale), all(reach.h_base));
        let x_part = _mm512_mul_ps(x, part);
        let to_go = _mm512_sub_ps(all(reach.limit), h);
        let d = _mm512_fnmadd_ps(x_part, a, to_go);
        let beyond = _mm512_fnmadd_ps(x, x_part, all(reach.square * Reach::PART));
        // With its sign: a negative one is less than any square.
        let d_square = _mm512_mul_ps(d, _mm512_andnot_ps(sign, d));
        let below = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(x, _mm512_mul_ps(a, all(reach.length * Reach::PART)));
        let below = _mm512_mask_cmp_ps_mask::<_CMP_GT_OQ>(below, to_go, _mm512_setzero_ps());
        let below = _mm512_mask_cmp_ps_mask::<_CMP_LT_OQ>(below, _mm512_mul_ps(b, beyond), d_square);
        mask |= u64::from(!below) << (16 * k);
    }
    mask
}

/// Takes 16-bit numbers in turns from the two lines' places from `first` on.
const fn interleaved(first: u16) -> [u16; 32] {
    let mut order = [0; 32];
    let (mut i, mut next) = (0, first);
    while i < 16 {
        order[2 * i] = next;
        order[2 * i + 1] = next + 32;
        next += 1;
        i += 1;
    }
    order
}

/// See [`super::portable::reaching`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
pub(super) fn reaching(bounds: &[f32; BATCH], limit: f32) -> u64 {
    let limit = _mm512_set1_ps(limit);
    let mut mask = 0;
    for (k, bounds) in bounds.as_chunks::<16>().0.iter().enumerate() {
        mask |= u64::from(_mm512_cmp_ps_mask::<_CMP_GE_OQ>(load_floats(bounds), limit)) << (16 * k);
    }
    mask
}

/// See [`super::portable::nibbles`]. Four rows at a time, the next ones announced; loops instead of adapters, since code that is
/// generic over closures is not compiled for the caller's features.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni")]
pub(super) fn nibbles(codes: &[u8], stride: usize, rows: &[u32], query: &[i8], out: &mut [i32]) {
    let nibble = _mm512_set1_epi8(0xf);
    let (wide, rest) = query.as_chunks::<128>();
    let mut ahead = rows.iter().skip(AHEAD);
    for (rows, out) in rows.chunks(4).zip(out.chunks_mut(4)) {
        for &row in ahead.by_ref().take(4) {
            announce(codes, stride, row);
        }
        let last = rows.len() - 1;
        let four = [
            row_of(codes, stride, rows[0]).as_chunks::<64>(),
            row_of(codes, stride, rows[last.min(1)]).as_chunks::<64>(),
            row_of(codes, stride, rows[last.min(2)]).as_chunks::<64>(),
            row_of(codes, stride, rows[last]).as_chunks::<64>(),
        ];
        // High nibbles stay where they are, which makes their products sixteen times as large.
        let (mut low_sums, mut high_sums) = ([_mm512_setzero_si512(); 4], [_mm512_setzero_si512(); 4]);
        let [a, b, c, d] = &four;
        for ((((query, a), b), c), d) in wide.iter().zip(a.0).zip(b.0).zip(c.0).zip(d.0) {
            let query = query.as_chunks::<32>().0;
            let low = two_halves(load_numbers(&query[0]), load_numbers(&query[2]));
            let high = two_halves(load_numbers(&query[1]), load_numbers(&query[3]));
            let codes = [load_64(a), load_64(b), load_64(c), load_64(d)];
            for k in 0..4 {
                low_sums[k] = _mm512_dpbusd_epi32(low_sums[k], _mm512_and_si512(codes[k], nibble), low);
                high_sums[k] = _mm512_dpbusd_epi32(high_sums[k], _mm512_andnot_si512(nibble, codes[k]), high);
            }
        }
        let mut halves = [_mm256_setzero_si256(); 4];
        for k in 0..4 {
            let sums = _mm512_add_epi32(low_sums[k], _mm512_srai_epi32::<4>(high_sums[k]));
            halves[k] = _mm256_add_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums));
        }
        if let [low, high] = rest.as_chunks::<32>().0 {
            let (low, high) = (load_numbers(low), load_numbers(high));
            let nibble = _mm512_castsi512_si256(nibble);
            for k in 0..4 {
                let codes = load_half(&four[k].1.as_chunks::<32>().0[0]);
                let sum = _mm256_dpbusd_epi32(halves[k], _mm256_and_si256(codes, nibble), low);
                halves[k] = _mm256_dpbusd_epi32(sum, _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble), high);
            }
        }
        out.copy_from_slice(&four_sums(halves)[..out.len()]);
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn two_halves(front: __m256i, back: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(front), back)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_64(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: the array is 64 readable bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}
