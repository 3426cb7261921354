//! Batch files: what is appended is read, by indexes and after any crash, and no bytes mislead a reader.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

mod batches;

use std::fs::{self, OpenOptions};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, process};

use batches::{Built, HEADER, check, scan, seal, snapshot};
use proptest::collection::vec;
use proptest::prelude::*;
use rolecore_core::Error;
use rolecore_core::codec::{Batch, BatchIndex, BatchWriter};

/// A file's path, and the file's end.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(env::temp_dir().join(format!("rolecore-batch-{}-{number}", process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Snapshots of payloads of as many bytes, each unlike the others; a flush after those that are at a multiple of `every`.
fn built(sizes: &[usize], every: usize) -> Built {
    let mut built = Built::new();
    for (n, &size) in sizes.iter().enumerate() {
        built.append(&snapshot(&vec![u8::try_from(n % 251).unwrap(); size]));
        if (n + 1) % every == 0 {
            built.flush();
        }
    }
    built
}

/// The snapshots of a file as a reader sees them.
fn read(path: &Path) -> Vec<Vec<u8>> {
    let batch = Batch::open(path).unwrap();
    batch.verify().unwrap();
    (0..batch.index().len()).map(|index| batch.snapshot(index).unwrap().to_vec()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Flush,
    /// Without a flush, as when the process dies.
    Reopen,
    /// Only so many thousandths of the file's bytes are left.
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..200).prop_map(Step::Append),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => (0_usize..=1000).prop_map(Step::Crash),
        1 => (950_usize..=1000).prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn holds_what_was_appended_whatever_happens(steps in vec(step(), 1..40)) {
        let file = Temporary::new();
        let mut writer = BatchWriter::open(&file.0).unwrap();
        // What was appended, and how long the file was then.
        let mut model: Vec<(Vec<u8>, u64)> = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Append(size) => {
                    let appended = snapshot(&vec![u8::try_from(n).unwrap(); size]);
                    prop_assert_eq!(writer.append(&appended).unwrap(), model.len());
                    model.push((appended, fs::metadata(&file.0).unwrap().len()));
                }
                Step::Flush => writer.flush().unwrap(),
                Step::Reopen | Step::Crash(_) => {
                    drop(writer);
                    if let Step::Crash(left) = step {
                        let len = fs::metadata(&file.0).unwrap().len() * left as u64 / 1000;
                        OpenOptions::new().write(true).open(&file.0).unwrap().set_len(len).unwrap();
                        model.retain(|(_, end)| *end <= len);
                        let batch = Batch::open(&file.0).unwrap();
                        prop_assert_eq!(batch.index().n_bytes() + batch.index().n_torn_bytes(), len);
                    }
                    writer = BatchWriter::open(&file.0).unwrap();
                }
            }
            prop_assert_eq!(writer.len(), model.len());
            prop_assert_eq!(read(&file.0), model.iter().map(|(bytes, _)| bytes.clone()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn takes_any_bytes(bytes in vec(any::<u8>(), 0..300), has_header: bool) {
        let header = if has_header { Built::new().bytes } else { Vec::new() };
        let _ = check(&[header, bytes].concat());
    }

    #[test]
    fn takes_any_edits(
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        sums in vec((any::<prop::sample::Index>(), -40_i64..40), 0..4),
        every in 1_usize..6,
        is_sealed: bool,
    ) {
        let Built { mut bytes, chunks, .. } = built(&[0, 40, 7, 100, 3, 9], every);
        for (at, with) in edits.iter().filter(|_| sums.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        for (at, by) in sums {
            let words = bytes[HEADER..].as_chunks_mut::<8>().0;
            let word = &mut words[at.index(words.len())];
            *word = u64::from_le_bytes(*word).wrapping_add_signed(by).to_le_bytes();
        }
        if is_sealed {
            for chunk in chunks {
                seal(&mut bytes[chunk]);
            }
        }
        let _ = check(&bytes);
    }
}

#[test]
fn writes_what_the_builder_builds() {
    let file = Temporary::new();
    let mut writer = BatchWriter::open(&file.0).unwrap();
    let mut built = Built::new();
    for n in 0..40_u8 {
        let appended = snapshot(&vec![n; usize::from(n)]);
        writer.append(&appended).unwrap();
        built.append(&appended);
        if n % 3 != 1 {
            writer.flush().unwrap();
            built.flush();
        }
    }
    // But for the mark, which is drawn by lot.
    let mut written = fs::read(&file.0).unwrap();
    assert!(scan(&written).is_some());
    written[12..16].copy_from_slice(&batches::MARK);
    let checksum = crc32fast::hash(&written[..28]).to_le_bytes();
    written[28..32].copy_from_slice(&checksum);
    for chunk in built.chunks {
        written[chunk.start + 24..chunk.start + 28].copy_from_slice(&batches::MARK);
        if written[chunk.start..].starts_with(b"indx") {
            written[chunk.end - 8..chunk.end - 4].copy_from_slice(&batches::MARK);
        }
        seal(&mut written[chunk]);
    }
    assert_eq!(written, built.bytes);
}

#[test]
fn every_truncation_leaves_the_whole_snapshots_before_it_and_can_be_appended_to() {
    let file = Temporary::new();
    let new = snapshot(b"after the crash");
    for every in [1, 3, 100] {
        let built = built(&[0, 1, 30, 15, 16, 17, 100, 5], every);
        for len in 0..=built.bytes.len() {
            let n_whole = built.n_whole(len);
            let read_now = check(&built.bytes[..len]).unwrap();
            let right = built.snapshots[..n_whole].iter().map(|(at, len)| Ok(at + 32..at + 32 + len));
            assert_eq!(read_now, right.collect::<Vec<_>>(), "{len} bytes");
            // Waits for the disk where the file's header is torn; a few of those do.
            if len < HEADER && len % 10 != 0 {
                continue;
            }
            fs::write(&file.0, &built.bytes[..len]).unwrap();
            let mut writer = BatchWriter::open(&file.0).unwrap();
            assert_eq!(writer.append(&new).unwrap(), n_whole, "{len} bytes");
            drop(writer);
            let bytes = fs::read(&file.0).unwrap();
            let found = scan(&bytes).unwrap();
            assert_eq!(found.len(), n_whole + 1, "{len} bytes");
            assert_eq!(found[n_whole], new);
        }
    }
}

#[test]
fn every_flipped_bit_is_found_or_loses_nothing() {
    for (every, cut) in [(1, 0), (2, 0), (8, 0), (3, 0), (3, 8), (100, 40)] {
        let built = built(&[0, 1, 30, 16, 17, 5, 2, 40], every);
        let mut bytes = built.bytes[..built.bytes.len() - cut].to_vec();
        let whole = check(&bytes).unwrap();
        let last_index = built.chunks.iter().rfind(|chunk| chunk.end <= bytes.len() && bytes[chunk.start] == b'i');
        let listed_end = last_index.map_or(HEADER, |index| index.end);
        let n_listed = built.n_whole(last_index.map_or(HEADER, |index| index.start));
        for bit in 0..8 * bytes.len() {
            let at = bit / 8;
            bytes[at] ^= 1 << (bit % 8);
            if let Ok(read) = check(&bytes) {
                let index = BatchIndex::read(Cursor::new(&bytes), Path::new("batch")).unwrap();
                let end = usize::try_from(index.n_bytes()).unwrap();
                let is_verified = index.verify(&bytes[..end]).is_ok();
                // A snapshot is where it was, or is refused.
                for (n, (read, whole)) in read.iter().zip(&whole).enumerate() {
                    assert!(read.is_err() || read == whole, "bit {bit}: snapshot {n} is {read:?}, not {whole:?}");
                }
                // What is flipped before the end is found by verify; what is flipped behind the last index is torn off.
                assert_eq!(is_verified, at >= end, "bit {bit} of byte {at}, {end} bytes are read");
                assert!(is_verified || at < listed_end, "bit {bit} of byte {at}: it is taken without its checksum");
                let n_lost = whole.len() - read.len();
                assert!(read.len() >= n_listed, "bit {bit} of byte {at} loses listed snapshots");
                assert!(n_lost == 0 || index.n_torn_bytes() > cut as u64, "bit {bit} of byte {at}");
            } else {
                assert!(at < listed_end, "bit {bit} of byte {at}: only listed snapshots are worth an error");
            }
            bytes[at] ^= 1 << (bit % 8);
        }
    }
}

/// Counts what is read.
struct Counted<'a> {
    bytes: Cursor<&'a [u8]>,
    n_reads: usize,
    n_bytes: usize,
}

impl Read for Counted<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.bytes.read(to)?;
        self.n_reads += 1;
        self.n_bytes += n_bytes;
        Ok(n_bytes)
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

/// Reads and bytes that opening takes.
fn cost(bytes: &[u8]) -> (usize, usize) {
    let mut counted = Counted { bytes: Cursor::new(bytes), n_reads: 0, n_bytes: 0 };
    BatchIndex::read(&mut counted, Path::new("batch")).unwrap();
    (counted.n_reads, counted.n_bytes)
}

#[test]
fn opening_reads_as_much_of_a_kilobyte_as_of_megabytes() {
    let small = built(&[900], 1).bytes;
    let large = built(&[1 << 20; 12], 12).bytes;
    let many = built(&vec![10; 20_000], 20_000).bytes;
    assert_eq!(cost(&small), cost(&large));
    assert_eq!(cost(&small), cost(&many));
    assert_eq!(cost(&small), (5, 32 + 16 + 32 + 32 + 16));
}

#[test]
fn opening_takes_a_logarithm_of_the_flushes() {
    for n in [1, 2, 3, 100, 1000, 1023, 1024, 5000] {
        let built = built(&vec![3; n], 1);
        let (n_reads, _) = cost(&built.bytes);
        let most = 3 + 2 * (1 + n.ilog2() as usize);
        assert!(n_reads <= most, "{n} flushes take {n_reads} reads, {most} are enough");
        let n_listed = built.bytes.len() / 16;
        let most = n * (8 + 4 * (1 + n.ilog2() as usize));
        assert!(n_listed <= most, "{n} flushes make a file of {n_listed} times 16 bytes, {most} are enough");
    }
}

#[test]
fn a_chunk_within_a_snapshot_is_none_of_the_files() {
    // Where the payload lies in the file, and another file's chunks that say just the places which they have there.
    let mut built = Built::new();
    built.append(&snapshot(&[7; 1000]));
    built.append(&snapshot(b"sent"));
    let payload_at = built.bytes.windows(4).position(|window| window == [7; 4]).unwrap();
    let mut fake = Built::new();
    fake.append(&snapshot(&vec![0; payload_at]));
    let begin = fake.bytes.len();
    fake.append(&snapshot(b"made up"));
    fake.flush();
    assert!(begin >= payload_at && fake.bytes.len() < payload_at + 1000);
    built.bytes[begin..fake.bytes.len()].copy_from_slice(&fake.bytes[begin..]);
    seal(&mut built.bytes[built.chunks[0].clone()]);
    // A file that ended right after them would end with an index, for whoever knew the mark.
    for len in (0..=built.bytes.len()).filter(|&len| len != fake.bytes.len()) {
        assert_eq!(check(&built.bytes[..len]).map(|read| read.len()), Ok(built.n_whole(len)), "{len} bytes");
    }
}

#[test]
fn a_list_leads_to_snapshots_before_it_alone() {
    let mut built = built(&[10; 5], 4);
    built.flush();
    let (index, later) = (built.chunks[4].clone(), built.snapshots[4]);
    // The second snapshot's entry leads to its own index, then to a later snapshot.
    for (at, len) in [(index.start, index.len() - 32), later] {
        let entry = [at as u64, len as u64].map(u64::to_le_bytes).concat();
        built.bytes[index.start + 64..index.start + 80].copy_from_slice(&entry);
        seal(&mut built.bytes[index.clone()]);
        let bytes = &built.bytes[..index.end];
        let bytes = if at > index.start { &built.bytes } else { bytes };
        assert!(check(bytes).unwrap()[1].is_err(), "byte {at}");
    }
}

/// The message of an error.
fn refused(bytes: &[u8]) -> String {
    BatchIndex::read(Cursor::new(bytes), Path::new("batch")).unwrap_err().to_string()
}

#[test]
fn damage_before_an_index_is_not_taken_for_a_torn_end() {
    let mut built = built(&[10; 6], 3);
    built.append(&snapshot(b"torn"));
    let mut bytes = built.bytes[..built.bytes.len() - 3].to_vec();
    bytes[built.chunks[1].start + 9] ^= 1;
    assert!(refused(&bytes).contains("before its index at byte"), "{}", refused(&bytes));
    let file = Temporary::new();
    fs::write(&file.0, &bytes).unwrap();
    assert!(BatchWriter::open(&file.0).is_err());
    assert_eq!(fs::read(&file.0).unwrap(), bytes, "a refused file is left as it is");
}

#[test]
fn indexes_that_go_round_or_on_for_ever_are_not_used() {
    let whole = built(&[10; 3], 2);
    let [first, second] = [&whole.chunks[2], &whole.chunks[3]];
    let mut whole = whole.clone();
    whole.flush();
    let last = whole.chunks[4].clone();
    assert!(second.start > first.start);
    let is_not_used = |bytes: &mut [u8]| {
        seal(&mut bytes[last.clone()]);
        let right = whole.snapshots.iter().map(|(at, len)| Ok(at + 32..at + 32 + len));
        assert_eq!(check(bytes), Ok(right.collect()), "the snapshots are found without it");
        let index = BatchIndex::read(Cursor::new(bytes), Path::new("batch")).unwrap();
        assert_eq!(index.n_torn_bytes(), last.len() as u64);
    };
    let (round, wrong) =
        ([last.start, last.start + 16, last.end], [first.start + 16, first.start + 1, usize::MAX - 15]);
    for before in round.into_iter().chain(wrong) {
        let mut bytes = whole.bytes.clone();
        bytes[last.start + 40..last.start + 48].copy_from_slice(&(before as u64).to_le_bytes());
        is_not_used(&mut bytes);
    }
    for n_before in [1, 3, u64::MAX, u64::MAX - 1] {
        let mut bytes = whole.bytes.clone();
        bytes[last.start + 32..last.start + 40].copy_from_slice(&n_before.to_le_bytes());
        is_not_used(&mut bytes);
    }
    // Indexes of one snapshot each, all of which would count.
    let mut long = Built::new();
    long.append(&snapshot(b""));
    long.flush();
    let mut before = long.chunks[1].start;
    for n in 1..4_u64 {
        long.append(&snapshot(b""));
        long.flush();
        let last = long.chunks.last().unwrap().clone();
        let at = long.snapshots.last().unwrap().0;
        let len = long.snapshots.last().unwrap().1;
        let head = [n, before as u64, at as u64, len as u64].map(u64::to_le_bytes).concat();
        let end = long.bytes[last.end - 16..last.end].to_vec();
        long.bytes.truncate(last.start + 32);
        long.bytes.extend(head.iter().chain(&end));
        long.bytes[last.start + 8..last.start + 16].copy_from_slice(&48_u64.to_le_bytes());
        let whole = last.start..long.bytes.len();
        seal(&mut long.bytes[whole.clone()]);
        *long.chunks.last_mut().unwrap() = whole;
        before = last.start;
    }
    assert_eq!(check(&long.bytes).unwrap().len(), 4);
    let index = BatchIndex::read(Cursor::new(&long.bytes), Path::new("batch")).unwrap();
    assert!(index.n_torn_bytes() > 0, "the last index follows one that is not twice as long");
}

#[test]
fn other_files_and_newer_ones_are_refused() {
    let mut newer = Built::new().bytes;
    newer[8] = 2;
    assert!(refused(&newer).contains("its version is 2, this release reads up to 1; upgrade rolecore"));
    let mut damaged = Built::new().bytes;
    damaged[13] ^= 1;
    assert!(refused(&damaged).contains("its header is damaged"));
    for other in [&b"a"[..], b"\x89PNG", &[0; 32], &[0; 500], b"\x89rcache\n"] {
        assert!(refused(other).contains("it is no batch file"), "{}", refused(other));
    }
}

#[test]
fn two_writers_of_a_file_are_refused_and_readers_are_not_disturbed() {
    let file = Temporary::new();
    let mut writer = BatchWriter::open(&file.0).unwrap();
    writer.append(&snapshot(b"one")).unwrap();
    let refused = BatchWriter::open(&file.0).unwrap_err();
    assert!(matches!(&refused, Error::Os { errno: None, why, .. } if why.contains("another writer")), "{refused}");
    let batch = Batch::open(&file.0).unwrap();
    writer.append(&snapshot(b"two")).unwrap();
    writer.flush().unwrap();
    assert_eq!(batch.index().len(), 1);
    assert_eq!(batch.snapshot(0).unwrap(), snapshot(b"one"));
    batch.verify().unwrap();
    drop(writer);
    assert_eq!(BatchWriter::open(&file.0).unwrap().len(), 2);
}

#[test]
fn a_writer_takes_snapshots_alone_and_no_older_damage() {
    let file = Temporary::new();
    let mut writer = BatchWriter::open(&file.0).unwrap();
    for other in [&b""[..], b"RCSS", &[0; 64]] {
        assert!(matches!(writer.append(other), Err(Error::Codec(_))));
    }
    assert_eq!(fs::metadata(&file.0).unwrap().len(), HEADER as u64);
    // The list of an index that the next one has to list again.
    let mut built = built(&[10], 1);
    let index = built.chunks[1].clone();
    built.bytes[index.start + 50] ^= 1;
    fs::write(&file.0, &built.bytes).unwrap();
    drop(writer);
    let mut writer = BatchWriter::open(&file.0).unwrap();
    writer.append(&snapshot(b"new")).unwrap();
    let refused = writer.flush().unwrap_err();
    assert!(refused.to_string().contains("open the file with another writer"), "{refused}");
    assert_eq!(Batch::open(&file.0).unwrap().index().len(), 2, "what was appended is there");
    drop(writer);
    let mut writer = BatchWriter::open(&file.0).unwrap();
    assert_eq!(writer.len(), 2);
    writer.flush().unwrap();
    let batch = Batch::open(&file.0).unwrap();
    assert_eq!((batch.snapshot(1).unwrap(), batch.index().n_torn_bytes()), (&*snapshot(b"new"), 0));
    assert!(batch.verify().is_err(), "the old index is still damaged");
}
