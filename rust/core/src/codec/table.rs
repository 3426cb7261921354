//! Hops from table to field to vector through bytes that nobody has checked: each is checked, and none walks.

use std::fmt::{self, Display};
use std::str;

use simdutf8::basic::from_utf8;

use super::format::{Field, MOST_BYTES, VTABLE_HEADER, WORD};
use crate::error::{Error, Result};
use crate::simd::prefetch;

/// Which table of a snapshot, or which cache entry of many, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Snapshot,
    Turn(usize),
    /// Of the turn before it.
    ToolCall(usize, usize),
    /// A root of its own.
    Entry(usize),
}

impl Place {
    /// An element of the table's list of tables; none has two.
    #[inline]
    fn element(self, index: usize) -> Self {
        match self {
            Self::Snapshot => Self::Turn(index),
            Self::Turn(turn) | Self::ToolCall(turn, _) => Self::ToolCall(turn, index),
            Self::Entry(_) => self,
        }
    }

    /// An error about the table, or about one of its fields, at a byte of the buffer.
    ///
    /// What to do about a snapshot stands in it; about a cache entry, that is for who reads them all to say.
    #[cold]
    pub(super) fn damaged(self, field: Option<&Field>, at: usize, why: impl Display) -> Error {
        let table = match self {
            Self::Snapshot => "snapshot".to_owned(),
            Self::Turn(turn) => format!("turns[{turn}]"),
            Self::ToolCall(turn, call) => format!("turns[{turn}].tool_calls[{call}]"),
            Self::Entry(number) => {
                let field = field.map(|field| format!(": its {}", field.name)).unwrap_or_default();
                return Error::Codec(format!("entry {number}{field} at byte {at}: {why}"));
            }
        };
        let path = match (field, self) {
            (None, _) => table,
            (Some(field), Self::Snapshot) => field.name.to_owned(),
            (Some(field), _) => format!("{table}.{}", field.name),
        };
        Error::Codec(format!("{path} at byte {at}: {why}; the snapshot is damaged, take another copy of it"))
    }
}

/// As many bytes, if the buffer has them there.
#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A length or an offset.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(array(bytes, at)?) as usize)
}

/// A table whose vtable is in the buffer; what its entries say is not checked.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    /// The whole buffer, of at most `MOST_BYTES`, so that a position and a vtable's entry make no sum that overflows.
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) vtable_at: usize,
    vtable: &'a [u8],
    pub(super) place: Place,
}

impl fmt::Debug for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at byte {}", self.place, self.at)
    }
}

impl<'a> Table<'a> {
    /// The table that the offset at the buffer's beginning leads to.
    pub(super) fn root(bytes: &'a [u8]) -> Result<Self> {
        debug_assert!(bytes.len() <= MOST_BYTES, "whoever opens a buffer checks its size");
        Self::follow(bytes, 0, Place::Snapshot)
    }

