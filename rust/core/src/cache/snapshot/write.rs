//! A snapshot becomes a file.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use crc32fast::Hasher;

use super::{ALIGNMENT, CHECKSUM_AT, HEADER, MAGIC, POLICIES, SECTIONS, SECTIONS_AT, Saved, Snapshot, VERSION};
use super::{NEVER, is_text};
use crate::cache::{Scope, Value};
use crate::codec::{CacheEntryParts, ENTRY_ALIGN};
use crate::error::{Error, Result};
use crate::file::replace;

impl Snapshot {
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let names = self.spaces.iter().flat_map(|names| [&*names.tenant, &*names.model_id]);
        if !names.chain(self.entries.iter().map(|saved| saved.item.key())).all(is_text) {
            return Err(Error::Cache("a key, a tenant or a model_id is no text; only texts can be saved".to_owned()));
        }
        for saved in &self.entries {
            self.parts(saved).check().map_err(|why| {
                Error::Cache(format!("an entry is too large to be saved: {why}; remove it or keep its value elsewhere"))
            })?;
        }
        replace(path, |file| self.write_to(file))
    }

    fn write_to(&self, file: &mut File) -> io::Result<()> {
        let mut out = Sections { out: BufWriter::new(file), hasher: Hasher::new(), len: 0, done: Vec::new() };
        out.out.write_all(&[0; HEADER])?;
        let mut bytes = vec![0; self.settings.dim * size_of::<f32>()];
        for saved in &self.entries {
            for (to, number) in bytes.as_chunks_mut().0.iter_mut().zip(saved.item.row().iter()) {
                *to = number.to_le_bytes();
            }
            out.write(&bytes)?;
        }
        out.end()?;
        let mut head = Vec::new();
        for saved in &self.entries {
            let parts = self.parts(saved);
            parts.write_head(&mut head);
            out.write(&head)?;
            out.write(parts.value.unwrap_or_default())?;
            out.fill(ENTRY_ALIGN)?;
        }
        out.end()?;
        let Sections { mut out, done, .. } = out;
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&self.header(&done))?;
        out.flush()
    }

    fn parts<'a>(&'a self, saved: &'a Saved) -> CacheEntryParts<'a> {
        let Scope { tenant, model_id } = self.spaces[saved.space as usize].scope();
        let (value, value_is_text) = match saved.item.value() {
            Value::Nothing => (None, false),
            Value::Bytes(bytes) => (Some(&**bytes), false),
            Value::Text(text) => (Some(&**text), true),
        };
        CacheEntryParts {
            key: saved.item.key(),
            value,
            value_is_text,
            tenant,
            model_id,
            cost: saved.item.cost(),
            // What is not over is over after 0.
            deadline_ns: if saved.deadline_ns == NEVER { 0 } else { saved.deadline_ns },
            is_pinned: saved.is_pinned,
            age: saved.age,
            uses: saved.standing.uses,
            is_main: saved.standing.is_main,
            priority: saved.standing.priority,
        }
    }

    fn header(&self, sections: &[(u64, u32)]) -> [u8; HEADER] {
        let policy = POLICIES.iter().position(|&policy| policy == self.settings.policy).expect("all are listed");
        let mut header = [0; HEADER];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &MAGIC);
        put(8, &VERSION.to_le_bytes());
        put(12, &u32::try_from(self.settings.dim).expect("at most 65,536").to_le_bytes());
        put(16, &limit(self.settings.capacity).to_le_bytes());
        put(24, &limit(self.settings.max_bytes).to_le_bytes());
        put(32, &self.settings.time_to_live_ns.unwrap_or(NEVER).to_le_bytes());
        put(40, &self.saved_at_ns.to_le_bytes());
        put(48, &u32::try_from(policy).expect("one of three").to_le_bytes());
        for (at, (len, checksum)) in (SECTIONS_AT..).step_by(16).zip(sections) {
            put(at, &len.to_le_bytes());
            put(at + 8, &checksum.to_le_bytes());
        }
        let checksum = crc32fast::hash(&header[..CHECKSUM_AT]);
        header[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        header
    }
}

/// Sections as they are written: bytes and checksum of those that are done.
struct Sections<'a> {
    out: BufWriter<&'a mut File>,
    hasher: Hasher,
    len: u64,
    done: Vec<(u64, u32)>,
}

impl Sections<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Writes zeros up to the next multiple of `alignment`, which is 64 at most.
    fn fill(&mut self, alignment: usize) -> io::Result<()> {
        let zeros = self.len.next_multiple_of(alignment as u64) - self.len;
        self.write(&[0; ALIGNMENT][..usize::try_from(zeros).expect("fewer than 64")])
    }

    fn end(&mut self) -> io::Result<()> {
        debug_assert!(self.done.len() < SECTIONS.len());
        let len = self.len;
        self.fill(ALIGNMENT)?;
        self.len = 0;
        self.done.push((len, std::mem::take(&mut self.hasher).finalize()));
        Ok(())
    }
}

fn limit(limit: usize) -> u64 {
    if limit == usize::MAX { u64::MAX } else { limit as u64 }
}
