//! Keep any chat history inside a token budget.
//!
//! The core of the Python package `rolecore`, with no Python in it: parsed [`Message`]s are counted once when they are
//! appended to a [`History`], and [`History::fit`] chooses which of them make the best legal window under a budget.

pub mod error;
pub mod memory;
pub mod retain;
pub mod simd;
pub mod tokens;

pub use error::{Error, Result};
pub use tokens::Tokenizer;
