//! How a window shows that something of a message was left out.

/// Stands in a text wherever some of it was left out, with a blank between it and what is kept.
pub const CUT_MARK: &str = "[…]";

/// The key under which a JSON text that was cut says how many of its values went.
pub const CUT_KEY: &str = "[…]";
