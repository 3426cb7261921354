//! The vocabularies inside the package, unpacked at first use and shared by the whole process.
//!
//! `data/pack_vocab.py` writes the files and says how they are laid out; `data/NOTICE` says whose they are.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use super::bpe::{Bpe, Tokens, Wholes};

const N_BYTES: usize = 256;

/// The vocabulary of `o200k_base` and `o200k_harmony`.
pub(crate) fn o200k() -> Arc<Bpe> {
    static BPE: OnceLock<Arc<Bpe>> = OnceLock::new();
    Arc::clone(BPE.get_or_init(|| load(include_bytes!("../../data/o200k_base.zst"))))
}

/// The vocabulary of `cl100k_base`.
pub(crate) fn cl100k() -> Arc<Bpe> {
    static BPE: OnceLock<Arc<Bpe>> = OnceLock::new();
    Arc::clone(BPE.get_or_init(|| load(include_bytes!("../../data/cl100k_base.zst"))))
}

fn load(packed: &[u8]) -> Arc<Bpe> {
    Arc::new(unpack(packed).expect("the embedded vocabularies are read whole by a test"))
}

fn unpack(packed: &[u8]) -> Option<Bpe> {
    let mut raw = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed).ok()?.read_to_end(&mut raw).ok()?;
    let (bytes, planes) = raw.split_at_checked(N_BYTES)?;
    let n = planes.len() / 6;
    let plane = |i: usize| planes.get(i * n..(i + 1) * n);
    let [low, mid, high, low2, mid2, high2] = [plane(0)?, plane(1)?, plane(2)?, plane(3)?, plane(4)?, plane(5)?];

    let mut tokens = Tokens::with_capacity(N_BYTES + n, 8 * n);
    let mut byte_ids = [0; N_BYTES];
    for (id, &byte) in (0..).zip(bytes) {
        tokens.insert(id as usize, &[byte]);
        byte_ids[byte as usize] = id;
    }
    let mut merges = Vec::with_capacity(n);
    for (i, id) in (0..n).zip(256..) {
        let left = u32::from_le_bytes([low[i], mid[i], high[i], 0]);
        let right = u32::from_le_bytes([low2[i], mid2[i], high2[i], 0]);
        if !tokens.push_joined(left as usize, right as usize) {
            return None;
        }
        merges.push([left, right, id]);
    }
    let n_tokens = u32::try_from(N_BYTES + n).ok()?;
    Some(Bpe::new(tokens, &byte_ids, &merges, 0..n_tokens, Wholes::Proved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_vocabularies_unpack_and_every_token_is_reached_by_merging() {
        for (bpe, n) in [(o200k(), 199_998), (cl100k(), 100_256)] {
            assert!((0..n).all(|id| bpe.is_reachable(id)));
            assert!(bpe.bytes_of(n).is_empty());
            assert_eq!(bpe.max_len(), 128);
        }
    }

    #[test]
    fn refuses_a_damaged_vocabulary() {
        assert!(unpack(b"").is_none());
        assert!(unpack(&include_bytes!("../../data/cl100k_base.zst")[..1000]).is_none());
    }
}
