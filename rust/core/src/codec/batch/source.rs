//! Bytes of a file that are asked for by where they are, and what is wrong with them by the file's name.

use std::fmt::Display;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::chunk::{ALIGNMENT, CHUNK_HEADER, Chunk, FILE_HEADER, Kind, MAGIC, MARK_AT, Mark, VERSION, file_header};
use crate::error::{Error, Result};

/// Bytes that are read at once where there are many.
const BLOCK: usize = 1 << 16;

pub(super) struct Source<'p, S> {
    bytes: S,
    path: &'p Path,
    /// Bytes of the file when it was opened. What others append meanwhile is not looked at.
    pub(super) n_bytes: u64,
    /// Once the header is read.
    pub(super) mark: Mark,
}

impl<'p, S: Read + Seek> Source<'p, S> {
    pub(super) fn new(mut bytes: S, path: &'p Path) -> Result<Self> {
        let n_bytes = bytes.seek(SeekFrom::End(0)).map_err(|error| Error::os(&error, path))?;
        Ok(Self { bytes, path, n_bytes, mark: Mark::default() })
    }

    pub(super) fn damaged(&self, why: impl Display) -> Error {
        Error::Codec(format!("{}: {why}", self.path.display()))
    }

    /// Fills `to` with what is there from a byte on; false if the file ends before.
    pub(super) fn fill(&mut self, at: u64, to: &mut [u8]) -> Result<bool> {
        let Some(end) = at.checked_add(to.len() as u64) else { return Ok(false) };
        if end > self.n_bytes {
            return Ok(false);
        }
        match self.bytes.seek(SeekFrom::Start(at)).and_then(|_| self.bytes.read_exact(to)) {
            Ok(()) => Ok(true),
            // A writer has just cut off what is torn.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(Error::os(&error, self.path)),
        }
    }

    pub(super) fn array<const N: usize>(&mut self, at: u64) -> Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        Ok(self.fill(at, &mut bytes)?.then_some(bytes))
    }

    /// Reads the file's header; false if the file ends within it, as one whose creation was cut short does.
    pub(super) fn open(&mut self) -> Result<bool> {
        let mut header = [0; FILE_HEADER];
        let n_bytes = usize::try_from(self.n_bytes).map_or(FILE_HEADER, |n_bytes| n_bytes.min(FILE_HEADER));
        let begun = &mut header[..n_bytes];
        self.fill(0, begun)?;
        if n_bytes < FILE_HEADER && file_header(self.mark).starts_with(&begun[..n_bytes.min(MARK_AT)]) {
            return Ok(false);
        }
        if !header.starts_with(&MAGIC) {
            return Err(self.damaged("it is no batch file; pass one that BatchWriter wrote"));
        }
        let word = |at: usize| *header[at..].first_chunk().expect("the header is longer");
        let version = u32::from_le_bytes(word(MAGIC.len()));
        if version > VERSION {
            let why = format!("its version is {version}, this release reads up to {VERSION}; upgrade rolecore");
            return Err(self.damaged(why));
        }
        self.mark = word(MARK_AT);
        if header != file_header(self.mark) {
            return Err(self.damaged("its header is damaged; take another copy of it"));
        }
        Ok(true)
    }

    /// The chunk that begins at a byte, by a header that is right; it may reach past the end of the file.
    pub(super) fn chunk(&mut self, at: u64) -> Result<Option<Chunk>> {
        if !at.is_multiple_of(ALIGNMENT as u64) {
            return Ok(None);
        }
        let mark = self.mark;
        Ok(self.array::<CHUNK_HEADER>(at)?.and_then(|header| Chunk::read(&header, at, mark)))
    }

    /// Whether all of a chunk is there and as its checksum says.
    pub(super) fn is_whole(&mut self, chunk: &Chunk) -> Result<bool> {
        if chunk.end > self.n_bytes {
            return Ok(false);
        }
        let mut hasher = crc32fast::Hasher::new();
        let mut block = vec![0; BLOCK];
        let mut at = chunk.content_at();
        while at < chunk.end {
            let block = &mut block[..block_within(at, chunk.end)];
            if !self.fill(at, block)? {
                return Ok(false);
            }
            hasher.update(block);
            at += block.len() as u64;
        }
        Ok(hasher.finalize() == chunk.checksum)
    }

    /// Where the first whole index begins behind a byte at which there is no whole chunk. What is within a chunk whose header is right is
    /// not looked at: it is the content of a snapshot, whose writer may have put anything there.
    pub(super) fn index_behind(&mut self, torn_at: u64) -> Result<Option<u64>> {
        let mut block = vec![0; BLOCK];
        let mut at = torn_at;
        while at.saturating_add(CHUNK_HEADER as u64) <= self.n_bytes {
            let block = &mut block[..block_within(at, self.n_bytes)];
            if !self.fill(at, block)? {
                return Ok(None);
            }
            let headers = block.windows(CHUNK_HEADER).step_by(ALIGNMENT);
            let n_headers = headers.len() as u64;
            match (0..).zip(headers).find_map(|(n, header)| Chunk::read(header, at + n * ALIGNMENT as u64, self.mark)) {
                None => at += n_headers * ALIGNMENT as u64,
                Some(index) if index.kind == Kind::Index && self.is_whole(&index)? => return Ok(Some(index.at)),
                Some(chunk) => at = chunk.end,
            }
        }
        Ok(None)
    }
}

/// Bytes of a block that begins at a byte and ends before another.
fn block_within(at: u64, end: u64) -> usize {
    usize::try_from(end - at).map_or(BLOCK, |n_bytes| n_bytes.min(BLOCK))
}
