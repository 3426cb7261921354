//! Saved caches against the official library: it reads what is saved, and what it writes is loaded.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod cache_files;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use cache_files::{Said, Style, WALL, load, read, save, sections, with_entries, word, write};
use proptest::prelude::*;
use rolecore_core::Error;
use rolecore_core::cache::{Address, Cache, Item, New, Policy, Scope, Settings, Shown, Value};
use rolecore_core::index::Row;

const DIM: usize = 3;
#[derive(Debug, Clone)]
struct Put {
    names: [Vec<u8>; 3],
    value: Value,
    row: [f32; DIM],
    cost: f64,
    is_pinned: bool,
    time_to_live_ns: Option<u64>,
}

impl Put {
    fn at(&self) -> Address<'_> {
        let [key, tenant, model_id] = &self.names;
        Address { scope: Scope { tenant, model_id }, key }
    }

    fn put_into(&self, cache: &Cache<Shown>) {
        let item = Item::new(&self.names[0], self.value.clone(), Row::unit(&self.row).unwrap(), self.cost);
        let mut new = New {
            at: self.at(),
            item: Arc::new(item),
            face: None,
            is_pinned: self.is_pinned,
            time_to_live_ns: self.time_to_live_ns,
        };
        cache.run(|store| store.put(&mut new, Some(0))).unwrap().unwrap();
    }
}

fn cache_of(policy: Policy, puts: &[Put]) -> Cache<Shown> {
    let settings = Settings { dim: DIM, capacity: usize::MAX, max_bytes: usize::MAX, time_to_live_ns: None, policy };
    let cache = Cache::new(settings).unwrap();
    for put in puts {
        put.put_into(&cache);
    }
    cache
}

/// Of few letters, so that some are the same; or anything, alone surrogates too.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[ab]?".prop_map(String::into_bytes),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => prop::collection::vec(prop::sample::select(vec![&b"\xED\xA0\x80"[..], b"\xED\xBF\xBF", b"a"]), 0..4).prop_map(|parts| parts.concat()),
    ]
}

