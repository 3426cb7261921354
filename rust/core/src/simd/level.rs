//! Which kernels this machine runs: the best its CPU has, or those that the environment asks for.

use std::sync::OnceLock;

use super::portable::Coded;
use super::{BATCH, CodeReach, HEAD, Line, Reach, portable};

/// The kernels of one level. All levels give the same bits; see [`portable`] for what each does.
#[derive(Debug)]
#[expect(clippy::type_complexity, reason = "named where they are defined")]
pub(crate) struct Kernels {
    pub(crate) level: &'static str,
    pub(crate) flip: fn(&[f32], f64, &[f32], &mut [f32]),
    pub(crate) mix_within: fn(&mut [f32]),
    pub(crate) mix_across: fn(&mut [f32], usize),
    pub(crate) dot: fn(&[f32], &[f32]) -> f32,
    pub(crate) score: fn(&[f32], &[f32]) -> f64,
    pub(crate) add_scaled: fn(&mut [f32], f32, &[f32]),
    pub(crate) peak: fn(&[f32]) -> f32,
    pub(crate) quantise: fn(&[f32], f32, &mut [i8]) -> (f32, i32),
    pub(crate) encode: fn(&[f32], f32, &mut [u8], &mut [u8]) -> Coded,
    pub(crate) signs: fn(&[f32], &mut [u8]) -> f32,
    pub(crate) spans: fn(&[f32]) -> (f32, f32),
    pub(crate) tables: fn(&[f32], f32, &mut [[u8; 16]]),
    pub(crate) sketch: fn(&[Line], &[[u8; 16]], Option<&[i8; HEAD]>, &Reach) -> u64,
    pub(crate) nibbles: fn(&[u8], usize, &[u32], &[i8], &mut [i32]),
    pub(crate) code_bounds: fn(&[i32; BATCH], &[f32; BATCH], &[f32; BATCH], &CodeReach, &mut [f32; BATCH]),
    pub(crate) reaching: fn(&[f32; BATCH], f32) -> u64,
}

static SCALAR: Kernels = Kernels {
    level: "scalar",
    flip: portable::flip,
    mix_within: portable::mix_within,
    mix_across: portable::mix_across,
    dot: portable::dot,
    score: portable::score,
    add_scaled: portable::add_scaled,
    peak: portable::peak,
    quantise: portable::quantise,
    encode: portable::encode,
    signs: portable::signs,
    spans: portable::spans,
    tables: portable::tables,
    sketch: portable::sketch,
    nibbles: portable::nibbles,
    code_bounds: portable::code_bounds,
    reaching: portable::reaching,
};

/// The kernels of a level: the portable ones compiled for its features, and its own form of those that compilers do not find.
macro_rules! kernels {
    ($table:ident, $level:literal, $features:literal, $own:ident) => {
        kernels! { @ $table, $level, $features,
            flip = portable::flip(row: &[f32], scale: f64, signs: &[f32], out: &mut [f32]) -> ();
            mix_within = super::$own::mix_within(x: &mut [f32]) -> ();
            mix_across = portable::mix_across(x: &mut [f32], size: usize) -> ();
            dot = portable::dot(a: &[f32], b: &[f32]) -> f32;
            score = portable::score(a: &[f32], b: &[f32]) -> f64;
            add_scaled = portable::add_scaled(x: &mut [f32], by: f32, a: &[f32]) -> ();
            peak = portable::peak(x: &[f32]) -> f32;
            quantise = portable::quantise(x: &[f32], step: f32, out: &mut [i8]) -> (f32, i32);
            encode = portable::encode(x: &[f32], peak: f32, high: &mut [u8], low: &mut [u8]) -> Coded;
            signs = portable::signs(x: &[f32], out: &mut [u8]) -> f32;
            spans = portable::spans(x: &[f32]) -> (f32, f32);
            tables = super::$own::tables(x: &[f32], per_unit: f32, out: &mut [[u8; 16]]) -> ();
            sketch = super::$own::sketch(block: &[Line], tables: &[[u8; 16]], head: Option<&[i8; HEAD]>, reach: &Reach) -> u64;
            nibbles = super::$own::nibbles(codes: &[u8], stride: usize, rows: &[u32], query: &[i8], out: &mut [i32]) -> ();
            code_bounds = portable::code_bounds(sums: &[i32; BATCH], cosines: &[f32; BATCH], scales: &[f32; BATCH], reach: &CodeReach,
                out: &mut [f32; BATCH]) -> ();
            reaching = super::$own::reaching(bounds: &[f32; BATCH], limit: f32) -> u64;
        }
    };
    (@ $table:ident, $level:literal, $features:literal,
        $($kernel:ident = $($body:ident)::+ ($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        static $table: Kernels = {
            $(fn $kernel($($argument: $kind),*) -> $result {
                #[target_feature(enable = $features)]
                fn compiled($($argument: $kind),*) -> $result {
                    $($body)::+($($argument),*)
                }
                // SAFETY: `available` lists this table only where the CPU has these features.
                unsafe { compiled($($argument),*) }
            })*
            Kernels { level: $level, $($kernel),* }
        };
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(AVX2, "avx2", "avx2,fma", avx2);
#[cfg(target_arch = "x86_64")]
kernels!(AVX512, "avx512", "avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vnni", avx512);
#[cfg(target_arch = "aarch64")]
kernels!(NEON, "neon", "neon", neon);

/// The kernels that this CPU can run, best first.
pub(crate) fn available() -> impl Iterator<Item = &'static Kernels> {
    #[cfg(target_arch = "x86_64")]
    let own = {
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let has_avx512 = has_avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("avx512vnni");
        [has_avx512.then_some(&AVX512), has_avx2.then_some(&AVX2)]
    };
    // The kernels read words of little-endian bytes.
    #[cfg(target_arch = "aarch64")]
    let own = [cfg!(target_endian = "little").then_some(&NEON)];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let own = [None];
    own.into_iter().flatten().chain([&SCALAR])
}

/// The kernels in use: the best there are, or those of the level that the environment variable `ROLECORE_SIMD` names, where this
/// CPU has them.
pub(crate) fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let asked = std::env::var("ROLECORE_SIMD").unwrap_or_default();
        let best = available().next().expect("the scalar kernels run anywhere");
        available().find(|kernels| kernels.level == asked).unwrap_or(best)
    })
}

