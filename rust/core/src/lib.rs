//! Keep any chat history inside a token budget.
//!
//! The core of the Python package `rolecore`, with no Python in it: parsed [`Message`]s are counted once when they are
//! appended to a [`History`], and [`History::fit`] chooses which of them make the best legal window under a budget.

pub mod cache;
pub mod codec;
mod compress;
mod cut;
pub mod embed;
pub mod error;
pub mod file;
pub mod gate;
pub mod hashing;
pub mod history;
pub mod index;
pub mod json;
pub mod memory;
pub mod message;
pub mod next;
mod payload;
pub mod retain;
pub mod rolling;
pub mod route;
pub mod shrink;
pub mod simd;
mod text;
pub mod tokens;

pub use compress::fit::{FitOptions, OnOrphans, Summary, Unit};
pub use compress::window::{Amount, Entry, Kept, Reason, Window};
pub use cut::{CUT_KEY, CUT_MARK};
pub use embed::Rows;
pub use error::{Error, Result};
pub use hashing::HashingEmbedder;
pub use history::{Counted, History, Repair};
pub use message::{Message, Part, Parts, Role, ToolCall};
pub use next::Limits;
pub use rolling::{Rolling, RollingOptions};
pub use text::Text;
pub use tokens::Tokenizer;
