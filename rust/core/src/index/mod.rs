//! Exact nearest rows by cosine: one flat index of unit rows, with insert and remove in O(1) slots.

mod row;

pub use row::{Query, Row};

/// A row that a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Where the row is; given to another row once this one is removed.
    pub slot: u32,
    /// The number the row was inserted under, by which ties are decided: the lowest wins.
    pub id: u64,
    /// The float64 dot product of the query, brought to unit length, with the row.
    pub score: f64,
}

/// Unit rows of one length, found exactly.
#[derive(Debug)]
pub struct FlatIndex {
    dim: usize,
    rows: Vec<Option<(Row, u64)>>,
    free: Vec<u32>,
}

impl FlatIndex {
    /// No rows yet, of `dim` numbers each.
    ///
    /// # Panics
    /// When `dim` is 0.
    pub fn new(dim: usize) -> Self {
        assert!(dim > 0, "a row has numbers");
        Self { dim, rows: Vec::new(), free: Vec::new() }
    }

    /// Numbers of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Rows in it.
    pub fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row and returns its slot. Of rows that score the same, the one with the lowest `id` is found first.
    ///
    /// # Panics
    /// When `row` is of another length, or past 2^32 rows.
    pub fn insert(&mut self, row: Row, id: u64) -> u32 {
        assert_eq!(row.len(), self.dim, "all rows are of one length");
        let slot = self.free.pop().unwrap_or_else(|| {
            self.rows.push(None);
            // So that removing a row takes no more bytes.
            self.free.reserve_exact(self.rows.capacity());
            u32::try_from(self.rows.len() - 1).expect("fewer than 2^32 rows")
        });
        self.rows[slot as usize] = Some((row, id));
        slot
    }

    /// Takes a row out; its slot is free at once, and [`FlatIndex::bytes`] is no more than before.
    ///
    /// # Panics
    /// When there is no row in `slot`.
    pub fn remove(&mut self, slot: u32) -> Row {
        let (row, _) = self.rows[slot as usize].take().expect("a row is removed once");
        self.free.push(slot);
        row
    }

    /// The best row, if it reaches `threshold`; exact.
    ///
    /// # Panics
    /// When `query` is of another length.
    pub fn lookup(&self, query: &Query, threshold: f64) -> Option<Found> {
        self.search(query, 1).pop().filter(|found| found.score >= threshold)
    }

    /// The `top_k` best rows, best first; exact.
    ///
    /// # Panics
    /// When `query` is of another length.
    pub fn search(&self, query: &Query, top_k: usize) -> Vec<Found> {
        let rows = (0..).zip(&self.rows).filter_map(|(slot, row)| row.as_ref().map(|(row, id)| (slot, row, *id)));
        let mut found: Vec<Found> = rows.map(|(slot, row, id)| Found { slot, id, score: query.score(row) }).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        found.truncate(top_k);
        found
    }

    /// Bytes of the rows' codes and slots, without the rows themselves.
    pub fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Option<(Row, u64)>>() + self.free.capacity() * size_of::<u32>()
    }
}
