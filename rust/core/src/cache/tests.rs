//! The cache against a plain list of entries, its bytes against a recount, and what happens while a search runs.

use std::sync::Arc;

use proptest::prelude::*;

use super::bytes::{Parts, allocation, vec};
use super::*;
use crate::index::Row;

type Plain = Cache<Shown>;

const DIM: usize = 4;

fn settings(policy: Policy, capacity: usize, max_bytes: usize) -> Settings {
    Settings { dim: DIM, capacity, max_bytes, time_to_live_ns: None, policy }
}

fn scope(tenant: &str) -> Scope<'_> {
    Scope { tenant: tenant.as_bytes(), model_id: b"" }
}

fn at<'a>(tenant: &'a str, key: &'a str) -> Address<'a> {
    Address { scope: scope(tenant), key: key.as_bytes() }
}

fn new<'a>(at: Address<'a>, value: &[u8], x: f32) -> New<'a, Shown> {
    let row = Row::unit(&[x, 1.0, 0.0, 0.0]).unwrap();
    let item = Arc::new(Item::new(at.key, Value::Bytes(value.into()), row, 1.0));
    New { at, item, face: None, is_pinned: false, time_to_live_ns: None }
}

fn put(cache: &Plain, mut new: New<'_, Shown>, now: u64) -> Result<()> {
    new.face = Some(Shown::new(Arc::clone(&new.item), new.is_pinned));
    cache.run(|store| store.put(&mut new, Some(now))).unwrap()
}

fn has(cache: &Plain, at: Address<'_>, now: u64) -> bool {
    cache.run(|store| Ok(store.get(&at, Some(now)).is_some())).unwrap()
}

fn clear(cache: &Plain) {
    cache
        .run(|store| {
            store.clear();
            Ok(())
        })
        .unwrap();
}

fn bytes(cache: &Plain) -> usize {
    cache.run(|store| store.memory(Some(0))).unwrap().0.total()
}

/// All bytes, counted from scratch, and all that must be true of a store.
pub(super) fn recount(cache: &Plain) -> Parts {
    cache.run(|store| Ok(recounted(store))).unwrap()
}

fn recounted(store: &mut Store<Shown>) -> Parts {
    let mut parts = Parts::default();
    let mut n_pinned = 0;
    let mut loose = 0;
    for (number, node) in store.numbered() {
        parts += node.item.bytes();
        n_pinned += usize::from(node.is_pinned);
        loose += if node.is_pinned { 0 } else { node.item.bytes().total() };
        let found = store.keys.find(node.hash, |handle| handle.number == number).expect("every entry is in the table");
        assert_eq!(found.space, node.space);
        assert!(found.face.is_none() || node.deadline_ns == u64::MAX);
    }
    let n = store.numbered().count();
    assert_eq!((n, n - n_pinned, loose), (store.keys.len(), store.order.len(), store.loose_items));
    assert_eq!(n + store.free.len(), store.nodes.len());
    let spaces = store.spaces.recount();
    assert_eq!(spaces, store.spaces.bytes());
    parts += spaces;
    parts.nodes += vec(&store.nodes) + vec(&store.free) + store.order.bytes();
    parts.tables += allocation(store.keys.allocation_size()) + store.expiry.bytes();
    parts
}

#[derive(Debug, Clone)]
enum Step {
    Put { tenant: u8, key: u8, n_bytes: usize, is_pinned: bool, ttl: Option<u64> },
    Get { tenant: u8, key: u8 },
    Remove { tenant: u8, key: u8 },
    Lookup { tenant: u8, x: f32 },
    Wait(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || (0..3_u8, 0..12_u8);
    let put = (place(), 0..600_usize, prop::bool::weighted(0.05), prop::option::weighted(0.2, 1..20_u64));
    let step = prop_oneof![
        12 => put.prop_map(|((tenant, key), n_bytes, is_pinned, ttl)| Step::Put { tenant, key, n_bytes, is_pinned, ttl }),
        8 => place().prop_map(|(tenant, key)| Step::Get { tenant, key }),
        3 => place().prop_map(|(tenant, key)| Step::Remove { tenant, key }),
        3 => (0..3_u8, 0.0..12.0_f32).prop_map(|(tenant, x)| Step::Lookup { tenant, x }),
        3 => (0..8_u64).prop_map(Step::Wait),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..150)
}

fn policies() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Lru), Just(Policy::S3Fifo), Just(Policy::Gdsf)]
}

