//! Rows of any finite numbers, put in and taken out: a search finds what a scan in float64 finds.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::index::{FlatIndex, Query, Row};

#[derive(Debug, Arbitrary)]
struct Case {
    dim: u8,
    steps: Vec<Step>,
    top_k: u8,
    threshold: i8,
}

#[derive(Debug, Arbitrary)]
enum Step {
    Put(Vec<f32>),
    /// One that was put before, a number of it changed.
    PutNear(u8, u8, f32),
    Take(u8),
    Search(Vec<f32>),
    SearchRow(u8),
}

fuzz_target!(|case: Case| {
    let dim = usize::from(case.dim % 80) + 1;
    let mut index = FlatIndex::new(dim);
    let mut rows: Vec<(u32, Row, u64)> = Vec::new();
    let search = |index: &FlatIndex, rows: &[(u32, Row, u64)], numbers: &[f32]| {
        let Ok(query) = Query::new(numbers) else { return };
        let dot = |row: &[f32]| numbers.iter().zip(row).map(|(&q, &v)| f64::from(q) * f64::from(v)).sum::<f64>();
        let length = numbers.iter().map(|&q| f64::from(q) * f64::from(q)).sum::<f64>().sqrt();
        let found = index.search(&query, usize::from(case.top_k));
        assert_eq!(found.len(), rows.len().min(usize::from(case.top_k)));
        // Sums in another order differ in their last bits.
        let mut truth: Vec<f64> = rows.iter().map(|(_, row, _)| dot(row) / length).collect();
        truth.sort_by(|a, b| b.total_cmp(a));
        for (found, truth) in found.iter().zip(&truth) {
            assert!((found.score - truth).abs() < 1e-5, "{found:?} against {truth}");
        }
        for pair in found.windows(2) {
            assert!(pair[0].score > pair[1].score || (pair[0].score == pair[1].score && pair[0].id < pair[1].id));
        }
        let threshold = f64::from(case.threshold) / 100.0;
        let best = index.search(&query, 1).pop().filter(|best| best.score >= threshold);
        assert_eq!(index.lookup(&query, threshold), best);
    };
    for (id, step) in (0..).zip(case.steps) {
        let at = |place: u8, n: usize| usize::from(place) % n.max(1);
        match step {
            Step::Put(mut numbers) => {
                numbers.resize(dim, 0.0);
                if let Ok(row) = Row::unit(&numbers) {
                    rows.push((index.insert(row.clone(), id), row, id));
                }
            }
            Step::PutNear(place, number, by) => {
                let Some((_, row, _)) = rows.get(at(place, rows.len())) else { continue };
                let mut numbers = row.to_vec();
                numbers[at(number, dim)] += by;
                if let Ok(row) = Row::unit(&numbers) {
                    rows.push((index.insert(row.clone(), id), row, id));
                }
            }
            Step::Take(place) => {
                if !rows.is_empty() {
                    let (slot, row, _) = rows.swap_remove(at(place, rows.len()));
                    assert_eq!(*index.remove(slot), *row);
                }
            }
            Step::Search(mut numbers) => {
                numbers.resize(dim, 0.0);
                search(&index, &rows, &numbers);
            }
            Step::SearchRow(place) => {
                if let Some((_, row, _)) = rows.get(at(place, rows.len())) {
                    search(&index, &rows, &row.clone());
                }
            }
        }
    }
});
