//! Smaller forms of long tool outputs: JSON without what it repeats, logs without lines that say the same.
//!
//! JSON loses nothing. Logs lose lines, never a line of an error, and a marker tells how many.

mod errors;
mod layout;
#[cfg(test)]
mod layout_tests;
mod likeness;
mod log;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod timing_tests;

use crate::json::Document;

/// Least gain that is worth another form, in bytes.
pub const MIN_GAIN_BYTES: usize = 32;

/// Least gain that is worth another form, as a share of the text: one part in so many.
pub const MIN_GAIN_SHARE: usize = 20;

/// How a text was made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// JSON without white space between its tokens, and with printable characters in place of their escapes, as of `\u4e2d`.
    CompactJson,
    /// Compact JSON in which an array of like objects is a table: `[{"id":1,"name":"a"},[2,"b"],[3,"c"]]`.
    ///
    /// An array that follows an object in the same array is a row: the values of one more object with the keys of the
    /// nearest object before it, in order. Where that object holds an object, an array in the row is such a row in turn. So
    /// a document that has an array after an object of its own is never given this form: what looks like a row is one.
    TableJson,
    /// A text of lines without those that are like others, and without its middle where it is still long.
    ///
    /// Each gap is one line: `[… 37 lines like this]` (equal to the line above but for digits, hexadecimal numbers and
    /// times), `[… 37 lines like those above]` or `[… 812 lines]`.
    Log,
}

/// A smaller form of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// What to send instead.
    pub text: String,
    /// What was done.
    pub form: Form,
    /// Lines of the source that are not in `text`, the sum of the counts in its markers; 0 for JSON, which loses nothing.
    pub lines_cut: usize,
}

/// A smaller form of a tool output: lossless for JSON, the telling lines of any other text of 16 lines or more.
///
/// In a log no line of an error is left out: words of failure in English and Chinese, stack traces, what belongs to them.
/// Only where such lines repeat without a break, equal but for digits, hexadecimal numbers and times, does the first stand
/// for all and a marker tell how many. The two lines before an error that stays are kept too. All but the markers is the
/// source's own, byte for byte and in order.
///
/// Args:
///     rows: Whether an array of like objects may become a table. Rows have no keys, so that nothing can be cut out of them.
///
/// Returns: none where there is no such form or it gains less than 5 % or 32 bytes; so for a text that is shrunk already.
///
/// Cost: O(bytes); 1 MB in some milliseconds.
pub fn shrink(text: &str, rows: bool) -> Option<Shrunk> {
    let looks_like_json = text.trim_ascii_start().starts_with(['{', '[']);
    let shrunk = if let Some(document) = looks_like_json.then(|| Document::parse(text)).flatten() {
        let (text, form) = layout::lay_out(text, &document, rows);
        Shrunk { text, form, lines_cut: 0 }
    } else {
        let (text, lines_cut) = log::fold(text)?;
        Shrunk { text, form: Form::Log, lines_cut }
    };
    let least = MIN_GAIN_BYTES.max(text.len().div_ceil(MIN_GAIN_SHARE));
    (shrunk.text.len() + least <= text.len()).then_some(shrunk)
}