proptest! {
    #[test]
    fn bytes_are_those_of_a_recount_and_within_the_limit(
        policy in policies(),
        capacity in 1..20_usize,
        max_bytes in 3_000..20_000_usize,
        steps in steps(),
    ) {
        let cache = Plain::new(settings(policy, capacity, max_bytes)).unwrap();
        let mut now = 0;
        for step in steps {
            let before = bytes(&cache);
            match step {
                Step::Put { tenant, key, n_bytes, is_pinned, ttl } => {
                    let (tenant, key) = (tenant.to_string(), key.to_string());
                    let mut new = new(at(&tenant, &key), &vec![0; n_bytes], 0.0);
                    (new.is_pinned, new.time_to_live_ns) = (is_pinned, ttl);
                    let is_in = put(&cache, new, now).is_ok();
                    prop_assert_eq!(has(&cache, at(&tenant, &key), now) || !is_in, true);
                }
                Step::Get { tenant, key } => _ = has(&cache, at(&tenant.to_string(), &key.to_string()), now),
                Step::Remove { tenant, key } => {
                    let (tenant, key) = (tenant.to_string(), key.to_string());
                    cache.run(|store| store.remove(at(&tenant, &key), Some(now))).unwrap();
                    prop_assert!(!has(&cache, at(&tenant, &key), now));
                }
                Step::Lookup { tenant, x } => {
                    let query = [x, 1.0, 0.0, 0.0];
                    let query = Query::new(&query).unwrap();
                    cache.lookup(scope(&tenant.to_string()), &query, 0.99, Some(now)).unwrap();
                }
                Step::Wait(time) => now += time,
                Step::Clear => clear(&cache),
            }
            let total = bytes(&cache);
            prop_assert_eq!(recount(&cache).total(), total);
            prop_assert!(total <= max_bytes.max(before));
            let stats = cache.run(|store| store.stats(Some(now))).unwrap();
            prop_assert!(stats.rows <= capacity && stats.bytes <= max_bytes);
            prop_assert_eq!(cache.run(|store| store.memory(Some(0))).unwrap().1, 0, "nobody looks at anything");
        }
    }
}

/// Puts entries in, the first ones pinned; the place of the one that is refused, and the limit that is named to it.
fn refused(policy: Policy, max_bytes: usize, n_pinned: usize, sizes: &[(usize, bool)]) -> Option<(usize, usize)> {
    let cache = Plain::new(settings(policy, usize::MAX, max_bytes)).unwrap();
    for (i, &(n_bytes, has_end)) in sizes.iter().enumerate() {
        let (tenant, key) = ((i % 3).to_string(), i.to_string());
        let mut new = new(at(&tenant, &key), &vec![0; n_bytes], 0.0);
        new.is_pinned = i < n_pinned;
        new.time_to_live_ns = has_end.then_some(1000);
        if let Err(error) = put(&cache, new, 0) {
            let Error::Cache(why) = error else { panic!("{error}") };
            assert_eq!(why.contains("unpin"), n_pinned > 0 && i > 0, "{why}");
            let least = why.split("needs max_bytes from ").nth(1).expect(&why).split(' ').next().unwrap();
            return Some((i, least.parse().unwrap()));
        }
    }
    None
}

proptest! {
    #[test]
    fn the_limit_named_to_a_refused_entry_lets_it_in_and_one_less_does_not(
        policy in policies(),
        sizes in prop::collection::vec((0..3000_usize, prop::bool::weighted(0.3)), 1..40),
    ) {
        let n_pinned = sizes.len() - 1;
        let (mut max_bytes, mut before) = (1, None);
        while let Some((at, least)) = refused(policy, max_bytes, n_pinned, &sizes) {
            prop_assert!(least > max_bytes && before.is_none_or(|before| before < at), "{at} needs {least}");
            prop_assert_eq!(refused(policy, least - 1, n_pinned, &sizes), Some((at, least)));
            (max_bytes, before) = (least, Some(at));
        }
    }

    #[test]
    fn the_limits_named_beside_entries_that_may_go_let_all_in(
        policy in policies(),
        n_pinned in 0..10_usize,
        sizes in prop::collection::vec((0..3000_usize, prop::bool::weighted(0.3)), 1..40),
    ) {
        // With more room other entries are still there when one comes, so an earlier one may be refused next.
        let (mut max_bytes, mut n_raises) = (1, 0);
        while let Some((at, least)) = refused(policy, max_bytes, n_pinned, &sizes) {
            prop_assert!(least > max_bytes, "{at} needs {least}");
            (max_bytes, n_raises) = (least, n_raises + 1);
            prop_assert!(n_raises <= sizes.len(), "doing as one is told leads to an end");
        }
    }
}

