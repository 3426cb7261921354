//! A stored row as a read-only NumPy array that copies nothing.
#![allow(unsafe_code, reason = "the buffer protocol is filled in through pointers")]

use std::os::raw::c_int;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use rolecore_core::cache::Item;

/// Numbers of a row, held for as long as somebody looks at them.
#[pyclass(frozen, module = "rolecore")]
struct Numbers {
    item: Arc<Item>,
}

/// A float32 array over the item's row.
pub(crate) fn array<'py>(py: Python<'py>, item: &Arc<Item>) -> PyResult<Bound<'py, PyAny>> {
    let numpy = py.import(intern!(py, "numpy"))?;
    let numbers = Numbers { item: Arc::clone(item) };
    numpy.call_method1(intern!(py, "frombuffer"), (numbers, numpy.getattr(intern!(py, "float32"))?))
}

#[pymethods]
impl Numbers {
    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let row: &[f32] = slf.get().item.row();
        let len = isize::try_from(size_of_val(row)).expect("a slice is at most isize::MAX bytes long");
        let start = row.as_ptr().cast_mut().cast();
        // SAFETY: Python gives a `view` to fill in, or null, which is refused. The row is never written or moved while its item
        // lives: the view holds `slf`, which holds the item, and is read-only.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, len, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}
