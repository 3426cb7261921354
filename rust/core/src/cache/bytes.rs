//! Bytes that are really taken: every allocation, rounded as the allocator rounds it.

use std::ops::{AddAssign, SubAssign};

/// Bytes of a cache, by what they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Parts {
    /// The float32 rows.
    pub rows: usize,
    /// Rows that are read from a snapshot's file, in pages that the system takes back when memory is short.
    pub mapped: usize,
    /// What the index holds beside them.
    pub codes: usize,
    /// The keys.
    pub keys: usize,
    /// The values.
    pub values: usize,
    /// What ties an entry together, and the order of eviction.
    pub nodes: usize,
    /// Tables of keys and of tenants, and the deadlines.
    pub tables: usize,
}

impl Parts {
    /// Of all parts.
    pub fn total(&self) -> usize {
        self.rows + self.mapped + self.codes + self.keys + self.values + self.nodes + self.tables
    }
}

impl AddAssign for Parts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.mapped += other.mapped;
        self.codes += other.codes;
        self.keys += other.keys;
        self.values += other.values;
        self.nodes += other.nodes;
        self.tables += other.tables;
    }
}

impl SubAssign for Parts {
    fn sub_assign(&mut self, other: Self) {
        self.rows -= other.rows;
        self.mapped -= other.mapped;
        self.codes -= other.codes;
        self.keys -= other.keys;
        self.values -= other.values;
        self.nodes -= other.nodes;
        self.tables -= other.tables;
    }
}

/// What glibc takes for an allocation: 8 bytes before it, in steps of 16, at least 32.
pub(super) fn allocation(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + 8).next_multiple_of(16).max(32) }
}

/// What an `Arc` takes for its content: two counts before it.
pub(super) fn shared(bytes: usize) -> usize {
    allocation(bytes + 2 * size_of::<usize>())
}

/// What a `Vec` takes.
pub(super) fn vec<T>(list: &Vec<T>) -> usize {
    allocation(list.capacity() * size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_are_rounded_as_glibc_does() {
        let taken = [0, 1, 24, 25, 40, 41, 1536].map(allocation);
        assert_eq!(taken, [0, 32, 32, 48, 48, 64, 1552]);
    }
}