    /// The table that the offset at a byte leads to.
    #[expect(
        clippy::inline_always,
        reason = "a call would hand it over in memory, to be read back in other pieces than were written: a stall"
    )]
    #[inline(always)]
    pub(super) fn follow(bytes: &'a [u8], from: usize, place: Place) -> Result<Self> {
        let n_bytes = bytes.len();
        let at = word(bytes, from).and_then(|offset| from.checked_add(offset)).filter(|&at| at < n_bytes);
        let at = at.ok_or_else(|| place.damaged(None, from, past_end("its offset", n_bytes)))?;
        let damaged = |why| place.damaged(None, at, past_end(why, n_bytes));
        let to_vtable = array(bytes, at).map(i32::from_le_bytes).ok_or_else(|| damaged("the table"))?;
        let vtable_at = (to_vtable as isize).checked_neg().and_then(|back| at.checked_add_signed(back));
        let vtable_at = vtable_at.ok_or_else(|| place.damaged(None, at, "its vtable is before the buffer"))?;
        let len = array(bytes, vtable_at).map(u16::from_le_bytes).ok_or_else(|| damaged("its vtable"))?;
        if usize::from(len) < VTABLE_HEADER || len % 2 != 0 {
            let why = format!("its vtable has {len} bytes, it must have an even number of at least {VTABLE_HEADER}");
            return Err(place.damaged(None, vtable_at, why));
        }
        let vtable = bytes.get(vtable_at..vtable_at + usize::from(len)).ok_or_else(|| damaged("its vtable"))?;
        Ok(Self { bytes, at, vtable_at, vtable, place })
    }

    /// An error about one of its fields.
    pub(super) fn damaged(&self, field: &Field, at: usize, why: impl Display) -> Error {
        self.place.damaged(Some(field), at, why)
    }

    /// Bytes of its fields and of its offset to the vtable, by the vtable.
    #[inline]
    pub(super) fn size(&self) -> usize {
        array(self.vtable, 2).map_or(0, |size| u16::from_le_bytes(size).into())
    }

    /// Bytes from the table to a field, where it has that field.
    #[inline]
    pub(super) fn entry(&self, field: &Field) -> Option<usize> {
        let entry = u16::from_le_bytes(array(self.vtable, VTABLE_HEADER + 2 * field.slot)?);
        (entry != 0).then_some(entry.into())
    }

    #[inline]
    fn scalar<const N: usize>(&self, field: &Field) -> Result<Option<[u8; N]>> {
        debug_assert_eq!(field.kind.size(), N, "{} is read by another size", field.name);
        let Some(entry) = self.entry(field) else { return Ok(None) };
        let at = self.at + entry;
        let value = array(self.bytes, at).ok_or_else(|| self.damaged(field, at, past_end("it", self.bytes.len())))?;
        Ok(Some(value))
    }

    /// Any byte but 0 is true, as for every reader of the format.
    #[inline]
    pub(super) fn bool(&self, field: &Field) -> Result<bool> {
        Ok(self.scalar(field)?.is_some_and(|[value]| value != 0))
    }

    #[inline]
    pub(super) fn u16(&self, field: &Field, default: u16) -> Result<u16> {
        Ok(self.scalar(field)?.map_or(default, u16::from_le_bytes))
    }

    #[inline]
    pub(super) fn u32(&self, field: &Field) -> Result<u32> {
        Ok(self.scalar(field)?.map_or(0, u32::from_le_bytes))
    }

    #[inline]
    pub(super) fn i64(&self, field: &Field) -> Result<i64> {
        Ok(self.scalar(field)?.map_or(0, i64::from_le_bytes))
    }

    pub(super) fn u64(&self, field: &Field) -> Result<u64> {
        Ok(self.scalar(field)?.map_or(0, u64::from_le_bytes))
    }

    pub(super) fn f64(&self, field: &Field, default: f64) -> Result<f64> {
        Ok(self.scalar(field)?.map_or(default, f64::from_le_bytes))
    }

    /// A byte of which the first `n` values are known.
    #[inline]
    pub(super) fn known(&self, field: &Field, n: u8, default: u8) -> Result<u8> {
        let Some([value]) = self.scalar(field)? else { return Ok(default) };
        if value < n {
            return Ok(value);
        }
        Err(self.unknown(field, value, n))
    }

    #[cold]
    fn unknown(&self, field: &Field, value: u8, n: u8) -> Error {
        let at = self.at + self.entry(field).unwrap_or(0);
        self.damaged(field, at, format!("it is {value}, the greatest known is {}", n - 1))
    }

    /// Bytes from the table to each of its fields by their slots, 0 for what it has not.
    #[inline]
    pub(super) fn entries(&self) -> impl Iterator<Item = usize> + use<'a> {
        let (entries, _) = self.vtable.as_chunks();
        entries.iter().skip(VTABLE_HEADER / 2).map(|&entry| u16::from_le_bytes(entry).into())
    }

    /// A vector of elements of as many bytes.
    #[inline]
    pub(super) fn vector(&self, field: &Field, element: usize) -> Result<Option<Vector<'a>>> {
        self.entry(field).map(|entry| self.vector_from(field, entry, element)).transpose()
    }

    /// The same, of which an entry of the vtable says that it is there.
    #[expect(clippy::inline_always, reason = "as for `follow`; it was a sixth of `verify`")]
    #[inline(always)]
    pub(super) fn vector_from(&self, field: &Field, entry: usize, element: usize) -> Result<Vector<'a>> {
        let from = self.at + entry;
        let n_bytes = self.bytes.len();
        let leads_out = |what| self.damaged(field, from, past_end(what, n_bytes));
        let offset = word(self.bytes, from).ok_or_else(|| leads_out("it"))?;
        let at = from.checked_add(offset).ok_or_else(|| leads_out("its offset"))?;
        let len = word(self.bytes, at).ok_or_else(|| leads_out("its offset"))?;
        let at = at + WORD;
        let end = len.checked_mul(element).and_then(|size| at.checked_add(size));
        let elements = end.and_then(|end| self.bytes.get(at..end)).ok_or_else(|| {
            let why = format!("it has {len} elements of {element} bytes, {} bytes follow", n_bytes - at);
            self.damaged(field, at - WORD, why)
        })?;
        Ok(Vector { at, len, elements })
    }

    #[inline]
    pub(super) fn bytes(&self, field: &Field) -> Result<Option<&'a [u8]>> {
        Ok(self.vector(field, 1)?.map(|vector| vector.elements))
    }

    /// Most texts of a turn are not there, which is seen without a call.
    #[inline]
    pub(super) fn text(&self, field: &Field) -> Result<Option<&'a str>> {
        if self.entry(field).is_none() { Ok(None) } else { self.text_there(field) }
    }

    fn text_there(&self, field: &Field) -> Result<Option<&'a str>> {
        self.vector(field, 1)?.map(|vector| self.utf8(field, &vector)).transpose()
    }

    /// The text that a vector of the table is.
    #[inline]
    pub(super) fn utf8(&self, field: &Field, vector: &Vector<'a>) -> Result<&'a str> {
        from_utf8(vector.elements).map_err(|_| {
            // Which byte it is, only the slower one says.
            let n_valid = str::from_utf8(vector.elements).map_or_else(|error| error.valid_up_to(), str::len);
            self.damaged(field, vector.at + n_valid, "it is not UTF-8")
        })
    }

    #[inline]
    pub(super) fn tables(&self, field: &Field) -> Result<Option<Tables<'a>>> {
        Ok(self.vector(field, WORD)?.map(|vector| self.list(&vector)))
    }

    /// The tables that a vector of the table leads to.
    pub(super) fn list(&self, vector: &Vector<'a>) -> Tables<'a> {
        Tables::new(self.bytes, vector.at, vector.len, self.place)
    }
}

