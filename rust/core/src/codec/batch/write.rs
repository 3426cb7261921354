//! Snapshots are appended to a batch file.

use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process;

use super::chunk::{ALIGNMENT, CHUNK_HEADER, Chunk, ENTRY, Entry, FOOTER, INDEX_HEADER, Kind, file_header, footer};
use super::index::{BatchIndex, Segment};
use super::source::Source;
use crate::codec::Snapshot;
use crate::error::{Error, Result};
use crate::file::sync_folder_of;

/// The one writer of a batch file.
///
/// A snapshot is in the file, for readers that open it from then on, when [`append`](Self::append) returns: the death of the process
/// does not undo it. It is on disk, so that a power failure does not either, and listed, so that the file opens fast, when
/// [`flush`](Self::flush) returns. Dropping a writer does not flush.
#[derive(Debug)]
pub struct BatchWriter {
    file: File,
    path: PathBuf,
    index: BatchIndex,
    /// The process that opened it. One that it forked shares the file, the lock and where to write next.
    process: u32,
    is_on_disk: bool,
    /// Whether a write failed in a way that leaves what is in the file unknown.
    has_failed: bool,
}

impl BatchWriter {
    /// Opens a file to append to, which is created if there is none. What a crash tore off at its end is cut off.
    ///
    /// # Errors
    /// [`Error::Os`] if it cannot be written, or another writer has it open; else those of [`BatchIndex::read`].
    ///
    /// Cost: that of [`BatchIndex::read`]; for a new file two waits for the disk.
    pub fn open(path: &Path) -> Result<Self> {
        let os = |error| Error::os(&error, path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(os)?;
        if !file.metadata().map_err(os)?.is_file() {
            return Err(Error::Codec(format!("{}: it is no regular file", path.display())));
        }
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => os(error),
            TryLockError::WouldBlock => Error::Os {
                errno: None,
                why: "another writer has it open; close that one first, or write to another file".to_owned(),
                path: path.to_owned(),
            },
        })?;
        let index = BatchIndex::read(&file, path)?;
        let mut writer =
            Self { file, path: path.to_owned(), index, process: process::id(), is_on_disk: false, has_failed: false };
        writer.tidy().map_err(os)?;
        Ok(writer)
    }

    /// Cuts off what is torn; writes the file's header if that is all there is.
    fn tidy(&mut self) -> io::Result<()> {
        if self.index.n_torn_bytes > 0 {
            self.file.set_len(self.index.end)?;
            self.index.n_torn_bytes = 0;
        }
        if self.index.end == 0 {
            self.index.mark = *RandomState::new().hash_one(()).to_le_bytes().first_chunk().expect("a u64 has eight");
            let header = file_header(self.index.mark);
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header)?;
            self.index.end = header.len() as u64;
            // So that the name is on disk, too.
            self.file.sync_all()?;
            sync_folder_of(&self.path)?;
        }
        Ok(())
    }

    /// Snapshots in the file.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no snapshot in the file.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether this process is the one that opened the file.
    pub fn is_of_this_process(&self) -> bool {
        self.process == process::id()
    }

    /// Appends a snapshot; gives its place among all.
    ///
    /// # Errors
    /// [`Error::Codec`] if it cannot be opened as a snapshot; what is damaged deeper is not looked for. [`Error::Os`] if it cannot be
    /// written; then nothing of it is in the file. [`Error::Argument`] in a forked process, and after a write that could not be undone.
    ///
    /// Cost: O(bytes), one call to the system, nothing is copied.
    pub fn append(&mut self, snapshot: &[u8]) -> Result<usize> {
        self.check()?;
        Snapshot::open(snapshot)?;
        let chunk = self.write(Kind::Snapshot, snapshot)?;
        let place = self.len();
        self.index.rest.push(Entry::of(&chunk));
        Ok(place)
    }

    /// Sees to it that all snapshots are on disk, and listed in an index.
    ///
    /// # Errors
    /// [`Error::Os`] if the system refuses: what was appended is still in the file, but whether it is on disk is unknown.
    /// [`Error::Codec`] if an older index is damaged: then all is on disk, but not listed; another writer can list it. [`Error::Argument`], as for `append`.
    ///
    /// Cost: two waits for the disk, and 16 bytes for each snapshot that is listed; a snapshot is listed O(log snapshots) times in all.
    pub fn flush(&mut self) -> Result<()> {
        self.check()?;
        if !self.is_on_disk {
            self.sync()?;
        }
        if self.index.rest.is_empty() {
            return Ok(());
        }
        let (content, segment, n_kept) = self.next_index()?;
        self.write(Kind::Index, &content)?;
        self.index.segments.truncate(n_kept);
        self.index.segments.push(segment);
        self.index.rest.clear();
        self.sync()
    }

    /// The content of the next index, what it lists, and how many of those before it still count then.
    fn next_index(&self) -> Result<(Vec<u8>, Segment, usize)> {
        let BatchIndex { segments, rest, end: at, mark, .. } = &self.index;
        let (mut n_kept, mut len) = (segments.len(), rest.len() as u64);
        while let Some(last) = n_kept.checked_sub(1).filter(|&last| segments[last].len < 2 * len) {
            len += segments[last].len;
            n_kept = last;
        }
        let (kept, again) = segments.split_at(n_kept);
        let segment = Segment { at: *at, first: kept.last().map_or(0, Segment::end), len };
        let mut content = segment.first.to_le_bytes().to_vec();
        content.extend_from_slice(&kept.last().map_or(0, |last| last.at).to_le_bytes());
        let mut source = Source::new(&self.file, &self.path)?;
        source.mark = *mark;
        for again in again {
            let list_at = content.len();
            let n_bytes = usize::try_from(again.len).ok().and_then(|len| len.checked_mul(ENTRY));
            let n_bytes = n_bytes.ok_or_else(|| source.damaged("its index is larger than memory"))?;
            let chunk = source.chunk(again.at)?;
            content.resize(list_at + n_bytes, 0);
            let is_whole = chunk.is_some_and(|chunk| chunk.n_bytes == (INDEX_HEADER + n_bytes + FOOTER) as u64)
                && chunk.map_or(Ok(false), |chunk| source.is_whole(&chunk))?
                && source.fill(again.list_at(), &mut content[list_at..])?;
            if !is_whole {
                let at = again.at;
                return Err(source.damaged(format!(
                    "its index at byte {at} is damaged; open the file with another writer, which lists them anew"
                )));
            }
        }
        for entry in rest {
            entry.write(&mut content);
        }
        content.extend_from_slice(&footer(*at, *mark));
        Ok((content, segment, n_kept))
    }

    /// Appends a chunk, whole or not at all.
    fn write(&mut self, kind: Kind, content: &[u8]) -> Result<Chunk> {
        let zeros = [0; ALIGNMENT];
        let zeros = &zeros[..content.len().next_multiple_of(zeros.len()) - content.len()];
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(content);
        hasher.update(zeros);
        let at = self.index.end;
        let chunk = Chunk::new(kind, at, content.len() as u64, hasher.finalize());
        let chunk = chunk.ok_or_else(|| Error::os(&ErrorKind::FileTooLarge.into(), &self.path))?;
        let header: [u8; CHUNK_HEADER] = chunk.header(self.index.mark);
        self.is_on_disk = false;
        if let Err(error) = write_all(&self.file, at, &mut [&header, content, zeros].map(IoSlice::new)) {
            self.has_failed = self.file.set_len(at).is_err();
            return Err(Error::os(&error, &self.path));
        }
        self.index.end = chunk.end;
        Ok(chunk)
    }

    fn sync(&mut self) -> Result<()> {
        // What the system could not write it may forget, and say nothing of it the next time.
        self.file.sync_data().map_err(|error| {
            self.has_failed = true;
            Error::os(&error, &self.path)
        })?;
        self.is_on_disk = true;
        Ok(())
    }

    fn check(&self) -> Result<()> {
        if !self.is_of_this_process() {
            let (opened, this) = (self.process, process::id());
            let why = format!(
                "the writer was opened in process {opened}, this is process {this}; open a file of its own here"
            );
            return Err(Error::Argument(why));
        }
        if self.has_failed {
            let why = "an earlier write failed and could not be undone; open the file with another writer";
            return Err(Error::Argument(why.to_owned()));
        }
        Ok(())
    }
}

impl Drop for BatchWriter {
    /// Gives the lock back even if a forked process, which shares it, still has the file open; that one takes none from its parent.
    fn drop(&mut self) {
        if self.is_of_this_process() {
            let _ = self.file.unlock();
        }
    }
}

/// Writes all that `parts` hold from a byte of the file on.
fn write_all(mut file: &File, at: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    // Parts of no bytes are left out, which `write_vectored` could not tell from a full disk.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.write_vectored(parts) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n_bytes) => IoSlice::advance_slices(&mut parts, n_bytes),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
