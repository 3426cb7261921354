//! The index against a brute-force scan in float64, on data made to break it, and every bound against the truth.

#![allow(clippy::cast_precision_loss, clippy::unwrap_used, reason = "odd numbers; a test stops where it is wrong")]

use super::chunk::SLOTS;
use super::codes::{BatchCaps, Coded};
use super::{FlatIndex, Found, Query, Row, bound};
use crate::simd::{BATCH, Kernels, ROWS, available, kernels};

/// Queries, unless the environment variable `ROLECORE_CASES` says how many.
const CASES: usize = 4000;

/// Queries of one index.
const QUERIES: usize = 40;

/// Xorshift: odd numbers, the same each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    /// From -1 to 1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }

    /// About normal.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.float()).sum::<f32>() * 0.7
    }
}

/// A kind of data.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// No structure: what rules least out.
    Even,
    /// A common mean and a spectrum that falls, as embeddings have.
    Leaning,
    /// Three numbers that are not zero.
    Sparse,
    /// All of one size, as signs are.
    Signs,
    /// Around a few centres, far nearer than codes tell apart.
    Crowds,
    /// On the edges between codes.
    Edges,
    /// Some numbers a million times the others.
    Spread,
}

const KINDS: [Kind; 7] =
    [Kind::Even, Kind::Leaning, Kind::Sparse, Kind::Signs, Kind::Crowds, Kind::Edges, Kind::Spread];

fn vector(kind: Kind, dim: usize, noise: &mut Noise) -> Vec<f32> {
    let mut x: Vec<f32> = (0..dim)
        .map(|i| match kind {
            Kind::Even => noise.normal(),
            Kind::Leaning => 0.6 + noise.normal() / ((i % 50 + 1) as f32).powf(0.7),
            Kind::Sparse => 0.0,
            Kind::Signs => noise.float().signum(),
            Kind::Crowds => ((i % 5) as f32 - 1.5) + 1e-4 * noise.normal(),
            Kind::Edges => (noise.below(255) as f32 - 127.0) / 127.5,
            Kind::Spread => noise.normal() * if i % 9 == 0 { 1e6 } else { 1.0 },
        })
        .collect();
    if let Kind::Sparse = kind {
        for _ in 0..3 {
            x[noise.below(dim)] = noise.normal();
        }
    }
    if x.iter().all(|&x| x == 0.0) {
        x[noise.below(dim)] = 1.0;
    }
    let scale = [1.0, 1e-30, 1e30, -1.0][noise.below(4)];
    x.into_iter().map(|x| x * scale).collect()
}

/// An index and what must be in it: by slot, the row and its number.
struct Case {
    index: FlatIndex,
    rows: Vec<(u32, Row, u64)>,
}

impl Case {
    fn new(dim: usize, n: usize, kinds: &[Kind], kernels: &'static Kernels, noise: &mut Noise) -> Self {
        let mut case = Self { index: FlatIndex::on(dim, kernels), rows: Vec::new() };
        for id in 0..n as u64 {
            let new = match case.rows.len() {
                0 => None,
                n => (noise.below(8) == 0).then(|| case.rows[noise.below(n)].1.to_vec()),
            };
            let new = new.unwrap_or_else(|| vector(kinds[noise.below(kinds.len())], dim, noise));
            let row = Row::unit(&new).unwrap();
            case.rows.push((case.index.insert(row.clone(), id), row, id));
            if noise.below(5) == 0 {
                let (slot, row, _) = case.rows.swap_remove(noise.below(case.rows.len()));
                assert_eq!(*case.index.remove(slot), *row);
            }
        }
        assert_eq!(case.index.len(), case.rows.len());
        case
    }