prop_compose! {
    fn put()(
        names in [text(), text(), text()],
        value in prop_oneof![
            Just(Value::Nothing),
            text().prop_map(|text| Value::Text(text.into())),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
        ],
        row in [1..4_i8, -3..4_i8, -3..4_i8],
        cost in prop_oneof![Just(1.0), Just(0.0), 0.0..1e300],
        is_pinned in prop::bool::weighted(0.2),
        time_to_live_ns in prop::option::weighted(0.3, 1..u64::MAX / 2),
    ) -> Put {
        Put { names, value, row: row.map(f32::from), cost, is_pinned, time_to_live_ns }
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    prop::sample::select(vec![Policy::Lru, Policy::S3Fifo, Policy::Gdsf])
}

prop_compose! {
    fn style()(has_defaults: bool, order: u16, is_newer: bool, is_vtable_last: bool) -> Style {
        Style { has_defaults, order, is_newer, is_vtable_last }
    }
}

prop_compose! {
    /// A cache of which some entries were used, and what was put into it.
    fn cache()(
        policy in policy(),
        puts in prop::collection::vec(put(), 0..12),
        uses in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) -> (Cache<Shown>, Vec<Put>) {
        let cache = cache_of(policy, &puts);
        for used in uses {
            if !puts.is_empty() {
                cache.run(|store| Ok(store.get(&used.get(&puts).at(), Some(0)).is_some())).unwrap();
            }
        }
        (cache, puts)
    }
}

proptest! {
    #[test]
    fn the_official_library_reads_what_is_saved((cache, puts) in cache()) {
        let file = save(&cache);
        let entries = read(&file);
        // The last of those with the same names, in the order in which they were put in.
        let mut last = BTreeMap::new();
        for (number, put) in puts.iter().enumerate() {
            last.insert(&put.names, number);
        }
        let mut in_order: Vec<_> = last.into_values().collect();
        in_order.sort_unstable();
        prop_assert_eq!(entries.len(), in_order.len());
        let rows = sections(&file).0;
        for (entry, row) in entries.iter().zip(rows.chunks(4 * DIM)) {
            let put = &puts[in_order[entry.age as usize]];
            prop_assert_eq!([&entry.key, &entry.tenant, &entry.model_id], put.names.each_ref());
            let value = match &put.value {
                Value::Nothing => (None, false),
                Value::Bytes(bytes) => (Some(&**bytes), false),
                Value::Text(text) => (Some(&**text), true),
            };
            prop_assert_eq!((entry.value.as_deref(), entry.value_is_text), value);
            prop_assert_eq!(entry.cost.to_bits(), put.cost.to_bits());
            prop_assert_eq!(entry.deadline_ns, put.time_to_live_ns.map_or(0, |left| WALL + left));
            prop_assert_eq!((entry.is_pinned, entry.version, &entry.vector), (put.is_pinned, 1, &None));
            let numbers: Vec<_> = Row::unit(&put.row).unwrap().iter().flat_map(|number| number.to_le_bytes()).collect();
            prop_assert_eq!(row, numbers);
        }
        prop_assert!(entries.is_sorted_by_key(|entry| !entry.is_pinned), "the pinned ones come first");
    }

    #[test]
    fn what_the_official_library_writes_is_loaded((cache, _) in cache(), styles in prop::collection::vec(style(), 12)) {
        let file = save(&cache);
        let entries = read(&file);
        let written: Vec<_> = entries.iter().zip(styles).map(|(said, style)| write(said, style)).collect();
        let theirs = with_entries(&file, &written);
        let loaded = load(&theirs).unwrap();
        // Pinned ones have no order.
        let by_age = |file: &[u8]| {
            let mut said: Vec<_> = read(file).into_iter().zip(sections(file).0.chunks(4 * DIM).map(<[u8]>::to_vec)).collect();
            let n_pinned = said.iter().filter(|(said, _)| said.is_pinned).count();
            said[..n_pinned].sort_by_key(|(said, _)| said.age);
            said
        };
        prop_assert_eq!(by_age(&save(&loaded)), by_age(&file));
        // Ours has the same bytes again.
        prop_assert_eq!(save(&load(&save(&loaded)).unwrap()), save(&loaded));
    }
}

/// A byte, a word that an offset or a length may be, or a double, where numbers are.
fn edit() -> impl Strategy<Value = (prop::sample::Index, Vec<u8>)> {
    let odd = prop::sample::select(vec![0, 1, 3, 4, 8, 1 << 30, 1 << 31, u32::MAX - 3, u32::MAX]);
    let bytes = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        prop_oneof![odd, 0..160_u32].prop_map(|word| word.to_le_bytes().to_vec()),
        (0..40_u16).prop_map(|entry| entry.to_le_bytes().to_vec()),
        any::<f64>().prop_map(|number| number.to_le_bytes().to_vec()),
    ];
    (any::<prop::sample::Index>(), bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_loaded_of_damaged_entries_the_official_library_reads_alike(
        puts in prop::collection::vec(put(), 1..4),
        edits in prop::collection::vec(edit(), 1..4),
    ) {
        let file = save(&cache_of(Policy::Lru, &puts));
        let mut entries: Vec<_> = read(&file).iter().map(|said| write(said, Style::default())).collect();
        for (at, edit) in edits {
            let which = at.index(entries.len());
            let at = at.index(entries[which].len()) / edit.len() * edit.len();
            let len = edit.len().min(entries[which].len() - at);
            entries[which][at..at + len].copy_from_slice(&edit[..len]);
        }
        let damaged = with_entries(&file, &entries);
        match load(&damaged) {
            Ok(cache) => {
                for said in read(&damaged).into_iter().filter(|said| said.deadline_ns == 0 || said.deadline_ns > WALL) {
                    let at = Address { scope: Scope { tenant: &said.tenant, model_id: &said.model_id }, key: &said.key };
                    let item = cache.run(|store| Ok(store.get(&at, Some(0)).map(|entry| Arc::clone(entry.item())))).unwrap();
                    let item = item.unwrap();
                    let (value, is_text) = match item.value() {
                        Value::Nothing => (None, false),
                        Value::Bytes(bytes) => (Some(bytes.to_vec()), false),
                        Value::Text(text) => (Some(text.to_vec()), true),
                    };
                    prop_assert_eq!((value, is_text), (said.value, said.value_is_text));
                    prop_assert_eq!(item.cost().to_bits(), said.cost.to_bits());
                }
            }
            Err(error) => prop_assert!(matches!(error, Error::Cache(_)), "{error:?}"),
        }
    }
}

/// What is done to an entry.
type Change = fn(&mut Said);

#[test]
fn an_entry_that_no_cache_has_is_refused_by_name() {
    let names = |key: &str| [key.into(), b"tenant".to_vec(), b"model".to_vec()];
    let put = |key| Put {
        names: names(key),
        value: Value::Text(b"value"[..].into()),
        row: [1.0; DIM],
        cost: 2.0,
        is_pinned: false,
        time_to_live_ns: None,
    };
    let file = save(&cache_of(Policy::Gdsf, &[put("first"), put("second")]));
    let whole = read(&file);
    let refused = |entries: &[Said]| {
        let entries: Vec<_> = entries.iter().map(|said| write(said, Style::default())).collect();
        match load(&with_entries(&file, &entries)) {
            Err(Error::Cache(why)) => {
                assert!(why.ends_with("; load another snapshot or begin with an empty cache"), "{why}");
                assert!(!["first", "second"].iter().any(|text| why.contains(text)), "{why}");
                why.split_once(" cannot be loaded: ").unwrap().1.split(';').next().unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        }
    };
    let cases: [(Change, &str); 14] = [
        (|said| said.version = 2, "entry 1: its version is 2, this release reads up to 1"),
        (|said| said.key = b"\xFF".to_vec(), "entry 1: its key is no text"),
        (|said| said.key = b"first".to_vec(), "two of its entries have the same key"),
        (|said| said.value = Some(b"\xED\xA0".to_vec()), "entry 1: its value is no text"),
        (|said| said.value = None, "entry 1: its value is no text"),
        (|said| said.vector = Some(vec![1.0, 0.0, 0.0]), "entry 1: its vector is in it, and not only among the rows"),
        (|said| said.tenant = b"\xFF".to_vec(), "entry 1: its tenant or model_id is no text"),
        (|said| said.model_id = b"\xC0\x80".to_vec(), "entry 1: its tenant or model_id is no text"),
        (|said| said.cost = -1.0, "entry 1: its cost or priority is negative, infinite or NaN"),
        (|said| said.cost = f64::INFINITY, "entry 1: its cost or priority is negative, infinite or NaN"),
        (|said| said.priority = -1.0, "entry 1: its cost or priority is negative, infinite or NaN"),
        (|said| said.priority = f64::INFINITY, "entry 1: its cost or priority is negative, infinite or NaN"),
        (|said| said.age = 0, "two of its entries have the same age, or one has none"),
        (|said| said.age = 2, "two of its entries have the same age, or one has none"),
    ];
    for (change, why) in cases {
        let mut entries = whole.clone();
        change(&mut entries[1]);
        assert_eq!(refused(&entries), why);
    }
    assert_eq!(refused(&whole[..1]), "it has 2 rows and 1 entries");
    assert_eq!(refused(&[&whole[..], &whole[..1]].concat()), "it has 2 rows and more entries");
}

#[test]
fn damage_to_an_entry_is_told_with_its_place() {
    let put = Put {
        names: [b"key".to_vec(), Vec::new(), Vec::new()],
        value: Value::Bytes(b"value"[..].into()),
        row: [1.0; DIM],
        cost: 2.0,
        is_pinned: false,
        time_to_live_ns: None,
    };
    let file = save(&cache_of(Policy::Lru, &[put]));
    let section = sections(&file).1;
    let whole = &section[..4 + word(section, 0)];
    let len = whole.len();
    let refused = |at: usize, with: &[u8]| {
        let mut entry = whole.to_vec();
        entry[at..at + with.len()].copy_from_slice(with);
        match load(&with_entries(&file, &[entry])) {
            Err(Error::Cache(why)) => {
                why.split_once(" cannot be loaded: ").unwrap().1.split(';').next().unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        }
    };
    let left = len.next_multiple_of(8) - 4;
    for size in [0, 7, left + 1, u32::MAX as usize] {
        let why = format!("entry 0: by its size it has {size} bytes, {left} are left and 8 are the least");
        assert_eq!(refused(0, &u32::try_from(size).unwrap().to_le_bytes()), why);
    }
    let past = |what: &str| format!("{what} leads past the end of the buffer, which has {len} bytes");
    assert_eq!(refused(4, &[0xFF; 4]), past("entry 0 at byte 4: its offset"));
    assert_eq!(refused(8, b"RCSS"), "entry 0: its file identifier is not RCCE");
    let table = 4 + word(whole, 4);
    assert_eq!(refused(table, &[0, 0, 0, 0x80]), past("entry 0 at byte 12: its vtable"));
    // The key's offset is after the cost.
    let key = table + 4 + 8;
    assert_eq!(refused(key, &[0xFF; 4]), past(&format!("entry 0: its key at byte {key}: its offset")));
    // As strict as the format: a table's fields are in it.
    let vtable = table + word(whole, table).wrapping_neg() % (1 << 32);
    let why = format!("entry 0: its key at byte {key}: it is outside its table, which has 4 bytes from byte {table}");
    assert_eq!(refused(vtable + 2, &[4, 0]), why);
}
