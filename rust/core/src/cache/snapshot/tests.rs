//! Snapshots: what is saved comes back. What of a damaged one: `damage_tests.rs`.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::cache::tests::recount;
use crate::cache::{Settings, Value};
use crate::error::Error;
use crate::index::{Query, Row};

type Plain = Cache<super::super::Shown>;

const DIM: usize = 4;
const NOBODY: Scope<'static> = Scope { tenant: b"", model_id: b"" };
pub(super) const NO_LIMIT: Settings =
    Settings { dim: DIM, capacity: usize::MAX, max_bytes: usize::MAX, time_to_live_ns: None, policy: Policy::Lru };

/// A folder that is deleted with it.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("rolecore-snapshot-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("cache.snapshot")
    }

    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(&self.0).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// A cache from these bytes.
    pub(super) fn load(&self, bytes: &[u8]) -> Result<Plain> {
        fs::write(self.file(), bytes).unwrap();
        Plain::load(&self.file(), Overrides::default(), Some(NOW), WALL)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the two clocks say when caches are saved.
pub(super) const NOW: u64 = 1000;
pub(super) const WALL: u64 = 1_700_000_000_000_000_000;

#[derive(Debug, Clone)]
pub(super) struct Put {
    tenant: String,
    key: String,
    value: Value,
    row: [f32; DIM],
    cost: f64,
    is_pinned: bool,
    ttl: Option<u64>,
}

impl Put {
    pub(super) fn key(key: &str) -> Self {
        let value = Value::Text(key.as_bytes().into());
        Self {
            tenant: String::new(),
            key: key.into(),
            value,
            row: [1.0, 2.0, 3.0, 4.0],
            cost: 1.0,
            is_pinned: false,
            ttl: None,
        }
    }

    fn put_into(&self, cache: &Plain) -> Result<()> {
        let item = Item::new(self.key.as_bytes(), self.value.clone(), Row::unit(&self.row)?, self.cost);
        let scope = Scope { tenant: self.tenant.as_bytes(), model_id: b"model" };
        let at = Address { scope, key: self.key.as_bytes() };
        let item = Arc::new(item);
        let face = Some(super::super::Shown::new(Arc::clone(&item), self.is_pinned));
        let mut new = New { at, item, face, is_pinned: self.is_pinned, time_to_live_ns: self.ttl };
        cache.run(|store| store.put(&mut new, Some(0)))?
    }
}

pub(super) fn cache_of(settings: Settings, puts: &[Put]) -> Plain {
    let cache = Plain::new(settings).unwrap();
    for put in puts {
        put.put_into(&cache).unwrap();
    }
    cache
}

fn puts() -> impl Strategy<Value = Vec<Put>> {
    let value = prop_oneof![
        Just(Value::Nothing),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
        "\\PC{0,12}".prop_map(|text| Value::Text(text.into_bytes().into())),
    ];
    let row = [1..4_i8, -3..4_i8, -3..4_i8, -3..4_i8].prop_map(|row| row.map(f32::from));
    let place = ("[ab]?", "[a-m汉]|long{70,90}");
    let put = (
        place,
        value,
        row,
        0.0..9.0,
        prop::bool::weighted(0.1),
        prop::option::weighted(0.2, prop_oneof![900..=NOW, NOW + 100..3000]),
    );
    let put = put.prop_map(|((tenant, key), value, row, cost, is_pinned, ttl)| Put {
        tenant,
        key,
        value,
        row,
        cost,
        is_pinned,
        ttl,
    });
    prop::collection::vec(put, 0..40)
}

/// An entry as plain numbers.
type Shown = (String, String, Value, Vec<u32>, f64, (u32, u64, bool), Standing);

fn shown(cache: &Plain, now_ns: u64, wall_ns: u64) -> Vec<Shown> {
    let snapshot = cache.run(|store| Ok(store.snapshot(Some(now_ns), wall_ns))).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut shown: Vec<_> = snapshot
        .entries
        .iter()
        .map(|saved| {
            let item = &saved.item;
            let row = item.row().iter().map(|x| x.to_bits()).collect();
            let tenant = text(&snapshot.spaces[saved.space as usize].tenant);
            let numbers = (saved.age, saved.deadline_ns, saved.is_pinned);
            (tenant, text(item.key()), item.value().clone(), row, item.cost(), numbers, saved.standing)
        })
        .collect();
    // Pinned ones have no order.
    let n_pinned = snapshot.entries.iter().filter(|saved| saved.is_pinned).count();
    shown[..n_pinned].sort_by_key(|entry| entry.5.0);
    shown
}

fn searched(cache: &Plain, tenant: &str, query: [f32; DIM]) -> Vec<(Vec<u8>, u64)> {
    let scope = Scope { tenant: tenant.as_bytes(), model_id: b"model" };
    let hits = cache.search(scope, &Query::new(&query).unwrap(), 100, Some(NOW)).unwrap();
    hits.iter().map(|hit| (hit.item.key().to_vec(), hit.score.to_bits())).collect()
}

/// Two tenants, all kinds of values, a pin and a deadline.
pub(super) fn small() -> Vec<u8> {
    let text = Put { tenant: "acme".into(), cost: 0.0, ..Put::key("text") };
    let bytes = Put { value: Value::Bytes(b"\0\xff"[..].into()), is_pinned: true, cost: 2.5, ..Put::key("bytes") };
    let nothing = Put { value: Value::Nothing, row: [0.0, 0.0, 0.0, -1.0], ttl: Some(5000), ..Put::key("nothing") };
    let settings = Settings { capacity: 7, policy: Policy::S3Fifo, ..NO_LIMIT };
    let cache = cache_of(settings, &[text, bytes, nothing]);
    let folder = Folder::new();
    cache.save(&folder.file(), Some(NOW), WALL).unwrap();
    fs::read(folder.file()).unwrap()
}

/// A cache from any file is one like any other.
pub(super) fn check(cache: &Plain) {
    let before = shown(cache, NOW, WALL);
    let bytes = cache.run(|store| store.memory(Some(0))).unwrap().0;
    assert_eq!(recount(cache), bytes);
    let folder = Folder::new();
    cache.save(&folder.file(), Some(NOW), WALL).unwrap();
    let again = Plain::load(&folder.file(), Overrides::default(), Some(NOW), WALL).unwrap();
    assert_eq!(shown(&again, NOW, WALL), before);
    for tenant in ["", "acme"] {
        assert_eq!(searched(&again, tenant, [1.0, 2.0, 2.0, -1.0]), searched(cache, tenant, [1.0, 2.0, 2.0, -1.0]));
    }
    let _ = Put::key("one more").put_into(cache);
    assert_eq!(recount(cache), cache.run(|store| store.memory(Some(0))).unwrap().0);
}

proptest! {
    #[test]
    fn a_loaded_cache_is_the_saved_one(
        policy in prop::sample::select(&POLICIES),
        capacity in 8..30_usize,
        puts in puts(),
        uses in prop::collection::vec("[a-m]", 0..40),
    ) {
        let cache = Plain::new(Settings { capacity, policy, ..NO_LIMIT }).unwrap();
        for put in &puts {
            let _ = put.put_into(&cache);
        }
        for key in uses {
            let at = Address { scope: Scope { tenant: b"", model_id: b"model" }, key: key.as_bytes() };
            cache.run(|store| Ok(store.get(&at, Some(0)).is_some())).unwrap();
        }
        let folder = Folder::new();
        cache.save(&folder.file(), Some(NOW), WALL).unwrap();
        prop_assert_eq!(folder.names(), ["cache.snapshot"]);
        let loaded = Plain::load(&folder.file(), Overrides::default(), Some(NOW), WALL + 7).unwrap();
        // 7 ns later by the wall clock, whose end is where it was.
        prop_assert_eq!(shown(&loaded, NOW, WALL + 7), shown(&cache, NOW, WALL));
        prop_assert_eq!(recount(&loaded), loaded.run(|store| store.memory(Some(0))).unwrap().0);
        for tenant in ["", "a", "b"] {
            prop_assert_eq!(searched(&loaded, tenant, [1.0, 2.0, 2.0, -1.0]), searched(&cache, tenant, [1.0, 2.0, 2.0, -1.0]));
        }
        // What comes in pushes out the same; GDSF weighs the few bytes less that a mapped row takes.
        if policy != Policy::Gdsf {
            for i in 0..20 {
                let put = Put::key(&format!("new {i}"));
                prop_assert_eq!(put.put_into(&cache), put.put_into(&loaded));
                let keys = |cache| shown(cache, NOW, WALL).into_iter().map(|shown| (shown.0, shown.1)).collect::<Vec<_>>();
                prop_assert_eq!(keys(&cache), keys(&loaded));
            }
        }
    }
}

#[test]
fn time_on_disk_counts_and_a_clock_put_back_gives_none() {
    let folder = Folder::new();
    let cache = cache_of(NO_LIMIT, &[Put { ttl: Some(NOW + 100), ..Put::key("brief") }, Put::key("lasting")]);
    cache.save(&folder.file(), Some(NOW), WALL).unwrap();
    let left = |wall_ns| {
        let cache = Plain::load(&folder.file(), Overrides::default(), Some(5), wall_ns).unwrap();
        let at = Address { scope: Scope { tenant: b"", model_id: b"model" }, key: b"brief" };
        let rest = |store: &mut Store<_>| match store.get(&at, Some(5))? {
            crate::cache::Entry::Faceless { expires_in_ns, .. } => expires_in_ns,
            crate::cache::Entry::Shown(_) => None,
        };
        let left = cache.run(|store| Ok(rest(store))).unwrap();
        (left, cache.run(|store| store.len(Some(5))).unwrap())
    };
    assert_eq!(left(WALL), (Some(100), 2));
    assert_eq!(left(WALL + 99), (Some(1), 2));
    assert_eq!(left(WALL + 100), (None, 1));
    assert_eq!(left(u64::MAX), (None, 1));
    assert_eq!(left(0), (Some(100), 2));
}

#[test]
fn what_has_expired_is_not_saved() {
    let folder = Folder::new();
    let cache = cache_of(NO_LIMIT, &[Put { ttl: Some(NOW), ..Put::key("brief") }]);
    cache.save(&folder.file(), Some(NOW), WALL).unwrap();
    assert_eq!(fs::metadata(folder.file()).unwrap().len(), HEADER as u64);
    assert_eq!(folder.load(&fs::read(folder.file()).unwrap()).unwrap().run(|store| store.len(None)), Ok(0));
}

#[test]
fn narrower_limits_keep_what_would_go_last() {
    let folder = Folder::new();
    let mut puts: Vec<_> = (0..100).map(|i| Put::key(&i.to_string())).collect();
    puts[3].is_pinned = true;
    for policy in POLICIES {
        cache_of(Settings { policy, ..NO_LIMIT }, &puts).save(&folder.file(), Some(NOW), WALL).unwrap();
        let load = |overrides| Plain::load(&folder.file(), overrides, Some(NOW), WALL);
        let cache = load(Overrides { capacity: Some(3), ..Overrides::default() }).unwrap();
        let keys: Vec<_> = shown(&cache, NOW, WALL).into_iter().map(|shown| shown.1).collect();
        assert_eq!(keys, ["3", "98", "99"]);
        let max_bytes = Some(30_000);
        let cache = load(Overrides { max_bytes, ..Overrides::default() }).unwrap();
        let stats = cache.run(|store| store.stats(Some(NOW))).unwrap();
        assert!(stats.bytes <= 30_000 && (20..90).contains(&stats.rows) && stats.evictions == 0, "{stats:?}");
        let refused = |max_bytes| match load(Overrides { max_bytes: Some(max_bytes), ..Overrides::default() }) {
            Err(Error::Cache(why)) => Some(why),
            loaded => loaded.map(|_| None).unwrap(),
        };
        let why = refused(100).expect("a pinned entry");
        assert!(why.contains("max_bytes is 100 and the snapshot's pinned entries need more"), "{why}");
        let least: usize = why.split("max_bytes from ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!((refused(least), refused(least - 1).is_some()), (None, true));
    }
}

#[test]
fn a_time_to_live_given_at_load_is_for_what_comes() {
    let folder = Folder::new();
    cache_of(NO_LIMIT, &[Put::key("old")]).save(&folder.file(), Some(NOW), WALL).unwrap();
    let overrides = Overrides { time_to_live_ns: Some(10), ..Overrides::default() };
    let cache = Plain::load(&folder.file(), overrides, Some(0), WALL).unwrap();
    Put::key("new").put_into(&cache).unwrap();
    assert_eq!(cache.run(|store| store.len(Some(9))), Ok(2));
    assert_eq!(cache.run(|store| store.len(Some(10))), Ok(1));
}

#[test]
fn a_save_that_fails_leaves_the_old_file_and_no_other() {
    let folder = Folder::new();
    let cache = cache_of(NO_LIMIT, &[Put::key("a")]);
    let taken = folder.0.join("taken");
    fs::create_dir_all(taken.join("inside")).unwrap();
    let refused = cache.save(&taken, Some(NOW), WALL);
    assert!(matches!(refused, Err(Error::Os { errno: Some(_), ref path, .. }) if *path == taken), "{refused:?}");
    assert_eq!(folder.names(), ["taken"]);
    let nowhere = folder.0.join("no/such/folder");
    assert!(matches!(cache.save(&nowhere, Some(NOW), WALL), Err(Error::Os { errno: Some(2), .. })));
    cache.save(&folder.file(), Some(NOW), WALL).unwrap();
    let bytes = fs::read(folder.file()).unwrap();
    let refused = |key: &[u8], value| {
        let mut new = New {
            at: Address { scope: NOBODY, key },
            item: Arc::new(Item::new(key, value, Row::unit(&[1.0; DIM]).unwrap(), 1.0)),
            face: None,
            is_pinned: false,
            time_to_live_ns: None,
        };
        let cache = cache_of(NO_LIMIT, &[]);
        cache.run(|store| store.put(&mut new, None)).unwrap().unwrap();
        let Err(Error::Cache(why)) = cache.save(&folder.file(), Some(NOW), WALL) else { panic!("it is saved") };
        assert_eq!(fs::read(folder.file()).unwrap(), bytes);
        why
    };
    assert!(refused(b"\xff", Value::Nothing).contains("no text"));
    // Zeroed memory that nobody touches takes none.
    #[cfg(target_pointer_width = "64")]
    assert_eq!(
        refused(b"large", Value::Bytes(vec![0; 1 << 31].into())),
        "an entry is too large to be saved: it would have 2147483700 bytes, the limit is 2147483647; remove it or keep its \
         value elsewhere"
    );
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = Folder::new();
    let load = |path: &Path| Plain::load(path, Overrides::default(), None, WALL);
    assert!(matches!(load(&folder.file()), Err(Error::Os { errno: Some(2), .. })));
    assert!(matches!(load(&folder.0), Err(Error::Os { errno: Some(_), .. })));
    assert!(matches!(load(Path::new("/dev/null")), Err(Error::Cache(why)) if why.contains("no regular file")));
    assert!(matches!(folder.load(b""), Err(Error::Cache(_))));
}

#[test]
fn rows_stay_where_they_are_in_the_file() {
    let folder = Folder::new();
    cache_of(NO_LIMIT, &[Put::key("a"), Put::key("b")]).save(&folder.file(), Some(NOW), WALL).unwrap();
    let cache = Plain::load(&folder.file(), Overrides::default(), None, WALL).unwrap();
    let parts = cache.run(|store| store.memory(Some(0))).unwrap().0;
    assert_eq!((parts.rows, parts.mapped), (0, 2 * DIM * 4));
    drop(folder);
    let at = Address { scope: Scope { tenant: b"", model_id: b"model" }, key: b"a" };
    let item = cache.run(|store| Ok(Arc::clone(store.get(&at, None).unwrap().item()))).unwrap();
    drop(cache);
    assert_eq!(**item.row(), *Row::unit(&[1.0, 2.0, 3.0, 4.0]).unwrap());
    assert!(item.row().is_mapped());
}

#[test]
fn surrogates_are_text_and_other_bytes_are_not() {
    for text in ["", "a", "汉字 👋"] {
        assert!(is_text(text.as_bytes()));
    }
    assert!(is_text(b"\xed\xa0\xbd\xed\xb1\x8b and \xed\xbf\xbf"));
    for bytes in [&b"\xff"[..], b"\xed\xa0", b"\xed\xc0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\x80"] {
        assert!(!is_text(bytes));
    }
}
