//! Any bytes, and any edits to a batch file, behind right checksums too: an error, or snapshots that a scan of the whole file finds as well.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/batches/mod.rs"]
mod batches;

use batches::{Built, check, seal, snapshot};

#[derive(Debug, Arbitrary)]
enum Case {
    Bytes(Vec<u8>),
    /// Contents of chunks: indexes, or snapshots, or the payload of a whole snapshot.
    Chunks(Vec<(Option<bool>, Vec<u8>)>),
    Edited {
        /// Bytes of a payload, or a flush.
        steps: Vec<Option<u8>>,
        /// Words and what is added to them, so that 1 moves an offset out of alignment and 16 to the next place.
        words: Vec<(u16, i8)>,
        bytes: Vec<(u16, u8)>,
        len: Option<u16>,
        tail: Vec<u8>,
        /// Which chunks have their checksums put right.
        sealed: u64,
    },
}

fuzz_target!(|case: Case| {
    let bytes = match case {
        Case::Bytes(bytes) => bytes,
        Case::Chunks(chunks) => {
            let mut built = Built::new();
            for (kind, content) in chunks {
                match kind {
                    Some(is_index) => built.chunk(if is_index { b"indx" } else { b"snap" }, &content),
                    None => built.append(&snapshot(&content)),
                }
            }
            built.bytes
        }
        Case::Edited { steps, words, bytes: singles, len, tail, sealed } => {
            let mut built = Built::new();
            for step in steps.into_iter().take(60) {
                match step {
                    Some(size) => built.append(&snapshot(&vec![size; size.into()])),
                    None => built.flush(),
                }
            }
            let whole = built.bytes.clone();
            let mut bytes = built.bytes.clone();
            for (at, by) in words {
                let at = 8 * (usize::from(at) % (bytes.len() / 8));
                let word = &mut bytes[at..at + 8];
                let new = u64::from_le_bytes(word.try_into().expect("8 bytes")).wrapping_add_signed(by.into());
                word.copy_from_slice(&new.to_le_bytes());
            }
            for (at, with) in singles {
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= with;
            }
            for (n, chunk) in built.chunks.iter().enumerate() {
                if (sealed >> (n % 64)) & 1 == 1 {
                    seal(&mut bytes[chunk.clone()]);
                }
            }
            let len = len.map_or(bytes.len(), usize::from).min(bytes.len());
            bytes.truncate(len);
            let is_edited = bytes != whole[..len];
            bytes.extend_from_slice(&tail);
            let read = check(&bytes);
            if !is_edited && tail.is_empty() {
                let right = built.snapshots[..built.n_whole(len)].iter().map(|(at, len)| Ok(at + 32..at + 32 + len));
                assert_eq!(read, Ok(right.collect()), "{len} bytes");
            }
            return;
        }
    };
    let _ = check(&bytes);
});
