//! Puts bytes one after another: numbers, offsets, texts and the beginnings of tables.

use std::mem::take;

use super::layout::Shape;

/// Bytes of a text: its length, itself, a NUL and what is missing to a multiple of 4.
#[inline]
fn text_len(text: &str) -> usize {
    4 + (text.len() / 4 + 1) * 4
}

/// Bytes of all the texts that there are.
#[inline]
pub(super) fn texts_len<const N: usize>(texts: &[Option<&str>; N]) -> usize {
    texts.iter().flatten().fold(0, |sum, text| text_len(text).saturating_add(sum))
}

/// Bytes of `n` offsets and their number.
#[inline]
pub(super) fn offsets_len(n: usize) -> usize {
    n.saturating_add(1).saturating_mul(4)
}

/// A place in what is written, everything before it written.
///
/// What does not fit is not written, and the pen remembers it: by then the sizes were wrong and nothing is of use, so only the end asks.
#[derive(Debug)]
pub(super) struct Pen<'o> {
    rest: &'o mut [u8],
    end: usize,
    has_overrun: bool,
}

impl<'o> Pen<'o> {
    pub(super) fn new(out: &'o mut [u8]) -> Self {
        Self { end: out.len(), rest: out, has_overrun: false }
    }

    /// Bytes from the snapshot's start.
    #[inline]
    pub(super) fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Whether everything fitted and nothing is left to be written.
    pub(super) fn is_done(&self) -> bool {
        !self.has_overrun && self.rest.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> &'o mut [u8] {
        let (taken, rest) = take(&mut self.rest).split_at_mut_checked(len).unwrap_or_else(|| {
            self.has_overrun = true;
            (&mut [], &mut [])
        });
        self.rest = rest;
        taken
    }

    #[inline]
    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some((to, rest)) = take(&mut self.rest).split_first_chunk_mut() {
            *to = bytes;
            self.rest = rest;
        } else {
            self.has_overrun = true;
        }
    }

    #[inline]
    pub(super) fn u16(&mut self, number: usize) {
        self.put(u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes());
    }

    #[inline]
    pub(super) fn u32(&mut self, number: usize) {
        self.put(to_u32(number).to_le_bytes());
    }

    /// A number, unless it is the default.
    #[inline]
    pub(super) fn number(&mut self, number: i64) {
        if number != 0 {
            self.put(number.to_le_bytes());
        }
    }

    /// The offset from here to `to`, which lies ahead.
    #[inline]
    pub(super) fn offset(&mut self, to: usize) {
        self.u32(to.wrapping_sub(self.at()));
    }

    /// The number of offsets, and the room for them with a pen of its own.
    #[inline]
    pub(super) fn offsets(&mut self, n: usize) -> Pen<'o> {
        self.u32(n);
        let rest = self.take(n.saturating_mul(4));
        Pen { rest, end: self.at(), has_overrun: false }
    }

    /// What stands before a table's fields; from where to where the table lies.
    #[inline]
    pub(super) fn table(&mut self, shape: Shape) -> (usize, usize) {
        let (start, end) = shape.span(self.at());
        if start > self.at() {
            self.put([0; 4]);
        }
        // The distance back to the vtable, which is negative.
        self.put(to_u32(start).wrapping_sub(shape.vtable).to_le_bytes());
        (start, end)
    }

    /// The offsets of the texts that there are, the first of which begins at `at`; where the last one ends.
    #[inline]
    pub(super) fn text_offsets<const N: usize>(&mut self, texts: &[Option<&str>; N], mut at: usize) -> usize {
        for text in texts.iter().flatten() {
            self.offset(at);
            at += text_len(text);
        }
        at
    }

    #[inline]
    pub(super) fn texts<const N: usize>(&mut self, texts: &[Option<&str>; N]) {
        for text in texts.iter().flatten() {
            self.u32(text.len());
            self.padded(text.as_bytes(), text_len(text) - 4);
        }
    }

    /// Bytes, and zeros after them, of which there are at most 4, up to `len` in all, a multiple of 4.
    #[inline]
    pub(super) fn padded(&mut self, bytes: &[u8], len: usize) {
        let padded = self.take(len);
        if let Some(last) = padded.last_chunk_mut() {
            *last = [0; 4];
        }
        if let Some(to) = padded.get_mut(..bytes.len()) {
            to.copy_from_slice(bytes);
        }
    }
}

/// Everything that is planned is below 2^31; what is not comes of sizes that were wrong.
#[inline]
pub(super) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
