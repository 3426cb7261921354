//! A file becomes a snapshot: checksums first, then every number, name and row.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::{ALIGNMENT, CHECKSUM_AT, HEADER, MAGIC, NEVER, POLICIES, SECTIONS, SECTIONS_AT, VERSION};
use super::{Names, Saved, Snapshot, is_text};
use crate::cache::order::Standing;
use crate::cache::{Item, MOST_DIM, Scope, Settings, Value};
use crate::codec::CacheEntry;
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

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Damaged(error.to_string())
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
    let [row_bytes, mut rest] = contents;
    let row_size = header.settings.dim * size_of::<f32>();
    let n_rows = u32::try_from(row_bytes.len() / row_size).ok().filter(|_| row_bytes.len().is_multiple_of(row_size));
    let n_rows =
        n_rows.ok_or_else(|| damaged(format!("its rows have {} bytes, a row has {row_size}", row_bytes.len())))?;
    let dim = u32::try_from(header.settings.dim).expect("at most 65,536");
    let mut spaces = Spaces::default();
    let mut saved = Vec::new();
    for number in 0..n_rows {
        if rest.is_empty() {
            return Err(damaged(format!("it has {n_rows} rows and {number} entries")));
        }
        let entry = CacheEntry::take(&mut rest, number as usize)?;
        let refused = |why| damaged(format!("entry {number}: {why}"));
        let row = Row::mapped(&rows, number, dim);
        let row = row.ok_or_else(|| refused("its vector is not of finite numbers and length 1"))?;
        saved.push(read_entry(&entry, row, &mut spaces, refused)?);
    }
    if !rest.is_empty() {
        return Err(damaged(format!("it has {n_rows} rows and more entries")));
    }
    check_together(&saved)?;
    Ok(Snapshot { settings: header.settings, saved_at_ns: header.saved_at_ns, spaces: spaces.names, entries: saved })
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

/// Tenants and models that were met, each once.
#[derive(Default)]
struct Spaces<'a> {
    names: Vec<Names>,
    numbers: HashMap<Scope<'a>, u32>,
    /// What was met last, most often the next one too.
    last: Option<(Scope<'a>, u32)>,
}

impl<'a> Spaces<'a> {
    /// The number of a space, if its names are texts.
    fn number(&mut self, scope: Scope<'a>) -> Option<u32> {
        if let Some((last, number)) = self.last
            && last == scope
        {
            return Some(number);
        }
        let number = match self.numbers.get(&scope) {
            Some(&number) => number,
            None if is_text(scope.tenant) && is_text(scope.model_id) => {
                let number = u32::try_from(self.names.len()).expect("no more than entries, of which 2^32 were refused");
                self.names.push(Names { tenant: scope.tenant.into(), model_id: scope.model_id.into() });
                self.numbers.insert(scope, number);
                number
            }
            None => return None,
        };
        self.last = Some((scope, number));
        Some(number)
    }
}

fn read_entry<'a>(
    entry: &CacheEntry<'a>,
    row: Row,
    spaces: &mut Spaces<'a>,
    refused: impl Fn(&'static str) -> Refused,
) -> Result<Saved, Refused> {
    let key = entry.key()?;
    let value = match (entry.value()?, entry.value_is_text()?) {
        (None, false) => Value::Nothing,
        (Some(bytes), false) => Value::Bytes(bytes.into()),
        (Some(text), true) if is_text(text) => Value::Text(text.into()),
        (_, true) => return Err(refused("its value is no text")),
    };
    let (cost, priority) = (entry.cost()?, entry.priority()?);
    let is_number = |number: f64| number.is_finite() && number >= 0.0;
    if !is_number(cost) || !is_number(priority) {
        return Err(refused("its cost or priority is negative, infinite or NaN"));
    }
    if entry.has_vector() {
        return Err(refused("its vector is in it, and not only among the rows"));
    }
    if !is_text(key) {
        return Err(refused("its key is no text"));
    }
    let scope = Scope { tenant: entry.tenant()?, model_id: entry.model_id()? };
    let space = spaces.number(scope).ok_or_else(|| refused("its tenant or model_id is no text"))?;
    let deadline_ns = entry.deadline_ns()?;
    Ok(Saved {
        item: Arc::new(Item::new(key, value, row, cost)),
        space,
        age: entry.age()?,
        deadline_ns: if deadline_ns == 0 { NEVER } else { deadline_ns },
        is_pinned: entry.is_pinned()?,
        standing: Standing { uses: entry.uses()?, is_main: entry.is_main()?, priority },
    })
}

/// Checks what cannot be seen in one entry alone.
fn check_together(entries: &[Saved]) -> Result<(), Refused> {
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

/// Numbers, one after another; none past the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (&taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn damaged(why: impl Into<String>) -> Refused {
    Refused::Damaged(why.into())
}
