//! Entries of a cache, one size-prefixed buffer each: `fbs/cache_entry.fbs`. They lie one after another, each from a multiple of 8 on.
//!
//! The order in one: its size, offset of the root, file identifier, table, key, tenant, model's name, vtable, value. The value is last, so
//! that it goes from where it is to where it is written to without a copy.

use super::format::{ENTRY_IDENTIFIER, ENTRY_VERSION, Field, HEADER, MOST_BYTES, WORD, cache_entry as entry};
use super::layout::{ENTRY, Shape, vtable_len};
use super::pen::{Pen, to_u32};
use super::table::{Place, Table};
use super::verify;
use crate::error::{Error, Result};

/// What entries begin at multiples of: the widest of their numbers.
pub(crate) const ENTRY_ALIGN: usize = 8;

/// Where tables may begin.
const START: usize = WORD + HEADER;

/// What a hit saves where nothing is said.
const DEFAULT_COST: f64 = 1.0;

/// An entry in bytes that somebody else keeps.
///
/// The accessors check what they read, as those of a snapshot do; they fail on nothing that [`CacheEntry::take`] has returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CacheEntry<'a>(Table<'a>);

impl<'a> CacheEntry<'a> {
    /// Takes the first entry off bytes that begin at a multiple of 8, as strict with it as [`verify`](super::verify()) is with a
    /// snapshot. `number` names it in messages, which leave it to the caller to say what to do.
    ///
    /// # Errors
    /// [`Error::Codec`] with the first fault.
    pub(crate) fn take(bytes: &mut &'a [u8], number: usize) -> Result<Self> {
        let refused = |why: String| Error::Codec(format!("entry {number}: {why}"));
        let size = bytes.first_chunk().map_or(0, |&size| u32::from_le_bytes(size) as usize);
        let left = bytes.len().saturating_sub(WORD);
        if !(HEADER..=left.min(MOST_BYTES - WORD)).contains(&size) {
            return Err(refused(format!(
                "by its size it has {size} bytes, {left} are left and {HEADER} are the least"
            )));
        }
        // Its size is part of it: what lies at a multiple of 8 does so counted from there.
        let (buffer, rest) = bytes.split_at(WORD + size);
        let padding = buffer.len().next_multiple_of(ENTRY_ALIGN) - buffer.len();
        if buffer[START - ENTRY_IDENTIFIER.len()..START] != ENTRY_IDENTIFIER {
            return Err(refused(format!("its file identifier is not {}", ENTRY_IDENTIFIER.escape_ascii())));
        }
        let taken = Self(Table::follow(buffer, WORD, Place::Entry(number))?);
        let version = taken.0.u16(&entry::VERSION, 1)?;
        if version > ENTRY_VERSION {
            return Err(refused(format!("its version is {version}, this release reads up to {ENTRY_VERSION}")));
        }
        verify::check(&taken.0, entry::ALL)?;
        *bytes = rest.get(padding..).unwrap_or_default();
        Ok(taken)
    }

    /// What it is put in under: a text, if nobody wrote anything else there.
    pub(crate) fn key(&self) -> Result<&'a [u8]> {
        Ok(self.0.bytes(&entry::KEY)?.unwrap_or_default())
    }

    /// The value.
    pub(crate) fn value(&self) -> Result<Option<&'a [u8]>> {
        self.0.bytes(&entry::VALUE)
    }

    /// Whether the value should be a text.
    pub(crate) fn value_is_text(&self) -> Result<bool> {
        self.0.bool(&entry::VALUE_IS_TEXT)
    }

    /// Whether it has a vector of its own.
    pub(crate) fn has_vector(&self) -> bool {
        self.0.entry(&entry::VECTOR).is_some()
    }

    /// Whose it is: a text, like its key.
    pub(crate) fn tenant(&self) -> Result<&'a [u8]> {
        Ok(self.0.bytes(&entry::TENANT)?.unwrap_or_default())
    }

    /// What made the vector: a text, like its key.
    pub(crate) fn model_id(&self) -> Result<&'a [u8]> {
        Ok(self.0.bytes(&entry::MODEL_ID)?.unwrap_or_default())
    }

    /// What a hit saves; any number.
    pub(crate) fn cost(&self) -> Result<f64> {
        self.0.f64(&entry::COST, DEFAULT_COST)
    }

    /// When its time is over, in nanoseconds since 1970; 0: never.
    pub(crate) fn deadline_ns(&self) -> Result<u64> {
        self.0.u64(&entry::DEADLINE_NS)
    }

    /// Whether it is never evicted.
    pub(crate) fn is_pinned(&self) -> Result<bool> {
        self.0.bool(&entry::IS_PINNED)
    }

    /// Its place by age, the oldest 0.
    pub(crate) fn age(&self) -> Result<u32> {
        self.0.u32(&entry::AGE)
    }

    /// How often it was used.
    pub(crate) fn uses(&self) -> Result<u32> {
        self.0.u32(&entry::USES)
    }

    /// Whether it is in S3-FIFO's main queue.
    pub(crate) fn is_main(&self) -> Result<bool> {
        self.0.bool(&entry::IS_MAIN)
    }

    /// How far it is above GDSF's level; any number.
    pub(crate) fn priority(&self) -> Result<f64> {
        self.0.f64(&entry::PRIORITY, 0.0)
    }
}

