//! The one place where an error of the core becomes an exception of `rolecore.errors`.
//!
//! Its test, a variant each, is `tests/test_errors.py`: a Rust test binary would have to link libpython, which a Python
//! need not have as a library (Debian's has none without its -dev package).

use pyo3::exceptions::PyOSError;
use pyo3::import_exception;
use pyo3::prelude::*;
use rolecore_core::Error;

import_exception!(rolecore.errors, ArgumentError);
import_exception!(rolecore.errors, BudgetError);
import_exception!(rolecore.errors, CacheError);
import_exception!(rolecore.errors, CodecError);
import_exception!(rolecore.errors, MessageError);
import_exception!(rolecore.errors, TokenizerError);

/// An error of the core on its way to Python: `?` in a binding wraps, `From` maps.
pub(crate) struct CoreError(pub(crate) Error);

impl From<Error> for CoreError {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<CoreError> for PyErr {
    fn from(CoreError(error): CoreError) -> Self {
        let message = error.to_string();
        match error {
            Error::Argument(_) => ArgumentError::new_err(message),
            Error::Budget { needed, budget } => BudgetError::new_err((message, needed, budget)),
            Error::Cache(_) => CacheError::new_err(message),
            Error::Codec(_) => CodecError::new_err(message),
            // Python chooses the subclass by the number, FileNotFoundError and the like.
            Error::Os { errno: Some(errno), path, .. } => Python::attach(|py| {
                let why = py.import("os").and_then(|os| os.call_method1("strerror", (errno,)));
                why.map_or_else(|error| error, |why| PyOSError::new_err((errno, why.unbind(), path.into_os_string())))
            }),
            Error::Os { errno: None, .. } => PyOSError::new_err(message),
            Error::Message { index, .. } => MessageError::new_err((message, index)),
            Error::Tokenizer(_) => TokenizerError::new_err(message),
        }
    }
}
