//! Snapshots made by hand to mislead a reader: what it says of them, and that it says it soon.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod snapshots;
mod wire;

use std::fmt::Debug;

use rolecore_core::codec::{Snapshot, VERSION, verify};
use rolecore_core::{Error, Result, Role};
use snapshots::{Call, Said, Session, Style, check, write};

const TABLE: usize = 8;

/// A snapshot of a root table at byte 8, its vtable after it, and what comes then.
///
/// `fields` are slots and what is in the table for them, each at the next multiple of its size.
fn root(fields: &[(usize, &[u8])], rest: &[u8]) -> Vec<u8> {
    let (mut table, mut vtable) = (vec![0; 4], vec![0; 4]);
    for (slot, value) in fields {
        table.resize(table.len().next_multiple_of(value.len()), 0);
        let end = 4 + 2 * slot + 2;
        vtable.resize(vtable.len().max(end), 0);
        vtable[end - 2..end].copy_from_slice(&short(table.len()));
        table.extend_from_slice(value);
    }
    let (table_len, vtable_len) = (short(table.len()), short(vtable.len()));
    vtable[..4].copy_from_slice(&[vtable_len, table_len].concat());
    table.resize(table.len().next_multiple_of(4), 0);
    let to_vtable = -i32::try_from(table.len()).unwrap();
    table[..4].copy_from_slice(&to_vtable.to_le_bytes());
    vtable.resize(vtable.len().next_multiple_of(4), 0);
    [&word(TABLE)[..], b"RCSS", &table, &vtable, rest].concat()
}

fn word(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap().to_le_bytes()
}

fn short(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap().to_le_bytes()
}

/// Where the rest begins after a root with one field of 4 bytes in that slot.
fn rest_after(slot: usize) -> usize {
    TABLE + 8 + (4 + 2 * slot + 2).next_multiple_of(4)
}

/// A root with one field, an offset to what comes last.
fn leading(slot: usize, rest: &[u8]) -> Vec<u8> {
    root(&[(slot, &word(rest_after(slot) - (TABLE + 4)))], rest)
}

const SESSION_ID: usize = 1;
const TURNS: usize = 4;
const VECTOR_DIM: usize = 6;
const VECTORS: usize = 7;
const PAYLOAD: usize = 8;

/// The message of a snapshot's fault, which says what and where.
fn fault<T: Debug>(result: Result<T>) -> String {
    match result {
        Err(Error::Codec(why)) => why,
        other => panic!("no fault of a snapshot: {other:?}"),
    }
}

fn damaged(what: &str) -> String {
    format!("{what}; the snapshot is damaged, take another copy of it")
}

#[test]
fn an_empty_snapshot_is_all_defaults() {
    let bytes = root(&[], &[]);
    assert!(check(&bytes));
    let empty = Snapshot::open(&bytes).unwrap();
    assert_eq!((empty.version(), empty.vector_dim(), empty.created_ms()), (Ok(1), Ok(0), Ok(0)));
    assert_eq!((empty.session_id(), empty.vectors(), empty.payload()), (Ok(None), Ok(None), Ok(None)));
    let turns = empty.turns().unwrap();
    assert_eq!((turns.len(), turns.is_empty(), turns.iter().count()), (0, true, 0));
    let why = "index is 0; it must be less than 0".to_owned();
    assert_eq!(turns.get(0).map(|_| ()), Err(Error::Argument(why)));

    // A turn too: user is the default of its role.
    let bytes = write(
        &Session { turns: Some(vec![Said { role: 2, ..Said::default() }]), ..Session::default() },
        Style::default(),
    );
    let turn = Snapshot::open(&bytes).unwrap().turns().unwrap().get(0).unwrap();
    assert_eq!((turn.role(), turn.tokens(), turn.is_pinned()), (Ok(Role::User), Ok(0), Ok(false)));
    assert!(turn.tool_calls().unwrap().is_none());
}

