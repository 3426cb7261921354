//! Leaves values out of a JSON text so that what is left is JSON still and says how much is missing.

use std::fmt::Write as _;

use super::{Document, Kind};

impl Document {
    /// Whether [`cut`](Self::cut) can leave anything out.
    ///
    /// Not of a scalar or an empty container at the top, nor where the note would be taken for data: a top-level object
    /// that has the key already, a top-level array with an element `{"<cut_key>": ...}`.
    pub fn can_be_cut(&self, text: &str, cut_key: &str) -> bool {
        let is_note = |node: usize| self.nodes[node].key().is_some_and(|key| is_key(&text[key], cut_key));
        match self.nodes[0].kind {
            _ if self.is_leaf(0) => false,
            Kind::Object => !self.children(0).any(is_note),
            Kind::Array => !self.children(0).any(|node| {
                let mut inside = self.children(node);
                inside.next().is_some_and(is_note) && inside.next().is_none()
            }),
            _ => false,
        }
    }

    /// The document with only some of its leaves, as valid JSON with a note of what went.
    ///
    /// Kept leaves stand in their order inside the containers and under the keys they had, in the bytes of the source; a
    /// container that lost all its leaves is gone with its key. Separators are written as the first of the source are: with
    /// one blank where white space followed, without otherwise. The note is the last entry of a top-level object,
    /// `"<cut_key>": n`, or the last element of a top-level array, `{"<cut_key>": n}`, with the number of leaves left out.
    ///
    /// Args:
    ///     text: The text that was parsed.
    ///     keep: For each leaf whether it stays.
    ///     `cut_key`: Key of the note, usually [`CUT_KEY`](crate::cut::CUT_KEY).
    ///
    /// Returns: the text itself where no leaf is left out or [`can_be_cut`](Self::can_be_cut) says no.
    ///
    /// Cost: O(bytes), without recursion.
    ///
    /// # Panics
    /// If `keep` is not as long as there are leaves.
    pub fn cut(&self, text: &str, keep: &[bool], cut_key: &str) -> String {
        assert_eq!(keep.len(), self.leaves.len(), "keep needs one entry for each leaf");
        let dropped = keep.iter().filter(|&&is_kept| !is_kept).count();
        if dropped == 0 || !self.can_be_cut(text, cut_key) {
            return text.to_owned();
        }
        let mut writer = Writer::new(self, text);
        let kept = self.leaves.iter().zip(keep).filter(|&(_, &is_kept)| is_kept);
        kept.for_each(|(&leaf, _)| writer.leaf(leaf as usize));
        writer.note(cut_key, dropped)
    }
}

/// Whether a key with its quotes means `wanted`, however it is escaped.
fn is_key(key: &str, wanted: &str) -> bool {
    if key.contains('\\') {
        // A lone surrogate is no text of Rust's, so such a key is not the wanted one.
        serde_json::from_str::<String>(key).is_ok_and(|key| key == wanted)
    } else {
        &key[1..key.len() - 1] == wanted
    }
}

struct Writer<'d> {
    document: &'d Document,
    text: &'d str,
    comma: &'static str,
    colon: &'static str,
    out: String,
    /// The containers that are open in `out`, from the root.
    open: Vec<usize>,
    /// Containers that are to be opened for a leaf, innermost first.
    path: Vec<usize>,
    is_first: bool,
}

impl<'d> Writer<'d> {
    fn new(document: &'d Document, text: &'d str) -> Self {
        let (comma, colon) = (document.comma_is_spaced, document.colon_is_spaced);
        let mut writer = Self {
            document,
            text,
            comma: if comma.or(colon).unwrap_or(true) { ", " } else { "," },
            colon: if colon.or(comma).unwrap_or(true) { ": " } else { ":" },
            out: String::with_capacity(text.len()),
            open: vec![],
            path: vec![],
            is_first: true,
        };
        writer.open(0);
        writer
    }

    fn leaf(&mut self, leaf: usize) {
        let document = self.document;
        while self.open.last().is_some_and(|&node| document.nodes[node].end() <= leaf) {
            self.close();
        }
        let innermost = self.open.last().copied();
        self.path.extend(document.ancestors(leaf).take_while(|&node| Some(node) != innermost));
        while let Some(node) = self.path.pop() {
            self.entry(node);
            self.open(node);
        }
        self.entry(leaf);
        self.out.push_str(&self.text[document.nodes[leaf].value()]);
    }