#[test]
fn an_empty_cache_takes_next_to_nothing() {
    let cache = Plain::new(settings(Policy::Lru, 1_000_000, usize::MAX)).unwrap();
    assert_eq!(bytes(&cache), 0);
    for i in 0..1000 {
        put(&cache, new(at(&i.to_string(), "key"), b"value", 0.0), 0).unwrap();
    }
    clear(&cache);
    assert_eq!(bytes(&cache), 0);
}

#[test]
fn a_million_tenants_leave_nothing_behind() {
    let cache = Plain::new(settings(Policy::Lru, 100, usize::MAX)).unwrap();
    let mut settled = 0;
    for i in 0..20_000 {
        put(&cache, new(at(&format!("{i:08}"), "key"), b"value", 0.0), 0).unwrap();
        if i == 1000 {
            settled = bytes(&cache);
        }
    }
    assert_eq!(bytes(&cache), settled);
    assert_eq!(cache.run(|store| store.stats(None)).unwrap().spaces, 100);
}

#[test]
fn small_entries_make_way_for_one_as_large_as_the_limit() {
    for policy in [Policy::Lru, Policy::S3Fifo, Policy::Gdsf] {
        let cache = Plain::new(settings(policy, usize::MAX, 100_000)).unwrap();
        let mut pinned = new(at("", "pinned"), b"stays", 0.0);
        pinned.is_pinned = true;
        put(&cache, pinned, 0).unwrap();
        for i in 0..1000 {
            put(&cache, new(at("", &i.to_string()), b"", 0.0), 0).unwrap();
        }
        let n_rows = cache.run(|store| store.len(None)).unwrap();
        put(&cache, new(at("", "large"), &vec![0; 92_000], 0.0), 0).unwrap();
        assert!(has(&cache, at("", "large"), 0) && has(&cache, at("", "pinned"), 0));
        let stats = cache.run(|store| store.stats(None)).unwrap();
        assert_eq!((stats.rows, stats.pinned), (2, 1));
        assert_eq!(stats.evictions, 1002 - 2, "{n_rows} rows before");
        assert_eq!(recount(&cache).total(), bytes(&cache));
        let refused = put(&cache, new(at("", "larger"), &vec![0; 99_000], 0.0), 0);
        assert!(matches!(refused, Err(Error::Cache(why)) if why.contains("100000")));
        assert!(has(&cache, at("", "large"), 0), "nothing has changed");
    }
}

#[test]
fn stale_deadlines_do_not_pile_up() {
    let cache = Plain::new(settings(Policy::Lru, 100, usize::MAX)).unwrap();
    let mut settled = 0;
    for i in 0..10_000_u64 {
        let key = (i % 50).to_string();
        let mut new = new(at("", &key), b"", 0.0);
        new.time_to_live_ns = Some(1_000_000 - i);
        put(&cache, new, i).unwrap();
        if i == 500 {
            settled = bytes(&cache);
        }
    }
    assert_eq!(bytes(&cache), settled);
}

#[test]
fn what_is_looked_at_stays_and_is_counted_apart() {
    let cache = Plain::new(settings(Policy::Lru, 1, usize::MAX)).unwrap();
    put(&cache, new(at("", "a"), b"first", 2.0), 0).unwrap();
    let viewed = || cache.run(|store| store.memory(Some(0))).unwrap().1;
    let item = cache.run(|store| Ok(Arc::clone(store.get(&at("", "a"), None).unwrap().item()))).unwrap();
    assert_eq!(viewed(), 0);
    put(&cache, new(at("", "b"), b"second", 3.0), 0).unwrap();
    assert_eq!(viewed(), item.bytes().total());
    assert_eq!(item.value(), &Value::Bytes(b"first"[..].into()));
    drop(item);
    assert_eq!(viewed(), 0);
}

