//! The parser against `serde_json`, and cuts against a tree that `serde_json` reads.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::cut::CUT_KEY;

fn is_valid(text: &str) -> bool {
    Document::parse(text).is_some()
}

#[test]
fn reads_what_the_grammar_allows() {
    for text in [
        " 1 ",
        "-0",
        "0.50",
        "1E+05",
        "-12.5e-3",
        "\"\"",
        "true",
        "\t[\r\n]",
        "{}",
        "[1 , 2]",
        "{\"a\" : {\"a\":[]}}",
        "{\"a\":1,\"a\":2}",
        r#""\"\\\/\b\f\n\r\t\u00e9""#,
        r#""\ud800""#,
        r#"["\udc00\ud800x"]"#,
        "\"\u{7f}é中😀\"",
        "1e999",
        "123456789012345678901234567890",
    ] {
        assert!(is_valid(text), "{text}");
    }
}

#[test]
fn refuses_what_the_grammar_does_not_allow() {
    for text in [
        "",
        " ",
        "1 2",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "-Infinity",
        "tru",
        "truex",
        "nulL",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[",
        "]",
        "[1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{,}",
        "{\"a\":1]",
        "'a'",
        "\"",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u",
        "\"a\nb\"",
        "\"12345678\tb\"",
        "\"\u{0}\"",
        "\"\u{1f}\"",
        "\u{feff}1",
        "\u{a0}1",
        "[1]x",
        "// a\n1",
    ] {
        assert!(!is_valid(text), "{text}");
    }
}

#[test]
fn nodes_hold_spans_keys_and_places() {
    let text = r#"{"a": [1, {}], "b": "x"}"#;
    let document = Document::parse(text).unwrap();
    let shown: Vec<_> = document
        .nodes()
        .iter()
        .map(|node| (node.kind(), node.key().map(|key| &text[key]), &text[node.value()], node.parent(), node.end()))
        .collect();
    let expected = [
        (Kind::Object, None, text, None, 5),
        (Kind::Array, Some("\"a\""), "[1, {}]", Some(0), 4),
        (Kind::Number, None, "1", Some(1), 3),
        (Kind::Object, None, "{}", Some(1), 4),
        (Kind::String, Some("\"b\""), "\"x\"", Some(0), 5),
    ];
    assert_eq!(shown, expected);
    let leaves: Vec<_> = (0..document.leaf_count()).map(|leaf| &text[document.leaf_span(leaf)]).collect();
    assert_eq!(leaves, ["1", "{}", "\"b\": \"x\""]);
    assert_eq!(document.leaf_path(1).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(document.leaf_path(2).collect::<Vec<_>>(), [0]);
}

#[test]
fn refuses_deep_nesting_and_survives_hostile_texts() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(is_valid(&nested(MAX_DEPTH)) && !is_valid(&nested(MAX_DEPTH + 1)));
    assert!(is_valid(&format!("[{}]", vec![nested(MAX_DEPTH - 1); 50].join(","))));
    let million = 1_000_000;
    for text in ["[", "{", "{\"a\":", "\"", "\\", "1", "[1,", " ", "\n", "中", "\r\n"] {
        let is_number = text == "1";
        assert_eq!(is_valid(&text.repeat(million / text.len())), is_number, "{text:?}");
    }
    assert!(is_valid(&format!("\"{}\"", "x\\n".repeat(million))));
    assert!(is_valid(&format!("[{}1]", "{},".repeat(million))));
}

/// A JSON text in one of the usual ways of writing, some of it escaped.
pub(crate) fn json_text() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null"),
        Just("true"),
        Just("false"),
        Just("0"),
        Just("-1.50"),
        Just("1e5"),
        Just("12345678901234567890123"),
        Just("\"\""),
        Just("\"a b\""),
        Just(r#""\u4e2d\u6587 \"q\"""#),
        Just(r#""\ud83d\ude00\u0000\n""#),
        Just("\"北京\""),
        Just("\"[…]\""),
        Just("{}"),
        Just("[]"),
    ]
    .prop_map(str::to_owned);
    let key = || prop_oneof![Just("a"), Just("b"), Just("c"), Just("\\u00e9"), Just("d e"), Just("[…]")];
    let tree = scalar.prop_recursive(5, 64, 5, move |inner| {
        let entry = (key(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\":~{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(",~"))),
            prop::collection::vec(entry, 0..5).prop_map(|items| format!("{{{}}}", items.join(",~"))),
        ]
    });
    (tree, prop_oneof![Just(""), Just(" "), Just("\n  "), Just("\r\n\t")])
        .prop_map(|(text, blank)| text.replace('~', blank))
}

/// What `serde_json` refuses and we do not, on purpose: it decodes, we only look.
fn is_known_difference(why: &str) -> bool {
    ["number out of range", "surrogate", "end of hex escape", "recursion limit"].iter().any(|known| why.contains(known))
}

fn agrees_with_serde(text: &str) -> Result<(), TestCaseError> {
    match serde_json::from_str::<Value>(text) {
        Ok(_) => prop_assert!(is_valid(text), "refused: {text}"),
        Err(why) => prop_assert!(!is_valid(text) || is_known_difference(&why.to_string()), "accepted: {text}: {why}"),
    }
    Ok(())
}

/// Every leaf of a value with its key, sorted: what a cut may take from and nothing else.
fn leaves(value: &Value, key: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(key, value)| leaves(value, key, out)),
        Value::Array(list) if !list.is_empty() => list.iter().for_each(|value| leaves(value, "", out)),
        leaf => out.push(format!("{key}: {leaf}")),
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_generated_texts(text in json_text()) {
        prop_assert!(is_valid(&text));
        agrees_with_serde(&text)?;
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_texts(
        text in json_text(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:0-9eE+.\\\\ utrnx\n\u{1}é-]{0,2}", 0..3_usize), 1..4),
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, insert, remove) in edits {
            let at = at.index(chars.len() + 1);
            let end = chars.len().min(at + remove);
            chars.splice(at..end, insert.chars());
        }
        agrees_with_serde(&chars.into_iter().collect::<String>())?;
    }

    #[test]
    fn agrees_with_serde_json_on_noise(text in "[\\[\\]{}\",:01.eE\\\\ utfnalsr-]{0,12}") {
        agrees_with_serde(&text)?;
    }

    #[test]
    fn a_cut_holds_exactly_the_kept_leaves_and_the_note(text in json_text(), seed: u64) {
        let document = Document::parse(&text).unwrap();
        let is_kept = |leaf: usize| seed.rotate_left(u32::try_from(leaf % 64).unwrap()) & 1 == 0;
        let keep: Vec<bool> = (0..document.leaf_count()).map(is_kept).collect();
        let n_cut = keep.iter().filter(|&&is_kept| !is_kept).count();
        let cut = document.cut(&text, &keep, CUT_KEY);
        if n_cut == 0 || !document.can_be_cut(&text, CUT_KEY) {
            prop_assert_eq!(cut, text);
            return Ok(());
        }
        // Duplicate keys are one key to serde_json, so leaves are read from the spans of a second parse instead.
        let pieces = |text: &str| -> Vec<String> {
            let document = Document::parse(text).unwrap();
            let piece = |leaf| {
                let node = document.nodes()[document.leaf(leaf)];
                let depth = document.leaf_path(leaf).count();
                format!("{depth} {} {}", node.key().map_or("", |key| &text[key]), &text[node.value()])
            };
            (0..document.leaf_count()).map(piece).collect()
        };
        let mut expected: Vec<_> = pieces(&text).into_iter().zip(&keep).filter(|(_, is_kept)| **is_kept).map(|(p, _)| p).collect();
        let depth = if text.starts_with('{') { 1 } else { 2 };
        expected.push(format!("{depth} \"{CUT_KEY}\" {n_cut}"));
        prop_assert_eq!(pieces(&cut), expected);
        let value: Value = serde_json::from_str(&cut).unwrap();
        prop_assert_eq!(value.is_object(), text.starts_with('{'));
    }

    #[test]
    fn serde_json_finds_the_kept_leaves_in_a_cut(
        entries in prop::collection::btree_map("[a-d]{1,2}", prop::collection::vec((0..99_u32, any::<bool>()), 1..4), 1..6),
    ) {
        let value = |n: u32| if n < 50 { format!("{n}") } else { format!("{{\"k{n}\": \"v{n}\"}}") };
        let lists = entries.iter().map(|(key, items)| {
            let items: Vec<_> = items.iter().map(|&(n, _)| value(n)).collect();
            format!("\"{key}\": [{}]", items.join(", "))
        });
        let text = format!("{{{}}}", lists.collect::<Vec<_>>().join(", "));
        let keep: Vec<bool> = entries.values().flatten().map(|&(_, is_kept)| is_kept).collect();
        let n_cut = keep.iter().filter(|&&is_kept| !is_kept).count();
        let mut expected: Vec<_> = entries.values().flatten().filter(|(_, is_kept)| *is_kept)
            .map(|&(n, _)| if n < 50 { format!(": {n}") } else { format!("k{n}: \"v{n}\"") }).collect();
        if n_cut > 0 {
            expected.push(format!("{CUT_KEY}: {n_cut}"));
        }
        let cut = Document::parse(&text).unwrap().cut(&text, &keep, CUT_KEY);
        let mut found = Vec::new();
        leaves(&serde_json::from_str(&cut).unwrap(), "", &mut found);
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}