#[test]
fn what_is_no_snapshot_is_not_opened() {
    for len in 0..8 {
        let why = format!("the buffer has {len} bytes, a snapshot has 8 to 2147483647; pass all bytes of one snapshot");
        assert_eq!(fault(Snapshot::open(&vec![0; len])), why);
    }
    // Zeroed memory that nobody touches takes none.
    #[cfg(target_pointer_width = "64")]
    assert!(
        fault(Snapshot::open(&vec![0; 1 << 31])).starts_with("the buffer has 2147483648 bytes, a snapshot has 8 to")
    );
    let why = "the buffer is no snapshot: its bytes 4 to 8 are not RCSS; pass what encode_snapshot returned";
    assert_eq!(fault(Snapshot::open(b"\x08\0\0\0RCSs\0\0\0\0")), why);
    let why = "the snapshot's version is 2, this release reads up to 1; upgrade rolecore";
    assert_eq!(fault(Snapshot::open(&root(&[(0, &(VERSION + 1).to_le_bytes())], &[]))), why);
    assert!(check(&root(&[(0, &VERSION.to_le_bytes())], &[])));
}

#[test]
fn a_root_that_is_not_there_is_not_opened() {
    let opened = |bytes: &[u8]| fault(Snapshot::open(bytes));
    let past = |what, n| format!("{what} leads past the end of the buffer, which has {n} bytes");
    let mut bytes = root(&[], &[]);
    let len = bytes.len();
    for offset in [u32::MAX, 1 << 31, u32::try_from(len).unwrap()] {
        bytes[..4].copy_from_slice(&offset.to_le_bytes());
        assert_eq!(opened(&bytes), damaged(&format!("snapshot at byte 0: {}", past("its offset", len))));
    }
    bytes[..4].copy_from_slice(&word(len - 1));
    assert_eq!(opened(&bytes), damaged(&format!("snapshot at byte {}: {}", len - 1, past("the table", len))));

    let with_vtable = |to_vtable: i32| {
        let mut bytes = root(&[], &[]);
        bytes[TABLE..TABLE + 4].copy_from_slice(&to_vtable.to_le_bytes());
        opened(&bytes)
    };
    assert_eq!(with_vtable(9), damaged("snapshot at byte 8: its vtable is before the buffer"));
    assert_eq!(with_vtable(i32::MAX), damaged("snapshot at byte 8: its vtable is before the buffer"));
    for to_vtable in [i32::MIN, -8, -7] {
        assert_eq!(with_vtable(to_vtable), damaged(&format!("snapshot at byte 8: {}", past("its vtable", len))));
    }
    for len in [0, 1, 2, 3, 5] {
        let mut bytes = root(&[], &[]);
        bytes[12..14].copy_from_slice(&short(len));
        let why = format!("snapshot at byte 12: its vtable has {len} bytes, it must have an even number of at least 4");
        assert_eq!(opened(&bytes), damaged(&why));
    }
    let mut bytes = root(&[], &[]);
    bytes[12..14].copy_from_slice(&short(6));
    assert_eq!(opened(&bytes), damaged(&format!("snapshot at byte 8: {}", past("its vtable", len))));
}

#[test]
fn a_vtable_lies_anywhere() {
    // Before its table, and in it, where entries are whatever the table's bytes are.
    let before = [&word(16)[..], b"RCSS", &[6, 0, 6, 0, 4, 0, 0, 0], &word(8), &[1, 0, 0, 0]].concat();
    assert!(check(&before));
    let within = [&word(8)[..], b"RCSS", &(-4_i32).to_le_bytes(), &[4, 0, 8, 0]].concat();
    assert!(check(&within));
    // The table is its own vtable, of no even length.
    assert!(Snapshot::open(&[&word(8)[..], b"RCSS", &[0; 8]].concat()).is_err());
}

