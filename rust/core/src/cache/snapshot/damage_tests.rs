//! Damaged snapshots: no file does harm, whatever its checksums say.

use std::fs;

use proptest::prelude::*;

use super::tests::{Folder, NO_LIMIT, NOW, Put, WALL, cache_of, check, small};
use super::*;
use crate::error::Error;

/// Makes all checksums right, as the format says: what is behind them is read then.
fn with_right_checksums(bytes: &mut [u8]) {
    let mut start = HEADER;
    for section in (SECTIONS_AT..CHECKSUM_AT).step_by(16).take(SECTIONS.len()) {
        let Some(len) = bytes.get(section..section + 8) else { return };
        let len = usize::try_from(u64::from_le_bytes(len.try_into().unwrap())).unwrap();
        let end = start.checked_add(len).and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
        let Some(content) = end.and_then(|end| bytes.get(start..end)) else { break };
        let checksum = crc32fast::hash(content);
        start += content.len();
        bytes[section + 8..section + 12].copy_from_slice(&checksum.to_le_bytes());
    }
    if bytes.len() >= HEADER {
        let checksum = crc32fast::hash(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..HEADER].copy_from_slice(&checksum.to_le_bytes());
    }
}

proptest! {
    #[test]
    fn any_edits_behind_right_checksums_are_refused_or_make_a_cache(
        edits in prop::collection::vec((any::<prop::sample::Index>(), edit()), 1..5),
        resized in prop::option::weighted(0.2, 0..1200_usize),
    ) {
        let mut bytes = small();
        if let Some(len) = resized {
            bytes.resize(len, 0);
        }
        for (at, edit) in &edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len()) / edit.len() * edit.len();
            let len = edit.len().min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&edit[..len]);
        }
        with_right_checksums(&mut bytes);
        match Folder::new().load(&bytes) {
            Ok(cache) => check(&cache),
            Err(error) => prop_assert!(matches!(error, Error::Cache(_)), "{error:?}"),
        }
    }
}

/// A byte, or a number of 4 or 8 bytes that is likely to do harm.
fn edit() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(1 << 63),
        Just(u64::MAX - 63),
        0..70_u64,
        any::<u64>(),
        any::<f64>().prop_map(f64::to_bits)
    ];
    prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        size.clone().prop_map(|n| n.to_le_bytes().to_vec()),
        size.prop_map(|n| n.to_le_bytes()[..4].to_vec()),
        any::<f32>().prop_map(|x| x.to_le_bytes().to_vec()),
    ]
}

#[test]
fn every_single_change_is_found() {
    let folder = Folder::new();
    let bytes = small();
    assert_eq!(folder.load(&bytes).unwrap().run(|store| store.len(Some(NOW))), Ok(3));
    let is_refused = |bytes: &[u8]| matches!(folder.load(bytes), Err(Error::Cache(_)));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        for mask in [1, 0x80, 0xff] {
            changed[at] = bytes[at] ^ mask;
            assert!(is_refused(&changed), "byte {at} ^ {mask}");
        }
        assert!(is_refused(&bytes[..at]), "cut to {at}");
        changed.copy_from_slice(&bytes);
        changed.insert(at, 0);
        assert!(is_refused(&changed), "a zero before {at}");
    }
    assert!(is_refused(&[&bytes[..], &[0]].concat()));
    assert!(is_refused(&[&bytes[..], &[0; 64]].concat()));
}

#[test]
fn every_single_change_behind_right_checksums_is_found_or_makes_a_cache() {
    let folder = Folder::new();
    let bytes = small();
    let mut n_caches = 0;
    for at in 0..bytes.len() {
        for mask in [1, 0x40, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            with_right_checksums(&mut changed);
            match folder.load(&changed) {
                Ok(cache) => {
                    check(&cache);
                    n_caches += 1;
                }
                Err(error) => assert!(matches!(error, Error::Cache(_)), "byte {at} ^ {mask}: {error:?}"),
            }
        }
    }
    assert!(n_caches > 300, "{n_caches}: checksums were right");
}

