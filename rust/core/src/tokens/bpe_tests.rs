//! The two mergers against one another and against the definition.

use proptest::prelude::*;

use super::*;
use crate::tokens::vocab;

/// The definition: join the adjacent pair of lowest rank, leftmost first, until none joins.
fn by_definition(bpe: &Bpe, piece: &[u8]) -> Vec<u32> {
    let mut ids: Vec<u32> = piece.iter().map(|&byte| bpe.byte_ids[byte as usize]).collect();
    loop {
        let ranks = ids.windows(2).map(|pair| bpe.rank(pair[0], pair[1]));
        match ranks.zip(0..).min() {
            Some((rank, at)) if rank != NONE => {
                ids[at] = bpe.joined[rank as usize];
                ids.remove(at + 1);
            }
            _ => return ids,
        }
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let runs =
        (prop::sample::select(vec!["a", "ab", "the", " ", "\n", "==", "\u{4f60}\u{597d}", "\u{1f600}"]), 1..40_usize);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..300),
        prop::collection::vec(prop::sample::select(b"etaoin shrdlu".to_vec()), 1..400),
        prop::collection::vec(runs, 1..6)
            .prop_map(|runs| runs.into_iter().flat_map(|(s, n)| s.repeat(n).into_bytes()).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_mergers_follow_the_definition(piece in text()) {
        for bpe in [vocab::o200k(), vocab::cl100k()] {
            let expected = by_definition(&bpe, &piece);
            prop_assert_eq!(&bpe.merge_long(&piece), &expected);
            if piece.len() <= SHORT {
                let mut ids = [0; SHORT];
                let n = bpe.merge_short(&piece, &mut ids);
                prop_assert_eq!(&ids[..n], &expected);
            }
            let mut encoded = Vec::new();
            bpe.encode(&piece, &mut encoded);
            prop_assert_eq!(&encoded, &expected);
            prop_assert_eq!(bpe.count(&piece), expected.len());
        }
    }
}

#[test]
fn refuses_tokens_that_cannot_be_stored() {
    let mut tokens = Tokens::default();
    assert!(tokens.insert(3, b"a"));
    assert!(!tokens.insert(3, b"b"));
    assert!(!tokens.insert(4, b""));
    assert!(!tokens.insert(1 << ID_BITS, b"b"));
    assert!(!tokens.push_joined(0, 3));
    assert!(tokens.push_joined(3, 3));
    assert_eq!(tokens.get(4), Some(&b"aa"[..]));
}
