//! A file that is read in place: a stretch of it mapped into memory, read-only.
#![allow(unsafe_code, reason = "what is mapped is memory that the operating system fills from a file")]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// A stretch of a file. It stays readable when the file is renamed or deleted, until the last that holds it is gone.
///
/// The file must not be written to or shortened in place meanwhile: what is read would change, and reading behind the new end ends
/// the process. Replacing the file by another of the same name is safe.
#[derive(Debug)]
pub struct Mapped(Mmap);

impl Mapped {
    /// The `len` bytes from `offset` on.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn new(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.offset(offset).len(len);
        // SAFETY: the map is private and read-only, so that nothing here writes to it; that nobody else writes to the file in place
        // is asked of them above.
        let map = unsafe { options.map_copy_read_only(file) }?;
        Ok(Self(map))
    }

    /// What is there.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same as little-endian numbers; none on a machine that stores them otherwise, or where they are out of alignment.
    pub(crate) fn numbers(&self) -> &[f32] {
        // SAFETY: all bits are those of some f32.
        let (before, numbers, _) = unsafe { self.0.align_to::<f32>() };
        if before.is_empty() && cfg!(target_endian = "little") { numbers } else { &[] }
    }
}
