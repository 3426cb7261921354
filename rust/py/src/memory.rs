//! Memory readings, as plain values: rolecore.memory gives them their Python form.
#![allow(clippy::doc_markdown, reason = "these are Python docstrings")]

use std::path::PathBuf;

use pyo3::prelude::*;
use rolecore_core::memory::{self, Kind};

use crate::errors::CoreError;

/// Return one reading: used bytes, limit bytes, resident bytes, pressure and what was read.
///
/// Use `rolecore.MemoryProbe`, which names these values.
///
/// Args:
///     kind: "auto", "cgroup" or "meminfo".
///     root: directory that every path is taken below.
///
/// Raises:
///     ArgumentError: the kind is unknown, or its files are missing or cannot be made sense of.
///
/// Cost: about ten small files; the GIL is released.
#[pyfunction]
#[pyo3(signature = (kind: "str", root: "str") -> "tuple[int, int, int | None, float | None, str]")]
pub(crate) fn read_memory(py: Python<'_>, kind: &str, root: PathBuf) -> PyResult<Reading> {
    let kind: Kind = kind.parse().map_err(CoreError)?;
    let read = py.detach(move || memory::read(kind, &root)).map_err(CoreError)?;
    Ok((read.used_bytes, read.limit_bytes, read.rss_bytes, read.pressure, read.source))
}

type Reading = (u64, u64, Option<u64>, Option<f64>, String);

/// Return this process's resident bytes; None where /proc does not say.
///
/// Args:
///     root: directory that /proc is taken below.
///
/// Cost: one small file; the GIL is released.
#[pyfunction]
#[pyo3(signature = (root: "str") -> "int | None")]
pub(crate) fn rss_bytes(py: Python<'_>, root: PathBuf) -> Option<u64> {
    py.detach(move || memory::rss_bytes(&root))
}
