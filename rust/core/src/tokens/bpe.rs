//! A byte-level vocabulary: what a piece of text is made of.

use super::cache::{Owner, Table};
use super::merge::Merges;
use super::seams::Seams;
use super::words::{Key, Words};

/// Ids and ranks fit in this many bits, so that a pair and its rank fit in one `u64` (3 x 21 = 63 bits).
pub(crate) const ID_BITS: u32 = 21;

/// A byte-level vocabulary with its merges.
#[derive(Debug)]
pub(crate) struct Bpe {
    tokens: Tokens,
    /// Tokens that merging their bytes gives.
    pub(super) words: Words,
    /// Other tokens that a whole piece becomes all the same.
    unmerged: Option<Words>,
    merges: Merges,
    pub(super) seams: Seams,
    max_len: usize,
    pub(super) owner: Owner,
}

/// Which pieces that have the bytes of a token become that token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wholes {
    /// All of them; so does merging them, which a test proves for the vocabularies in the package.
    Proved,
    /// Those for which merging says the same.
    Merged,
    /// All of them, whatever merging says: `ignore_merges`.
    Always,
}

/// The bytes of all tokens, by id.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    /// Start and length in `arena` of each id; length 0 where the vocabulary has a hole.
    spans: Vec<[u32; 2]>,
    arena: Vec<u8>,
}

impl Tokens {
    pub(crate) fn with_capacity(n_tokens: usize, n_bytes: usize) -> Self {
        Self { spans: Vec::with_capacity(n_tokens), arena: Vec::with_capacity(n_bytes) }
    }

    /// Add token `id`; false if the id is taken or out of range, or the token empty or of more than 4 GiB in all.
    pub(crate) fn insert(&mut self, id: usize, bytes: &[u8]) -> bool {
        let (start, len) = (u32::try_from(self.arena.len()), u32::try_from(bytes.len()));
        let (Ok(start), Ok(len)) = (start, len) else { return false };
        if id >= 1 << ID_BITS || len == 0 || self.span(id).is_some() {
            return false;
        }
        if self.spans.len() <= id {
            self.spans.resize(id + 1, [0, 0]);
        }
        self.spans[id] = [start, len];
        self.arena.extend_from_slice(bytes);
        true
    }

    /// Append the token made of two older ones; false if either does not exist.
    pub(crate) fn push_joined(&mut self, left: usize, right: usize) -> bool {
        let (Some(left), Some(right)) = (self.span(left), self.span(right)) else { return false };
        let start = self.arena.len();
        self.arena.extend_from_within(left);
        self.arena.extend_from_within(right);
        let (Ok(start), Ok(len)) = (u32::try_from(start), u32::try_from(self.arena.len() - start)) else {
            return false;
        };
        self.spans.push([start, len]);
        true
    }

    /// The bytes of a token; empty if there is no such id.
    #[inline]
    pub(super) fn bytes_of(&self, id: u32) -> &[u8] {
        self.span(id as usize).map_or(&[], |span| &self.arena[span])
    }

    /// The bytes of every token.
    pub(super) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|&[start, len]| &self.arena[start as usize..start as usize + len as usize])
    }

    fn span(&self, id: usize) -> Option<std::ops::Range<usize>> {
        match self.spans.get(id) {
            None | Some([_, 0]) => None,
            Some(&[start, len]) => Some(start as usize..start as usize + len as usize),
        }
    }
}

