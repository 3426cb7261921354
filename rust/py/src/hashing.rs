//! The embedder that needs no model.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rolecore_core::HashingEmbedder as Core;
use rolecore_core::cache::MOST_DIM;

use crate::arguments::{number_within, strings};
use crate::errors::CoreError;
use crate::text::text_of;
use crate::tokens::detached;

/// Embed texts by how they are written: no model, no download, the same rows everywhere.
///
/// Words, pairs of neighbouring words and trigrams inside words, or characters and their pairs in scripts without spaces, as
/// Chinese, are hashed into `dim` numbers. Near duplicates are near, in any case, width and punctuation; the same said in other
/// words is not: take `OnnxEmbedder` or `OpenAIEmbedder` for that. What is and is not told apart is in docs/embedders.md.
///
/// Immutable, safe to share between threads, and pickles.
///
/// Args:
///     dim: numbers of a row, from 1 to 65,536. With fewer, unrelated texts come nearer by chance: about 1 / sqrt(dim).
///
/// Raises:
///     ArgumentError: `dim` is no number or out of its range.
///
/// Source: Weinberger et al., Feature Hashing for Large Scale Multitask Learning (ICML 2009). Repeats count with their square
/// root, word pairs half: chosen on a dozen pairs of sentences, not tuned further.
///
/// Example:
///     >>> rows = rolecore.HashingEmbedder().embed(["Reset my password!", "reset my password", "怎么申请退款"])
///     >>> rows.shape, rows.dtype.name
///     ((3, 384), 'float32')
///     >>> bool(rows[0] @ rows[1] > 0.99 > 0.2 > rows[0] @ rows[2])
///     True
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct HashingEmbedder(pub(crate) Core);

#[pymethods]
impl HashingEmbedder {
    #[new]
    #[pyo3(signature = (dim: "int" = 384))]
    fn new(#[pyo3(from_py_with = dim)] dim: usize) -> PyResult<Self> {
        Ok(Self(Core::new(dim).map_err(CoreError)?))
    }

    /// Numbers of a row.
    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    /// Names what the rows depend on: the method's version and `dim`.
    #[getter]
    fn model_id(&self) -> String {
        self.0.model_id()
    }

    /// Return a unit row for each text.
    ///
    /// Args:
    ///     texts: an iterable of strings, not one string; a lone surrogate is taken as U+FFFD. A text with no word, number or
    ///         symbol in it, an empty one too, has a row by its visible characters: like its own kind only.
    ///
    /// Returns:
    ///     A new array, float32, shape (n, dim), C-contiguous, unit length.
    ///
    /// Raises:
    ///     ArgumentError: `texts` is a string or no iterable, or an item is not a string.
    ///
    /// Cost: linear but for a sort of each text's features; about 4 us an English sentence, 8 us a Chinese one. The GIL is released above 8 kB of text.
    #[pyo3(signature = (texts: "collections.abc.Iterable[str]") -> "numpy.typing.NDArray[numpy.float32]")]
    fn embed<'py>(&self, py: Python<'py>, texts: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let strings = strings(texts, "texts")?;
        let texts = strings.iter().map(text_of).collect::<PyResult<Vec<_>>>()?;
        let numpy = py.import("numpy")?;
        // First, since too many rows are a MemoryError here.
        let rows = numpy.call_method1("empty", ((texts.len(), self.0.dim()), numpy.getattr("float32")?))?;
        let flat = detached(py, texts.iter().map(|text| text.len()).sum(), || self.0.embed(&texts));
        // An empty array gives no buffer to write to.
        if !flat.is_empty() {
            PyBuffer::<f32>::get(&rows)?.copy_from_slice(py, &flat)?;
        }
        Ok(rows)
    }

    fn __repr__(&self) -> String {
        format!("HashingEmbedder(dim={})", self.0.dim())
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, [self.0.dim()])
    }
}

fn dim(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let number = number_within(1, MOST_DIM as u64, value, "dim")?;
    Ok(usize::try_from(number).expect("at most 65,536"))
}