/// The vector level in use: `"avx512"`, `"avx2"`, `"neon"` or `"scalar"`. The environment variable `ROLECORE_SIMD` may name a lower
/// one than the best, for tests.
pub fn level() -> &'static str {
    kernels().level
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "odd numbers of any kind")]
mod tests {
    use super::super::ROWS;
    use super::*;

    /// Odd numbers, the same each time.
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn floats(&mut self, n: usize) -> Vec<f32> {
            let scale = [1.0, 1e-3, 0.0][(self.next() % 3) as usize];
            (0..n)
                .map(|i| if i % 7 == 3 { scale } else { 1.0 } * ((self.next() >> 40) as f32 / 8_388_608.0 - 1.0))
                .collect()
        }

        fn bytes(&mut self, n: usize) -> Vec<u8> {
            (0..n).map(|_| self.next().to_le_bytes()[3]).collect()
        }

        fn lines(&mut self, n: usize) -> Vec<Line> {
            (0..n).map(|_| Line(std::array::from_fn(|_| self.next().to_le_bytes()[5]))).collect()
        }

        fn whole(&mut self, n: usize) -> Vec<i8> {
            self.bytes(n).into_iter().map(|byte| byte.cast_signed().max(-127)).collect()
        }
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| x.to_bits()).collect()
    }

    #[test]
    fn every_level_gives_the_bits_of_the_scalar_one() {
        let mut noise = Noise(88_172_645_463_325_252);
        for kernels in available() {
            for padded in [64, 128, 192, 384, 768, 1024] {
                for _ in 0..20 {
                    let (x, y) = (noise.floats(padded), noise.floats(padded));
                    floats_agree(kernels, &x, &y);
                    codes_agree(kernels, &x, &mut noise);
                    sketches_agree(kernels, &x, &mut noise);
                    bounds_agree(kernels, &mut noise);
                }
            }
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[test]
    fn arm_runs_neon() {
        assert_eq!(available().map(|kernels| kernels.level).collect::<Vec<_>>(), ["neon", "scalar"]);
    }

    #[test]
    fn the_largest_nibbles_and_numbers_overflow_nothing() {
        for kernels in available() {
            for q in [-128, -127, 127] {
                let (codes, query) = (vec![0xff; 2048], vec![q; 4096]);
                let mut out = [0; 3];
                (kernels.nibbles)(&codes, 2048, &[0; 3], &query, &mut out);
                assert_eq!(out, [15 * 4096 * i32::from(q); 3], "{}", kernels.level);
            }
        }
    }

    #[test]
    fn what_rounding_takes_off_a_fused_product_decides() {
        let cosine = |row: usize| 40_000 + 97 * row as u16;
        let mut block = [Line::ZERO; 8 + 4];
        for row in 0..ROWS {
            block[8 + row / 32].0[row % 32 * 2..][..2].copy_from_slice(&cosine(row).to_le_bytes());
        }
        let x = 0.3;
        for row in 0..ROWS {
            let product = |limit: f32| (-x * Reach::PART).mul_add(f32::from(cosine(row)), limit);
            let limit = -product(0.0);
            let reach = Reach { x_scale: 1.0, x_base: x, h_scale: 0.0, h_base: 0.0, square: 0.9, length: 1.0, limit };
            for kernels in available() {
                let reaches = (kernels.sketch)(&block, &[[0; 16]; 16], None, &reach) >> row & 1 == 1;
                assert_eq!(reaches, product(limit) <= 0.0, "{}, {row}", kernels.level);
            }
        }
    }

    fn floats_agree(kernels: &Kernels, x: &[f32], y: &[f32]) {
        let level = kernels.level;
        assert_eq!((kernels.dot)(x, y).to_bits(), (SCALAR.dot)(x, y).to_bits(), "{level}");
        let n = x.len() - 5;
        assert_eq!((kernels.score)(&x[..n], &y[..n]).to_bits(), (SCALAR.score)(&x[..n], &y[..n]).to_bits(), "{level}");
        assert_eq!((kernels.peak)(x).to_bits(), (SCALAR.peak)(x).to_bits(), "{level}");
        assert_eq!((kernels.spans)(x), (SCALAR.spans)(x), "{level}");
        let rotated = |kernels: &Kernels| {
            let mut out = vec![1.0; x.len()];
            (kernels.flip)(&x[..n], 1.7, y, &mut out);
            (kernels.mix_within)(&mut out);
            (kernels.mix_across)(&mut out, 1 << x.len().trailing_zeros());
            (kernels.add_scaled)(&mut out, -0.3, y);
            bits(&out)
        };
        assert_eq!(rotated(kernels), rotated(&SCALAR), "{level}");
    }

    fn codes_agree(kernels: &Kernels, x: &[f32], noise: &mut Noise) {
        let (level, n) = (kernels.level, x.len());
        let coded = |kernels: &Kernels| {
            let (mut whole, mut high, mut low, mut signs) =
                (vec![0; n], vec![0; n / 2], vec![0; n / 2], vec![0; n / 8]);
            let (left_out, sum) = (kernels.quantise)(x, (kernels.peak)(x) / 127.0, &mut whole);
            let row = (kernels.encode)(x, (kernels.peak)(x), &mut high, &mut low);
            let size = (kernels.signs)(x, &mut signs);
            (left_out.to_bits(), sum, whole, row, high, low, size.to_bits(), signs)
        };
        assert_eq!(coded(kernels), coded(&SCALAR), "{level}");
        let (bytes, query) = (noise.bytes(64 * n / 2), noise.whole(n));
        let rows: Vec<u32> = (0..=noise.next() % 9).map(|_| (noise.next() % 64) as u32).collect();
        let dots = |kernels: &Kernels| {
            let mut out = vec![0; rows.len()];
            (kernels.nibbles)(&bytes, n / 2, &rows, &query, &mut out);
            out
        };
        assert_eq!(dots(kernels), dots(&SCALAR), "{level}, {n}");
    }

    fn bounds_agree(kernels: &Kernels, noise: &mut Noise) {
        let sums = std::array::from_fn(|_| (noise.next() % 2000) as i32 - 1000);
        let reach = CodeReach { offset: 7, step: 1e-3, left_out: 0.01, square: 1.0, length: 1.0 };
        let bounded = |kernels: &Kernels| {
            let mut bounds = [0.0; BATCH];
            (kernels.code_bounds)(&sums, &[0.99; BATCH], &[0.9; BATCH], &reach, &mut bounds);
            (bits(&bounds), (kernels.reaching)(&bounds, 0.5), (kernels.reaching)(&bounds, bounds[17]))
        };
        assert_eq!(bounded(kernels), bounded(&SCALAR), "{}", kernels.level);
    }

    fn sketches_agree(kernels: &Kernels, x: &[f32], noise: &mut Noise) {
        let (level, n) = (kernels.level, x.len());
        let tables = |kernels: &Kernels| {
            let mut out = vec![[0; 16]; n / 4];
            (kernels.tables)(x, 126.0 / (kernels.spans)(x).0, &mut out);
            out
        };
        assert_eq!(tables(kernels), tables(&SCALAR), "{level}");
        let (tables, head) = (tables(kernels), noise.whole(HEAD).try_into().unwrap());
        for head in [None, Some(&head)] {
            let mut block = noise.lines(n / 8 + 4 + head.map_or(0, |_| HEAD));
            for line in &mut block[n / 8..] {
                line.0 = line.0.map(|byte| byte.max(1));
            }
            let reach = Reach {
                x_scale: 0.9 / (126.0 * 8.0),
                x_base: -0.5,
                h_scale: 1e-5,
                h_base: 0.1,
                square: 0.9,
                length: 0.9,
                limit: (noise.next() % 100) as f32 / 100.0,
            };
            let read = |kernels: &Kernels| (kernels.sketch)(&block, &tables, head, &reach);
            assert_eq!(read(kernels), read(&SCALAR), "{level}, {n}");
        }
    }
}