#[test]
fn counts_and_offsets_that_lead_out_are_refused_where_they_are_read() {
    let at = rest_after(SESSION_ID);
    let mut bytes = leading(SESSION_ID, b"\x03\0\0\0abc\0");
    assert_eq!(Snapshot::open(&bytes).unwrap().session_id(), Ok(Some("abc")));
    for count in [5, 1 << 30, u32::MAX] {
        bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
        let why = damaged(&format!("session_id at byte {at}: it has {count} elements of 1 bytes, 4 bytes follow"));
        let opened = Snapshot::open(&bytes).unwrap();
        assert_eq!(fault(opened.session_id()), why);
        assert_eq!(fault(verify(&bytes)), why);
        // The rest is not touched by it.
        assert_eq!((opened.summary(), opened.updated_ms()), (Ok(None), Ok(0)));
    }
    for offset in [u32::MAX, 1 << 31, 18] {
        let bytes = root(&[(SESSION_ID, &offset.to_le_bytes())], b"\0\0\0\0");
        let n = bytes.len();
        let why = damaged(&format!(
            "session_id at byte 12: its offset leads past the end of the buffer, which has {n} bytes"
        ));
        assert_eq!(fault(Snapshot::open(&bytes).unwrap().session_id()), why);
    }
    let at = rest_after(TURNS);
    for count in [1_u32, 1 << 28, 1 << 30, u32::MAX] {
        let bytes = leading(TURNS, &count.to_le_bytes());
        let why = damaged(&format!("turns at byte {at}: it has {count} elements of 4 bytes, 0 bytes follow"));
        assert_eq!(fault(Snapshot::open(&bytes).unwrap().turns()), why);
    }
}

#[test]
fn an_error_names_the_turn_the_call_and_the_byte() {
    let call = Call { texts: [const { None }; 4].map(|_: Option<()>| Some("abcd".to_owned())), is_custom: false };
    let said = Said { calls: Some(vec![call.clone(), call]), ..Said::default() };
    let session = Session { turns: Some(vec![Said::default(), said]), ..Session::default() };
    let whole = write(&session, Style::default());
    let texts: Vec<_> = (0..whole.len()).filter(|&at| whole[at..].starts_with(b"abcd")).collect();
    let mut faults = Vec::new();
    for &at in &texts {
        let mut bytes = whole.clone();
        bytes[at + 2] = 0xFF;
        let why = fault(verify(&bytes));
        let (path, rest) = why.split_once(" at byte ").unwrap();
        assert_eq!(rest, damaged(&format!("{}: it is not UTF-8", at + 2)));
        faults.push(path.to_owned());
    }
    faults.sort();
    let paths = |call| ["arguments", "extra", "id", "name"].map(|name| format!("turns[1].tool_calls[{call}].{name}"));
    assert_eq!(faults, [paths(0), paths(1)].concat());
}

#[test]
fn an_unknown_role_is_an_error_that_names_it() {
    let role = 5;
    let session = Session { turns: Some(vec![Said { role, ..Said::default() }]), ..Session::default() };
    let bytes = write(&session, Style::default());
    let turn = Snapshot::open(&bytes).unwrap().turns().unwrap().get(0).unwrap();
    let why = fault(turn.role());
    assert!(why.starts_with("turns[0].role at byte ") && why.contains(": it is 5, the greatest known is 4; "), "{why}");
    assert_eq!(fault(verify(&bytes)), why);
    assert_eq!(turn.text(), Ok(None));
}

