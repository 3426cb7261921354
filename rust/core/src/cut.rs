//! How a message shows that something of it was left out: one mark in plain text, one key in JSON.

/// Key of the one entry that a cut JSON document carries; its value is the number of values left out.
///
/// An ellipsis in brackets: the sign for an omission in quoted text, short in tokens, and hardly the key of real data.
pub const CUT_KEY: &str = "[…]";

/// Stands in a text wherever a part of it was left out, with its blanks.
pub const CUT_MARK: &str = " […] ";