    /// Writes what stands before a value: the comma, and its key.
    fn entry(&mut self, node: usize) {
        self.separate();
        if let Some(key) = self.document.nodes[node].key() {
            self.out.push_str(&self.text[key]);
            self.out.push_str(self.colon);
        }
    }

    fn separate(&mut self) {
        if !self.is_first {
            self.out.push_str(self.comma);
        }
        self.is_first = false;
    }

    fn open(&mut self, node: usize) {
        self.out.push(if self.document.nodes[node].kind == Kind::Object { '{' } else { '[' });
        self.open.push(node);
        self.is_first = true;
    }

    fn close(&mut self) {
        let is_object = self.open.pop().is_some_and(|node| self.document.nodes[node].kind == Kind::Object);
        self.out.push(if is_object { '}' } else { ']' });
        self.is_first = false;
    }

    /// Closes all but the root, writes the note and closes the root.
    fn note(mut self, cut_key: &str, dropped: usize) -> String {
        while self.open.len() > 1 {
            self.close();
        }
        self.separate();
        let key = serde_json::Value::from(cut_key);
        let (before, after) = if self.document.nodes[0].kind == Kind::Object { ("", "") } else { ("{", "}") };
        let _ = write!(self.out, "{before}{key}{}{dropped}{after}", self.colon);
        self.close();
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cut::CUT_KEY;

    fn cut(text: &str, kept: &[usize]) -> String {
        let document = Document::parse(text).unwrap();
        let keep: Vec<bool> = (0..document.leaf_count()).map(|leaf| kept.contains(&leaf)).collect();
        document.cut(text, &keep, CUT_KEY)
    }

    #[test]
    fn keeps_leaves_under_their_keys_and_counts_the_rest() {
        let text = r#"{"a": 1, "b": {"c": [1.0, 2e5], "d": {}}, "e": "x"}"#;
        assert_eq!(cut(text, &[0, 2, 4]), r#"{"a": 1, "b": {"c": [2e5]}, "e": "x", "[…]": 2}"#);
        assert_eq!(cut(text, &[3]), r#"{"b": {"d": {}}, "[…]": 4}"#);
        assert_eq!(cut(text, &[]), r#"{"[…]": 5}"#);
    }

    #[test]
    fn a_cut_array_ends_in_a_note() {
        assert_eq!(cut(r#"[{"id":1,"x":[]},{"id":2,"x":[]}]"#, &[0, 2]), r#"[{"id":1},{"id":2},{"[…]":2}]"#);
        assert_eq!(cut("[[[1]]]", &[]), r#"[{"[…]": 1}]"#);
    }

    #[test]
    fn pretty_printing_becomes_one_blank() {
        assert_eq!(
            cut("{\n  \"a\": 1,\n  \"b\": [\n    2,\n    3\n  ]\n}\n", &[0, 2]),
            r#"{"a": 1, "b": [3], "[…]": 1}"#
        );
    }

    #[test]
    fn nothing_left_out_gives_the_text_itself() {
        let text = " {\"a\" :1,\n\"b\":  2} ";
        assert_eq!(cut(text, &[0, 1]), text);
    }

    #[test]
    fn refuses_where_the_note_would_be_taken_for_data() {
        let can = |text: &str| Document::parse(text).unwrap().can_be_cut(text, CUT_KEY);
        for text in
            ["1", "\"a\"", "null", "{}", "[ ]", r#"{"[…]": 1}"#, r#"{"a": 1, "[\u2026]": 1}"#, r#"[1, {"[…]": 1}, 2]"#]
        {
            assert!(!can(text), "{text}");
            assert_eq!(cut(text, &[]), text);
        }
        for text in [r#"{"a": {"[…]": 1}}"#, r#"[{"[…]": 1, "a": 2}]"#, r#"["[…]"]"#, r#"{"\ud800": 1}"#, "[[]]"]
        {
            assert!(can(text), "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "one entry for each leaf")]
    fn panics_where_keep_has_another_length() {
        Document::parse("[1, 2]").unwrap().cut("[1, 2]", &[true], CUT_KEY);
    }
}
