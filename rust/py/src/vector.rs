//! A vector from Python: float32 numbers, or what NumPy can make into them.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError, PyWarning};
use pyo3::intern;
use pyo3::prelude::*;

use crate::arguments::kind;
use crate::errors::CacheError;

/// A copy of the numbers of a one-dimensional array of `dim` numbers, for a cache. A float32 buffer is read without NumPy.
pub(crate) fn numbers(given: &Bound<'_, PyAny>, dim: usize) -> PyResult<Vec<f32>> {
    read(given, dim, CacheError::new_err)
}

/// Likewise; `error` makes what is raised of a message.
pub(crate) fn read(given: &Bound<'_, PyAny>, dim: usize, error: fn(String) -> PyErr) -> PyResult<Vec<f32>> {
    let buffer = match PyBuffer::<f32>::get(given) {
        // PyO3 0.30 takes big-endian numbers for little-endian ones.
        Ok(buffer) if matches!(buffer.format().to_bytes(), b"f" | b"@f" | b"=f") => buffer,
        _ => PyBuffer::get(&converted(given, dim, error)?)?,
    };
    check_shape(buffer.shape(), dim, error)?;
    buffer.to_vec(given.py())
}

fn check_shape(shape: &[usize], dim: usize, error: fn(String) -> PyErr) -> PyResult<()> {
    let wrong = |what: &str, dim| error(wrong(what, dim));
    match shape {
        [n] if *n == dim => Ok(()),
        [n] => Err(wrong(&format!("has {n} numbers"), dim)),
        shape => {
            let lengths: Vec<String> = shape.iter().map(ToString::to_string).collect();
            Err(wrong(&format!("has shape ({})", lengths.join(", ")), dim))
        }
    }
}

/// Whatever is no float32 buffer, as one.
fn converted<'py>(given: &Bound<'py, PyAny>, dim: usize, error: fn(String) -> PyErr) -> PyResult<Bound<'py, PyAny>> {
    let py = given.py();
    let wrong = |what: &str, dim| error(wrong(what, dim));
    let numpy = py.import(intern!(py, "numpy"))?;
    // What NumPy says of the values stays out of the message.
    let refused = |raised: PyErr| {
        let is_refusal = raised.is_instance_of::<PyTypeError>(py)
            || raised.is_instance_of::<PyValueError>(py)
            || raised.is_instance_of::<PyOverflowError>(py)
            || raised.is_instance_of::<PyWarning>(py);
        if is_refusal { wrong(&format!("is {} and no array of numbers", kind(given)), dim) } else { raised }
    };
    let array = numpy.call_method1(intern!(py, "asarray"), (given,)).map_err(refused)?;
    let dtype = array.getattr(intern!(py, "dtype"))?;
    if !matches!(dtype.getattr(intern!(py, "kind"))?.extract::<String>()?.as_str(), "f" | "i" | "u") {
        let name = dtype.getattr(intern!(py, "name"))?.extract::<String>()?;
        return Err(wrong(&format!("is {}, of dtype {name}", kind(given)), dim));
    }
    check_shape(&array.getattr(intern!(py, "shape"))?.extract::<Vec<usize>>()?, dim, error)?;
    // A copy, since what is float32 already may be out of alignment.
    let float32 = numpy.getattr(intern!(py, "float32"))?;
    numpy.call_method1(intern!(py, "array"), (array, float32)).map_err(refused)
}

fn wrong(what: &str, dim: usize) -> String {
    format!("vector {what}; it must be float32, shape ({dim},)")
}