#[test]
fn get_does_not_wait_for_a_search_and_put_does() {
    let cache = Plain::new(settings(Policy::Lru, 2, usize::MAX)).unwrap();
    put(&cache, new(at("a", "1"), b"", 0.0), 0).unwrap();
    put(&cache, new(at("b", "1"), b"", 0.0), 0).unwrap();
    let space = cache.run(|store| store.space(scope("a"), None)).unwrap().unwrap();
    let search = space.read();
    assert!(has(&cache, at("a", "1"), 0) && has(&cache, at("b", "1"), 0));
    let mut same = new(at("a", "1"), b"", 0.0);
    let mut other = new(at("c", "1"), b"", 0.0);
    assert!(cache.try_run(|store| store.put(&mut same, None)).unwrap().is_none(), "its space is searched");
    assert!(cache.try_run(|store| store.put(&mut other, None)).unwrap().is_none(), "a victim's space is searched");
    assert!(has(&cache, at("a", "1"), 0) && has(&cache, at("b", "1"), 0));
    assert_eq!(recount(&cache).total(), bytes(&cache));
    std::thread::scope(|threads| {
        let put = threads.spawn(|| put(&cache, other, 0));
        while cache.turnstile.try_lock().is_ok() {
            std::thread::yield_now();
        }
        assert!(has(&cache, at("a", "1"), 0));
        drop(search);
        put.join().unwrap().unwrap();
    });
    assert!(has(&cache, at("c", "1"), 0));
}

/// Puts small entries of three tenants in by turns, each while the tenant whose turn is `ahead` is being searched; how many had to
/// wait.
fn n_waits(policy: Policy, max_bytes: usize, ahead: usize) -> usize {
    let cache = Plain::new(settings(policy, usize::MAX, max_bytes)).unwrap();
    let mut n_waits = 0;
    for i in 0..2000 {
        let (tenant, searched, key) = ((i % 3).to_string(), ((i + ahead) % 3).to_string(), i.to_string());
        let space = cache.run(|store| store.space(scope(&searched), None)).unwrap();
        let search = space.as_ref().map(|space| space.read());
        let mut waiting = new(at(&tenant, &key), b"", 0.0);
        let done = cache.try_run(|store| store.put(&mut waiting, Some(0))).unwrap();
        assert!(bytes(&cache) <= max_bytes, "{} bytes of {max_bytes} at {i}, {policy:?}", bytes(&cache));
        drop(search);
        if done.is_none() {
            n_waits += 1;
            put(&cache, waiting, 0).unwrap();
        }
    }
    assert_eq!(recount(&cache).total(), bytes(&cache));
    n_waits
}

#[test]
fn a_put_that_waits_for_a_search_leaves_the_cache_within_its_limit() {
    for policy in [Policy::Lru, Policy::S3Fifo, Policy::Gdsf] {
        let limits = (10_000..200_000).step_by(10_000);
        let n_waits: usize = limits.map(|most| n_waits(policy, most, 1) + n_waits(policy, most, 2)).sum();
        assert!(n_waits > 1000, "{policy:?}: {n_waits}");
    }
}

#[test]
fn an_expired_entry_of_a_space_that_is_searched_is_no_hit() {
    let cache = Plain::new(settings(Policy::Lru, 2, usize::MAX)).unwrap();
    let mut brief = new(at("", "a"), b"", 0.0);
    brief.time_to_live_ns = Some(10);
    put(&cache, brief, 0).unwrap();
    let space = cache.run(|store| store.space(scope(""), Some(0))).unwrap().unwrap();
    let search = space.read();
    assert!(has(&cache, at("", "a"), 9));
    assert!(!has(&cache, at("", "a"), 10));
    drop(search);
    assert_eq!(cache.run(|store| store.stats(Some(10))).unwrap().expiries, 1);
}

#[test]
fn a_panic_halfway_makes_the_cache_refuse() {
    let cache = Plain::new(settings(Policy::Lru, 2, usize::MAX)).unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = cache.run::<()>(|_| panic!("a bug"));
    }));
    assert!(result.is_err());
    assert!(matches!(cache.run(|store| store.len(None)), Err(Error::Cache(_))));
}

#[test]
fn keys_of_any_length_are_compared_in_full() {
    let cache = Plain::new(settings(Policy::Lru, 1000, usize::MAX)).unwrap();
    let keys: Vec<String> = (0..200).map(|n| "k".repeat(n)).collect();
    for key in &keys {
        put(&cache, new(at("", key), key.as_bytes(), 0.0), 0).unwrap();
    }
    for key in &keys {
        let value = cache.run(|store| Ok(store.get(&at("", key), None).unwrap().item().value().clone())).unwrap();
        assert_eq!(value, Value::Bytes(key.as_bytes().into()));
        assert!(key.is_empty() || !has(&cache, at("", &(key[1..].to_owned() + "x")), 0));
    }
}
