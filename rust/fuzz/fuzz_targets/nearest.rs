//! Any rows, put in and taken out again, and any queries: what the index finds is what a scan in float64 finds.
#![no_main]

use std::cmp::Ordering;
use std::collections::HashMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::index::{FlatIndex, Found, Query, Row};

/// Past 512 rows the index learns directions; one input may get there by repeating rows.
const MAX_ROWS: usize = 1200;
const MAX_DIM: usize = 260;
/// Sums of the same products in another order differ by less, for unit rows.
const ROUNDING: f64 = 1e-12;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    dim: u16,
    steps: Vec<Step<'a>>,
    queries: Vec<(Numbers<'a>, u8, Threshold)>,
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Insert(Numbers<'a>),
    /// A row that is there, this many times over, each with one number changed by this much.
    Repeat(u16, u8, f32),
    Remove(u16),
}

/// What a vector is made of; it is repeated up to the length.
#[derive(Arbitrary, Debug)]
enum Numbers<'a> {
    Any(Vec<f32>),
    /// A byte a number, and a power of ten.
    Steps(&'a [u8], i8),
    /// The row that is there.
    Row(u16),
}

#[derive(Arbitrary, Debug)]
enum Threshold {
    Any(f32),
    /// The best score, and what lies just above it.
    Best,
    AboveBest,
}

struct Kept {
    slot: u32,
    id: u64,
    row: Row,
    /// The same number for rows that are the same bit by bit.
    content: usize,
}

/// The index, and what must be in it.
struct Case {
    dim: usize,
    index: FlatIndex,
    rows: Vec<Kept>,
    next_id: u64,
    contents: HashMap<Vec<u32>, usize>,
}

impl Case {
    fn vector(&self, numbers: &Numbers<'_>) -> Vec<f32> {
        let some: Vec<f32> = match numbers {
            Numbers::Any(numbers) => numbers.clone(),
            Numbers::Steps(bytes, exponent) => {
                let scale = 10f32.powi(i32::from(*exponent) / 4);
                bytes.iter().map(|&byte| (f32::from(byte) - 128.0) * scale).collect()
            }
            Numbers::Row(number) => self.row(*number).map_or(Vec::new(), |kept| kept.row.to_vec()),
        };
        some.iter().copied().cycle().take(if some.is_empty() { 0 } else { self.dim }).collect()
    }

    fn row(&self, number: u16) -> Option<&Kept> {
        self.rows.get(usize::from(number) % self.rows.len().max(1))
    }

    fn insert(&mut self, vector: &[f32]) {
        if vector.is_empty() || self.rows.len() == MAX_ROWS {
            return;
        }
        let Ok(row) = Row::unit(vector) else {
            assert!(is_refused(vector), "a vector with a direction is refused");
            return;
        };
        let new = self.contents.len();
        let content = *self.contents.entry(row.iter().map(|x| x.to_bits()).collect()).or_insert(new);
        let slot = self.index.insert(row.clone(), self.next_id);
        self.rows.push(Kept { slot, id: self.next_id, row, content });
        self.next_id += 1;
    }

    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Insert(numbers) => self.insert(&self.vector(numbers)),
            Step::Repeat(number, times, change) => {
                let Some(kept) = self.row(*number) else { return };
                let row = kept.row.to_vec();
                for at in 0..usize::from(*times) {
                    let mut changed = row.clone();
                    changed[at % self.dim] += *change;
                    self.insert(&changed);
                }
            }
            Step::Remove(number) => {
                if !self.rows.is_empty() {
                    let kept = self.rows.swap_remove(usize::from(*number) % self.rows.len());
                    assert_eq!(*self.index.remove(kept.slot), *kept.row);
                }
            }
        }
        assert_eq!(self.index.len(), self.rows.len());
    }

    /// All rows with their scores, best first.
    fn ranked(&self, query: &[f32]) -> Vec<Found> {
        let length = dot(query, query).sqrt();
        // As the index says: a vector of unit length within 1e-6 is taken as it is.
        let length = if (length - 1.0).abs() <= 1e-6 { 1.0 } else { length };
        let found = |kept: &Kept| Found { slot: kept.slot, id: kept.id, score: dot(query, &kept.row) / length };
        let mut all: Vec<_> = self.rows.iter().map(found).collect();
        all.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.id.cmp(&b.id)));
        all
    }

    fn check(&self, query: &[f32], top_k: usize, threshold: &Threshold) {
        let Ok(unit) = Query::new(query) else {
            assert!(is_refused(query), "a query with a direction is refused");
            return;
        };
        let ranked = self.ranked(query);
        let found = self.index.search(&unit, top_k);
        assert_eq!(found.len(), top_k.min(ranked.len()));
        let mut seen = HashMap::<usize, usize>::new();
        for (found, expected) in found.iter().zip(&ranked) {
            let truth = ranked.iter().find(|row| row.slot == found.slot && row.id == found.id).expect("it is there");
            assert!((found.score - truth.score).abs() <= ROUNDING, "{found:?} scores {}", truth.score);
            assert!(found.score >= expected.score - ROUNDING, "{found:?} instead of {expected:?}");
            // Of equal rows the oldest come first.
            let kept = self.rows.iter().find(|kept| kept.id == found.id).expect("as above");
            let older = self.rows.iter().filter(|other| other.content == kept.content && other.id < kept.id).count();
            let before = seen.entry(kept.content).or_default();
            assert_eq!(older, *before, "{found:?} before an older equal row");
            *before += 1;
        }
        assert!(found.is_sorted_by(|a, b| {
            b.score.partial_cmp(&a.score).is_some_and(|order| order.then(a.id.cmp(&b.id)).is_lt())
        }));

        let best = found.first();
        let threshold = match (threshold, best) {
            (Threshold::Any(threshold), _) if !threshold.is_nan() => f64::from(*threshold),
            (Threshold::Best, Some(best)) => best.score,
            (Threshold::AboveBest, Some(best)) => best.score.next_up(),
            _ => 0.9,
        };
        let expected = best.filter(|best| best.score >= threshold);
        assert_eq!(self.index.lookup(&unit, threshold).as_ref(), expected, "threshold {threshold}");
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn is_refused(vector: &[f32]) -> bool {
    vector.iter().all(|&x| x == 0.0) || vector.iter().any(|x| !x.is_finite())
}

fuzz_target!(|input: Input<'_>| {
    let dim = usize::from(input.dim) % MAX_DIM + 1;
    let mut case = Case { dim, index: FlatIndex::new(dim), rows: Vec::new(), next_id: 0, contents: HashMap::new() };
    for step in &input.steps {
        case.step(step);
    }
    for (numbers, top_k, threshold) in input.queries.iter().take(20) {
        let query = case.vector(numbers);
        if !query.is_empty() {
            case.check(&query, usize::from(*top_k) + 1, threshold);
        }
    }
});
