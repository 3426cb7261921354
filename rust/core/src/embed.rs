//! Rows of meaning: what an embedder says of texts, as unit vectors in one flat slab.

/// Unit rows of one length, in the order they came.
#[derive(Debug, Clone)]
pub struct Rows {
    dim: usize,
    flat: Vec<f32>,
}

/// Sums computed side by side.
const LANES: usize = 8;

impl Rows {
    /// No rows yet, of `dim` numbers each.
    ///
    /// # Panics
    /// When `dim` is 0.
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "a row has numbers");
        Self { dim, flat: Vec::new() }
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.flat.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.flat.is_empty()
    }

    /// Adds a row and brings it to unit length. One of zeros stays that, and is like nothing.
    ///
    /// # Panics
    /// When `row` is of another length.
    pub fn push(&mut self, row: &[f32]) {
        assert_eq!(row.len(), self.dim, "all rows are of one length");
        let length = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "at most 1")]
        let to_unit = |&x: &f32| if length > 0.0 { (f64::from(x) / length) as f32 } else { 0.0 };
        self.flat.extend(row.iter().map(to_unit));
    }

    /// Adds a row of zeros: of a text that says nothing.
    pub fn push_nothing(&mut self) {
        self.flat.resize(self.flat.len() + self.dim, 0.0);
    }

    /// Adds the rows of `other` from row `first` on.
    ///
    /// # Panics
    /// When those are of another length.
    pub fn extend_from(&mut self, other: &Self, first: usize) {
        assert_eq!(other.dim, self.dim, "all rows are of one length");
        self.flat.extend_from_slice(other.flat.get(first * self.dim..).unwrap_or_default());
    }

    /// Takes the last row off, if there is one.
    pub fn pop(&mut self) -> Option<Vec<f32>> {
        let start = self.flat.len().checked_sub(self.dim)?;
        Some(self.flat.split_off(start))
    }

    /// The cosine of each row with `row`, which has unit length. The same bits on every platform.
    ///
    /// Cost: O(rows x dim).
    pub fn cosines(&self, row: &[f32]) -> Vec<f32> {
        self.flat.chunks_exact(self.dim).map(|own| dot(own, row)).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; LANES];
    for (a, b) in a_blocks.zip(b_blocks) {
        for k in 0..LANES {
            sums[k] += a[k] * b[k];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_those_of_unit_rows() {
        let mut rows = Rows::new(11);
        let row = |k: usize| (0..11).map(|i| if i == k { 3.0 } else { 0.0 }).collect::<Vec<f32>>();
        rows.push(&row(0));
        rows.push(&[f32::MAX; 11]);
        rows.push_nothing();
        rows.push(&[0.0; 11]);
        rows.push(&row(10));
        let query = rows.pop().unwrap();
        assert_eq!(rows.len(), 4);
        let found = rows.cosines(&query);
        assert!((found[1] - 1.0 / 11_f32.sqrt()).abs() < 1e-6, "{found:?}");
        assert_eq!((found[0], found[2], found[3]), (0.0, 0.0, 0.0));
    }

    #[test]
    fn rows_are_added_from_a_row_on() {
        let (mut one, mut other) = (Rows::new(1), Rows::new(1));
        for x in [1.0, -1.0, 1.0] {
            other.push(&[x]);
        }
        one.extend_from(&other, 1);
        one.extend_from(&other, 7);
        assert_eq!(one.cosines(&[1.0]), [-1.0, 1.0]);
    }
}