    /// All rows, best first, by the definition.
    fn ranked(&self, query: &Query) -> Vec<Found> {
        let all = self.rows.iter().map(|&(slot, ref row, id)| Found { slot, id, score: query.score(row) });
        let mut all: Vec<Found> = all.collect();
        all.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap().then(a.id.cmp(&b.id)));
        all
    }

    fn check(&self, query: &[f32], noise: &mut Noise) {
        let query = Query::new(query).unwrap();
        let ranked = self.ranked(&query);
        let top_k = [1, 2, 8, 50, usize::MAX][noise.below(5)];
        assert_eq!(self.index.search(&query, top_k), ranked[..top_k.min(ranked.len())]);
        let best = ranked.first().copied();
        let score = best.map_or(0.5, |best| best.score);
        let thresholds = [score, score.next_up(), score - 1e-6, score + 2e-6, 0.9, 0.2, -1.0];
        let threshold = thresholds[noise.below(thresholds.len())];
        let expected = best.filter(|best| best.score >= threshold);
        assert_eq!(self.index.lookup(&query, threshold), expected, "threshold {threshold}");
        let margin = [0.0, 1e-6, 0.05, 0.4, 3.0][noise.below(5)];
        let admitted: Vec<Found> = ranked.into_iter().filter(|found| found.id % 3 != 1).collect();
        let limit = admitted.first().map_or(threshold, |best| threshold.max(best.score - margin));
        let expected: Vec<Found> = admitted.into_iter().take_while(|found| found.score >= limit).collect();
        for is_likely_sure in [false, true] {
            let found = self.index.near(&query, threshold, margin, is_likely_sure, |id| id % 3 != 1);
            assert_eq!(found, expected, "margin {margin}, {is_likely_sure}");
        }
        self.check_bounds(&query, score);
    }

    /// No bound is below the truth, and no row is ruled out that reaches the limit.
    fn check_bounds(&self, query: &Query, limit: f64) {
        let frame = &self.index.frame;
        let mut coded = Coded::new(frame, query);
        coded.raise(limit);
        let slack = f64::from(bound::slack(frame.padded));
        for &(slot, ref row, _) in &self.rows {
            let truth = query.score(row);
            let (chunk, place) = (&self.index.chunks[slot as usize / SLOTS], slot as usize % SLOTS);
            let holds = |what: &str, bound: f32, is_left: bool| {
                assert!(f64::from(bound) + slack >= truth, "{what}: {bound} against {truth}");
                assert!(is_left || truth < limit, "{what} rules {truth} out at {limit}");
            };

            let (lines, taken, unbound) = chunk.block(place / ROWS, frame);
            let bit = 1 << (place % ROWS);
            assert_ne!(taken & bit, 0);
            assert!(
                (coded.sketch(lines) | unbound) & bit != 0 || truth < limit,
                "a sketch rules {truth} out at {limit}"
            );
            coded.raise(truth);
            assert_ne!(
                (coded.sketch(lines) | unbound) & bit,
                0,
                "a sketch rules out what is just at the limit, {truth}"
            );
            coded.raise(limit);

            let (mut high, mut low, mut bounds, mut caps) = ([0; BATCH], [0; BATCH], [0.0; BATCH], BatchCaps::new());
            let rows = [u32::try_from(place).unwrap()];
            coded.nibbles(chunk.high().0, &rows, &mut high);
            caps.gather(0, chunk.high().1, &rows);
            let left = coded.left_by_high(&high, &caps, &mut bounds);
            holds("high", bounds[0], left & 1 == 1);
            coded.nibbles(chunk.low().0, &rows, &mut low);
            caps.gather(0, chunk.low().1, &rows);
            let left = coded.left_by_bytes(&high, &low, &caps, &mut bounds);
            holds("bytes", bounds[0], left & 1 == 1);
        }
    }
}

