//! Batch files in the plainest form: bytes put together by hand, and a scan that trusts nothing and checks all. It shares no code with the
//! library; the tests and the fuzz target hold the library against it.
#![allow(dead_code, reason = "some of it is for the tests, some for the fuzz target")]

use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use rolecore_core::Result;
use rolecore_core::codec::{self, BatchIndex, Plan, Snapshot, SnapshotParts, Source, Turns, Vectors};

pub(crate) const HEADER: usize = 32;
pub(crate) const MARK: [u8; 4] = *b"mark";

/// A snapshot of a payload alone.
pub(crate) fn snapshot(payload: &[u8]) -> Vec<u8> {
    let parts = SnapshotParts {
        session_id: None,
        role: None,
        tokenizer: None,
        turns: Source::Turns(&Turns::default()),
        summary: None,
        vectors: Vectors::default(),
        payload: Some(payload),
        created_ms: 0,
        updated_ms: 0,
    };
    let plan = Plan::new(&parts).expect("it is small");
    let mut bytes = vec![0; plan.len()];
    plan.write(&mut bytes).expect("it has the size that was asked for");
    bytes
}

/// A file put together by hand.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) bytes: Vec<u8>,
    /// Of all chunks.
    pub(crate) chunks: Vec<Range<usize>>,
    /// The first snapshot and how many, and where it begins, of the indexes that count.
    indexes: Vec<(usize, usize, usize)>,
    /// Where a snapshot's chunk begins and its bytes.
    pub(crate) snapshots: Vec<(usize, usize)>,
}

impl Built {
    pub(crate) fn new() -> Self {
        let mut bytes = [&b"\x89rbatch\n\x01\0\0\0"[..], &MARK, &[0; 12]].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Self { bytes, chunks: Vec::new(), indexes: Vec::new(), snapshots: Vec::new() }
    }

    pub(crate) fn chunk(&mut self, kind: &[u8], content: &[u8]) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(kind);
        self.bytes.extend([0; 4]);
        self.bytes.extend((content.len() as u64).to_le_bytes());
        self.bytes.extend((at as u64).to_le_bytes());
        self.bytes.extend(MARK);
        self.bytes.extend([0; 4]);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        self.chunks.push(at..self.bytes.len());
        seal(&mut self.bytes[at..]);
    }

    pub(crate) fn append(&mut self, snapshot: &[u8]) {
        self.snapshots.push((self.bytes.len(), snapshot.len()));
        self.chunk(b"snap", snapshot);
    }

    pub(crate) fn flush(&mut self) {
        let mut first = self.indexes.last().map_or(0, |index| index.0 + index.1);
        if first == self.snapshots.len() {
            return;
        }
        while self.indexes.pop_if(|index| index.1 < 2 * (self.snapshots.len() - first)).is_some() {
            first = self.indexes.last().map_or(0, |index| index.0 + index.1);
        }
        let at = self.bytes.len();
        let before = self.indexes.last().map_or(0, |index| index.2);
        let mut content = [(first as u64).to_le_bytes(), (before as u64).to_le_bytes()].concat();
        for (at, len) in &self.snapshots[first..] {
            content.extend((*at as u64).to_le_bytes());
            content.extend((*len as u64).to_le_bytes());
        }
        content.extend((at as u64).to_le_bytes());
        content.extend(MARK);
        content.extend([0; 4]);
        self.indexes.push((first, self.snapshots.len() - first, at));
        self.chunk(b"indx", &content);
    }

    /// Bytes of the file after which a snapshot is whole.
    pub(crate) fn end_of(&self, snapshot: usize) -> usize {
        let (at, len) = self.snapshots[snapshot];
        (at + 32 + len).next_multiple_of(16)
    }

    /// Snapshots that are whole in the first bytes of the file.
    pub(crate) fn n_whole(&self, n_bytes: usize) -> usize {
        (0..self.snapshots.len()).take_while(|&index| self.end_of(index) <= n_bytes).count()
    }
}

