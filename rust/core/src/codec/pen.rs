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

/// Bytes of the length of a text, which stand before it.
pub(crate) const ROOM_FOR_LEN: usize = 4;

/// Bytes up to which the C library copies by wide loads and stores.
const SHORT: usize = 2048;

/// Bytes that a text of `len` bytes takes: its length, itself, a NUL and what is missing to a multiple of 4.
#[inline]
pub(crate) fn room_of_text(len: usize) -> usize {
    ROOM_FOR_LEN + (len / 4 + 1) * 4
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
    /// Where all ends, bytes that were passed over included.
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
    pub(super) fn words(&mut self, words: impl ExactSizeIterator<Item = u32>) {
        let to = self.take(words.len().saturating_mul(4));
        for (to, word) in to.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            B::copy(to, &word.to_le_bytes());
        }
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
        self.padded(text.as_bytes(), room_of_text(text.len()) - ROOM_FOR_LEN);
    }

    /// Texts that have their room around them already; the length of each, which `lens` gives, is put before it.
    pub(super) fn texts_in_room(&mut self, texts: &str, lens: &mut impl Iterator<Item = u32>) {
        let mut rest = self.take(texts.len());
        // Not all at once: a longer copy is left to `rep movsb`, which takes up to twice the time where the two ends lie badly to each other.
        for (to, from) in rest.chunks_mut(SHORT).zip(texts.as_bytes().chunks(SHORT)) {
            B::copy(to, from);
        }
        while !rest.is_empty() {
            let len = lens.next().unwrap_or(u32::MAX);
            let Some((text, others)) = rest.split_at_mut_checked(room_of_text(len as usize)) else {
                self.has_overrun = true;
                return;
            };
            if let Some(room) = text.first_chunk_mut() {
                *room = len.to_le_bytes().map(B::of);
            }
            rest = others;
        }
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

    /// Passes over bytes that are written elsewhere.
    pub(super) fn skip(&mut self, len: usize) {
        self.end += len;
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
