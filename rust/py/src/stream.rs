//! Counting a text as it streams in, for Python.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::arguments::string;
use crate::text::text_of;
use crate::tokens::detached;

/// A growing text and its exact number of tokens.
///
/// Made by `Tokenizer.stream`. What can no longer change is counted once and forgotten; only the last word or clause is counted
/// again. May be shared between threads.
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct TokenStream {
    inner: Mutex<rolecore_core::tokens::TokenStream>,
}

impl TokenStream {
    pub(crate) fn new(tokenizer: Arc<rolecore_core::Tokenizer>) -> Self {
        Self { inner: Mutex::new(rolecore_core::tokens::TokenStream::new(tokenizer)) }
    }

    /// Do `f` without the GIL: another thread may hold the lock for as long as it takes to count.
    fn locked<T: Send>(
        &self,
        py: Python<'_>,
        n_bytes: impl FnOnce(&rolecore_core::tokens::TokenStream) -> usize,
        f: impl FnOnce(&mut rolecore_core::tokens::TokenStream) -> T + Send,
    ) -> T {
        if let Ok(mut guard) = self.inner.try_lock() {
            let inner = &mut *guard;
            return detached(py, n_bytes(inner), || f(inner));
        }
        py.detach(|| f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[pymethods]
impl TokenStream {
    /// Add a part to the end of the text.
    ///
    /// Args:
    ///     part: any string; special tokens in it are ordinary text.
    ///
    /// Raises:
    ///     ArgumentError: `part` is not a string.
    ///
    /// Cost: linear in `part` and what was open before it; the GIL is released above 8 kB.
    #[pyo3(signature = (part: "str"))]
    fn append(&self, py: Python<'_>, part: &Bound<'_, PyAny>) -> PyResult<()> {
        let part = text_of(string(part, "part")?)?;
        self.locked(py, |stream| stream.open_bytes() + part.len(), |stream| stream.append(&part));
        Ok(())
    }

    /// Number of tokens of the whole text so far, as `Tokenizer.count` gives it.
    ///
    /// Cost: one count of what is open: the last word or clause, or as much of a run without one, as of digits, emoji or blanks. With a
    /// tokenizer.json that splits by a pattern of its own, as DeepSeek's, that is the whole text.
    #[getter]
    fn tokens(&self, py: Python<'_>) -> usize {
        self.locked(py, rolecore_core::tokens::TokenStream::open_bytes, rolecore_core::tokens::TokenStream::tokens)
    }
}
