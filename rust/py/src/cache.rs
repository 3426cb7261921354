//! `rolecore.VectorCache`: values by key and by the meaning of a vector, bounded, with tenants apart.

use std::sync::Arc;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rolecore_core::cache::{Address, Cache, Item, New, Policy, Settings, Store};
use rolecore_core::index::{Query, Row};

use crate::cache_arguments::{
    self, Name, Names, cost, dim, metric, name, nanoseconds, overrides, pinned, policy, threshold, top_k,
};
use crate::cache_report::{counts, parts_of_memory};
use crate::clock::{time, wall_ns};
use crate::entry::{Got, Hit, Kept};
use crate::errors::{CacheError, CoreError};
use crate::vector::numbers;

/// Values by key and by meaning: bounded in entries and bytes, with tenants that cannot see each other.
///
/// An entry is a key, a vector and a value. It is found by its key, with `get`, or by another vector that points the same way,
/// with `lookup`. Vectors are stored at unit length, scores are cosines, and what is found is exact. When the cache is full, the
/// entry that the policy names goes, in constant time (gdsf: logarithmic).
///
/// Args:
///     dim: numbers of a vector, 1 to 65,536.
///     capacity: most entries, of all tenants together.
///     max_bytes: most bytes, of all tenants together and of everything: vectors, what the index holds beside them, keys, values,
///         tables. At least one of the two limits must be given.
///     time_to_live_s: seconds after which an entry is gone, counted from its `put`; no hit makes it longer. None: no end.
///     policy: which entry goes. "lru": the one whose last use is the longest ago. "s3fifo": an entry used once goes before those
///         used again; better where many entries are never used. "gdsf": the one whose uses saved the least `cost` for its bytes.
///     metric: "cosine", the only one.
///     clock: a function that returns seconds, 0 or more, that never go back; None: the system's monotonic clock.
///
/// Raises:
///     CacheError: an argument is of a wrong kind or out of its range, or neither limit is given.
///
/// Safe to share between threads. `get` waits for no search.
///
/// Example:
///     >>> import rolecore
///     >>> cache = rolecore.VectorCache(2, capacity=1000)
///     >>> cache.put("capital of France", [0.6, 0.8], "Paris")
///     >>> cache.get("capital of France").value
///     'Paris'
///     >>> cache.lookup([0.61, 0.79], 0.95).key
///     'capital of France'
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct VectorCache {
    pub(crate) cache: Cache<Kept>,
    pub(crate) clock: Option<Py<PyAny>>,
}

