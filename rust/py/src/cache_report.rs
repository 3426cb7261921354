//! What a cache says of itself, as dicts.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rolecore_core::cache::{Parts, Stats};

pub(crate) fn counts<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("hits_exact", stats.hits_exact)?;
    dict.set_item("hits_semantic", stats.hits_semantic)?;
    dict.set_item("refused", stats.refused)?;
    dict.set_item("misses", stats.misses)?;
    dict.set_item("puts", stats.puts)?;
    dict.set_item("evictions", stats.evictions)?;
    dict.set_item("expiries", stats.expiries)?;
    dict.set_item("tokens_saved", stats.tokens_saved)?;
    dict.set_item("rows", stats.rows)?;
    dict.set_item("pinned", stats.pinned)?;
    dict.set_item("spaces", stats.spaces)?;
    dict.set_item("bytes", stats.bytes)?;
    Ok(dict)
}

/// `viewed` is in no limit, and so not in the total.
pub(crate) fn parts_of_memory<'py>(py: Python<'py>, parts: &Parts, viewed: usize) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("rows", parts.rows)?;
    dict.set_item("mapped", parts.mapped)?;
    dict.set_item("codes", parts.codes)?;
    dict.set_item("keys", parts.keys)?;
    dict.set_item("values", parts.values)?;
    dict.set_item("nodes", parts.nodes)?;
    dict.set_item("tables", parts.tables)?;
    dict.set_item("total", parts.total())?;
    dict.set_item("viewed", viewed)?;
    Ok(dict)
}