#[test]
fn vectors_are_whole_and_know_their_alignment() {
    let at = rest_after(VECTORS);
    let vectors = |dim: usize, numbers: usize| {
        // From the second field on, which follows the first.
        let to = at + 4 - (TABLE + 8);
        root(&[(VECTOR_DIM, &word(dim)), (VECTORS, &word(to))], &[&word(numbers)[..], &[0; 16]].concat())
    };
    for (dim, numbers) in [(3, 4), (5, 4), (0, 1)] {
        let bytes = vectors(dim, numbers);
        let at = at + 4;
        let why = format!("vectors at byte {at}: it has {numbers} numbers, which is no multiple of vector_dim, {dim}");
        assert_eq!(fault(Snapshot::open(&bytes).unwrap().vectors()), damaged(&why));
        assert_eq!(fault(verify(&bytes)), damaged(&why));
    }
    for (dim, numbers) in [(2, 4), (4, 4), (7, 0), (0, 0)] {
        let bytes = vectors(dim, numbers);
        let found = verify(&bytes).unwrap().vectors().unwrap().unwrap();
        assert_eq!((found.dim as usize, found.bytes.len()), (dim, 4 * numbers));
    }
    let bytes = vectors(4, 4);
    let room = vec![0; bytes.len() + 16];
    for shift in 0..16 {
        let mut shifted = room.clone();
        shifted[shift..shift + bytes.len()].copy_from_slice(&bytes);
        let found = Snapshot::open(&shifted[shift..shift + bytes.len()]).unwrap().vectors().unwrap().unwrap();
        let address = found.bytes.as_ptr().addr();
        assert_eq!(found.is_aligned_to(4), address.is_multiple_of(4));
        assert_eq!(found.is_aligned_to(16), address.is_multiple_of(16));
    }
}

#[test]
fn verify_is_stricter_than_reading() {
    let strict = |bytes: &[u8], why: &str| {
        assert_eq!(fault(verify(bytes)), damaged(why));
        Snapshot::open(bytes).expect("it can be read");
    };
    let at = rest_after(SESSION_ID);
    let unended = leading(SESSION_ID, b"\x03\0\0\0abcd");
    strict(&unended, &format!("session_id at byte {}: no zero byte ends it", at + 7));
    assert_eq!(Snapshot::open(&unended).unwrap().session_id(), Ok(Some("abc")));
    strict(&unended[..at + 7], &format!("session_id at byte {}: no zero byte ends it", at + 7));

    let misaligned = root(&[(SESSION_ID, &word(at + 1 - 12))], b"\0\x02\0\0\0ab\0");
    strict(&misaligned, &format!("session_id at byte {}: it is no multiple of 4 bytes from the beginning", at + 1));
    assert_eq!(Snapshot::open(&misaligned).unwrap().session_id(), Ok(Some("ab")));

    // The payload's field lies at byte 6 of its table.
    let mut bytes = root(&[(PAYLOAD, &word(0)), (VECTOR_DIM, &word(0))], &[]);
    bytes[20 + 4 + 2 * PAYLOAD] = 6;
    strict(&bytes, "payload at byte 14: it is no multiple of 4 bytes from the beginning");

    // A table of fewer bytes than its fields need, than any table has, and of more than there are.
    let mut bytes = root(&[(VECTOR_DIM, &word(7))], &[]);
    assert!(check(&bytes));
    bytes[18] = 6;
    strict(&bytes, "vector_dim at byte 12: it is outside its table, which has 6 bytes from byte 8");
    bytes[18] = 3;
    let most = bytes.len() - TABLE;
    strict(&bytes, &format!("snapshot at byte 8: by its vtable it has 3 bytes, it must have 4 to {most}"));
    bytes[19] = 0xFF;
    strict(&bytes, &format!("snapshot at byte 8: by its vtable it has 65283 bytes, it must have 4 to {most}"));

    // A field where the offset to the vtable is.
    let mut bytes = root(&[(VECTOR_DIM, &word(7))], &[]);
    bytes[16 + 4 + 2 * (VECTOR_DIM - 1)] = 2;
    strict(&bytes, "summary at byte 10: it is outside its table, which has 8 bytes from byte 8");

    // A table at an odd place, and a vtable at one.
    let bytes = [&word(8)[..], b"RCSS", &(-5_i32).to_le_bytes(), &[0, 4, 0, 4, 0, 0, 0, 0]].concat();
    strict(&bytes, "snapshot at byte 8: it or its vtable, at byte 13, is misaligned");
    let bytes = [&word(9)[..], b"RCSS\0", &(-5_i32).to_le_bytes(), &[0, 4, 0, 4, 0]].concat();
    strict(&bytes, "snapshot at byte 9: it or its vtable, at byte 14, is misaligned");
}

