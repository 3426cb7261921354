//! Tables read back: a slow reader that knows only the documented form must find the source's values again.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::json::{Document, Kind};

/// A document with its numbers as they are written and its strings in one way of writing; keys in order, duplicates too.
#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Scalar(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    fn read(text: &str) -> Option<Self> {
        let document = Document::parse(text)?;
        Some(Self::at(text, &document, 0))
    }

    fn at(text: &str, document: &Document, node: usize) -> Self {
        // A lone surrogate has no decoded form: such a string is compared as it is written.
        let decoded = |span: std::ops::Range<usize>| {
            let decoded = serde_json::from_str::<Value>(&text[span.clone()]);
            decoded.map_or_else(|_| text[span].to_owned(), |string| string.to_string())
        };
        let at = document.nodes()[node];
        let children = document.children(node);
        match at.kind() {
            Kind::Object => {
                let entry = |child: usize| {
                    let key = document.nodes()[child].key().unwrap();
                    (decoded(key), Self::at(text, document, child))
                };
                Self::Object(children.map(entry).collect())
            }
            Kind::Array => Self::Array(children.map(|child| Self::at(text, document, child)).collect()),
            Kind::String => Self::Scalar(decoded(at.value())),
            Kind::Number | Kind::Literal => Self::Scalar(text[at.value()].to_owned()),
        }
    }

    fn is_record(&self) -> bool {
        matches!(self, Self::Object(entries) if !entries.is_empty())
    }

    /// The document that a table form stands for; none where a row does not fit its header.
    fn expand(&self) -> Option<Self> {
        Some(match self {
            Self::Scalar(_) => self.clone(),
            Self::Object(entries) => {
                let entry = |(key, value): &(String, Self)| Some((key.clone(), value.expand()?));
                Self::Object(entries.iter().map(entry).collect::<Option<_>>()?)
            }
            Self::Array(items) => {
                let mut header = None;
                let mut out = Vec::new();
                for item in items {
                    out.push(match (item, header) {
                        (Self::Array(row), Some(header)) => Self::unpack(row, header)?,
                        _ => item.expand()?,
                    });
                    if item.is_record() {
                        header = Some(item);
                    }
                }
                Self::Array(out)
            }
        })
    }

    fn unpack(row: &[Self], header: &Self) -> Option<Self> {
        let Self::Object(entries) = header else { return None };
        let value = |(value, (key, above)): (&Self, &(String, Self))| {
            let value = match value {
                Self::Array(row) if above.is_record() => Self::unpack(row, above)?,
                _ => value.expand()?,
            };
            Some((key.clone(), value))
        };
        (row.len() == entries.len()).then_some(())?;
        Some(Self::Object(row.iter().zip(entries).map(value).collect::<Option<_>>()?))
    }

    fn write(&self) -> String {
        let join = |items: Vec<String>| items.join(",");
        match self {
            Self::Scalar(text) => text.clone(),
            Self::Array(items) => format!("[{}]", join(items.iter().map(Self::write).collect())),
            Self::Object(entries) => {
                format!("{{{}}}", join(entries.iter().map(|(key, value)| format!("{key}:{}", value.write())).collect()))
            }
        }
    }
}

/// The compact text of the document that a text in table form stands for.
fn expand(text: &str) -> Option<String> {
    Some(Tree::read(text)?.expand()?.write())
}

fn laid_out(text: &str) -> (String, Form) {
    layout::lay_out(text, &Document::parse(text).unwrap(), true)
}

fn table(text: &str) -> String {
    let (table, form) = laid_out(text);
    assert_eq!(form, Form::TableJson, "{table}");
    assert_eq!(expand(&table).unwrap(), Tree::read(text).unwrap().write());
    table
}

#[test]
fn like_records_become_rows_below_the_first() {
    assert_eq!(
        table(r#"[{"id": 1, "name": "a"}, {"id": 2, "name": null}, {"id": 3.0, "name": [1, 2]}]"#),
        r#"[{"id":1,"name":"a"},[2,null],[3.0,[1,2]]]"#
    );
}

#[test]
fn objects_inside_rows_and_arrays_of_records_are_rows_too() {
    let text = r#"{"n": 2, "items": [
        {"id": 1, "at": {"x": 1, "y": 2}, "tags": [{"k": 1}, {"k": 2}, {"k": 3}]},
        {"id": 2, "at": {"x": 3, "y": 4}, "tags": []},
        {"id": 3, "at": null, "tags": [{"k": 4}]},
        {"id": 4, "at": {"x": 5}, "tags": [[1], 2]}
    ]}"#;
    let expected = concat!(
        r#"{"n":2,"items":[{"id":1,"at":{"x":1,"y":2},"tags":[{"k":1},[2],[3]]},[2,[3,4],[]],"#,
        r#"[3,null,[{"k":4}]],[4,{"x":5},[[1],2]]]}"#
    );
    assert_eq!(table(text), expected);
}

