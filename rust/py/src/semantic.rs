//! What `SemanticCache` and `CachedEmbedder` need of a `VectorCache` beside its methods.

use std::sync::Arc;

use pyo3::prelude::*;
use rolecore_core::cache::{Address, Item, New, Outcome, Value};
use rolecore_core::index::{Query, Row};

use crate::cache::VectorCache;
use crate::cache_arguments::{Name, Names, name, threshold};
use crate::entry::{Hit, Kept};
use crate::errors::CoreError;
use crate::vector::numbers;

/// Return what `cache.lookup` returns, counted in nothing: `settle` does that.
#[pyfunction]
#[pyo3(
    signature = (
        cache: "VectorCache",
        vector: "numpy.typing.ArrayLike",
        threshold: "float",
        *,
        tenant: "str",
        model_id: "str"
    ) -> "Hit | None",
    text_signature = "(cache, vector, threshold, *, tenant, model_id)"
)]
pub(crate) fn nearest(
    py: Python<'_>,
    cache: &VectorCache,
    vector: &Bound<'_, PyAny>,
    #[pyo3(from_py_with = threshold)] threshold: f64,
    tenant: Name<'_, '_>,
    model_id: Name<'_, '_>,
) -> PyResult<Option<Hit>> {
    let names = Names::of(&tenant, &model_id)?;
    let vector = numbers(vector, cache.cache.dim())?;
    let query = Query::new(&vector).map_err(CoreError)?;
    let now = cache.now(py)?;
    let found = py.detach(|| cache.cache.nearest(names.scope(), &query, threshold, now)).map_err(CoreError)?;
    Ok(found.map(|inner| Hit { inner }))
}

/// Count what came of a search: a use of `hit`, or, without one, that what was found is refused, or that nothing was found.
#[pyfunction]
#[pyo3(
    signature = (cache: "VectorCache", hit: "Hit | None", *, is_refused: "bool" = false),
    text_signature = "(cache, hit, *, is_refused=False)"
)]
pub(crate) fn settle(py: Python<'_>, cache: &VectorCache, hit: Option<&Hit>, is_refused: bool) -> PyResult<()> {
    let outcome = match hit {
        Some(hit) => Outcome::Hit(&hit.inner),
        None if is_refused => Outcome::Refused,
        None => Outcome::Miss,
    };
    cache.run(py, |store| {
        store.settle(outcome);
        Ok(())
    })
}

/// Put a vector in without a value, unless its key has an entry.
#[pyfunction]
#[pyo3(
    signature = (
        cache: "VectorCache",
        key: "str",
        vector: "numpy.typing.ArrayLike",
        *,
        tenant: "str",
        model_id: "str"
    ),
    text_signature = "(cache, key, vector, *, tenant, model_id)"
)]
pub(crate) fn put_new(
    py: Python<'_>,
    cache: &VectorCache,
    key: &Bound<'_, PyAny>,
    vector: &Bound<'_, PyAny>,
    tenant: Name<'_, '_>,
    model_id: Name<'_, '_>,
) -> PyResult<()> {
    let names = Names::of(&tenant, &model_id)?;
    let key = name(key, "key")?;
    let at = Address { scope: names.scope(), key: &key };
    let row = Row::unit(&numbers(vector, cache.cache.dim())?).map_err(CoreError)?;
    let item = Arc::new(Item::new(&key, Value::Nothing, row, 1.0));
    let face = Some(Kept::new(py, &item, false)?);
    let mut new = New { at, item, face, is_pinned: false, time_to_live_ns: None };
    let now = cache.now(py)?;
    let put = cache.run(py, |store| if store.has(at, now)? { Ok(Ok(())) } else { store.put(&mut new, now) });
    Ok(put?.map_err(CoreError)?)
}
