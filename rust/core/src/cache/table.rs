//! Hash tables that keep their size while entries come and go.
//!
//! A removed entry's place may stay unusable until the table is gone over. hashbrown does that in place if at most half of the places
//! are taken, and doubles the table otherwise. Which comes first depends on the hashes, whose seed is random: the bytes of a cache would
//! grow by chance under a load that does not. So tables are grown beforehand, by the number of their entries alone.

use hashbrown::HashTable;

/// Makes room for one more entry, such that later ones find it without growth as long as there are no more at a time.
pub(super) fn reserve_one<T>(table: &mut HashTable<T>, hash_of: impl Fn(&T) -> u64) {
    if is_full(table) {
        table.reserve(table.len() + 2, hash_of);
    }
}

/// Whether [`reserve_one`] makes it grow.
pub(super) fn is_full<T>(table: &HashTable<T>) -> bool {
    2 * (table.len() + 1) > places(table)
}

/// By how many bytes [`reserve_one`] makes a full one grow, at most: it doubles, the first time to four.
pub(super) fn growth_when_full<T>(table: &HashTable<T>) -> usize {
    const CONTROL: usize = 64;
    table.allocation_size() + if table.num_buckets() < 4 { 4 * size_of::<T>() + CONTROL } else { CONTROL }
}

/// How many entries fit, removed ones included: seven of eight buckets, all but one of fewer than nine.
fn places<T>(table: &HashTable<T>) -> usize {
    match table.num_buckets() {
        buckets @ 0..=8 => buckets.saturating_sub(1),
        buckets => buckets / 8 * 7,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::hash::BuildHasher;

    use hashbrown::DefaultHashBuilder;

    use super::*;

    #[test]
    fn a_table_keeps_its_size_under_churn_whatever_the_seed() {
        for n in [1, 3, 7, 14, 100, 449, 500] {
            let mut sizes = Vec::new();
            for _ in 0..60 {
                let hasher = DefaultHashBuilder::default();
                let hash_of = |key: &u64| hasher.hash_one(key);
                let (mut table, mut live) = (HashTable::new(), VecDeque::new());
                for key in 0..20 * n {
                    let growth = if is_full(&table) { growth_when_full(&table) } else { 0 };
                    let foretold = table.allocation_size() + growth;
                    reserve_one(&mut table, hash_of);
                    assert!(table.allocation_size() <= foretold, "{foretold} at {key}");
                    table.insert_unique(hash_of(&key), key, hash_of);
                    live.push_back(key);
                    sizes.extend((key == n).then(|| table.allocation_size()));
                    if key >= n {
                        let gone = live.pop_front().unwrap();
                        table.find_entry(hash_of(&gone), |&key| key == gone).unwrap().remove();
                    }
                }
                sizes.push(table.allocation_size());
            }
            sizes.dedup();
            assert_eq!(sizes.len(), 1, "{n} entries: {sizes:?}");
        }
    }
}