#[test]
fn an_odd_record_stays_an_object_and_the_next_run_has_its_own_header() {
    let text = r#"[{"a":1},{"a":2},{"a":3},{"b":4},{"b":5},{"b":6},null,{"b":7},{"a":8},{"a":9},{"a":1,"b":2}]"#;
    let expected = r#"[{"a":1},[2],[3],{"b":4},[5],[6],null,[7],{"a":8},{"a":9},{"a":1,"b":2}]"#;
    assert_eq!(table(text), expected);
    let array_where_the_header_has_an_object = r#"[{"a":{"x":1}},{"a":{"x":2}},{"a":{"x":3}},{"a":[4]},{"a":{"x":5}}]"#;
    let expected = r#"[{"a":{"x":1}},[[2]],[[3]],{"a":[4]},{"a":{"x":5}}]"#;
    assert_eq!(table(array_where_the_header_has_an_object), expected);
}

#[test]
fn a_source_with_arrays_after_objects_is_only_made_compact() {
    let text = r#"{"x": [{"a": 1}, [2], [3]], "y": [{"b": 1}, {"b": 2}, {"b": 3}]}"#;
    assert_eq!(laid_out(text), (text.replace(' ', ""), Form::CompactJson));
    let before_and_empty = r#"{"x": [[2], {}, [3], {"a": 1}], "y": [{"b": 1}, {"b": 2}, {"b": 3}]}"#;
    assert_eq!(laid_out(before_and_empty).1, Form::TableJson);
}

#[test]
fn two_records_and_empty_ones_are_no_table() {
    for text in
        [r#"[{"a":1},{"a":2}]"#, "[{},{},{},{}]", r#"[{"a":1},{"b":2},{"a":3}]"#, r#"[{"a":1},{"a":2},{"A":3}]"#]
    {
        assert_eq!(laid_out(text), (text.to_owned(), Form::CompactJson));
    }
}

#[test]
fn printable_escapes_become_characters_and_no_others() {
    let text = r#"["\u4e2d\u6587", "\u00e9\u0301\ud83d\ude00", "\\u4e2d\\\u4e2d", "\ud83d", "\ude00\ud83d\u4e2d", "\u0041\u0022\u005c"]"#;
    let expected =
        r#"["中文","é"#.to_owned() + "\u{301}" + r#"😀","\\u4e2d\\中","\ud83d","\ude00\ud83d中","\u0041\u0022\u005c"]"#;
    assert_eq!(laid_out(text).0, expected);
    let unseen = r#"["\u200b\u202e\u2028\ufeff\u00ad\u0085\u00a0\ue000\uffff\ud83d\u0020"]"#;
    assert_eq!(laid_out(unseen).0, unseen);
}

#[test]
fn small_gains_and_scalars_are_left_alone() {
    for text in ["[1, 2]", "7", "\"a\"", "{\"a\": \"b\"}", &format!("[1, \"{}\"]", "x".repeat(2000))] {
        assert_eq!(shrink(text, true), None);
    }
    let pretty = format!("[\n{}0\n]", "    1,\n".repeat(20));
    let expected = format!("[{}0]", "1,".repeat(20));
    assert_eq!(shrink(&pretty, true), Some(Shrunk { text: expected, form: Form::CompactJson, lines_cut: 0 }));
}

/// A document with many arrays of objects that are alike or nearly so.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null"),
        Just("1.0"),
        Just("1e5"),
        Just("99999999999999999999999"),
        Just("\"x\""),
        Just("\"\\u4e2d \\\\u\""),
        Just("\"\\ud800\""),
        Just("[]"),
        Just("{}"),
        Just("true"),
    ]
    .prop_map(str::to_owned);
    let keys = ["\"a\"", "\"b\"", "\"\\u00e9\""];
    let object = move |values: &[String], skip: usize| {
        let entries = keys
            .iter()
            .zip(values)
            .enumerate()
            .filter(|&(i, _)| i != skip)
            .map(|(_, (key, value))| format!("{key}: {value}"));
        format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
    };
    scalar.prop_recursive(5, 96, 6, move |inner| {
        let skip = || prop_oneof![8 => Just(9_usize), 1 => 0..3_usize];
        let record =
            (prop::collection::vec(inner.clone(), 3), skip()).prop_map(move |(values, skip)| object(&values, skip));
        let records = prop::collection::vec(record.clone(), 0..6);
        let mixed = prop::collection::vec(prop_oneof![9 => record.clone(), 1 => inner], 0..6);
        let array = |items: Vec<String>| format!("[\n {}]", items.join(",\n "));
        prop_oneof![2 => record, 4 => records.prop_map(array), 1 => mixed.prop_map(array)]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_layout_reads_back_as_the_source(text in document()) {
        let (small, form) = laid_out(&text);
        let source = Tree::read(&text).unwrap();
        let read = Tree::read(&small).unwrap();
        let back = if form == Form::TableJson { read.expand().unwrap() } else { read };
        prop_assert_eq!(&back, &source);
        prop_assert!(small.len() <= text.len());
        // The same by a reader that shares no code, where it can read the source at all.
        if let Ok(source) = serde_json::from_str::<Value>(&text) {
            prop_assert!(serde_json::from_str::<Value>(&small).is_ok());
            prop_assert_eq!(serde_json::from_str::<Value>(&back.write()).unwrap(), source);
        }
        let (again, _) = laid_out(&small);
        prop_assert_eq!(again, small, "a second time");
    }

    #[test]
    fn a_shrunk_document_does_not_shrink_again(text in document()) {
        if let Some(shrunk) = shrink(&text, true) {
            prop_assert_eq!(shrink(&shrunk.text, true), None);
        }
    }
}