#[pymethods]
impl VectorCache {
    #[new]
    #[pyo3(
        signature = (
            dim: "int",
            *,
            capacity: "int | None" = None,
            max_bytes: "int | None" = None,
            time_to_live_s: "float | None" = None,
            policy: "str" = Policy::Lru,
            metric: "str" = (),
            clock: "collections.abc.Callable[[], float] | None" = None
        ),
        text_signature = "(dim, *, capacity=None, max_bytes=None, time_to_live_s=None, policy='lru', metric='cosine', clock=None)"
    )]
    fn new(
        #[pyo3(from_py_with = dim)] dim: usize,
        capacity: Option<&Bound<'_, PyAny>>,
        max_bytes: Option<&Bound<'_, PyAny>>,
        time_to_live_s: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = policy)] policy: Policy,
        #[pyo3(from_py_with = metric)] metric: (),
        clock: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let () = metric;
        let limits = overrides(capacity, max_bytes, time_to_live_s)?;
        if limits.capacity.is_none() && limits.max_bytes.is_none() {
            return Err(CacheError::new_err(
                "neither capacity nor max_bytes is given; give one, or the cache would grow without end",
            ));
        }
        let settings = Settings {
            dim,
            capacity: limits.capacity.unwrap_or(usize::MAX),
            max_bytes: limits.max_bytes.unwrap_or(usize::MAX),
            time_to_live_ns: limits.time_to_live_ns,
            policy,
        };
        let clock = cache_arguments::clock(clock)?;
        let cache = Cache::new(settings).map_err(CoreError)?;
        Ok(Self { cache, clock })
    }

    /// Put an entry in; one of the same key is replaced.
    ///
    /// Args:
    ///     key: any string.
    ///     vector: shape (dim,), finite and not all zeros; float32, or anything NumPy makes into it. It is copied, at unit length.
    ///     value: bytes, a string, or None.
    ///     tenant: whose entry it is. Other tenants never see it.
    ///     model_id: what made the vector. Vectors of different models are never compared.
    ///     pinned: never to be evicted. It still expires, and counts in both limits. Putting the key again without it unpins.
    ///     time_to_live_s: seconds after which it is gone; None: what the cache says.
    ///     cost: what a hit saves, in tokens or milliseconds, 0 or more. `stats` adds it up, the policy "gdsf" weighs it.
    ///
    /// Raises:
    ///     CacheError: an argument is not what it must be, or the entry does not fit beside the pinned ones. The cache is as it was.
    ///
    /// Cost: O(dim), and what is evicted. The GIL is held unless another thread is using the cache.
    #[pyo3(
        signature = (
            key: "str",
            vector: "numpy.typing.ArrayLike",
            value: "bytes | str | None" = None,
            *,
            tenant: "str" = Name(None),
            model_id: "str" = Name(None),
            pinned: "bool" = false,
            time_to_live_s: "float | None" = None,
            cost: "float" = 1.0
        ),
        text_signature = "($self, key, vector, value=None, *, tenant='', model_id='', pinned=False, time_to_live_s=None, cost=1.0)"
    )]
    #[expect(clippy::too_many_arguments, reason = "options are keyword arguments")]
    fn put(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        vector: &Bound<'_, PyAny>,
        value: Option<&Bound<'_, PyAny>>,
        tenant: Name<'_, '_>,
        model_id: Name<'_, '_>,
        #[pyo3(from_py_with = pinned)] pinned: bool,
        time_to_live_s: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = cost)] cost: f64,
    ) -> PyResult<()> {
        let names = Names::of(&tenant, &model_id)?;
        let key = name(key, "key")?;
        let value = cache_arguments::value(value)?;
        let row = Row::unit(&numbers(vector, self.cache.dim())?).map_err(CoreError)?;
        let item = Arc::new(Item::new(&key, value, row, cost));
        let mut new = New {
            at: Address { scope: names.scope(), key: &key },
            face: Some(Kept::new(py, &item, pinned)?),
            item,
            is_pinned: pinned,
            time_to_live_ns: nanoseconds(time_to_live_s)?,
        };
        let now = self.now(py)?;
        Ok(self.run(py, |store| store.put(&mut new, now))?.map_err(CoreError)?)
    }

    /// Return the entry of a key, None if there is none or its time is over. Counts as a use.
    ///
    /// Args:
    ///     key: any string.
    ///     tenant: whose entry.
    ///     model_id: what made the vector.
    ///
    /// Raises:
    ///     CacheError: an argument is not a string.
    ///
    /// Cost: O(length of the key); nothing is copied. Waits for no search.
    #[pyo3(
        signature = (key: "str", *, tenant: "str" = Name(None), model_id: "str" = Name(None)) -> "Entry | None",
        text_signature = "($self, key, *, tenant='', model_id='')"
    )]
    fn get(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        tenant: Name<'_, '_>,
        model_id: Name<'_, '_>,
    ) -> PyResult<Option<Got>> {
        let names = Names::of(&tenant, &model_id)?;
        let key = name(key, "key")?;
        let at = Address { scope: names.scope(), key: &key };
        let now = self.now(py)?;
        let same = |store: &mut Store<Kept>| Ok(store.get(&at, now).map(|found| Got::same(py, &found)));
        if let Some(got) = self.cache.try_run(same).map_err(CoreError)? {
            return Ok(got);
        }
        let new = |store: &mut Store<Kept>| Ok(store.get(&at, now).map(|found| Got::new(&found)));
        Ok(py.detach(|| self.cache.run(new)).map_err(CoreError)?)
    }

    /// Return the entry whose vector is nearest, None if its score is below the threshold. Counts as a use of it.
    ///
    /// Args:
    ///     vector: as in `put`; need not be of unit length.
    ///     threshold: least score, -1 to 1. A vector may score a little less than 1 with itself: ask for 0.99999 at most, and
    ///         by `get` for what has the same key.
    ///     tenant: whose entries.
    ///     model_id: what made the vector.
    ///
    /// Returns:
    ///     A Hit; of several with the same score the oldest.
    ///
    /// Raises:
    ///     CacheError: an argument is not what it must be.
    ///
    /// Cost: one search of the tenant's entries, without the GIL; exact.
    #[pyo3(
        signature = (
            vector: "numpy.typing.ArrayLike",
            threshold: "float",
            *,
            tenant: "str" = Name(None),
            model_id: "str" = Name(None)
        ) -> "Hit | None",
        text_signature = "($self, vector, threshold, *, tenant='', model_id='')"
    )]
    fn lookup(
        &self,
        py: Python<'_>,
        vector: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = threshold)] threshold: f64,
        tenant: Name<'_, '_>,
        model_id: Name<'_, '_>,
    ) -> PyResult<Option<Hit>> {
        let names = Names::of(&tenant, &model_id)?;
        let vector = numbers(vector, self.cache.dim())?;
        let query = Query::new(&vector).map_err(CoreError)?;
        let now = self.now(py)?;
        let found = py.detach(|| self.cache.lookup(names.scope(), &query, threshold, now)).map_err(CoreError)?;
        Ok(found.map(|inner| Hit { inner }))
    }

    /// Return the entries whose vectors are nearest, nearest first. Counts as no use, and in no statistic.
    ///
    /// Args:
    ///     vector: as in `put`; need not be of unit length.
    ///     top_k: how many at most, from 1.
    ///     tenant: whose entries.
    ///     model_id: what made the vector.
    ///
    /// Returns:
    ///     A list of Hits; those with the same score from the oldest on.
    ///
    /// Raises:
    ///     CacheError: an argument is not what it must be.
    ///
    /// Cost: one search of the tenant's entries, without the GIL; exact.
    #[pyo3(
        signature = (
            vector: "numpy.typing.ArrayLike",
            top_k: "int" = 8,
            *,
            tenant: "str" = Name(None),
            model_id: "str" = Name(None)
        ) -> "list[Hit]",
        text_signature = "($self, vector, top_k=8, *, tenant='', model_id='')"
    )]
    fn search(
        &self,
        py: Python<'_>,
        vector: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = top_k)] top_k: usize,
        tenant: Name<'_, '_>,
        model_id: Name<'_, '_>,
    ) -> PyResult<Vec<Hit>> {
        let names = Names::of(&tenant, &model_id)?;
        let vector = numbers(vector, self.cache.dim())?;
        let query = Query::new(&vector).map_err(CoreError)?;
        let now = self.now(py)?;
        let found = py.detach(|| self.cache.search(names.scope(), &query, top_k, now)).map_err(CoreError)?;
        Ok(found.into_iter().map(|inner| Hit { inner }).collect())
    }

    /// Remove the entry of a key. Return whether there was one.
    ///
    /// Args:
    ///     key: any string.
    ///     tenant: whose entry.
    ///     model_id: what made the vector.
    ///
    /// Raises:
    ///     CacheError: an argument is not a string.
    #[pyo3(
        signature = (key: "str", *, tenant: "str" = Name(None), model_id: "str" = Name(None)) -> "bool",
        text_signature = "($self, key, *, tenant='', model_id='')"
    )]
    fn remove(
        &self,
        py: Python<'_>,
        key: &Bound<'_, PyAny>,
        tenant: Name<'_, '_>,
        model_id: Name<'_, '_>,
    ) -> PyResult<bool> {
        let names = Names::of(&tenant, &model_id)?;
        let key = name(key, "key")?;
        let at = Address { scope: names.scope(), key: &key };
        let now = self.now(py)?;
        self.run(py, |store| store.remove(at, now))
    }

    /// Remove all entries of all tenants, pinned ones too, and give their memory back. What `stats` counts goes on.
    #[pyo3(signature = ())]
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, |store| {
            store.clear();
            Ok(())
        })
    }

    /// Return what happened since the cache was made, and how full it is.
    ///
    /// Returns:
    ///     hits_exact: keys that `get` found; hits_semantic: vectors that `lookup` found; refused: vectors for which a
    ///     `SemanticCache` found entries that its gate refused, hits for none; misses: keys and vectors for which there was nothing;
    ///     puts; evictions: entries that went to make room; expiries: entries whose time was over; tokens_saved: the costs of all
    ///     entries that were hit, added up; rows: entries now; pinned: of them; spaces: pairs of tenant and model that have entries;
    ///     bytes: of everything.
    #[pyo3(signature = () -> "dict[str, float]")]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = self.now(py)?;
        let stats = self.run(py, |store| store.stats(now))?;
        counts(py, &stats)
    }

    /// Return the bytes that are taken, by what they hold.
    ///
    /// Returns:
    ///     rows: the vectors; mapped: those of a loaded cache, which are read in the snapshot's file, in pages that the system takes
    ///     back when memory is short; codes: what the index holds beside them; keys; values; nodes: what ties entries together and keeps
    ///     their order; tables: of keys and tenants, and the deadlines; total: of these, never above `max_bytes`; viewed: of entries
    ///     that are gone and still held as an Entry, a Hit or an array, which no limit counts.
    ///
    /// Cost: O(1), and what has expired.
    #[pyo3(signature = () -> "dict[str, int]")]
    fn memory<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let now = self.now(py)?;
        let (parts, viewed) = self.run(py, |store| store.memory(now))?;
        parts_of_memory(py, &parts, viewed)
    }

    /// Write the cache to a file: all of it, or nothing.
    ///
    /// Args:
    ///     path: of the file. One that is there is replaced in one step, with a new file beside it that is complete and on disk; a
    ///         symbolic link is replaced, not followed. A cache that was loaded from the old file is not disturbed.
    ///
    /// Raises:
    ///     OSError: the file cannot be written. What was at `path` is still there, and no other file is left.
    ///     CacheError: `path` is no path.
    ///
    /// Cost: O(bytes of the cache), without the GIL; others can use the cache meanwhile. What is written was there at one moment.
    #[pyo3(signature = (path: "str | os.PathLike[str]"), text_signature = "($self, path)")]
    fn save(&self, py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<()> {
        let path = cache_arguments::path(path)?;
        let now = self.now(py)?;
        Ok(py.detach(|| self.cache.save(&path, now, wall_ns())).map_err(CoreError)?)
    }

    /// Return the cache that was saved to a file, with the settings it had.
    ///
    /// Its vectors are read where they are in the file, which may be replaced or deleted meanwhile, but must not be changed or shortened
    /// in place; `save` never does that.
    ///
    /// Args:
    ///     path: of the file.
    ///     capacity: most entries from now on; None: as saved. Those that would be evicted next are left out.
    ///     max_bytes: most bytes from now on; likewise.
    ///     time_to_live_s: for entries that are put in from now on; None: as saved.
    ///     clock: as in `VectorCache`. Time on disk counts: it is taken from the system's clock.
    ///
    /// Raises:
    ///     OSError: the file cannot be read; FileNotFoundError: there is none.
    ///     CacheError: an argument is not what it must be, the file is no snapshot or is damaged, or its pinned entries do not fit.
    ///
    /// Cost: O(bytes of the file), without the GIL: all of it is checked, and what searches need beside the vectors is made anew.
    ///
    /// Example:
    ///     >>> import os, tempfile, rolecore
    ///     >>> with tempfile.TemporaryDirectory() as folder:
    ///     ...     rolecore.VectorCache(2, capacity=9).save(os.path.join(folder, "answers"))
    ///     ...     rolecore.VectorCache.load(os.path.join(folder, "answers"))
    ///     VectorCache(dim=2, rows=0)
    #[staticmethod]
    #[pyo3(
        signature = (
            path: "str | os.PathLike[str]",
            *,
            capacity: "int | None" = None,
            max_bytes: "int | None" = None,
            time_to_live_s: "float | None" = None,
            clock: "collections.abc.Callable[[], float] | None" = None
        ) -> "VectorCache",
        text_signature = "(path, *, capacity=None, max_bytes=None, time_to_live_s=None, clock=None)"
    )]
    fn load(
        py: Python<'_>,
        path: &Bound<'_, PyAny>,
        capacity: Option<&Bound<'_, PyAny>>,
        max_bytes: Option<&Bound<'_, PyAny>>,
        time_to_live_s: Option<&Bound<'_, PyAny>>,
        clock: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let path = cache_arguments::path(path)?;
        let overrides = overrides(capacity, max_bytes, time_to_live_s)?;
        let clock = cache_arguments::clock(clock)?;
        let now = time(py, clock.as_ref())?;
        let load = || Cache::load(&path, overrides, now, wall_ns());
        let mut cache: Cache<Kept> = py.detach(load).map_err(CoreError)?;
        cache.show(|item, is_pinned| Kept::new(py, item, is_pinned))?;
        Ok(Self { cache, clock })
    }

    /// Entries of all tenants that have not expired.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let now = self.now(py)?;
        self.run(py, |store| store.len(now))
    }

    /// A cache is true, empty or not: `if cache` asks whether there is one.
    #[expect(clippy::unused_self, reason = "Python calls it as a method")]
    fn __bool__(&self) -> bool {
        true
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("VectorCache(dim={}, rows={})", self.cache.dim(), self.__len__(py)?))
    }

    /// Lets the cycle collector see the clock.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.clock)
    }
}
