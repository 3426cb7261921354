//! The one error type of the core. The Python boundary maps each variant to one class of `rolecore.errors`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with the numbers a caller needs to mend it. Messages name the value, the limit and the way out, never
/// the user's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An argument is out of its range or of the wrong kind.
    Argument(String),
    /// What must stay does not fit; `needed` is the smallest budget that works.
    Budget {
        /// Smallest budget in tokens for which the same call succeeds.
        needed: u64,
        /// The budget in tokens that was given.
        budget: u64,
    },
    /// A message is not of the form a chat API takes, or a history holds what no provider takes.
    Message {
        /// Index of the message, where one is to blame.
        index: Option<usize>,
        /// What is wrong with it.
        why: String,
    },
    /// A tokenizer is unknown, damaged or of a kind that cannot be counted exactly.
    Tokenizer(String),
    /// A vector, key or value that a cache does not take, or a snapshot that is not one.
    Cache(String),
    /// Bytes that are no snapshot, a damaged one or a newer one, or a session that a snapshot cannot hold.
    Codec(String),
    /// The operating system refuses to read or write a file.
    Os {
        /// Its number for the reason, where there is one.
        errno: Option<i32>,
        /// Its words for it.
        why: String,
        /// The file.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn os(error: &io::Error, path: &Path) -> Self {
        Self::Os { errno: error.raw_os_error(), why: error.to_string(), path: path.to_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(why)
            | Self::Tokenizer(why)
            | Self::Cache(why)
            | Self::Codec(why)
            | Self::Message { index: None, why } => f.write_str(why),
            Self::Os { why, path, .. } => write!(f, "{}: {why}", path.display()),
            Self::Message { index: Some(index), why } => write!(f, "message {index}: {why}"),
            Self::Budget { needed, budget } => write!(
                f,
                "what must stay needs {needed} tokens, the budget is {budget}; raise it, lower keep_last or unpin"
            ),
        }
    }
}

impl std::error::Error for Error {}
