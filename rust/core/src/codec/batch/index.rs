//! Where the snapshots of a batch file are: by its indexes, or after a crash by its chunks.

use std::io::{Read, Seek};
use std::path::Path;

use super::chunk::{
    ALIGNMENT, CHUNK_HEADER, Chunk, ENTRY, Entry, FILE_HEADER, FOOTER, INDEX_HEADER, Kind, Mark, index_before, u64_at,
};
use super::source::Source;
use crate::error::{Error, Result};

/// Where the snapshots of a batch file are. It holds no bytes of the file, so that they can be anywhere: mapped, in memory, elsewhere.
#[derive(Debug, Clone)]
pub struct BatchIndex {
    /// Those that count, from the file's first snapshot on.
    pub(super) segments: Vec<Segment>,
    /// Snapshots that no index lists.
    pub(super) rest: Vec<Entry>,
    /// Of the last whole chunk.
    pub(super) end: u64,
    pub(super) n_torn_bytes: u64,
    pub(super) mark: Mark,
}

/// An index of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) at: u64,
    /// The first snapshot that it lists.
    pub(super) first: u64,
    /// Snapshots that it lists; at most as many as fit into the file, so that no sum of them overflows.
    pub(super) len: u64,
}

impl Segment {
    /// The index that is a chunk, and where the one before it begins, by the first bytes of its content; `None` if it cannot be one.
    pub(super) fn read(chunk: &Chunk, content: &[u8]) -> Option<(Self, u64)> {
        let n_bytes = chunk.n_bytes.checked_sub((INDEX_HEADER + FOOTER) as u64)?;
        let len = n_bytes / ENTRY as u64;
        let is_list = chunk.kind == Kind::Index && len > 0 && n_bytes.is_multiple_of(ENTRY as u64);
        let first = u64_at(content, 0).filter(|first| first.checked_add(len).is_some())?;
        is_list.then_some((Self { at: chunk.at, first, len }, u64_at(content, 8)?))
    }

    pub(super) fn end(&self) -> u64 {
        self.first + self.len
    }

    /// Where its list begins.
    pub(super) fn list_at(&self) -> u64 {
        self.at + (CHUNK_HEADER + INDEX_HEADER) as u64
    }
}

impl BatchIndex {
    /// Reads what of a file says where its snapshots are. `path` is what the file is called in errors.
    ///
    /// # Errors
    /// [`Error::Codec`] if it is no batch file, a newer one, or one that something else than a crash has damaged; [`Error::Os`] if it
    /// cannot be read.
    ///
    /// Cost: O(log snapshots) reads of 64 bytes in all. After a crash, a read of 32 bytes for each chunk, and of all bytes that no index lists.
    pub fn read(bytes: impl Read + Seek, path: &Path) -> Result<Self> {
        let mut source = Source::new(bytes, path)?;
        let n_bytes = source.n_bytes;
        if !source.open()? {
            let mark = source.mark;
            return Ok(Self { segments: Vec::new(), rest: Vec::new(), end: 0, n_torn_bytes: n_bytes, mark });
        }
        if let Some(last) = source.last_index()?
            && let Some(segments) = source.chain(&last)?
        {
            return Ok(Self { segments, rest: Vec::new(), end: n_bytes, n_torn_bytes: 0, mark: source.mark });
        }
        source.recover()
    }

    /// Snapshots.
    pub fn len(&self) -> usize {
        // More than memory can hold are more than anybody can ask for by number.
        usize::try_from(self.n_listed()).map_or(usize::MAX, |listed| listed.saturating_add(self.rest.len()))
    }

    /// Whether there is no snapshot.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the file up to the end of its last whole chunk: all that is ever read of it.
    pub fn n_bytes(&self) -> u64 {
        self.end
    }

    /// Bytes after that, which a crash left, or a writer that is not done yet.
    pub fn n_torn_bytes(&self) -> u64 {
        self.n_torn_bytes
    }

    /// Snapshots that indexes list.
    pub(super) fn n_listed(&self) -> u64 {
        self.segments.last().map_or(0, Segment::end)
    }

