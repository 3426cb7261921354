//! One strict pass over a whole snapshot, or a cache entry.

use super::format::{Field, Kind, WORD, snapshot};
use super::table::Table;
use super::view::Snapshot;
use crate::error::{Error, Result};

/// How often each byte of a buffer may be visited, on average. Texts and tables may be shared, so that few bytes can stand for
/// endlessly many; no writer known shares as much as this, and ours shares vtables alone.
const MOST_VISITS: usize = 8;

/// Visits that any buffer may take, in bytes: less than a millisecond.
const FREE_VISITS: usize = 1 << 20;

/// Checks a whole snapshot: whatever a view of it reads afterwards is there. More than that, it is as strict as the format: every
/// table, vtable, vector, text and number lies at a multiple of its size (counted from the first byte: where the buffer itself lies
/// does not matter), inside its table, and texts end with a zero byte.
///
/// Fields that this release does not know are left alone. JSON within texts is not parsed.
///
/// # Errors
/// [`Error::Codec`] with the first fault, or where so much is shared that the check would visit each byte eight times.
///
/// Cost: O(bytes), nearly all of it the check of UTF-8; no allocation.
pub fn verify(bytes: &[u8]) -> Result<Snapshot<'_>> {
    let opened = Snapshot::open(bytes)?;
    check(&opened.0, snapshot::ALL)?;
    opened.vectors()?;
    Ok(opened)
}

/// The same of a root table of these fields and all that it leads to.
pub(super) fn check(root: &Table<'_>, fields: &[&Field]) -> Result<()> {
    let most = root.bytes.len().saturating_mul(MOST_VISITS).saturating_add(FREE_VISITS);
    Pass { most, left: most }.table(root, fields)
}

struct Pass {
    /// Bytes that may be visited in all.
    most: usize,
    left: usize,
}

impl Pass {
    fn visit(&mut self, n_bytes: usize) -> Result<()> {
        self.left = self.left.checked_sub(n_bytes).ok_or_else(|| {
            let most = self.most;
            Error::Codec(format!(
                "the snapshot shares its texts or tables so much that they come to over {most} bytes, {MOST_VISITS} times its \
                 size; write each text where it is used"
            ))
        })?;
        Ok(())
    }

    /// The recursion is as deep as the schema.
    fn table(&mut self, table: &Table<'_>, fields: &[&Field]) -> Result<()> {
        let size = table.size();
        let fault = |at, why: String| Err(table.place.damaged(None, at, why));
        if !table.at.is_multiple_of(WORD) || !table.vtable_at.is_multiple_of(2) {
            return fault(table.at, format!("it or its vtable, at byte {}, is misaligned", table.vtable_at));
        }
        if size < WORD || size > table.bytes.len() - table.at {
            let most = table.bytes.len() - table.at;
            return fault(table.at, format!("by its vtable it has {size} bytes, it must have {WORD} to {most}"));
        }
        self.visit(size)?;
        // A vtable may be shorter or longer than what is known.
        for (field, entry) in fields.iter().zip(table.entries()) {
            if entry != 0 {
                self.field(table, size, field, entry)?;
            }
        }
        Ok(())
    }

    /// A field of a table of that size, so far from its beginning.
    fn field(&mut self, table: &Table<'_>, table_size: usize, field: &Field, entry: usize) -> Result<()> {
        let at = table.at + entry;
        let size = field.kind.size();
        if entry < WORD || entry + size > table_size {
            let why = format!("it is outside its table, which has {table_size} bytes from byte {}", table.at);
            return Err(table.damaged(field, at, why));
        }
        aligned(table, field, at, size)?;
        let element = match field.kind {
            Kind::Scalar(_) => return Ok(()),
            Kind::Known(n) => return table.known(field, n, 0).map(drop),
            Kind::Text => 1,
            Kind::Numbers(size) => size,
            Kind::Tables(_) => WORD,
        };
        let vector = table.vector_from(field, entry, element)?;
        // The elements too, which are of no more bytes than their number is.
        aligned(table, field, vector.at - WORD, WORD)?;
        self.visit(WORD + vector.elements.len())?;
        match field.kind {
            Kind::Text => {
                // Most texts are ASCII, which is seen in half the time.
                if !vector.elements.is_ascii() {
                    table.utf8(field, &vector)?;
                }
                let end = vector.at + vector.len;
                if table.bytes.get(end) != Some(&0) {
                    return Err(table.damaged(field, end, "no zero byte ends it"));
                }
            }
            Kind::Tables(fields) => {
                let tables = table.list(&vector);
                for index in 0..tables.len {
                    tables.prefetch(index + 1);
                    self.table(&tables.get(index)?, fields)?;
                }
            }
            Kind::Scalar(_) | Kind::Known(_) | Kind::Numbers(_) => {}
        }
        Ok(())
    }
}

/// Whether a byte is at a multiple of a power of two, which `is_multiple_of` would divide by.
#[inline]
fn aligned(table: &Table<'_>, field: &Field, at: usize, to: usize) -> Result<()> {
    if at & (to - 1) == 0 {
        return Ok(());
    }
    Err(table.damaged(field, at, format!("it is no multiple of {to} bytes from the beginning")))
}