impl Bpe {
    /// Build the tables. `merges` holds (left, right, merged) ids in rank order; a pair given twice keeps its later rank. `ids` are
    /// the tokens that text can be made of.
    pub(crate) fn new(
        tokens: Tokens,
        byte_ids: &[u32; 256],
        merges: &[[u32; 3]],
        ids: impl Iterator<Item = u32> + Clone,
        wholes: Wholes,
    ) -> Self {
        let merges = Merges::new(byte_ids, merges);
        let max_len = tokens.spans.iter().map(|span| span[1] as usize).max().unwrap_or(1).max(1);
        let seams = Seams::new(&tokens);
        let (words, unmerged) = if wholes == Wholes::Proved {
            (Words::new(&tokens, ids), None)
        } else {
            let (reached, others): (Vec<u32>, Vec<u32>) = ids.partition(|&id| is_reachable(&tokens, &merges, id));
            let unmerged = (wholes == Wholes::Always && !others.is_empty()).then_some(others);
            (Words::new(&tokens, reached.into_iter()), unmerged.map(|others| Words::new(&tokens, others.into_iter())))
        };
        Self { tokens, words, unmerged, merges, seams, max_len, owner: Owner::new() }
    }

    /// Whether merging the bytes of `id` gives just `id`.
    #[cfg(test)]
    pub(crate) fn is_reachable(&self, id: u32) -> bool {
        is_reachable(&self.tokens, &self.merges, id)
    }

    #[cfg(test)]
    pub(super) fn merges(&self) -> (&Merges, &Tokens) {
        (&self.merges, &self.tokens)
    }

    /// Length in bytes of the longest token.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// The bytes of a token; empty if there is no such id.
    pub(crate) fn bytes_of(&self, id: u32) -> &[u8] {
        self.tokens.bytes_of(id)
    }

    /// Number of tokens of a piece, which is UTF-8.
    pub(crate) fn count(&self, piece: &[u8]) -> usize {
        let is_token = |key| self.words.holds(key, self.words.announce(key));
        if Key::new(piece, 0, piece.len()).is_some_and(is_token) || self.is_unmerged(piece, 0, piece.len()) {
            return 1;
        }
        let (mut n, mut table) = (0, None);
        self.seams.each_part(piece, 0, piece.len(), |start, end| {
            n += match Key::new(piece, start, end - start) {
                Some(key) if is_token(key) => 1,
                key => {
                    let table = table.get_or_insert_with(|| self.owner.table()).as_mut();
                    self.count_part(&piece[start..end], key, table)
                }
            };
        });
        n
    }

    /// Number of tokens of a part that is none of the short tokens; its key if it is short.
    pub(super) fn count_part(&self, part: &[u8], key: Option<Key>, table: Option<&mut Table>) -> usize {
        let merge = || self.merges.count(&self.tokens, part);
        match (key, table) {
            (None, _) if self.words.find(&self.tokens, part, 0, part.len()).is_some() => 1,
            (_, None) => merge(),
            (Some(key), Some(table)) => table.short(key, merge),
            (None, Some(table)) => table.long(part, merge),
        }
    }

    /// Whether there are tokens that merging does not give, and pieces become all the same.
    #[inline]
    pub(super) fn has_unmerged(&self) -> bool {
        self.unmerged.is_some()
    }

    /// Whether a piece becomes a token that merging does not give.
    #[inline]
    pub(super) fn is_unmerged(&self, text: &[u8], start: usize, end: usize) -> bool {
        self.unmerged.as_ref().is_some_and(|words| words.find(&self.tokens, text, start, end).is_some())
    }

    /// Append the tokens of a piece, which is UTF-8.
    pub(crate) fn encode(&self, piece: &[u8], out: &mut Vec<u32>) {
        if let Some(id) = self.unmerged.as_ref().and_then(|words| words.find(&self.tokens, piece, 0, piece.len())) {
            return out.push(id);
        }
        self.seams.each_part(piece, 0, piece.len(), |from, to| match self.words.find(&self.tokens, piece, from, to) {
            Some(id) => out.push(id),
            None => self.merges.encode(&self.tokens, &piece[from..to], out),
        });
    }
}

fn is_reachable(tokens: &Tokens, merges: &Merges, id: u32) -> bool {
    let mut ids = Vec::new();
    merges.encode(tokens, tokens.bytes_of(id), &mut ids);
    ids == [id]
}

#[cfg(test)]
#[path = "bpe_tests.rs"]
mod tests;
