//! Files of saved caches, as the official library reads and writes the entries in them.
#![allow(clippy::unwrap_used, reason = "a test stops where it is wrong")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process};

use flatbuffers::{FlatBufferBuilder, UnionWIPOffset, VOffsetT, WIPOffset};
use rolecore_core::Result;
use rolecore_core::cache::{Cache, Overrides, Shown};

use super::wire::cache_entry as official;

/// The time when caches are saved and loaded, in nanoseconds since 1970.
pub(crate) const WALL: u64 = 1_700_000_000_123_456_789;
const HEADER: usize = 128;
const SECTIONS_AT: usize = 56;

/// What an entry in a file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Said {
    pub(crate) version: u16,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) value_is_text: bool,
    pub(crate) vector: Option<Vec<f32>>,
    pub(crate) tenant: Vec<u8>,
    pub(crate) model_id: Vec<u8>,
    pub(crate) cost: f64,
    pub(crate) deadline_ns: u64,
    pub(crate) is_pinned: bool,
    pub(crate) age: u32,
    pub(crate) uses: u32,
    pub(crate) is_main: bool,
    pub(crate) priority: f64,
}

impl Said {
    /// What the official library makes of a size-prefixed entry, after it has verified it.
    fn of(bytes: &[u8]) -> Self {
        assert!(official::cache_entry_size_prefixed_buffer_has_identifier(bytes));
        let entry = official::size_prefixed_root_as_cache_entry(bytes).unwrap();
        let bytes = |bytes: Option<flatbuffers::Vector<'_, u8>>| bytes.map(|bytes| bytes.bytes().to_vec());
        Self {
            version: entry.version(),
            key: bytes(entry.key()).unwrap_or_default(),
            value: bytes(entry.value()),
            value_is_text: entry.value_is_text(),
            vector: entry.vector().map(|vector| vector.iter().collect()),
            tenant: bytes(entry.tenant()).unwrap_or_default(),
            model_id: bytes(entry.model_id()).unwrap_or_default(),
            cost: entry.cost(),
            deadline_ns: entry.deadline_ns(),
            is_pinned: entry.is_pinned(),
            age: entry.age(),
            uses: entry.uses(),
            is_main: entry.is_main(),
            priority: entry.priority(),
        }
    }
}

/// How the official library writes an entry; what it says stays the same.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// What equals its default, or is empty, is written too.
    pub(crate) has_defaults: bool,
    /// Chooses the order of the fields.
    pub(crate) order: u16,
    /// There are fields that this release does not know.
    pub(crate) is_newer: bool,
    /// The vtable lies at the end.
    pub(crate) is_vtable_last: bool,
}

enum Number {
    Bool(bool),
    Short(u16),
    Word(u32),
    Long(u64),
    Double(f64, f64),
    Offset(WIPOffset<UnionWIPOffset>),
}

pub(crate) fn write(said: &Said, style: Style) -> Vec<u8> {
    use official::CacheEntry as T;
    let mut out = FlatBufferBuilder::new();
    out.force_defaults(style.has_defaults);
    let mut fields = vec![
        (T::VT_VERSION, Number::Short(said.version)),
        (T::VT_VALUE_IS_TEXT, Number::Bool(said.value_is_text)),
        (T::VT_COST, Number::Double(said.cost, 1.0)),
        (T::VT_DEADLINE_NS, Number::Long(said.deadline_ns)),
        (T::VT_IS_PINNED, Number::Bool(said.is_pinned)),
        (T::VT_AGE, Number::Word(said.age)),
        (T::VT_USES, Number::Word(said.uses)),
        (T::VT_IS_MAIN, Number::Bool(said.is_main)),
        (T::VT_PRIORITY, Number::Double(said.priority, 0.0)),
    ];
    for (slot, name) in [(T::VT_KEY, &said.key), (T::VT_TENANT, &said.tenant), (T::VT_MODEL_ID, &said.model_id)] {
        if style.has_defaults || !name.is_empty() {
            fields.push((slot, Number::Offset(out.create_vector(name).as_union_value())));
        }
    }
    if let Some(value) = &said.value {
        fields.push((T::VT_VALUE, Number::Offset(out.create_vector(value).as_union_value())));
    }
    if let Some(vector) = &said.vector {
        fields.push((T::VT_VECTOR, Number::Offset(out.create_vector(vector).as_union_value())));
    }
    if style.is_newer {
        let unknown = out.create_string("a field of a newer release").as_union_value();
        fields.extend([(90, Number::Offset(unknown)), (92, Number::Long(7)), (96, Number::Bool(true))]);
    }
    let mut state = u32::from(style.order);
    fields.sort_by_cached_key(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    });
    let start = out.start_table();
    for (slot, number) in fields {
        let slot: VOffsetT = slot;
        match number {
            Number::Bool(value) => out.push_slot(slot, value, false),
            Number::Short(value) => out.push_slot(slot, value, 1),
            Number::Word(value) => out.push_slot(slot, value, 0),
            Number::Long(value) => out.push_slot(slot, value, 0),
            Number::Double(value, default) => out.push_slot(slot, value, default),
            Number::Offset(to) => out.push_slot_always(slot, to),
        }
    }
    let table = out.end_table(start);
    out.finish_size_prefixed(table, Some(official::CACHE_ENTRY_IDENTIFIER));
    let mut bytes = out.finished_data().to_vec();
    if style.is_vtable_last {
        move_vtable(&mut bytes);
    }
    assert_eq!(Said::of(&bytes), *said);
    bytes
}

