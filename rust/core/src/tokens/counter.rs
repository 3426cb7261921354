//! Counts the pieces of a text, some way behind where they are found.
//!
//! A vocabulary does not fit into the processor's fast caches. Looked up at once, each piece waits for memory; looked up when 16 more
//! have been found, most of what it needs has come by then. So a look-up is announced, kept, and done later.

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
    parts: Queue,
    merged: Queue,
    table: Option<Table>,
    tokens: usize,
}

#[derive(Clone, Copy, Default)]
struct Part {
    key: Key,
    start: usize,
    end: usize,
}

/// The last few parts.
#[derive(Default)]
struct Queue {
    parts: [Part; WAITING],
    n_pushed: usize,
}

impl Queue {
    /// Add a part, and take the oldest if there is no room for both.
    #[inline]
    fn push(&mut self, part: Part) -> Option<Part> {
        let oldest = std::mem::replace(&mut self.parts[self.n_pushed % WAITING], part);
        self.n_pushed += 1;
        (self.n_pushed > WAITING).then_some(oldest)
    }

    /// Take all parts.
    fn take(&mut self) -> impl Iterator<Item = Part> + use<> {
        let (parts, n) = (self.parts, std::mem::take(&mut self.n_pushed));
        (n.saturating_sub(WAITING)..n).map(move |i| parts[i % WAITING])
    }
}

impl<'t> Counter<'t> {
    pub(super) fn new(bpe: &'t Bpe, text: &'t [u8]) -> Self {
        let table = bpe.owner.table();
        Self { bpe, text, parts: Queue::default(), merged: Queue::default(), table, tokens: 0 }
    }

    /// Take the piece `text[start..end]`.
    #[inline]
    pub(super) fn push(&mut self, start: usize, end: usize) {
        match Key::new(self.text, start, end - start) {
            Some(key) if key.is_ascii() && !self.bpe.has_unmerged() => self.push_part(Part { key, start, end }),
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
        bpe.each_part(text, start, end, |start, end| match Key::new(text, start, end - start) {
            Some(key) => self.push_part(Part { key, start, end }),
            None => self.tokens += bpe.count_part(&text[start..end], None, self.table.as_mut()),
        });
    }

    #[inline]
    fn push_part(&mut self, part: Part) {
        self.bpe.words.prefetch(part.key);
        if let Some(part) = self.parts.push(part) {
            self.look_up(part);
        }
    }

    #[inline]
    fn look_up(&mut self, part: Part) {
        if self.bpe.words.holds(part.key) {
            self.tokens += 1;
        } else {
            self.push_merged(part);
        }
    }

    fn push_merged(&mut self, part: Part) {
        if let Some(table) = &self.table {
            table.prefetch(part.key);
        }
        if let Some(part) = self.merged.push(part) {
            self.count_merged(part);
        }
    }

    fn count_merged(&mut self, Part { key, start, end }: Part) {
        self.tokens += self.bpe.count_part(&self.text[start..end], Some(key), self.table.as_mut());
    }

    /// Tokens of all pieces.
    pub(super) fn finish(mut self) -> usize {
        self.parts.take().for_each(|part| self.look_up(part));
        self.merged.take().for_each(|part| self.count_merged(part));
        self.tokens
    }
}
