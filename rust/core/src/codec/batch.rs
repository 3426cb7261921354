//! Batch files: many snapshots in one file that is only ever appended to, with an index at its end.
//!
//! All numbers are little-endian. The file is a header of 32 bytes, then chunks, each from a multiple of 16 on: a header of 32 bytes, then the
//! content, filled up with zeros to a multiple of 16. So what is aligned within a snapshot is aligned in a file mapped into memory.
//!
//! | at | bytes | in the file's header |
//! |---|---|---|
//! | 0 | 8 | `89` `72 62 61 74 63 68` `0a`: what it is |
//! | 8 | 4 | 1: the version of the format |
//! | 12 | 4 | the mark: any four bytes, drawn by lot when the file is made |
//! | 16 | 12 | nothing |
//! | 28 | 4 | the CRC-32 of the header up to here |
//!
//! | at | bytes | in a chunk's header |
//! |---|---|---|
//! | 0 | 4 | `snap` for a snapshot, `indx` for an index |
//! | 4 | 4 | the CRC-32 of the content and its zeros |
//! | 8 | 8 | bytes of the content without the zeros |
//! | 16 | 8 | where in the file this chunk begins |
//! | 24 | 4 | the file's mark |
//! | 28 | 4 | the CRC-32 of the header up to here |
//!
//! | at | bytes | in an index |
//! |---|---|---|
//! | 0 | 8 | snapshots before those that it lists |
//! | 8 | 8 | where the index begins that lists the last of those; 0 for none |
//! | 16 | 16 each | a snapshot, one or more: where its chunk begins (8), bytes of its content (8) |
//! | end - 16 | 8 | where in the file this index begins |
//! | end - 8 | 4 | the file's mark |
//! | end - 4 | 4 | the CRC-32 of the 12 bytes before |
//!
//! By place and mark a chunk is known from what only looks like one: another batch file within a payload, what somebody who sends
//! snapshots made up, what a disk still held of another file.
//!
//! **Indexes.** A flush appends one, over all snapshots that none lists yet. It also lists again what the last indexes before it do, as long as
//! those are shorter than twice what it has so far. So each index that still counts is at least twice as long as the one after it: n snapshots
//! are found through at most 1 + log2(n) of them, however they were appended, and are listed again O(log n) times each.
//!
//! **Opening.** A file that ends with an index is read from there: its header, that of the index, and those of the indexes before it.
//! No snapshot is touched, and no list: both are looked at when a snapshot is asked for. Any other file was left by a crash, is being
//! written to, or has a damaged index: it is read from its first chunk on, header by header, to the last index that is right, and from
//! there on with all checksums.
//! What comes after the last whole chunk is torn. Readers leave it alone, the next writer cuts it off. Where a whole index lies behind what
//! is torn, a crash is not what tore it: no reader and no writer takes such a file.
//!
//! **Durability.** An index is written when what it lists is on disk, and a flush returns when the index is, too. CRC-32 is that of zlib and PNG.

mod chunk;
mod index;
mod read;
mod source;
mod verify;
mod write;

pub use index::BatchIndex;
pub use read::Batch;
pub use write::BatchWriter;
