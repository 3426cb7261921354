//! Any bytes, and any edits to what the official library writes: our reader gives errors or values, and what it verifies the
//! official library verifies and reads alike.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/snapshots/mod.rs"]
mod snapshots;
#[path = "../../core/tests/wire/mod.rs"]
mod wire;

use snapshots::{Call, Said, Session, Style, check, write};

#[derive(Debug, Arbitrary)]
enum Case {
    /// Behind a root's offset and the identifier.
    Bytes(Vec<u8>),
    Edited {
        which: u8,
        /// Words and what is added to them, so that 4 moves an offset by a word; most words are offsets.
        words: Vec<(u16, i8)>,
        bytes: Vec<(u16, u8)>,
        len: Option<u16>,
        tail: Vec<u8>,
    },
}

/// A session with something of everything, as the official library writes it.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let texts = |n: u8| (n < 3).then(|| ["", "text", "文字"][usize::from(n)].to_owned());
    let call = |n| Call { texts: [texts(n), texts(n + 1), texts(1), texts(2)], is_custom: n > 0 };
    let said = |n| Said {
        role: n,
        texts: [texts(n), texts(3 - n.min(3)), texts(1), texts(2), texts(n + 1), texts(n)],
        calls: (n > 0).then(|| (1..n).map(call).collect()),
        tokens: n.into(),
        is_pinned: n > 2,
        time_ms: i64::from(n) << 40,
        nulls: n,
    };
    let session = Session {
        texts: [texts(1), texts(2), texts(3), texts(0)],
        turns: Some((0..5).map(said).collect()),
        dim: 2,
        vectors: Some(vec![0.5; 6]),
        payload: Some(vec![7; 3]),
        times: [1, -1],
    };
    let write = |order: u16| {
        let style =
            Style { order, has_defaults: order & 1 == 0, shares_texts: order & 2 == 0, is_newer: order & 4 == 0 };
        let bytes = write(&session, style);
        assert!(check(&bytes), "{style:?}");
        bytes
    };
    (0..8).map(write).collect()
});

fuzz_target!(|case: Case| {
    let bytes = match case {
        Case::Bytes(rest) => [&b"\x08\0\0\0RCSS"[..], &rest].concat(),
        Case::Edited { which, words, bytes: singles, len, tail } => {
            let mut bytes = WHOLE[usize::from(which) % WHOLE.len()].clone();
            for (at, by) in words {
                let word = usize::from(at) % (bytes.len() / 4);
                let word = &mut bytes[4 * word..4 * word + 4];
                let new = u32::from_le_bytes(word.try_into().expect("4 bytes")).wrapping_add_signed(by.into());
                word.copy_from_slice(&new.to_le_bytes());
            }
            for (at, with) in singles {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= with;
            }
            bytes.truncate(len.map_or(usize::MAX, usize::from));
            bytes.extend_from_slice(&tail);
            bytes
        }
    };
    check(&bytes);
});
