//! One strict pass over a whole batch file: from chunk to chunk, and only then against what its indexes say.

use super::chunk::{CHUNK_HEADER, Chunk, ENTRY, Entry, FILE_HEADER, INDEX_HEADER, Kind, footer};
use super::index::{BatchIndex, Segment};
use crate::error::{Error, Result};

impl BatchIndex {
    /// Checks all of `bytes`, the first [`n_bytes`](Self::n_bytes) of the file: every checksum, every snapshot, as
    /// [`codec::verify`](crate::codec::verify()) does, and that every index lists the snapshots before it.
    ///
    /// # Errors
    /// [`Error::Codec`] with the first fault.
    ///
    /// Cost: O(bytes), and 16 bytes of memory for each snapshot.
    pub fn verify(&self, bytes: &[u8]) -> Result<()> {
        let mut found = Vec::new();
        // Of a file whose header was not written whole, there is nothing to check.
        let mut at = FILE_HEADER;
        while at < bytes.len() {
            let chunk = Chunk::read(&bytes[at..], at as u64, self.mark);
            let content = chunk.and_then(|chunk| Some((chunk, chunk.content(bytes)?)));
            let (chunk, padded) = content.ok_or_else(|| damaged(at, "the header of its chunk is"))?;
            if crc32fast::hash(padded) != chunk.checksum {
                return Err(damaged(at, "the content of its chunk is"));
            }
            let end = at + CHUNK_HEADER + padded.len();
            // The content is there, so that its length fits.
            let content = &padded[..usize::try_from(chunk.n_bytes).unwrap_or(0)];
            match chunk.kind {
                Kind::Snapshot => {
                    crate::codec::verify(content).map_err(|error| {
                        let index = found.len();
                        Error::Codec(format!(
                            "snapshot {index} of the batch file, from byte {} on: {error}",
                            at + CHUNK_HEADER
                        ))
                    })?;
                    found.push(Entry::of(&chunk));
                }
                Kind::Index if !self.is_right(&chunk, content, &found) => {
                    return Err(damaged(at, "what its index lists is"));
                }
                Kind::Index => {}
            }
            at = end;
        }
        if found.len() != self.len() {
            return Err(damaged(
                bytes.len(),
                format_args!("it has {} snapshots and lists {}, its list is", found.len(), self.len()),
            ));
        }
        for (index, found) in found.into_iter().enumerate() {
            if self.entry(bytes, index)?.0 != found {
                return Err(damaged(
                    usize::try_from(found.at).unwrap_or(usize::MAX),
                    "where its snapshot is listed is",
                ));
            }
        }
        Ok(())
    }

    /// Whether an index lists the last of the snapshots that were found before it.
    fn is_right(&self, chunk: &Chunk, content: &[u8], found: &[Entry]) -> bool {
        let Some((segment, _)) = Segment::read(chunk, content) else { return false };
        let listed = usize::try_from(segment.first).ok().and_then(|first| found.get(first..));
        let (list, end) =
            content[INDEX_HEADER..].as_chunks::<ENTRY>().0.split_at(usize::try_from(segment.len).unwrap_or(0));
        let mut entries = list.iter().map(|entry| Entry::read(entry));
        listed.is_some_and(|listed| {
            listed.len() == list.len() && listed.iter().all(|&entry| entries.next() == Some(Some(entry)))
        }) && end == [footer(chunk.at, self.mark)]
    }
}

#[cold]
fn damaged(at: usize, what: impl std::fmt::Display) -> Error {
    Error::Codec(format!("the batch file at byte {at}: {what} damaged; take another copy of it"))
}
