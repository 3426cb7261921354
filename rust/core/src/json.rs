//! A JSON text as a flat tree of spans: which bytes are a key, a value, a container, with nothing decoded or copied.

mod cut;
mod parse;
#[cfg(test)]
mod tests;

use std::ops::Range;

/// Deepest nesting of containers that is read. Source: the limit of `serde_json`, which reads what a caller sends.
pub const MAX_DEPTH: usize = 128;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{...}`
    Object,
    /// `[...]`
    Array,
    /// `"..."`
    String,
    /// A number, as written.
    Number,
    /// `true`, `false` or `null`.
    Literal,
}

/// One value and its place in the text. Half the size that `usize` would give: a large text has a node every few bytes.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    kind: Kind,
    /// Empty where there is no key.
    key: (u32, u32),
    value: (u32, u32),
    /// [`NO_PARENT`] at the root.
    parent: u32,
    end: u32,
}

const NO_PARENT: u32 = u32::MAX;

impl Node {
    /// What the value is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes of the value.
    pub fn value(&self) -> Range<usize> {
        self.value.0 as usize..self.value.1 as usize
    }

    /// The bytes of the key in an object, quotes included.
    pub fn key(&self) -> Option<Range<usize>> {
        (self.key.1 > 0).then_some(self.key.0 as usize..self.key.1 as usize)
    }

    /// Index of the container that holds the value; none at the root.
    pub fn parent(&self) -> Option<usize> {
        (self.parent != NO_PARENT).then_some(self.parent as usize)
    }

    /// Index past the last node of the subtree: that of the next sibling, if there is one.
    pub fn end(&self) -> usize {
        self.end as usize
    }
}

/// A valid JSON text, read. It keeps no text: each method that needs it takes the very text that was parsed.
///
/// A *leaf* is a scalar or an empty container; leaves are numbered in document order from 0.
#[derive(Debug, Clone)]
pub struct Document {
    nodes: Vec<Node>,
    /// Nodes that are leaves.
    leaves: Vec<u32>,
    /// Whether white space follows the first comma and the first colon; none where there is no such sign.
    comma_is_spaced: Option<bool>,
    colon_is_spaced: Option<bool>,
}

impl Document {
    /// The tree of a text that is one JSON value and white space around it.
    ///
    /// Strict RFC 8259: no NaN, no trailing comma, no control character inside a string, no `01`. A lone surrogate escape
    /// (`"\ud800"`) is accepted, as by Python's `json`; duplicate keys are kept.
    ///
    /// Returns: none for any other text, for nesting deeper than [`MAX_DEPTH`] and for 4 GiB or more.
    ///
    /// Cost: O(bytes), without recursion; 28 bytes a value.
    pub fn parse(text: &str) -> Option<Self> {
        parse::parse(text)
    }

    /// All values in document order; the root is the first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How many leaves there are; at least one.
    pub fn leaf_count(&self) -> usize {
        self.leaves.len()
    }

    /// Index of a leaf in [`nodes`](Self::nodes).
    ///
    /// # Panics
    /// If there is no such leaf.
    pub fn leaf(&self, leaf: usize) -> usize {
        self.leaves[leaf] as usize
    }

    /// The bytes of a leaf, from its key where it has one: `"key": value` as one piece.
    ///
    /// # Panics
    /// If there is no such leaf.
    pub fn leaf_span(&self, leaf: usize) -> Range<usize> {
        let node = &self.nodes[self.leaf(leaf)];
        let value = node.value();
        node.key().map_or(value.start, |key| key.start)..value.end
    }

    /// The containers around a leaf as indices in [`nodes`](Self::nodes), innermost first.
    ///
    /// # Panics
    /// If there is no such leaf.
    pub fn leaf_path(&self, leaf: usize) -> impl Iterator<Item = usize> {
        self.ancestors(self.leaf(leaf))
    }

    fn ancestors(&self, node: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.nodes[node].parent(), |&at| self.nodes[at].parent())
    }

    /// The values directly inside a container, as indices in [`nodes`](Self::nodes); none of a scalar.
    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let end = self.nodes[node].end();
        let first = Some(node + 1).filter(|&at| at < end);
        std::iter::successors(first, move |&at| Some(self.nodes[at].end()).filter(|&at| at < end))
    }

    /// Whether a node is a container with nothing in it, or a scalar.
    pub(crate) fn is_leaf(&self, node: usize) -> bool {
        self.nodes[node].end() == node + 1
    }
}
