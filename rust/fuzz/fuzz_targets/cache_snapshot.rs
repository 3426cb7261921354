//! Any edits to a snapshot, behind right checksums: an error, or a cache that works, all of whose entries the official library verifies.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::{env, fs, process};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rolecore_core::cache::{Address, Cache, Item, New, Overrides, Policy, Scope, Settings, Shown, Value};
use rolecore_core::index::{Query, Row};

#[path = "../../core/tests/wire/mod.rs"]
mod wire;

use wire::cache_entry::size_prefixed_root_as_cache_entry;

const HEADER: usize = 128;
const SECTIONS_AT: usize = 56;

#[derive(Debug, Arbitrary)]
struct Case {
    edits: Vec<(u16, u8)>,
    len: Option<u16>,
    tail: Vec<u8>,
    are_checksums_right: bool,
}

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| env::temp_dir().join(format!("rolecore-fuzz-snapshot-{}", process::id())));

/// A snapshot of a few entries of all kinds.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let settings =
        Settings { dim: 4, capacity: 9, max_bytes: usize::MAX, time_to_live_ns: None, policy: Policy::S3Fifo };
    let cache: Cache<Shown> = Cache::new(settings).expect("there is a limit");
    let values = [Value::Nothing, Value::Bytes(b"\0\xff"[..].into()), Value::Text("an answer".as_bytes().into())];
    for (i, value) in (0_u8..).zip(values) {
        let row = Row::unit(&[f32::from(i), 1.0, 2.0, 3.0]).expect("finite and not zero");
        let key = [b'k', i];
        let mut new = New {
            at: Address { scope: Scope { tenant: b"t", model_id: b"" }, key: &key },
            item: Item::new(&key, value, row, f64::from(i)).into(),
            face: None,
            is_pinned: i == 1,
            time_to_live_ns: (i == 2).then_some(1_000_000_000_000),
        };
        cache.run(|store| store.put(&mut new, Some(0))).expect("it works").expect("it fits");
    }
    cache.save(&FILE, Some(0), 1000).expect("a temporary file can be written");
    fs::read(&*FILE).expect("it was written")
});

fn put_checksums(bytes: &mut [u8]) {
    let mut at = HEADER;
    for section in 0..2 {
        let place = SECTIONS_AT + 16 * section;
        let Some(len) = bytes.get(place..place + 8) else { return };
        let len = u64::from_le_bytes(len.try_into().expect("8 bytes"));
        let Ok(len) = usize::try_from(len) else { return };
        let Some(end) = len.checked_next_multiple_of(64).and_then(|len| at.checked_add(len)) else { return };
        let Some(section) = bytes.get(at..end) else { return };
        let checksum = crc32fast::hash(section).to_le_bytes();
        bytes[place + 8..place + 12].copy_from_slice(&checksum);
        at = end;
    }
    let checksum = crc32fast::hash(&bytes[..HEADER - 4]).to_le_bytes();
    bytes[HEADER - 4..HEADER].copy_from_slice(&checksum);
}

/// The official library verifies the entries one by one.
fn check_entries(bytes: &[u8]) {
    let number = |at: usize, n: usize| {
        let mut number = [0; 8];
        number[..n].copy_from_slice(&bytes[at..at + n]);
        usize::try_from(u64::from_le_bytes(number)).expect("what was loaded fits into memory")
    };
    let mut at = HEADER + number(SECTIONS_AT, 8).next_multiple_of(64);
    let end = at + number(SECTIONS_AT + 16, 8);
    while at < end {
        let next = at + 4 + number(at, 4);
        size_prefixed_root_as_cache_entry(&bytes[at..next]).expect("it was loaded");
        at = next.next_multiple_of(8);
    }
}

fuzz_target!(|case: Case| {
    let mut bytes = WHOLE.clone();
    for (at, with) in case.edits {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= with;
    }
    bytes.truncate(case.len.map_or(usize::MAX, usize::from));
    bytes.extend_from_slice(&case.tail);
    if case.are_checksums_right && bytes.len() >= HEADER {
        put_checksums(&mut bytes);
    }
    fs::write(&*FILE, &bytes).expect("a temporary file can be written");
    let Ok(cache) = Cache::<Shown>::load(&FILE, Overrides::default(), Some(0), 1000) else { return };
    check_entries(&bytes);
    let query = vec![1.0; cache.dim()];
    let query = Query::new(&query).expect("finite and not zero");
    let found = cache.search(Scope { tenant: b"t", model_id: b"" }, &query, 9, Some(0)).expect("no operation failed");
    assert!(found.len() <= cache.run(|store| store.len(Some(0))).expect("no operation failed"));
});
