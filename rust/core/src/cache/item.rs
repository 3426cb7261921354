//! What one entry holds: key, value and row, shared by the cache and by whoever looks at the entry.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::bytes::{Parts, allocation, shared};
use crate::index::Row;

/// What the face of an entry takes: in Python an object that copies a short key and the cost.
const FACE_BYTES: usize = 128;

/// What a key stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing: the row is all that is wanted.
    Nothing,
    /// Any bytes.
    Bytes(Box<[u8]>),
    /// A text in UTF-8, surrogates written as if they were characters.
    Text(Box<[u8]>),
}

/// Key, value and row of an entry. It stays as it is when the entry is evicted or replaced.
#[derive(Debug)]
pub struct Item {
    key: Box<[u8]>,
    value: Value,
    row: Row,
    cost: f64,
    /// Counts the bytes of items that the cache has let go; set when it lets go of this one.
    viewed: OnceLock<Arc<AtomicUsize>>,
}

impl Item {
    /// `cost` is what a hit saves, in tokens or milliseconds: finite and not negative.
    ///
    /// # Panics
    /// When `cost` is something else.
    pub fn new(key: &[u8], value: Value, row: Row, cost: f64) -> Self {
        assert!(cost.is_finite() && cost >= 0.0, "checked by whoever made it");
        Self { key: key.into(), value, row, cost, viewed: OnceLock::new() }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What it stands for.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its row.
    pub fn row(&self) -> &Row {
        &self.row
    }

    /// What a hit saves.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// What it takes, by part.
    pub(super) fn bytes(&self) -> Parts {
        let value = match &self.value {
            Value::Nothing => 0,
            Value::Bytes(value) | Value::Text(value) => allocation(value.len()),
        };
        let row = size_of_val::<[f32]>(&self.row);
        let (rows, mapped) = if self.row.is_mapped() { (0, row) } else { (shared(row), 0) };
        Parts {
            rows,
            mapped,
            keys: allocation(self.key.len()),
            values: value,
            nodes: shared(size_of::<Self>()) + FACE_BYTES,
            ..Parts::default()
        }
    }

    /// The cache lets go of it: from now on its bytes are counted in `viewed`, as long as somebody looks at it.
    pub(super) fn let_go(self: Arc<Self>, viewed: &Arc<AtomicUsize>) {
        if Arc::strong_count(&self) > 1 && self.viewed.set(Arc::clone(viewed)).is_ok() {
            viewed.fetch_add(self.bytes().total(), Ordering::Relaxed);
        }
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        if let Some(viewed) = self.viewed.get() {
            viewed.fetch_sub(self.bytes().total(), Ordering::Relaxed);
        }
    }
}