/// Puts a copy of the root's vtable at the end, and has the root refer to that.
fn move_vtable(bytes: &mut Vec<u8>) {
    let table = 4 + word(bytes, 4);
    let vtable = table - word(bytes, table);
    let len = usize::from(u16::from_le_bytes([bytes[vtable], bytes[vtable + 1]]));
    let to_vtable = i32::try_from(table).unwrap() - i32::try_from(bytes.len()).unwrap();
    bytes.extend_from_within(vtable..vtable + len);
    bytes[table..table + 4].copy_from_slice(&to_vtable.to_le_bytes());
    let size = u32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&size.to_le_bytes());
}

pub(crate) fn word(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize
}

/// A file that is deleted with it.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rolecore-cache-file-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(env::temp_dir().join(name))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub(crate) fn save(cache: &Cache<Shown>) -> Vec<u8> {
    let file = File::new();
    cache.save(&file.0, Some(0), WALL).unwrap();
    fs::read(&file.0).unwrap()
}

pub(crate) fn load(bytes: &[u8]) -> Result<Cache<Shown>> {
    let file = File::new();
    fs::write(&file.0, bytes).unwrap();
    Cache::load(&file.0, Overrides::default(), Some(0), WALL)
}

/// The two sections of a file, rows and entries, each with its zeros.
pub(crate) fn sections(file: &[u8]) -> (&[u8], &[u8]) {
    let len = usize::try_from(u64::from_le_bytes(*file[SECTIONS_AT..].first_chunk().unwrap())).unwrap();
    file[HEADER..].split_at(len.next_multiple_of(64))
}

/// What the official library makes of all entries of a file.
pub(crate) fn read(file: &[u8]) -> Vec<Said> {
    let len = usize::try_from(u64::from_le_bytes(*file[SECTIONS_AT + 16..].first_chunk().unwrap())).unwrap();
    let mut rest = &sections(file).1[..len];
    let mut said = Vec::new();
    while !rest.is_empty() {
        let end = 4 + word(rest, 0);
        said.push(Said::of(&rest[..end]));
        assert!(rest[end..end.next_multiple_of(8)].iter().all(|&byte| byte == 0));
        rest = &rest[end.next_multiple_of(8)..];
    }
    said
}

/// The file with other entries.
pub(crate) fn with_entries(file: &[u8], entries: &[Vec<u8>]) -> Vec<u8> {
    let mut section = Vec::new();
    for entry in entries {
        section.extend_from_slice(entry);
        section.resize(section.len().next_multiple_of(8), 0);
    }
    let len = section.len() as u64;
    section.resize(section.len().next_multiple_of(64), 0);
    let mut header = file[..HEADER].to_vec();
    header[SECTIONS_AT + 16..SECTIONS_AT + 24].copy_from_slice(&len.to_le_bytes());
    header[SECTIONS_AT + 24..SECTIONS_AT + 28].copy_from_slice(&crc32fast::hash(&section).to_le_bytes());
    let checksum = crc32fast::hash(&header[..HEADER - 4]);
    header[HEADER - 4..].copy_from_slice(&checksum.to_le_bytes());
    [&header, sections(file).0, &section].concat()
}
