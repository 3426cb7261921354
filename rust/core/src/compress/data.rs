//! What a value of a JSON result costs while a window is being filled, which containers around it are open already.

use std::ops::Range;

use crate::json::Document;
use crate::tokens::slices::SliceTokens;

/// A JSON result that may be cut.
pub(super) struct Data {
    pub(super) json: Document,
    /// By node: whether a kept leaf opened it.
    pub(super) is_open: Vec<bool>,
}

/// Tokens of the note of what went in a JSON text, and of brackets: `{"[…]": 12}`.
pub(super) const NOTE_TOKENS: i64 = 8;
/// Tokens of the marks that open and close a container.
const CONTAINER_TOKENS: i64 = 2;
/// Tokens of the marks around a leaf. A border in the source may hold containers and their keys; they are counted by themselves.
const LEAF_BORDER: u32 = 3;
/// Bytes of a key for each token, about.
const KEY_BYTES: usize = 4;

impl Data {
    pub(super) fn new(json: Document) -> Self {
        let is_open = vec![false; json.nodes().len()];
        Self { json, is_open }
    }

    /// About what leaf `leaf` costs: itself, and the containers around it that no kept leaf opened.
    pub(super) fn cost(&self, leaf: usize, tokens: SliceTokens) -> i64 {
        let closed = self.json.leaf_path(leaf).take_while(|&at| !self.is_open[at]);
        let opening: i64 = closed
            .filter_map(|at| self.json.nodes()[at].key().or(self.json.nodes()[at].parent().map(|_| 0..0)))
            .map(|key| CONTAINER_TOKENS + i64::try_from(key.len() / KEY_BYTES).unwrap_or(0))
            .sum();
        i64::from(tokens.inner) + i64::from(tokens.join.min(LEAF_BORDER)) + opening
    }

    /// The leaves below a node, or the one that it is.
    pub(super) fn leaves_of(&self, node: usize) -> Range<usize> {
        let before = |end: usize| partition(self.json.leaf_count(), |leaf| self.json.leaf(leaf) < end);
        before(node)..before(self.json.nodes()[node].end())
    }
}

/// How many of `0..n` come before the first that does not satisfy `is_before`.
fn partition(n: usize, is_before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_before(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
