//! The reader of snapshots against the official library: on all that it writes, and on damage.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod snapshots;
mod wire;

use proptest::prelude::*;
use proptest::sample::Index;
use rolecore_core::codec::{Snapshot, verify};
use snapshots::{Call, Said, Session, Style, assert_same, check, write};

fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        2 => Just(None),
        1 => Just(Some(String::new())),
        2 => "[a-z]{1,3}".prop_map(Some),
        2 => any::<String>().prop_map(Some),
    ]
}

fn texts<const N: usize>() -> impl Strategy<Value = [Option<String>; N]> {
    prop::collection::vec(text(), N).prop_map(|texts| texts.try_into().unwrap())
}

/// Its default half of the time.
fn number<T: Arbitrary + Default + Clone>() -> impl Strategy<Value = T> {
    prop_oneof![Just(T::default()), any::<T>()]
}

fn call() -> impl Strategy<Value = Call> {
    (texts(), any::<bool>()).prop_map(|(texts, is_custom)| Call { texts, is_custom })
}

prop_compose! {
    fn said()(
        role in 0..5_u8,
        texts in texts(),
        calls in prop::option::of(prop::collection::vec(call(), 0..3)),
        tokens in number(),
        is_pinned in any::<bool>(),
        time_ms in number(),
        nulls in 0..32_u8,
    ) -> Said {
        Said { role, texts, calls, tokens, is_pinned, time_ms, nulls }
    }
}

prop_compose! {
    fn session()(
        texts in texts(),
        turns in prop::option::of(prop::collection::vec(said(), 0..5)),
        (dim, n_vectors) in (0..5_u16, 0..4_u16),
        has_vectors in any::<bool>(),
        payload in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
        times in [number(), number()],
    ) -> Session {
        let vectors = has_vectors.then(|| (0..dim * n_vectors).map(|n| f32::from(n) - 1.5).collect());
        Session { texts, turns, dim: dim.into(), vectors, payload, times }
    }
}

prop_compose! {
    fn style()(has_defaults: bool, shares_texts: bool, order: u16, is_newer: bool) -> Style {
        Style { has_defaults, shares_texts, order, is_newer }
    }
}

/// What damage does; places are chosen once the length is known.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    /// A word, most often where words are.
    Word(Index, u32),
    /// A word that leads somewhere within the buffer.
    Lead(Index, Index),
    Truncate(Index),
    /// Bytes over others.
    Copy(Index, Index, usize),
    Remove(Index, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        if len < 8 {
            return;
        }
        let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        match self {
            Self::Flip(at, with) => bytes[at.index(len)] ^= with,
            Self::Word(at, word) => put(at.index(len / 4) * 4, *word),
            Self::Lead(at, to) => put(at.index(len / 4) * 4, u32::try_from(to.index(len)).unwrap()),
            Self::Truncate(at) => bytes.truncate(at.index(len)),
            Self::Copy(from, to, n) => {
                let (from, to) = (from.index(len), to.index(len));
                bytes.copy_within(from..from + (*n).min(len - from.max(to)), to);
            }
            Self::Remove(at, n) => {
                let at = at.index(len);
                bytes.drain(at..at + (*n).min(len - at));
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<Index>;
    let odd =
        prop::sample::select(vec![0, 1, 2, 3, 4, 5, 0xFF, 0x7FFF_FFFF, 0x8000_0000, u32::MAX, u32::MAX - 3, 1 << 30]);
    prop_oneof![
        4 => (at(), 0..8_u32).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        2 => (at(), any::<u8>()).prop_map(|(at, with)| Damage::Flip(at, with)),
        2 => (at(), odd).prop_map(|(at, word)| Damage::Word(at, word)),
        2 => (at(), at()).prop_map(|(at, to)| Damage::Lead(at, to)),
        1 => at().prop_map(Damage::Truncate),
        1 => (at(), at(), 1..32_usize).prop_map(|(from, to, n)| Damage::Copy(from, to, n)),
        1 => (at(), 1..9_usize).prop_map(|(at, n)| Damage::Remove(at, n)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn reads_what_the_official_library_writes(session in session(), style in style()) {
        let bytes = write(&session, style);
        let theirs = wire::snapshot::root_as_snapshot(&bytes).unwrap();
        assert_same(Snapshot::open(&bytes).unwrap(), theirs);
        prop_assert!(check(&bytes));
        // Nor does it matter where in memory they lie.
        for shift in 1..4 {
            let shifted = [&vec![0; shift], &*bytes].concat();
            assert_same(verify(&shifted[shift..]).unwrap(), theirs);
        }
    }

    #[test]
    fn damage_gives_errors_or_what_the_official_library_reads(
        session in session(),
        style in style(),
        damage in prop::collection::vec(damage(), 1..6),
    ) {
        let mut bytes = write(&session, style);
        for damage in damage {
            damage.apply(&mut bytes);
            check(&bytes);
        }
    }

    #[test]
    fn any_bytes_behind_the_identifier_give_errors_or_values(mut bytes in prop::collection::vec(prop_oneof![0..16_u8, any::<u8>()], 8..200)) {
        bytes[4..8].copy_from_slice(b"RCSS");
        check(&bytes);
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_read_safely() {
    let said = Said {
        texts: ["text", "[]", "name", "refusal", "call-1", "{}"].map(|text| Some(text.to_owned())),
        calls: Some(vec![Call { texts: ["a", "b", "c", "d"].map(|text| Some(text.to_owned())), is_custom: true }]),
        tokens: 7,
        is_pinned: true,
        time_ms: 1,
        nulls: 31,
        ..Said::default()
    };
    let session = Session { turns: Some(vec![said; 3]), vectors: Some(vec![1.0; 8]), dim: 4, ..Session::default() };
    let mut bytes = write(&session, Style::default());
    assert!(check(&bytes));
    for len in 0..bytes.len() {
        // All but the padding at the end is needed.
        assert!(!check(&bytes[..len]) || bytes[len..].iter().all(|&byte| byte == 0), "{len} of {}", bytes.len());
    }
    for bit in 0..8 * bytes.len() {
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}
