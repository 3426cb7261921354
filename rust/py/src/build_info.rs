//! How this binary was built, for bug reports and benchmark tables.

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Return how the compiled core was built and what it found on this machine.
///
/// Returns:
///     A new dict: `version` (str), `profile` ("debug", "release" or "dist"), `simd` (str: the best vector
///     level this CPU offers the core: "avx512", "avx2", "neon" or "scalar").
///
/// Cost: O(1).
#[pyfunction]
#[pyo3(signature = () -> "dict[str, str]")]
pub(crate) fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let info = PyDict::new(py);
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("profile", env!("ROLECORE_PROFILE"))?;
    info.set_item("simd", rolecore_core::simd::level())?;
    Ok(info)
}

/// Tell the importer that a debug build is 10 to 50 times slower: a figure measured on one means nothing.
pub(crate) fn warn_if_debug(py: Python<'_>) -> PyResult<()> {
    if cfg!(debug_assertions) {
        let category = py.get_type::<PyRuntimeWarning>();
        PyErr::warn(py, &category, c"rolecore was built without optimisation; install it with `pip install .`", 2)?;
    }
    Ok(())
}
