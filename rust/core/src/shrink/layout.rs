//! Writes a JSON document without white space, and its arrays of like objects as a header and rows.

use super::Form;
use crate::json::{Document, Kind};

/// Fewest like objects in a row that become a table.
const MIN_RECORDS: usize = 3;

/// The compact text of a document, with tables if `rows` are allowed, and whether there is one in it.
pub(super) fn lay_out(text: &str, document: &Document, rows: bool) -> (String, Form) {
    let mut writer = Writer {
        text,
        document,
        out: String::with_capacity(text.len()),
        has_escapes: text.contains("\\u"),
        may_have_rows: rows && !has_row_like_array(document),
        form: Form::CompactJson,
    };
    writer.value(0, None);
    (writer.out, writer.form)
}

/// Whether the source has anywhere an array after an object, which a reader would take for a row.
fn has_row_like_array(document: &Document) -> bool {
    let nodes = document.nodes();
    let mut holds_object = vec![false; nodes.len()];
    nodes.iter().enumerate().any(|(index, node)| {
        let Some(parent) = node.parent().filter(|&parent| nodes[parent].kind() == Kind::Array) else { return false };
        holds_object[parent] |= is_record(document, index);
        node.kind() == Kind::Array && holds_object[parent]
    })
}

/// Whether a node is an object with something in it.
fn is_record(document: &Document, node: usize) -> bool {
    document.nodes()[node].kind() == Kind::Object && !document.is_leaf(node)
}

struct Writer<'d> {
    text: &'d str,
    document: &'d Document,
    out: String,
    has_escapes: bool,
    may_have_rows: bool,
    form: Form,
}

/// Recursion is as deep as the document, at most [`crate::json::MAX_DEPTH`].
impl Writer<'_> {
    /// Writes a value; as a row, if it is an object with the keys of `header`.
    fn value(&mut self, node: usize, header: Option<usize>) {
        let document = self.document;
        match document.nodes()[node].kind() {
            Kind::Object => match header.filter(|&header| self.is_like(node, header)) {
                Some(header) => self.row(node, header),
                None => self.object(node),
            },
            Kind::Array => self.array(node),
            Kind::String => self.string(document.nodes()[node].value()),
            Kind::Number | Kind::Literal => self.out.push_str(&self.text[document.nodes()[node].value()]),
        }
    }

    fn object(&mut self, node: usize) {
        let document = self.document;
        self.out.push('{');
        for (i, child) in document.children(node).enumerate() {
            self.separate(i);
            self.string(document.nodes()[child].key().expect("what is in an object has a key"));
            self.out.push(':');
            self.value(child, None);
        }
        self.out.push('}');
    }

    fn row(&mut self, node: usize, header: usize) {
        let document = self.document;
        self.form = Form::TableJson;
        self.out.push('[');
        for (i, (child, above)) in document.children(node).zip(document.children(header)).enumerate() {
            self.separate(i);
            self.value(child, Some(above));
        }
        self.out.push(']');
    }

    fn array(&mut self, node: usize) {
        let document = self.document;
        let end = document.nodes()[node].end();
        let mut header = None;
        self.out.push('[');
        for (i, child) in document.children(node).enumerate() {
            self.separate(i);
            if is_record(document, child) && !header.is_some_and(|header| self.is_like(child, header)) {
                // The reader takes the nearest object for the header, so this one is it from here on, or there is none.
                header = Some(child).filter(|&child| self.starts_table(child, end));
                self.object(child);
            } else {
                self.value(child, header);
            }
        }
        self.out.push(']');
    }

    /// Whether an object and the next two in an array that ends at node `end` are alike.
    fn starts_table(&self, first: usize, end: usize) -> bool {
        let mut at = first;
        self.may_have_rows
            && (1..MIN_RECORDS).all(|_| {
                at = self.document.nodes()[at].end();
                at < end && self.is_like(at, first)
            })
    }

    /// Whether `node` can be a row under `header`: the same keys in the same order, and no array where the header has an
    /// object, since an array there is read as a row of that object.
    fn is_like(&self, node: usize, header: usize) -> bool {
        let (document, nodes) = (self.document, self.document.nodes());
        if !is_record(document, node) || !is_record(document, header) {
            return false;
        }
        let (mut inside, mut above) = (document.children(node), document.children(header));
        loop {
            match (inside.next(), above.next()) {
                (None, None) => return true,
                (Some(this), Some(that)) => {
                    let key = |child: usize| nodes[child].key().map(|key| &self.text[key]);
                    let is_ambiguous = nodes[this].kind() == Kind::Array && is_record(document, that);
                    if is_ambiguous || key(this) != key(that) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    fn separate(&mut self, i: usize) {
        if i > 0 {
            self.out.push(',');
        }
    }

    fn string(&mut self, span: std::ops::Range<usize>) {
        let mut rest = &self.text[span];
        while self.has_escapes
            && let Some(at) = rest.find('\\')
        {
            self.out.push_str(&rest[..at]);
            rest = &rest[at..];
            // Of any other escape the sign and the one after it are copied together: `\\u0041` is no escape of A.
            let (written, read) = printable(rest).unwrap_or_else(|| {
                self.out.push('\\');
                (char::from(rest.as_bytes()[1]), 2)
            });
            self.out.push(written);
            rest = &rest[read..];
        }
        self.out.push_str(rest);
    }
}

/// The character that an escape as `\u4e2d`, or a pair of them, at the start of a string's rest stands for, if it is not ASCII and can be
/// seen; and the bytes of the escape. Controls, joiners, marks of direction and lone surrogates stay escapes.
fn printable(rest: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = rest.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    let (code, read) = match (first, unit(6)) {
        (0xD800..=0xDBFF, Some(second @ 0xDC00..=0xDFFF)) => {
            (0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00), 12)
        }
        _ => (first, 6),
    };
    let c = char::from_u32(code).filter(|c| !c.is_ascii())?;
    // Behind another character, since alone a combining mark would be written as an escape.
    let mut bytes = *b"a\0\0\0\0";
    let len = 1 + c.encode_utf8(&mut bytes[1..]).len();
    let is_seen = || std::str::from_utf8(&bytes[..len]).is_ok_and(|pair| pair.escape_debug().nth(1) == Some(c));
    (c.is_alphanumeric() || is_seen()).then_some((c, read))
}
