//! A file becomes a snapshot: checksums first, then every number, name and row.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::{ALIGNMENT, CHECKSUM_AT, ENTRY, HEADER, MAGIC, NEVER, POLICIES, SECTIONS, SECTIONS_AT, VERSION};
use super::{Names, Saved, Snapshot, is_text};
use crate::cache::order::Standing;
use crate::cache::{Item, MOST_DIM, Settings, Value};
use crate::error::{Error, Result};
use crate::file::Mapped;
use crate::index::Row;

/// Why a file is not read.
enum Refused {
    Os(io::Error),
    Damaged(String),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Os(error)
    }
}

impl Snapshot {
    pub(super) fn read(path: &Path) -> Result<Self> {
        read(path).map_err(|refused| match refused {
            Refused::Os(error) => Error::os(&error, path),
            Refused::Damaged(why) => Error::Cache(format!(
                "{} cannot be loaded: {why}; load another snapshot or begin with an empty cache",
                path.display()
            )),
        })
    }
}

fn read(path: &Path) -> Result<Snapshot, Refused> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() && !metadata.is_dir() {
        // Reading one might wait for ever. A directory the system refuses in its own words.
        return Err(damaged("it is no regular file"));
    }
    let file = File::open(path)?;
    let mut header = Vec::with_capacity(HEADER);
    (&file).take(HEADER as u64).read_to_end(&mut header)?;
    let header = Header::read(&header)?;
    let n_bytes = file.metadata()?.len();
    if n_bytes != header.n_bytes {
        return Err(damaged(format!("it has {n_bytes} bytes, by its header {}", header.n_bytes)));
    }
    let too_large = || damaged(format!("it has {n_bytes} bytes, more than this machine can map"));
    let all = Mapped::new(&file, 0, usize::try_from(n_bytes).map_err(|_| too_large())?)?;
    // In a map of their own, so that nothing else of the file stays mapped.
    let n_row_bytes = header.sections[0].padded();
    let rows = Arc::new(Mapped::new(&file, HEADER as u64, n_row_bytes.max(1))?);
    let mut rest = &all.bytes()[HEADER..];
    let mut contents = [&[][..]; SECTIONS.len()];
    for (n, (section, content)) in header.sections.iter().zip(&mut contents).enumerate() {
        let whole;
        (whole, rest) = rest.split_at(section.padded());
        let whole = if n == 0 { &rows.bytes()[..n_row_bytes] } else { whole };
        if crc32fast::hash(whole) != section.checksum {
            return Err(damaged(format!("the checksum of its {} is wrong", SECTIONS[n])));
        }
        *content = &whole[..section.n_bytes];
    }
    let [row_bytes, spaces, entries, keys, values] = contents;
    let spaces = read_spaces(spaces)?;
    let (entries, n_over) = entries.as_chunks::<ENTRY>();
    let row_size = header.settings.dim * size_of::<f32>();
    let is_countable = n_over.is_empty() && u32::try_from(entries.len()).is_ok();
    if !is_countable || entries.len().checked_mul(row_size) != Some(row_bytes.len()) {
        return Err(damaged(format!(
            "its rows have {} bytes, its entries {}",
            row_bytes.len(),
            header.sections[2].n_bytes
        )));
    }
    let mut texts = Texts { keys: Fields(keys), values: Fields(values) };
    let mut saved = Vec::new();
    let dim = u32::try_from(header.settings.dim).expect("at most 65,536");
    for (number, entry) in (0..).zip(entries) {
        let row = Row::mapped(&rows, number, dim).ok_or("its vector is not of finite numbers and length 1");
        let read = row.and_then(|row| read_entry(entry, row, spaces.len(), &mut texts));
        saved.push(read.map_err(|why| damaged(format!("entry {number}: {why}")))?);
    }
    if !(texts.keys.0.is_empty() && texts.values.0.is_empty()) {
        return Err(damaged("it has more keys or values than entries"));
    }
    check_together(&spaces, &saved)?;
    Ok(Snapshot { settings: header.settings, saved_at_ns: header.saved_at_ns, spaces, entries: saved })
}

struct Header {
    settings: Settings,
    saved_at_ns: u64,
    sections: [Section; SECTIONS.len()],
    /// Of the whole file.
    n_bytes: u64,
}

#[derive(Clone, Copy, Default)]
struct Section {
    n_bytes: usize,
    checksum: u32,
}

impl Section {
    fn padded(self) -> usize {
        self.n_bytes.next_multiple_of(ALIGNMENT)
    }
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.first_chunk() != Some(&MAGIC) {
            return Err(damaged("it is no snapshot of a vector cache"));
        }
        let n_bytes = bytes.len();
        let too_short = || damaged(format!("it has {n_bytes} bytes, and a header has {HEADER}"));
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or_else(too_short)?;
        let (checked, checksum) = bytes.split_at(CHECKSUM_AT);
        let mut fields = Fields(&checked[MAGIC.len()..]);
        let version = fields.u32().ok_or_else(too_short)?;
        if version != VERSION {
            return Err(damaged(format!("its format is of version {version}, this release reads {VERSION}")));
        }
        if crc32fast::hash(checked).to_le_bytes() != checksum {
            return Err(damaged("the checksum of its header is wrong"));
        }
        let (settings, saved_at_ns) =
            read_settings(&mut fields).ok_or_else(|| damaged("its header has a setting that no cache has"))?;
        let mut sections = [Section::default(); SECTIONS.len()];
        let mut end = HEADER as u64;
        let mut fields = Fields(&checked[SECTIONS_AT..]);
        for section in &mut sections {
            let mut read = || {
                let n_bytes = fields.u64()?;
                end = end.checked_add(n_bytes)?.checked_next_multiple_of(ALIGNMENT as u64)?;
                *section = Section { n_bytes: usize::try_from(n_bytes).ok()?, checksum: fields.u32()? };
                fields.u32()
            };
            read().ok_or_else(|| damaged("its header has a section that no file has"))?;
        }
        Ok(Self { settings, saved_at_ns, sections, n_bytes: end })
    }
}