    /// The bytes of a snapshot in `bytes`, the first [`n_bytes`](Self::n_bytes) of the file.
    ///
    /// # Errors
    /// [`Error::Codec`] if the list or the chunk's header is damaged; of the content nothing is checked. [`Error::Argument`] if there is
    /// no such snapshot.
    pub fn snapshot<'a>(&self, bytes: &'a [u8], index: usize) -> Result<&'a [u8]> {
        let (entry, limit) = self.entry(bytes, index)?;
        let chunk = usize::try_from(entry.at).ok().and_then(|at| Chunk::read(bytes.get(at..)?, entry.at, self.mark));
        let chunk = chunk.filter(|chunk| {
            let is_there = chunk.end <= limit && chunk.at.is_multiple_of(ALIGNMENT as u64);
            is_there && chunk.kind == Kind::Snapshot && Entry::of(chunk) == entry
        });
        let content = chunk.and_then(|chunk| chunk.content(bytes)?.get(..usize::try_from(chunk.n_bytes).ok()?));
        content.ok_or_else(|| damaged(index, entry.at))
    }

    /// Where a snapshot should be, and where it must have ended.
    pub(super) fn entry(&self, bytes: &[u8], index: usize) -> Result<(Entry, u64)> {
        let place = index as u64;
        let Some(unlisted) = place.checked_sub(self.n_listed()) else {
            let segment = &self.segments[self.segments.partition_point(|segment| segment.end() <= place)];
            let at = segment.list_at() + (place - segment.first) * ENTRY as u64;
            let entry = usize::try_from(at).ok().and_then(|at| Entry::read(bytes.get(at..)?));
            return entry.map(|entry| (entry, segment.at)).ok_or_else(|| damaged(index, at));
        };
        let entry = usize::try_from(unlisted).ok().and_then(|unlisted| self.rest.get(unlisted));
        let entry =
            entry.ok_or_else(|| Error::Argument(format!("index is {index}; it must be less than {}", self.len())))?;
        Ok((*entry, self.end))
    }
}

#[cold]
fn damaged(index: usize, at: u64) -> Error {
    Error::Codec(format!(
        "snapshot {index} at byte {at}: no header of it is there; the batch file is damaged, take another copy of it"
    ))
}

impl<S: Read + Seek> Source<'_, S> {
    /// The index that the file ends with; `None` if it ends with none.
    fn last_index(&mut self) -> Result<Option<Chunk>> {
        let mark = self.mark;
        let Some(footer_at) = self.n_bytes.checked_sub(FOOTER as u64) else { return Ok(None) };
        let Some(at) = self.array(footer_at)?.and_then(|footer| index_before(&footer, mark)) else { return Ok(None) };
        let n_bytes = self.n_bytes;
        Ok(self.chunk(at)?.filter(|chunk| chunk.kind == Kind::Index && chunk.end == n_bytes))
    }

    /// The indexes that count when `last` is the last, from the first snapshot on. Each begins before the next, and is twice as long;
    /// `None` if one is not so.
    fn chain(&mut self, last: &Chunk) -> Result<Option<Vec<Segment>>> {
        let mut segments: Vec<Segment> = Vec::new();
        let (mut at, mut limit) = (last.at, last.end);
        loop {
            let chunk = self.chunk(at)?.filter(|chunk| chunk.end <= limit);
            let content = chunk.map(|chunk| self.array::<INDEX_HEADER>(chunk.content_at())).transpose()?.flatten();
            let read = chunk.zip(content).and_then(|(chunk, content)| Segment::read(&chunk, &content));
            let follows = |(segment, _): &(Segment, u64)| match segments.last() {
                Some(later) => segment.end() == later.first && segment.len / 2 >= later.len,
                None => true,
            };
            let read = read.filter(follows).filter(|(segment, before)| (segment.first == 0) == (*before == 0));
            let Some((segment, before)) = read else { return Ok(None) };
            segments.push(segment);
            if before == 0 {
                segments.reverse();
                return Ok(Some(segments));
            }
            (at, limit) = (before, at);
        }
    }

    /// What a file holds that does not end with an index.
    fn recover(&mut self) -> Result<BatchIndex> {
        let n_bytes = self.n_bytes;
        let mut at = FILE_HEADER as u64;
        let (mut indexes, mut n_snapshots) = (Vec::new(), 0);
        while let Some(chunk) = self.chunk(at)?.filter(|chunk| chunk.end <= n_bytes) {
            match chunk.kind {
                Kind::Snapshot => n_snapshots += 1,
                Kind::Index => indexes.push((chunk, n_snapshots)),
            }
            at = chunk.end;
        }
        let mut segments = Vec::new();
        let mut end = FILE_HEADER as u64;
        while let Some((index, n_before)) = indexes.pop() {
            if self.is_whole(&index)?
                && let Some(chain) = self.chain(&index)?
                && chain.last().map(Segment::end) == Some(n_before)
            {
                (segments, end) = (chain, index.end);
                break;
            }
        }
        let mut rest = Vec::new();
        let mut at = end;
        while let Some(chunk) = self.chunk(at)?.filter(|chunk| chunk.end <= n_bytes) {
            // An index is a damaged one here. Snapshots are found without it.
            if chunk.kind == Kind::Snapshot {
                if !self.is_whole(&chunk)? {
                    break;
                }
                rest.push(Entry::of(&chunk));
                end = chunk.end;
            }
            at = chunk.end;
        }
        if let Some(behind) = self.index_behind(at)? {
            return Err(self.damaged(format!(
                "it is damaged at byte {at}, before its index at byte {behind}, which no crash does; take another copy of it"
            )));
        }
        Ok(BatchIndex { segments, rest, end, n_torn_bytes: n_bytes - end, mark: self.mark })
    }
}
