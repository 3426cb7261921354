//! Counts the pieces of a text, some way behind where they are found.
//!
//! A vocabulary does not fit into the processor's fast caches. Looked up at once, each piece waits for memory; looked up when 16 more
//! have been found, most of what it needs has come by then. So a look-up is announced, kept, and done later.

#![expect(clippy::inline_always, reason = "the innermost loop: with calls in it English is 5 % slower")]

use super::bpe::Bpe;
use super::cache::Table;
use super::words::Key;

/// About as many look-ups as a core can have under way.
const WAITING: usize = 16;

/// Pieces of one text on their way to being counted.
pub(super) struct Counter<'t> {
    bpe: &'t Bpe,
    text: &'t [u8],
    /// Parts to be looked up among the tokens, then those that are none, to be looked up among the counts of merged ones.
    parts: [Part; WAITING],
    merged: [Part; WAITING],
    n_parts: usize,
    n_merged: usize,
    table: Option<Table>,
    tokens: usize,
}

#[derive(Clone, Copy, Default)]
struct Part {
    key: Key,
    start: usize,
    /// Where its look-up begins.
    place: usize,
}

impl<'t> Counter<'t> {
    pub(super) fn new(bpe: &'t Bpe, text: &'t [u8]) -> Self {
        let (parts, table) = ([Part::default(); WAITING], bpe.owner.table());
        Self { bpe, text, parts, merged: parts, n_parts: 0, n_merged: 0, table, tokens: 0 }
    }

    /// Take the piece `text[start..end]`.
    #[inline(always)]
    pub(super) fn push(&mut self, start: usize, end: usize) {
        match Key::new(self.text, start, end - start) {
            Some(key) if key.is_ascii() && !self.bpe.has_unmerged() => self.push_part(key, start),
            _ => self.push_parts(start, end),
        }
    }

    #[inline(never)]
    fn push_parts(&mut self, start: usize, end: usize) {
        if self.bpe.is_unmerged(self.text, start, end) {
            self.tokens += 1;
            return;
        }
        let (bpe, text) = (self.bpe, self.text);
        bpe.seams.each_part(text, start, end, |start, end| match Key::new(text, start, end - start) {
            Some(key) => self.push_part(key, start),
            None => self.tokens += bpe.count_part(&text[start..end], None, self.table.as_mut()),
        });
    }

    #[inline(always)]
    fn push_part(&mut self, key: Key, start: usize) {
        let place = self.bpe.words.announce(key);
        let slot = self.n_parts % WAITING;
        if self.n_parts >= WAITING {
            self.settle(slot);
        }
        self.parts[slot] = Part { key, start, place };
        self.n_parts += 1;
    }

    #[inline(always)]
    fn settle(&mut self, slot: usize) {
        let Part { key, place, .. } = self.parts[slot];
        if self.bpe.words.holds(key, place) {
            self.tokens += 1;
        } else {
            self.push_merged(slot);
        }
    }

    #[inline(never)]
    fn push_merged(&mut self, slot: usize) {
        let part = self.parts[slot];
        if let Some(table) = &self.table {
            table.prefetch(part.key);
        }
        let slot = self.n_merged % WAITING;
        if self.n_merged >= WAITING {
            self.settle_merged(slot);
        }
        self.merged[slot] = part;
        self.n_merged += 1;
    }

    fn settle_merged(&mut self, slot: usize) {
        let Part { key, start, .. } = self.merged[slot];
        self.tokens += self.bpe.count_part(&self.text[start..start + key.len()], Some(key), self.table.as_mut());
    }

    /// Tokens of all pieces.
    pub(super) fn finish(mut self) -> usize {
        for i in self.n_parts.saturating_sub(WAITING)..self.n_parts {
            self.settle(i % WAITING);
        }
        for i in self.n_merged.saturating_sub(WAITING)..self.n_merged {
            self.settle_merged(i % WAITING);
        }
        self.tokens
    }
}
