//! Puts bytes one after another: numbers, offsets, texts and the beginnings of tables.

use super::layout::Shape;
use crate::error::{Error, Result};

/// Bytes of a text: its length, itself, a NUL and what is missing to a multiple of 4.
pub(super) fn text_len(text: &str) -> usize {
    4 + (text.len() / 4 + 1) * 4
}

/// Bytes of `n` offsets and their number.
pub(super) fn offsets_len(n: usize) -> usize {
    n.saturating_add(1).saturating_mul(4)
}

pub(super) fn texts_len<const N: usize>(texts: [Option<&str>; N]) -> usize {
    texts.into_iter().flatten().fold(0, |sum, text| text_len(text).saturating_add(sum))
}

#[cold]
pub(super) fn changed() -> Error {
    Error::Codec("the turns changed while they were written; hold them still and write them again".to_owned())
}

/// A place in what is written, everything before it written. Whatever would reach past the end is what the first pass did not meet.
pub(super) struct Pen<'o> {
    pub(super) out: &'o mut [u8],
    pub(super) at: usize,
}

impl Pen<'_> {
    pub(super) fn take(&mut self, len: usize) -> Result<&mut [u8]> {
        let end = self.at.saturating_add(len);
        let taken = self.out.get_mut(self.at..end).ok_or_else(changed)?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn put<const N: usize>(&mut self, bytes: [u8; N]) -> Result<()> {
        self.take(N)?.copy_from_slice(&bytes);
        Ok(())
    }

    pub(super) fn u16(&mut self, number: usize) -> Result<()> {
        self.put(u16::try_from(number).map_err(|_| changed())?.to_le_bytes())
    }

    pub(super) fn u32(&mut self, number: usize) -> Result<()> {
        self.put(u32::try_from(number).map_err(|_| changed())?.to_le_bytes())
    }

    /// The offset from here to `to`.
    pub(super) fn offset(&mut self, to: usize) -> Result<()> {
        self.u32(to - self.at)
    }

    /// A number, unless it is the default.
    pub(super) fn number(&mut self, number: i64) -> Result<()> {
        if number == 0 { Ok(()) } else { self.put(number.to_le_bytes()) }
    }

    pub(super) fn zeros_to(&mut self, end: usize) -> Result<()> {
        self.take(end - self.at)?.fill(0);
        Ok(())
    }

    /// What is before a table's fields, and zeros where its last fields or the padding after them come; from where to where it lies.
    pub(super) fn table(&mut self, shape: Shape) -> Result<(usize, usize)> {
        let (start, end) = shape.span(self.at);
        self.zeros_to(start)?;
        let table = self.take(shape.len)?;
        if let Some(last) = table.last_chunk_mut() {
            *last = [0; 4];
        }
        self.at = start;
        // Vtables lie behind their tables, which makes the distance negative.
        let back = i32::try_from(shape.vtable).ok().zip(i32::try_from(start).ok()).ok_or_else(changed)?;
        self.put((back.1 - back.0).to_le_bytes())?;
        Ok((start, end))
    }

    /// The offsets of the texts that there are, the first of which begins at `at`; where the last one ends.
    pub(super) fn text_offsets<const N: usize>(&mut self, texts: [Option<&str>; N], mut at: usize) -> Result<usize> {
        for text in texts.into_iter().flatten() {
            self.offset(at)?;
            at += text_len(text);
        }
        Ok(at)
    }

    pub(super) fn texts<const N: usize>(&mut self, texts: [Option<&str>; N]) -> Result<()> {
        for text in texts.into_iter().flatten() {
            self.u32(text.len())?;
            let padded = self.take(text_len(text) - 4)?;
            if let Some(last) = padded.last_chunk_mut() {
                *last = [0; 4];
            }
            padded[..text.len()].copy_from_slice(text.as_bytes());
        }
        Ok(())
    }

    /// The number of offsets, and room for them; where the first one goes.
    pub(super) fn offsets(&mut self, n: usize) -> Result<usize> {
        self.u32(n)?;
        let first = self.at;
        self.take(n.saturating_mul(4))?;
        Ok(first)
    }

    /// Writes into an offset's room what it refers to; where the next one goes.
    pub(super) fn fill_slot(&mut self, slot: usize, to: usize) -> Result<usize> {
        let offset = u32::try_from(to - slot).map_err(|_| changed())?;
        let next = slot + 4;
        self.out.get_mut(slot..next).ok_or_else(changed)?.copy_from_slice(&offset.to_le_bytes());
        Ok(next)
    }
}