/// A snapshot whose turns are all one, of one text.
fn one_turn_over_and_over(n_turns: usize, text: &str) -> Vec<u8> {
    let at = rest_after(TURNS);
    let turn = at + 4 + 4 * n_turns;
    let mut rest = word(n_turns).to_vec();
    for i in 0..n_turns {
        rest.extend_from_slice(&word(turn - (at + 4 + 4 * i)));
    }
    rest.extend_from_slice(&(-8_i32).to_le_bytes());
    // The text is behind the vtable, which is of 8 bytes.
    rest.extend_from_slice(&word(12));
    rest.extend_from_slice(&[[8, 0], [8, 0], [0, 0], [4, 0]].concat());
    rest.extend_from_slice(&word(text.len()));
    rest.extend_from_slice(text.as_bytes());
    rest.push(0);
    leading(TURNS, &rest)
}

#[test]
fn what_is_shared_is_read_but_not_endlessly_verified() {
    let bytes = one_turn_over_and_over(3, "a text");
    assert!(check(&bytes));
    let texts = Snapshot::open(&bytes).unwrap().turns().unwrap();
    let texts: Vec<_> = texts.iter().map(|turn| turn.unwrap().text().unwrap()).collect();
    assert_eq!(texts, [Some("a text"); 3]);

    // 100 GB of text in 2 MB.
    let bytes = one_turn_over_and_over(100_000, &"x".repeat(1_000_000));
    let most = 8 * bytes.len() + (1 << 20);
    let why = format!(
        "the snapshot shares its texts or tables so much that they come to over {most} bytes, 8 times its size; \
         write each text where it is used"
    );
    assert_eq!(fault(verify(&bytes)), why);
    let turns = Snapshot::open(&bytes).unwrap().turns().unwrap();
    assert_eq!(turns.get(99_999).unwrap().text().unwrap().map(str::len), Some(1_000_000));
}

#[test]
fn lists_of_lists_of_the_same_tables_end_the_check() {
    const N: usize = 10_000;
    // All turns are one, with a list of tool calls, which are all one, without fields.
    let list = |after: usize| {
        let offsets = (0..N).flat_map(|i| word(4 * (N - i) + after));
        [word(N).to_vec(), offsets.collect()].concat()
    };
    // The turn: its vtable is behind it, then its list, then a call and its vtable.
    let turn = [(-8_i32).to_le_bytes(), word(20), [short(4 + 2 * 6), short(8)].concat().try_into().unwrap()].concat();
    let vtable_rest = [&[0; 10][..], &short(4)].concat();
    let call = [(-4_i32).to_le_bytes(), [4, 0, 4, 0]].concat();
    let bytes = leading(TURNS, &[list(0), turn, vtable_rest, list(0), call].concat());
    let turns = Snapshot::open(&bytes).unwrap().turns().unwrap();
    let calls = turns.get(N - 1).unwrap().tool_calls().unwrap().unwrap();
    assert_eq!((turns.len(), calls.len(), calls.get(N - 1).unwrap().is_custom()), (N, N, Ok(false)));
    assert!(fault(verify(&bytes)).starts_with("the snapshot shares its texts or tables so much"));
}

#[test]
fn a_field_that_leads_to_itself_is_an_empty_list() {
    let bytes = root(&[(TURNS, &word(0))], &[]);
    assert!(check(&bytes));
    assert!(Snapshot::open(&bytes).unwrap().turns().unwrap().is_empty());
}
