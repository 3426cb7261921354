//! The mergers against one another and against the definition.

use proptest::prelude::*;

use super::*;
use crate::tokens::vocab;

impl Merges {
    /// The definition: join the adjacent pair of lowest rank, leftmost first, until none joins.
    pub(in crate::tokens) fn by_definition(&self, piece: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> = piece.iter().map(|&byte| self.byte_ids[byte as usize]).collect();
        loop {
            let ranks = ids.windows(2).map(|pair| self.rank(pair[0], pair[1]));
            match ranks.zip(0..).min() {
                Some((rank, at)) if rank != NONE => {
                    ids[at] = self.joined(rank);
                    ids.remove(at + 1);
                }
                _ => return ids,
            }
        }
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let runs =
        (prop::sample::select(vec!["a", "ab", "the", " ", "\n", "==", "\u{4f60}\u{597d}", "\u{1f600}"]), 1..80_usize);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..300),
        prop::collection::vec(prop::sample::select(b"etaoin shrdlu".to_vec()), 1..400),
        prop::collection::vec(prop::sample::select(b"ab ".to_vec()), 1..400),
        prop::collection::vec(runs, 1..6)
            .prop_map(|runs| runs.into_iter().flat_map(|(s, n)| s.repeat(n).into_bytes()).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn all_mergers_follow_the_definition(piece in bytes()) {
        for bpe in [vocab::o200k(), vocab::cl100k()] {
            let (merges, tokens) = bpe.merges();
            let expected = merges.by_definition(&piece);
            let mut ids = Vec::new();
            merges.heap(&piece, &mut ids);
            prop_assert_eq!(&ids, &expected);
            ids.clear();
            if merges.windows(tokens, &piece, &mut ids) {
                prop_assert_eq!(&ids, &expected);
            }
            ids.clear();
            merges.encode(tokens, &piece, &mut ids);
            prop_assert_eq!(&ids, &expected);
            prop_assert_eq!(merges.count(tokens, &piece), expected.len());
        }
    }
}

#[test]
fn windows_lead_to_the_end_of_any_run() {
    for unit in ["a", " ", "^", "\n", "ab", "\u{4f60}", "\u{1f600}"] {
        let piece = unit.repeat(20_000);
        let bpe = vocab::o200k();
        let (merges, tokens) = bpe.merges();
        let (mut ids, mut expected) = (Vec::new(), Vec::new());
        assert!(merges.windows(tokens, piece.as_bytes(), &mut ids), "{unit:?}");
        merges.heap(piece.as_bytes(), &mut expected);
        assert_eq!(ids, expected, "{unit:?}");
    }
}

/// Merges of bytes 0..n that each join what the next one made: where a token ends depends on the far right.
fn chain(n: u8) -> (Merges, Tokens) {
    let mut byte_ids = [0; 256];
    byte_ids.iter_mut().zip(0..).for_each(|(id, byte)| *id = byte);
    let mut tokens = Tokens::default();
    (0..=255).for_each(|byte: u8| assert!(tokens.insert(usize::from(byte), &[byte])));
    let mut merges = Vec::new();
    for (left, id) in (0..n).rev().zip(256..) {
        assert!(tokens.push_joined(usize::from(left), usize::from(left) + 1));
        merges.push([u32::from(left), u32::from(left) + 1, id]);
    }
    (Merges::new(&byte_ids, &merges), tokens)
}

#[test]
fn windows_that_lead_nowhere_are_given_up() {
    let (merges, tokens) = chain(250);
    let mut n_given_up = 0;
    for from in 0..40 {
        let piece: Vec<u8> = (from..=250).chain(200..251).collect();
        let mut ids = Vec::new();
        n_given_up += usize::from(!merges.windows(&tokens, &piece, &mut ids));
        ids.clear();
        merges.encode(&tokens, &piece, &mut ids);
        assert_eq!(ids, merges.by_definition(&piece));
    }
    assert!(n_given_up > 0);
}

#[test]
fn merges_may_use_what_is_made_later() {
    let mut bytes = [0; 256];
    bytes.iter_mut().zip(0..).for_each(|(id, byte)| *id = byte);
    let mut tokens = Tokens::default();
    (0..=255).for_each(|byte: u8| assert!(tokens.insert(usize::from(byte), &[byte])));
    assert!(tokens.push_joined(97, 98) && tokens.push_joined(256, 99));
    let unordered = Merges::new(&bytes, &[[256, 99, 257], [97, 98, 256]]);
    let piece = b"abcab".repeat(60);
    let mut ids = Vec::new();
    unordered.encode(&tokens, &piece, &mut ids);
    assert_eq!(ids, unordered.by_definition(&piece));
}