#[test]
fn equals_a_scan_on_data_made_to_break_it() {
    let cases = std::env::var("ROLECORE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let mut noise = Noise(0x5eed_0001_2345_6789);
    let levels: Vec<_> = available().collect();
    let dims = [1, 2, 3, 8, 24, 64, 65, 100, 128, 200, 256, 384];
    for number in 0..cases / QUERIES {
        let dim = dims[noise.below(dims.len())];
        let n = [0, 1, 3, 40, 130, 130][noise.below(6)];
        let mixed = [KINDS[noise.below(KINDS.len())], KINDS[noise.below(KINDS.len())]];
        let case = Case::new(dim, n, &mixed[..=noise.below(2)], levels[number % levels.len()], &mut noise);
        for _ in 0..QUERIES {
            let mut query = match case.rows.len() {
                0 => vector(mixed[0], dim, &mut noise),
                n if noise.below(2) == 0 => case.rows[noise.below(n)].1.to_vec(),
                _ => vector(KINDS[noise.below(KINDS.len())], dim, &mut noise),
            };
            if noise.below(3) == 0 {
                let (size, at) = ([1e-7, 1e-3, 0.3][noise.below(3)], noise.below(dim));
                query[at] += size * noise.float();
            }
            if query.iter().any(|&x| x != 0.0) {
                case.check(&query, &mut noise);
            }
        }
    }
}

#[test]
fn equals_a_scan_past_all_that_is_learnt() {
    let mut noise = Noise(0x5eed_0002_2345_6789);
    for (dim, kind) in [(64, Kind::Leaning), (100, Kind::Even), (48, Kind::Crowds)] {
        let case = Case::new(dim, 7000, &[kind], kernels(), &mut noise);
        assert_eq!(case.index.n_learnt, 2);
        for _ in 0..12 {
            let query = vector(kind, dim, &mut noise);
            case.check(&query, &mut noise);
        }
    }
}

#[test]
fn directions_are_learnt_where_rows_share_them() {
    let mut noise = Noise(0x5eed_0003_2345_6789);
    let leaning = Case::new(128, 700, &[Kind::Leaning], kernels(), &mut noise);
    let even = Case::new(128, 700, &[Kind::Even], kernels(), &mut noise);
    assert!(leaning.index.frame.has_head() && !even.index.frame.has_head());
    let unbound = (0..8).map(|block| leaning.index.chunks[0].block(block, &leaning.index.frame).2);
    assert!(unbound.map(u64::count_ones).sum::<u32>() < 10);
}

#[test]
fn ties_go_to_the_lowest_id() {
    let mut index = FlatIndex::new(3);
    let row = || Row::unit(&[1.0, 2.0, 2.0]).unwrap();
    let slots: Vec<u32> = [7, 3, 9].map(|id| index.insert(row(), id)).to_vec();
    let query = [1.0, 0.0, 0.0];
    let found = index.search(&Query::new(&query).unwrap(), 9);
    assert_eq!(found.iter().map(|found| found.id).collect::<Vec<_>>(), [3, 7, 9]);
    assert_eq!(found[0].slot, slots[1]);
    assert!((found[0].score - 1.0 / 3.0).abs() < 1e-7);
}

#[test]
fn slots_are_used_again() {
    let mut index = FlatIndex::new(2);
    let row = |x: f32| Row::unit(&[x, 1.0]).unwrap();
    let slots: Vec<u32> = (0..200).map(|i| index.insert(row(i as f32), i)).collect();
    for &slot in &slots[50..150] {
        index.remove(slot);
    }
    let bytes = index.bytes();
    for i in 0..100 {
        assert!((50..150).contains(&index.insert(row(i as f32), i)));
    }
    assert_eq!((index.len(), index.bytes()), (200, bytes));
}

#[test]
fn bytes_grow_by_what_was_foretold() {
    let mut noise = Noise(0x5eed_0004_2345_6789);
    let mut index = FlatIndex::new(70);
    for id in 0..4200 {
        let most = index.bytes() + index.growth();
        index.insert(Row::unit(&vector(Kind::Leaning, 70, &mut noise)).unwrap(), id);
        assert!(index.bytes() <= most);
    }
    assert_eq!(index.n_learnt, 2);
}

#[test]
fn rows_of_unit_length_are_kept_bit_by_bit() {
    let row = Row::unit(&[0.6, 0.8]).unwrap();
    assert_eq!(*row, [0.6, 0.8]);
    assert_eq!(*Row::unit(&[6e29, 8e29]).unwrap(), *Row::unit(&[6e-30, 8e-30]).unwrap());
    assert_eq!(*Row::unit(&row).unwrap(), *row);
}

#[test]
fn what_has_no_direction_is_refused() {
    for (bad, why) in [
        ([f32::NAN, 1.0], "number 0 of the vector is NaN"),
        ([1.0, f32::INFINITY], "number 1 of the vector is NaN or infinite"),
        ([0.0, -0.0], "the vector is all zeros"),
    ] {
        assert!(Row::unit(&bad).unwrap_err().to_string().contains(why));
        assert!(Query::new(&bad).unwrap_err().to_string().contains(why));
    }
}