/// Where the entries of `small` begin: after three rows.
const ENTRIES: usize = HEADER + 64;

/// Where in an entry a field is, by its number in the schema.
fn field(bytes: &[u8], entry: usize, number: usize) -> usize {
    let start = (0..entry).fold(ENTRIES, |at, _| at + (4 + word(bytes, at)).next_multiple_of(8));
    let table = start + 4 + word(bytes, start + 4);
    // The distance back is negative: the vtable lies after the table.
    let vtable = table + word(bytes, table).wrapping_neg() % (1 << 32);
    table + word(bytes, vtable + 4 + 2 * number) % (1 << 16)
}

/// Where the length is of the bytes that a field leads to.
fn led_to(bytes: &[u8], entry: usize, number: usize) -> usize {
    let at = field(bytes, entry, number);
    at + word(bytes, at)
}

fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize
}

#[test]
fn what_is_wrong_is_named() {
    let [key, value, tenant, model_id, cost, age] = [1, 2, 5, 6, 7, 10];
    let folder = Folder::new();
    let bytes = small();
    let refused = |at: usize, new: &[u8]| {
        let mut changed = bytes.clone();
        changed[at..at + new.len()].copy_from_slice(new);
        with_right_checksums(&mut changed);
        match folder.load(&changed) {
            Err(Error::Cache(why)) => why,
            other => panic!("{at}: {other:?}"),
        }
    };
    for (at, new, why) in [
        (0, &b"PK\x03\x04"[..], "no snapshot of a vector cache"),
        (8, &[2], "its format is of version 2, this release reads 1"),
        (12, &[0; 4], "setting"),
        (16, &[0; 8], "setting"),
        (48, &[3], "setting"),
        (52, &[1], "setting"),
        (56, &[0xff; 8], "section"),
        (56, &[4], "its rows have 4 bytes, a row has 16"),
        (HEADER, &f32::NAN.to_le_bytes(), "entry 0: its vector"),
        (HEADER, &0.9_f32.to_le_bytes(), "entry 0: its vector"),
        (ENTRIES, &[0xff; 4], "entry 0: by its size"),
        (ENTRIES + 8, b"RCSS", "entry 0: its file identifier"),
        (field(&bytes, 0, cost), &(-1.0_f64).to_le_bytes(), "entry 0: its cost"),
        (field(&bytes, 1, cost), &f64::INFINITY.to_le_bytes(), "entry 1: its cost or priority"),
        (field(&bytes, 0, key), &[0xff; 4], "entry 0: its key"),
        (led_to(&bytes, 0, key), &[0xff; 4], "entry 0: its key"),
        (led_to(&bytes, 0, key) + 4, &[0xff], "entry 0: its key is no text"),
        (led_to(&bytes, 0, value), &[0xff; 4], "entry 0: its value"),
        (led_to(&bytes, 1, value) + 4, &[0xff], "entry 1: its value is no text"),
        (led_to(&bytes, 1, tenant) + 4, &[0xff], "entry 1: its tenant or model_id is no text"),
        (led_to(&bytes, 0, model_id) + 4, &[0xff], "entry 0: its tenant or model_id is no text"),
        (field(&bytes, 0, age), &[2], "same age"),
    ] {
        let message = refused(at, new);
        assert!(message.contains(why), "{at}: {message}");
        assert!(!message.contains("nothing") && !message.contains("acme"), "names no key: {message}");
    }
}

#[test]
fn two_entries_of_one_key_are_refused() {
    let folder = Folder::new();
    let cache = cache_of(NO_LIMIT, &[Put::key("a"), Put::key("b")]);
    cache.save(&folder.file(), Some(NOW), WALL).unwrap();
    let mut bytes = fs::read(folder.file()).unwrap();
    let at = bytes.windows(5).position(|window| window == b"\x01\0\0\0a").unwrap();
    bytes[at + 4] = b'b';
    with_right_checksums(&mut bytes);
    assert!(matches!(folder.load(&bytes), Err(Error::Cache(why)) if why.contains("same key")));
}