/// Makes the checksums of a chunk right, whatever is in it.
pub(crate) fn seal(chunk: &mut [u8]) {
    if chunk.len() >= 48 && chunk.starts_with(b"indx") {
        let end = chunk.len();
        let checksum = crc32fast::hash(&chunk[end - 16..end - 4]).to_le_bytes();
        chunk[end - 4..].copy_from_slice(&checksum);
    }
    let checksum = crc32fast::hash(&chunk[32..]).to_le_bytes();
    chunk[4..8].copy_from_slice(&checksum);
    let checksum = crc32fast::hash(&chunk[..28]).to_le_bytes();
    chunk[28..32].copy_from_slice(&checksum);
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)).ok()
}

/// The snapshots of a file of which every byte is right, found by going from chunk to chunk.
pub(crate) fn scan(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut at = HEADER;
    while at < bytes.len() {
        let header = bytes.get(at..at + 32)?;
        let n_bytes = u64_at(header, 8)?;
        let end = at.checked_add(32)?.checked_add(n_bytes.checked_next_multiple_of(16)?)?;
        let is_right = crc32fast::hash(&header[..28]).to_le_bytes() == header[28..]
            && crc32fast::hash(bytes.get(at + 32..end)?).to_le_bytes() == header[4..8]
            && u64_at(header, 16) == Some(at)
            && header[24..28] == bytes[12..16];
        is_right.then_some(())?;
        let content = &bytes[at + 32..at + 32 + n_bytes];
        match &header[..4] {
            b"snap" => {
                codec::verify(content).ok()?;
                found.push((at, n_bytes));
            }
            b"indx" => {
                let first = u64_at(content, 0)?;
                let mut right = Vec::new();
                for (at, len) in found.get(first..)? {
                    right.extend((*at as u64).to_le_bytes());
                    right.extend((*len as u64).to_le_bytes());
                }
                let end = content.len().checked_sub(16)?;
                let is_right = !right.is_empty()
                    && content.get(16..end)? == right
                    && u64_at(content, end)? == at
                    && content[end + 8..end + 12] == bytes[12..16]
                    && crc32fast::hash(&content[end..end + 12]).to_le_bytes() == content[end + 12..];
                is_right.then_some(())?;
            }
            _ => return None,
        }
        at = end;
    }
    Some(found.into_iter().map(|(at, len)| &bytes[at + 32..at + 32 + len]).collect())
}

/// Reads any bytes as a file, and holds all that comes of it against the scan. Gives where the snapshots are.
pub(crate) fn check(bytes: &[u8]) -> Result<Vec<Result<Range<usize>>>> {
    let index = BatchIndex::read(Cursor::new(bytes), Path::new("batch"))?;
    let end = usize::try_from(index.n_bytes()).expect("a place within the bytes");
    assert_eq!(end + usize::try_from(index.n_torn_bytes()).expect("some of the bytes"), bytes.len());
    assert!(index.len() <= bytes.len() / 16, "{} snapshots in {} bytes", index.len(), bytes.len());
    let whole = &bytes[..end];
    let place = |index: usize, snapshot: &[u8]| {
        let at = snapshot.as_ptr().addr() - bytes.as_ptr().addr();
        assert!(at.is_multiple_of(16) && at + snapshot.len() <= end, "snapshot {index} is at {at}");
        // Whatever is in it: an error or a snapshot.
        let _ = Snapshot::open(snapshot);
        at..at + snapshot.len()
    };
    let read: Vec<Result<Range<usize>>> =
        (0..index.len()).map(|n| index.snapshot(whole, n).map(|snapshot| place(n, snapshot))).collect();
    assert!(index.snapshot(whole, read.len()).is_err());
    let verified = index.verify(whole);
    if let Some(scanned) = scan(whole).filter(|scanned| end == 0 || scanned.len() == read.len()) {
        let scanned: Vec<_> = scanned.into_iter().map(|snapshot| Ok(place(0, snapshot))).collect();
        assert_eq!(verified.is_ok(), scanned == read, "{verified:?}: {scanned:?}, {read:?}");
    } else {
        assert!(verified.is_err(), "the scan finds what verify does not");
    }
    Ok(read)
}