fn read_settings(fields: &mut Fields<'_>) -> Option<(Settings, u64)> {
    let limit = |limit| usize::try_from(limit).unwrap_or(usize::MAX);
    let dim = fields.u32()? as usize;
    let (capacity, max_bytes) = (limit(fields.u64()?), limit(fields.u64()?));
    let time_to_live_ns = Some(fields.u64()?).filter(|&ttl| ttl != NEVER);
    let saved_at_ns = fields.u64()?;
    let policy = *POLICIES.get(fields.u32()? as usize)?;
    let is_cosine = fields.u32()? == 0;
    let is_valid = (1..=MOST_DIM).contains(&dim) && capacity > 0 && max_bytes > 0 && time_to_live_ns != Some(0);
    (is_valid && is_cosine).then_some((Settings { dim, capacity, max_bytes, time_to_live_ns, policy }, saved_at_ns))
}

fn read_spaces(bytes: &[u8]) -> Result<Vec<Names>, Refused> {
    let mut fields = Fields(bytes);
    let mut spaces = Vec::new();
    while !fields.0.is_empty() {
        let mut read = || {
            let (tenant, model_id) = (fields.u64()?, fields.u64()?);
            let mut name = |len| fields.take(len).filter(|name| is_text(name));
            Some(Names { tenant: name(tenant)?.into(), model_id: name(model_id)?.into() })
        };
        let names = read();
        spaces.push(names.ok_or_else(|| {
            damaged(format!("the names of its space {} are no texts, or end after the spaces", spaces.len()))
        })?);
    }
    Ok(spaces)
}

/// Keys and values of the entries that are still to be read.
struct Texts<'a> {
    keys: Fields<'a>,
    values: Fields<'a>,
}

fn read_entry(bytes: &[u8; ENTRY], row: Row, n_spaces: usize, texts: &mut Texts<'_>) -> Result<Saved, &'static str> {
    const SHORT: &str = "it is too short";
    let mut fields = Fields(bytes);
    let deadline_ns = fields.u64().ok_or(SHORT)?;
    let cost = fields.f64().ok_or(SHORT)?;
    let priority = fields.f64().ok_or(SHORT)?;
    let key = fields.u64().and_then(|len| texts.keys.take(len)).filter(|key| is_text(key));
    let value = fields.u64().and_then(|len| texts.values.take(len));
    let space = fields.u32().ok_or(SHORT)?;
    let age = fields.u32().ok_or(SHORT)?;
    let uses = fields.u32().ok_or(SHORT)?;
    let [kind, is_pinned, is_main] = fields.take(3).and_then(<[u8]>::first_chunk).copied().ok_or(SHORT)?;
    let value = match (kind, value.ok_or("its value ends after the values")?) {
        (0, []) => Value::Nothing,
        (1, bytes) => Value::Bytes(bytes.into()),
        (2, text) if is_text(text) => Value::Text(text.into()),
        _ => return Err("its value is of no kind, or no text"),
    };
    let is_number = |number: f64| number.is_finite() && number >= 0.0;
    if !is_number(cost) || !is_number(priority) {
        return Err("its cost or priority is negative, infinite or NaN");
    }
    if space as usize >= n_spaces {
        return Err("its space is not there");
    }
    if is_pinned > 1 || is_main > 1 {
        return Err("it is neither pinned nor not, or neither in the main queue nor not");
    }
    let item = Arc::new(Item::new(key.ok_or("its key is no text, or ends after the keys")?, value, row, cost));
    let standing = Standing { uses, is_main: is_main == 1, priority };
    Ok(Saved { item, space, age, deadline_ns, is_pinned: is_pinned == 1, standing })
}

/// Checks what cannot be seen in one entry alone.
fn check_together(spaces: &[Names], entries: &[Saved]) -> Result<(), Refused> {
    let mut scopes = HashSet::new();
    if !spaces.iter().all(|names| scopes.insert(names.scope())) {
        return Err(damaged("two of its spaces are the same"));
    }
    let mut keys = HashSet::new();
    if !entries.iter().all(|saved| keys.insert((saved.space, saved.item.key()))) {
        return Err(damaged("two of its entries have the same key"));
    }
    let mut ages = vec![false; entries.len()];
    let is_new = |saved: &Saved| ages.get_mut(saved.age as usize).is_some_and(|age| !std::mem::replace(age, true));
    if !entries.iter().all(is_new) {
        return Err(damaged("two of its entries have the same age, or one has none"));
    }
    Ok(())
}

/// Numbers and bytes, one after another; none past the end.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, n_bytes: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(n_bytes).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N as u64)?.first_chunk().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.array().map(f64::from_le_bytes)
    }
}

fn damaged(why: impl Into<String>) -> Refused {
    Refused::Damaged(why.into())
}