/// Elements that are in the buffer, one after another.
pub(super) struct Vector<'a> {
    /// Of the first element; the length is before it.
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) elements: &'a [u8],
}

/// Offsets to tables; the offsets are in the buffer, where they lead is not checked.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    bytes: &'a [u8],
    /// Of the first offset.
    pub(super) at: usize,
    pub(super) len: usize,
    /// Of the table that holds the list.
    place: Place,
}

impl fmt::Debug for Tables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tables at byte {}", self.len, self.at)
    }
}

impl<'a> Tables<'a> {
    pub(super) const NONE: Self = Self { bytes: &[], at: 0, len: 0, place: Place::Snapshot };

    /// So many tables, the offset to the first of which is at a byte.
    pub(super) fn new(bytes: &'a [u8], at: usize, len: usize, place: Place) -> Self {
        Self { bytes, at, len, place }
    }

    /// Has the table of that index brought near, if there is one: it is the next to be read.
    #[inline]
    pub(super) fn prefetch(&self, index: usize) {
        let from = self.at + WORD * index.min(self.len);
        if let Some(byte) = word(self.bytes, from).and_then(|offset| self.bytes.get(from.checked_add(offset)?)) {
            prefetch(byte);
        }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Result<Table<'a>> {
        if index >= self.len {
            return Err(Error::Argument(format!("index is {index}; it must be less than {}", self.len)));
        }
        Table::follow(self.bytes, self.at + WORD * index, self.place.element(index))
    }
}

fn past_end(what: &str, n_bytes: usize) -> String {
    format!("{what} leads past the end of the buffer, which has {n_bytes} bytes")
}