/// An entry to be written, with its vector elsewhere.
#[derive(Debug)]
pub(crate) struct CacheEntryParts<'a> {
    /// What it is put in under.
    pub(crate) key: &'a [u8],
    /// The value.
    pub(crate) value: Option<&'a [u8]>,
    /// Whether the value is a text.
    pub(crate) value_is_text: bool,
    /// Whose it is.
    pub(crate) tenant: &'a [u8],
    /// What made the vector.
    pub(crate) model_id: &'a [u8],
    /// What a hit saves.
    pub(crate) cost: f64,
    /// When its time is over, in nanoseconds since 1970; 0: never.
    pub(crate) deadline_ns: u64,
    /// Whether it is never evicted.
    pub(crate) is_pinned: bool,
    /// Its place by age, the oldest 0.
    pub(crate) age: u32,
    /// How often it was used.
    pub(crate) uses: u32,
    /// Whether it is in S3-FIFO's main queue.
    pub(crate) is_main: bool,
    /// How far it is above GDSF's level.
    pub(crate) priority: f64,
}

impl CacheEntryParts<'_> {
    /// Refuses an entry of 2^31 bytes or more, which [`CacheEntryParts::write_head`] must not be given.
    ///
    /// # Errors
    /// [`Error::Codec`] with the bytes that it would have.
    pub(crate) fn check(&self) -> Result<()> {
        let len = self.plan().head_len.saturating_add(self.value.map_or(0, <[u8]>::len));
        if len > MOST_BYTES {
            return Err(Error::Codec(format!("it would have {len} bytes, the limit is {MOST_BYTES}")));
        }
        Ok(())
    }

    /// Writes the entry up to the value's first byte, over all that `head` holds. What is missing then are the value's bytes, and zeros
    /// up to the next multiple of 8.
    pub(crate) fn write_head(&self, head: &mut Vec<u8>) {
        let Plan { fields, shape, value_at, head_len } = self.plan();
        head.clear();
        head.resize(head_len, 0);
        let mut pen = Pen::new(head.as_mut_slice());
        pen.u32(head_len - WORD + self.value.map_or(0, <[u8]>::len));
        pen.offset(shape.span(START).0);
        pen.put(ENTRY_IDENTIFIER);
        let (_, table_end) = pen.table(shape);
        let has = |field: &Field| fields & bit(field) != 0;
        for (field, number) in [
            (&entry::COST, self.cost.to_bits()),
            (&entry::DEADLINE_NS, self.deadline_ns),
            (&entry::PRIORITY, self.priority.to_bits()),
        ] {
            if has(field) {
                pen.put(number.to_le_bytes());
            }
        }
        let mut at = table_end;
        for name in self.names() {
            pen.offset(at);
            at += bytes_len(name);
        }
        if self.value.is_some() {
            pen.offset(value_at);
        }
        for number in [self.age, self.uses].into_iter().filter(|&number| number != 0) {
            pen.put(number.to_le_bytes());
        }
        for _ in [self.value_is_text, self.is_pinned, self.is_main].into_iter().filter(|&is_so| is_so) {
            pen.put([1]);
        }
        pen.zeros_to(table_end);
        for name in self.names() {
            pen.u32(name.len());
            pen.padded(name, bytes_len(name) - WORD);
        }
        ENTRY.write_vtable(fields, &mut pen);
        if let Some(value) = self.value {
            pen.zeros_to(value_at);
            pen.u32(value.len());
        }
        debug_assert!(pen.is_done(), "what is planned is written");
    }

    /// Key, tenant and model's name, those that are not empty.
    fn names(&self) -> impl Iterator<Item = &[u8]> {
        [self.key, self.tenant, self.model_id].into_iter().filter(|name| !name.is_empty())
    }

    fn plan(&self) -> Plan {
        let fields = [
            (&entry::KEY, !self.key.is_empty()),
            (&entry::VALUE, self.value.is_some()),
            (&entry::VALUE_IS_TEXT, self.value_is_text),
            (&entry::TENANT, !self.tenant.is_empty()),
            (&entry::MODEL_ID, !self.model_id.is_empty()),
            (&entry::COST, self.cost.to_bits() != DEFAULT_COST.to_bits()),
            (&entry::DEADLINE_NS, self.deadline_ns != 0),
            (&entry::IS_PINNED, self.is_pinned),
            (&entry::AGE, self.age != 0),
            (&entry::USES, self.uses != 0),
            (&entry::IS_MAIN, self.is_main),
            (&entry::PRIORITY, self.priority.to_bits() != 0),
        ];
        let fields = fields.into_iter().filter(|&(_, is_there)| is_there).fold(0, |set, (field, _)| set | bit(field));
        let mut shape = ENTRY.shape(fields);
        let vtable_at = self.names().fold(shape.span(START).1, |at, name| at.saturating_add(bytes_len(name)));
        shape.vtable = to_u32(vtable_at);
        let end = vtable_at.saturating_add(vtable_len(fields));
        let value_at = end.checked_next_multiple_of(WORD).unwrap_or(usize::MAX);
        let head_len = if self.value.is_some() { value_at.saturating_add(WORD) } else { end };
        Plan { fields, shape, value_at, head_len }
    }
}

/// The places of what is written before a value.
struct Plan {
    fields: usize,
    shape: Shape,
    /// Where the value's length is, and its bytes after that.
    value_at: usize,
    /// Bytes up to the value's first.
    head_len: usize,
}

fn bit(field: &Field) -> usize {
    1 << field.slot
}

/// Bytes of a vector of bytes: their number, themselves and zeros to a multiple of 4.
fn bytes_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(WORD).saturating_add(1).saturating_mul(WORD)
}
