//! Puts bytes one after another: numbers, offsets, texts and the beginnings of tables.

use std::mem::{MaybeUninit, take};

use super::layout::Shape;

/// A byte of what is written into, which may hold nothing yet.
pub trait Byte: Copy {
    /// One that holds `byte`.
    fn of(byte: u8) -> Self;

    /// Makes `to`, which is as long, hold `from`.
    fn copy(to: &mut [Self], from: &[u8]);
}

impl Byte for u8 {
    #[inline]
    fn of(byte: u8) -> Self {
        byte
    }

    #[inline]
    fn copy(to: &mut [Self], from: &[u8]) {
        to.copy_from_slice(from);
    }
}

impl Byte for MaybeUninit<u8> {
    #[inline]
    fn of(byte: u8) -> Self {
        Self::new(byte)
    }

    #[inline]
    fn copy(to: &mut [Self], from: &[u8]) {
        to.write_copy_of_slice(from);
    }
}

/// Bytes that a text of `len` bytes takes: its length, itself, a NUL and what is missing to a multiple of 4.
#[inline]
pub(super) fn room_of_text(len: usize) -> usize {
    4 + (len / 4 + 1) * 4
}

/// Bytes of all the texts that there are.
#[inline]
pub(super) fn texts_len<const N: usize>(texts: &[Option<&str>; N]) -> usize {
    texts.iter().flatten().fold(0, |sum, text| room_of_text(text.len()).saturating_add(sum))
}

/// Bytes of `n` offsets and their number.
#[inline]
pub(super) fn offsets_len(n: usize) -> usize {
    n.saturating_add(1).saturating_mul(4)
}

/// A place in what is written, everything before it written.
///
/// What does not fit is not written, and the pen remembers it: by then the sizes were wrong and nothing is of use, so only the end asks.
/// Otherwise every byte it went over is written.
#[derive(Debug)]
pub(super) struct Pen<'o, B> {
    rest: &'o mut [B],
    end: usize,
    has_overrun: bool,
}

impl<'o, B: Byte> Pen<'o, B> {
    pub(super) fn new(out: &'o mut [B]) -> Self {
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

    /// As many bytes, all of which the caller writes.
    #[inline]
    fn take(&mut self, len: usize) -> &'o mut [B] {
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
            *to = bytes.map(B::of);
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

    /// Numbers one after another.
    #[inline]
    pub(super) fn words<const N: usize>(&mut self, words: [u32; N]) {
        let Some((to, rest)) = take(&mut self.rest).split_at_mut_checked(4 * N) else {
            self.has_overrun = true;
            return;
        };
        for (to, word) in to.as_chunks_mut().0.iter_mut().zip(words) {
            *to = word.to_le_bytes().map(B::of);
        }
        self.rest = rest;
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
    pub(super) fn offsets(&mut self, n: usize) -> Pen<'o, B> {
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

    /// The offsets of the texts that there are, the first of which begins at `at`.
    #[inline]
    pub(super) fn text_offsets<const N: usize>(&mut self, texts: &[Option<&str>; N], mut at: usize) {
        for text in texts.iter().flatten() {
            self.offset(at);
            at += room_of_text(text.len());
        }
    }

    #[inline]
    pub(super) fn texts<const N: usize>(&mut self, texts: &[Option<&str>; N]) {
        texts.iter().flatten().for_each(|text| self.text(text));
    }

    #[inline]
    pub(super) fn text(&mut self, text: &str) {
        self.u32(text.len());
        self.padded(text.as_bytes(), room_of_text(text.len()) - 4);
    }

    /// Bytes, and zeros after them, of which there are at most 4, up to `len` in all.
    #[inline]
    pub(super) fn padded(&mut self, bytes: &[u8], len: usize) {
        let padded = self.take(len);
        let n_zeros = padded.len().wrapping_sub(bytes.len());
        if n_zeros > 4 {
            self.has_overrun = true;
            return;
        }
        // All four at once: a call that writes one or two costs more than the text.
        if let Some(last) = padded.last_chunk_mut() {
            *last = [B::of(0); 4];
        }
        B::copy(&mut padded[..bytes.len()], bytes);
    }

    /// Zeros up to byte `at`.
    pub(super) fn zeros_to(&mut self, at: usize) {
        self.take(at.saturating_sub(self.at())).fill(B::of(0));
    }
}

/// Everything that is planned is below 2^31; what is not comes of sizes that were wrong.
#[inline]
pub(super) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
