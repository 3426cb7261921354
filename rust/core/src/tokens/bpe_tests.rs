//! Whole pieces and their parts against the definition of merging.

use proptest::prelude::*;

use super::*;
use crate::tokens::vocab;

fn text() -> impl Strategy<Value = String> {
    let runs = (
        prop::sample::select(vec![
            "a",
            "ab",
            "the",
            " ",
            "\n",
            "==",
            "x\u{e9}",
            "\u{4f60}\u{597d}",
            "\u{6211}",
            "\u{1f600}",
            "\u{e01}",
        ]),
        1..40_usize,
    );
    prop_oneof![
        ".{1,100}",
        "[\u{4e00}-\u{4fff}\u{3041}-\u{3096}，。 a]{1,80}",
        "[\u{ac00}-\u{ad00}\u{e01}-\u{e40}\u{915}-\u{940}]{1,80}",
        "[\u{1f600}-\u{1f640}\u{200d}\u{fe0f}]{1,40}",
        "[a-zA-Z0-9]{1,300}",
        prop::collection::vec(runs, 1..6).prop_map(|runs| runs.into_iter().map(|(s, n)| s.repeat(n)).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn pieces_are_what_merging_by_definition_gives(piece in text()) {
        for bpe in [vocab::o200k(), vocab::cl100k()] {
            let expected = bpe.merges.by_definition(piece.as_bytes());
            let mut encoded = Vec::new();
            bpe.encode(piece.as_bytes(), &mut encoded);
            prop_assert_eq!(&encoded, &expected);
            prop_assert_eq!(bpe.count(piece.as_bytes()), expected.len());
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
    assert_eq!(tokens.bytes_of(4), b"aa");
}
