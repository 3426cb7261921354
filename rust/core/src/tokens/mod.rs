//! Exact token counting, offline.

/// A tokenizer.
#[derive(Debug)]
pub struct Tokenizer;
