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

#[test]
fn knows_merges_that_use_what_is_made_later() {
    let mut bytes = [0; 256];
    bytes.iter_mut().zip(0..).for_each(|(id, byte)| *id = byte);
    assert!(is_ordered(&bytes, &[[97, 98, 256], [256, 99, 257]]));
    assert!(!is_ordered(&bytes, &[[256, 99, 257], [97, 98, 256]]));
    let unordered = Merges::new(&bytes, &[[256, 99, 257], [97, 98, 256]]);
    let piece = b"abc".repeat(60);
    let mut ids = Vec::new();
    unordered.encode(&Tokens::default(), &piece, &mut ids);
    assert_eq!(ids, unordered.by_definition(&piece));
}
