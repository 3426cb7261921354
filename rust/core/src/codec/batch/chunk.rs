//! The headers of a file and of its chunks, as bytes and back.

/// What chunks begin at multiples of.
pub(super) const ALIGNMENT: usize = 16;
pub(super) const MAGIC: [u8; 8] = *b"\x89rbatch\n";
pub(super) const VERSION: u32 = 1;
/// Bytes of the file's header; the first chunk begins there.
pub(super) const FILE_HEADER: usize = 32;
pub(super) const CHUNK_HEADER: usize = 32;
/// Bytes of an index before its list.
pub(super) const INDEX_HEADER: usize = 16;
/// Bytes of an entry in an index's list.
pub(super) const ENTRY: usize = 16;
/// Bytes of an index after its list.
pub(super) const FOOTER: usize = 16;

/// Where the mark is in the file's header.
pub(super) const MARK_AT: usize = 12;

/// Four bytes that each chunk of a file has, and no other file's.
pub(super) type Mark = [u8; 4];

pub(super) fn file_header(mark: Mark) -> [u8; FILE_HEADER] {
    let mut header = [0; FILE_HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[MARK_AT..16].copy_from_slice(&mark);
    seal(&mut header);
    header
}

/// What an index ends with that begins at a byte of the file.
pub(super) fn footer(at: u64, mark: Mark) -> [u8; FOOTER] {
    let mut footer = [0; FOOTER];
    footer[..8].copy_from_slice(&at.to_le_bytes());
    footer[8..12].copy_from_slice(&mark);
    seal(&mut footer);
    footer
}

/// Where the index begins that ends with these bytes, if they are such an end.
pub(super) fn index_before(bytes: &[u8; FOOTER], mark: Mark) -> Option<u64> {
    let at = u64_at(bytes, 0)?;
    (*bytes == footer(at, mark)).then_some(at)
}

/// Puts the checksum of all that is before it into the last four bytes.
fn seal(bytes: &mut [u8]) {
    let checked = bytes.len() - 4;
    let checksum = crc32fast::hash(&bytes[..checked]);
    bytes[checked..].copy_from_slice(&checksum.to_le_bytes());
}

/// A number, if the bytes have it there.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Snapshot,
    Index,
}

impl Kind {
    fn name(self) -> [u8; 4] {
        match self {
            Self::Snapshot => *b"snap",
            Self::Index => *b"indx",
        }
    }
}

/// What a chunk's header says; that its content is so is not checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) kind: Kind,
    pub(super) at: u64,
    /// Of the content without the zeros after it.
    pub(super) n_bytes: u64,
    /// Of the content with them.
    pub(super) checksum: u32,
    /// Where the next chunk begins.
    pub(super) end: u64,
}

impl Chunk {
    /// `None` where no file can have so many bytes.
    pub(super) fn new(kind: Kind, at: u64, n_bytes: u64, checksum: u32) -> Option<Self> {
        let end =
            n_bytes.checked_next_multiple_of(ALIGNMENT as u64)?.checked_add(CHUNK_HEADER as u64)?.checked_add(at)?;
        Some(Self { kind, at, n_bytes, checksum, end })
    }

    /// The chunk whose header, from the first byte on, was read at a byte of the file; `None` if it is none.
    pub(super) fn read(bytes: &[u8], at: u64, mark: Mark) -> Option<Self> {
        let header: &[u8; CHUNK_HEADER] = bytes.first_chunk()?;
        let kind = [Kind::Snapshot, Kind::Index].into_iter().find(|kind| header.starts_with(&kind.name()))?;
        let checksum = u32::from_le_bytes(*header[4..].first_chunk()?);
        let chunk = Self::new(kind, at, u64_at(header, 8)?, checksum)?;
        (*header == chunk.header(mark)).then_some(chunk)
    }

    pub(super) fn header(&self, mark: Mark) -> [u8; CHUNK_HEADER] {
        let mut header = [0; CHUNK_HEADER];
        header[..4].copy_from_slice(&self.kind.name());
        header[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        header[8..16].copy_from_slice(&self.n_bytes.to_le_bytes());
        header[16..24].copy_from_slice(&self.at.to_le_bytes());
        header[24..28].copy_from_slice(&mark);
        seal(&mut header);
        header
    }

    /// Where the content begins.
    pub(super) fn content_at(&self) -> u64 {
        self.at + CHUNK_HEADER as u64
    }

    /// The chunk's content and zeros within all bytes of the file.
    pub(super) fn content<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.get(usize::try_from(self.content_at()).ok()?..usize::try_from(self.end).ok()?)
    }
}

/// Where a snapshot is, as an index lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of its chunk.
    pub(super) at: u64,
    pub(super) n_bytes: u64,
}

impl Entry {
    pub(super) fn of(chunk: &Chunk) -> Self {
        Self { at: chunk.at, n_bytes: chunk.n_bytes }
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        Some(Self { at: u64_at(bytes, 0)?, n_bytes: u64_at(bytes, 8)? })
    }

    pub(super) fn write(self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.at.to_le_bytes());
        to.extend_from_slice(&self.n_bytes.to_le_bytes());
    }
}
