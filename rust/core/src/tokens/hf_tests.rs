//! A tiny byte-level tokenizer.json, its variants, and every refusal.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::tokens::Side;

/// 256 bytes and `ab`, `abc`, `bc`, `é` (two bytes), and `cab`, which merging never reaches.
fn tiny() -> Value {
    let mut vocab: Map<String, Value> = Map::new();
    let mut letters: Vec<(u8, char)> = alphabet().into_iter().map(|(c, byte)| (byte, c)).collect();
    letters.sort_unstable();
    for (byte, letter) in letters {
        vocab.insert(letter.into(), byte.into());
    }
    for (token, id) in [("ab", 256), ("abc", 257), ("bc", 258), ("\u{c3}\u{a9}", 259), ("cab", 260)] {
        vocab.insert(token.into(), id.into());
    }
    json!({
        "added_tokens": [
            {"id": 300, "content": "<think>", "special": false, "normalized": false},
            {"id": 301, "content": "<|im_start|>", "special": true, "normalized": false},
            {"id": 302, "content": "e\u{301}!", "special": false, "normalized": true},
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
        "model": {
            "type": "BPE", "vocab": vocab, "unk_token": null,
            "merges": ["a b", "ab c", "b c", "\u{c3} \u{a9}"],
        },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut file = tiny();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    file.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(key.into(), value);
    file
}

fn open(file: &Value) -> Result<Tokenizer> {
    Tokenizer::from_json(file.to_string().as_bytes(), "tiny.json")
}

fn refusal(file: &Value) -> String {
    match open(file) {
        Err(Error::Tokenizer(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn merges_by_rank_and_keeps_unreachable_tokens_out() {
    let tiny = open(&tiny()).unwrap();
    assert_eq!(tiny.encode("abc"), [257]);
    assert_eq!(tiny.encode("bcab"), [258, 256]);
    assert_eq!(tiny.encode("cab"), [99, 256]);
    assert_eq!(tiny.encode("a b"), [97, 32, 98]);
    assert_eq!(tiny.name(), "tiny.json");
}

#[test]
fn ignore_merges_takes_whole_tokens_first() {
    let tiny = open(&with("/model/ignore_merges", json!(true))).unwrap();
    assert_eq!(tiny.encode("cab"), [260]);
    assert_eq!(tiny.encode("cabb"), [99, 256, 98]);
}

#[test]
fn merges_may_be_pairs() {
    let file = with("/model/merges", json!([["a", "b"], ["ab", "c"]]));
    assert_eq!(open(&file).unwrap().encode("abcbc"), [257, 98, 99]);
}

#[test]
fn added_tokens_match_unless_special() {
    let tiny = open(&tiny()).unwrap();
    assert_eq!(tiny.encode("ab<think>ab"), [256, 300, 256]);
    assert_eq!(tiny.count("<|im_start|>"), 12);
    assert_eq!(tiny.decode(&[300, 301, 259]).unwrap(), "<think><|im_start|>\u{e9}");
    assert_eq!(tiny.chat().family, "chatml");
    for side in [Side::Head, Side::Tail] {
        assert_eq!(tiny.truncate("<think><think><think>", 2, side), "<think><think>");
    }
}

#[test]
fn an_empty_added_token_hides_nothing() {
    let tiny = open(&with("/added_tokens", json!([{"id": 97, "content": ""}]))).unwrap();
    assert_eq!(tiny.decode(&tiny.encode("a")), Ok("a".to_owned()));
}

#[test]
fn nfc_composes_text_and_normalised_tokens() {
    let tiny = open(&with("/normalizer", json!({"type": "Sequence", "normalizers": [{"type": "NFC"}]}))).unwrap();
    assert_eq!(tiny.encode("e\u{301}"), [259]);
    assert_eq!(tiny.encode("ae\u{301}!\u{e9}!"), [97, 302, 302]);
    let text = "e\u{301}".repeat(50);
    for side in [Side::Head, Side::Tail] {
        let cut = tiny.truncate(&text, 7, side);
        assert!(tiny.count(cut) == 7 && (text.starts_with(cut) || text.ends_with(cut)), "{cut:?}");
    }
}

#[test]
fn stages_cut_one_inside_the_other() {
    let split =
        |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
    let stages = |parts: Value| with("/pre_tokenizer", json!({"type": "Sequence", "pretokenizers": parts}));
    let count = |file: &Value, text: &str| open(file).unwrap().count(text);
    assert_eq!(count(&stages(json!([split("[ab]b"), bytes])), "abcabcbb"), 6);
    assert_eq!(
        count(
            &stages(json!([{"type": "Digits", "individual_digits": true}, split(r"z|\s+(?!\S)|\s+"), bytes])),
            "12ab  abc"
        ),
        6
    );
    assert_eq!(count(&stages(json!([{"type": "Digits"}, bytes])), "abc1abc"), 3);
    let string = json!({"type": "Split", "pattern": {"String": "b."}, "behavior": "Isolated", "invert": false});
    assert_eq!(count(&stages(json!([string, bytes])), "ab.abc"), 4);
    let only_matches = json!({"type": "Split", "pattern": {"Regex": "[abc]+"}, "behavior": "Removed", "invert": true});
    assert_eq!(count(&stages(json!([only_matches, bytes])), "abc, abc"), 2);
}

#[test]
fn string_patterns_stand_for_themselves() {
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
    for c in (0..=0x7F_u8).map(char::from).chain(['\u{e9}', '\u{2014}']) {
        let split = json!({"type": "Split", "pattern": {"String": c}, "behavior": "Isolated", "invert": false});
        let file = with("/pre_tokenizer", json!({"type": "Sequence", "pretokenizers": [split, bytes]}));
        let uncut = open(&with("/pre_tokenizer", bytes.clone())).unwrap();
        for text in [format!("ab{c}c"), "abc".to_owned()] {
            let pieces = text.split_inclusive(c).flat_map(|piece| {
                let (rest, found) = piece.strip_suffix(c).map_or((piece, ""), |rest| (rest, &piece[rest.len()..]));
                [rest, found]
            });
            let expected: usize = pieces.map(|piece| uncut.count(piece)).sum();
            assert_eq!(open(&file).unwrap().count(&text), expected, "{c:?} in {text:?}");
        }
    }
}

#[test]
fn refuses_by_name() {
    let split = |regex: &str, behavior: &str| {
        json!({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})
    };
    for (pointer, value, named) in [
        ("/model/type", json!("Unigram"), "model type Unigram"),
        ("/model/type", json!("WordPiece"), "model type WordPiece"),
        ("/model/dropout", json!(0.1), "dropout"),
        ("/model/byte_fallback", json!(true), "byte_fallback"),
        ("/model/continuing_subword_prefix", json!("##"), "continuing_subword_prefix"),
        ("/model/end_of_word_suffix", json!("</w>"), "end_of_word_suffix"),
        ("/model/vocab", json!({"a": 0}), "unk_token"),
        ("/normalizer", json!({"type": "NFKC"}), "normalizer NFKC"),
        ("/normalizer", json!({"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}), "normalizer Lowercase"),
        ("/pre_tokenizer", json!(null), "pre_tokenizer nothing"),
        ("/pre_tokenizer", json!({"type": "Metaspace"}), "pre_tokenizer Metaspace"),
        ("/pre_tokenizer", json!({"type": "Digits"}), "without ByteLevel"),
        ("/pre_tokenizer", json!({"type": "ByteLevel", "add_prefix_space": true}), "add_prefix_space"),
        ("/pre_tokenizer", json!({"type": "ByteLevel"}), "add_prefix_space"),
        ("/pre_tokenizer", split(r"\p{L}++", "Isolated"), "possessive"),
        ("/pre_tokenizer", split(r"(?<=a)b", "Isolated"), "look-around"),
        ("/pre_tokenizer", split(r"a*", "Isolated"), "empty string"),
        ("/pre_tokenizer", split(r"a", "MergedWithNext"), "behavior MergedWithNext"),
        ("/pre_tokenizer", split(r"a", "Removed"), "behavior Removed, invert false"),
        ("/pre_tokenizer", split(r"[z-a]", "Isolated"), "compile"),
        ("/added_tokens", json!([{"id": 1, "content": "x", "lstrip": true}]), "lstrip"),
        ("/added_tokens", json!([{"id": 1, "content": "x", "single_word": true}]), "single_word"),
    ] {
        let message = refusal(&with(pointer, value));
        assert!(
            message.contains(named) && message.starts_with("tiny.json cannot be counted exactly"),
            "{named}: {message}"
        );
    }
    let after = json!({"type": "Sequence", "pretokenizers": [
        {"type": "ByteLevel", "add_prefix_space": false}, {"type": "Digits"}]});
    assert!(refusal(&with("/pre_tokenizer", after)).contains("after ByteLevel"));
}

#[test]
fn says_where_a_file_is_damaged() {
    let twice = |special: bool| {
        let token = |special: bool| json!({"id": 300, "content": "<x>", "special": special, "normalized": false});
        json!([token(false), token(special)])
    };
    assert_eq!(open(&with("/added_tokens", twice(false))).unwrap().encode("<x>"), [300]);
    for (pointer, value, named) in [
        ("/added_tokens", twice(true), "added token 300"),
        ("/model", json!(3), "no object `model`"),
        ("/model/merges", json!(null), "no list `merges`"),
        ("/model/merges", json!(["a b", "ab"]), "merge 1"),
        ("/model/merges", json!(["a zz"]), "merge 0"),
        ("/model/vocab/a", json!(-1), "id"),
        ("/model/vocab/a", json!(98), "twice"),
        ("/model/vocab/ab", json!(1 << 30), "under 2097152"),
        ("/added_tokens", json!([{"content": "x"}]), "added token"),
        ("/normalizer", json!({"type": "Sequence"}), "normalizers"),
        ("/pre_tokenizer", json!({"type": "Sequence"}), "pretokenizers"),
    ] {
        let message = refusal(&with(pointer, value));
        assert!(message.contains(named) && message.contains("fetch the file again"), "{named}: {message}");
    }
    let json = tiny().to_string();
    for len in [0, 1, 100, json.len() - 1] {
        let Err(Error::Tokenizer(message)) = Tokenizer::from_json(&json.as_bytes()[..len], "cut.json") else {
            panic!("a file cut at {len} was read")
        };
        assert!(message.contains("line 1 column"), "{message}");
    }
    assert!(Tokenizer::from_json(&b"\xff\xfe"[..], "bytes").is_err());
}

proptest! {
    #[test]
    fn count_encode_and_truncate_agree_whatever_the_file_asks_for(
        parts in prop::collection::vec(prop::sample::select(vec![
            "abc", "ab", "cab", "<think>", "<|im_start|>", "e\u{301}", "e\u{301}!", "\u{e9}", "1", "22", " ", "  ", "\n", "\u{1F600}",
        ]), 0..20),
        max in 0..12_usize,
        nfc in any::<bool>(),
        ignore_merges in any::<bool>(),
        stages in prop::sample::select(vec![
            json!({"type": "ByteLevel", "add_prefix_space": false}),
            json!({"type": "Sequence", "pretokenizers": [
                {"type": "Digits", "individual_digits": true},
                {"type": "ByteLevel", "add_prefix_space": false}]}),
            json!({"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": "[abc]+"}, "behavior": "Removed", "invert": true},
                {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]}),
        ]),
    ) {
        let mut file = with("/pre_tokenizer", stages);
        if nfc {
            file["normalizer"] = json!({"type": "NFC"});
        }
        file["model"]["ignore_merges"] = json!(ignore_merges);
        let tiny = open(&file).unwrap();
        let text = parts.concat();
        let ids = tiny.encode(&text);
        prop_assert_eq!(tiny.count(&text), ids.len());
        prop_assert!(tiny.decode(&ids).is_ok());
        let (head, tail) = (tiny.truncate(&text, max, Side::Head), tiny.truncate(&text, max, Side::Tail));
        prop_assert!(text.starts_with(head) && tiny.count(head) <= max);
        prop_assert!(text.ends_with(tail) && tiny.count(tail) <= max);
    }
}

#[test]
fn a_stream_is_counted_as_its_text_across_added_tokens_and_composition() {
    let mut file = with("/normalizer", json!({"type": "NFC"}));
    file["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": crate::tokens::scan::Family::Qwen2.pattern().to_owned() + r"|\s+(?!\S)|\s+"}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
    ]});
    for tokenizer in [open(&tiny()).unwrap(), open(&file).unwrap()].map(std::sync::Arc::new) {
        let mut stream = crate::tokens::TokenStream::new(std::sync::Arc::clone(&tokenizer));
        let mut text = String::new();
        let parts = [
            "abc ",
            "a<",
            "thi",
            "nk",
            ">b 1",
            "2.",
            "<|im_st",
            "art|> e",
            "\u{301}!",
            " e\u{301}",
            ", a",
            "\u{37e}<think> ",
            "x\n",
        ];
        for part in parts.into_iter().cycle().take(200) {
            stream.append(part);
            text += part;
            assert_eq!(stream.tokens(), tokenizer.count(&text), "{text:?}");
            assert!(stream.open_bytes() < 60, "{text:?}");
        }
    }
}
