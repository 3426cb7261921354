//! Python strings as UTF-8, lone surrogates too.

use std::borrow::Cow;

use pyo3::exceptions::{PyUnicodeDecodeError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// The text of a Python string. Each lone surrogate is U+FFFD, which has as many bytes, so characters and bytes keep their
/// places; the text is borrowed unless there is one.
pub(crate) fn text_of<'a>(s: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    match s.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) => {
            let mut bytes = with_surrogates(s, &error)?;
            for i in 0..bytes.len().saturating_sub(2) {
                // U+D800..=U+DFFF; in valid UTF-8 0xED is never followed by 0xA0 or more.
                if bytes[i] == 0xED && bytes[i + 1] >= 0xA0 {
                    bytes[i..i + 3].copy_from_slice("\u{FFFD}".as_bytes());
                }
            }
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| error)
        }
    }
}

/// The bytes that stand for a Python string and no other: UTF-8, in which a surrogate is written as if it were a character.
#[inline]
pub(crate) fn bytes_of<'a>(s: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    match s.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text.as_bytes())),
        Err(error) => with_surrogates(s, &error).map(Cow::Owned),
    }
}

/// The Python string that [`bytes_of`] gave these bytes for.
pub(crate) fn from_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match PyString::from_bytes(py, bytes) {
        Err(error) if error.is_instance_of::<PyUnicodeDecodeError>(py) => {
            let decoded = PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogatepass"))?;
            Ok(decoded.cast_into::<PyString>()?)
        }
        text => text,
    }
}

/// What `to_str` failed on; `error` is how.
#[cold]
fn with_surrogates(s: &Bound<'_, PyString>, error: &PyErr) -> PyResult<Vec<u8>> {
    if !error.is_instance_of::<PyUnicodeEncodeError>(s.py()) {
        return Err(error.clone_ref(s.py()));
    }
    let encoded = s.call_method1("encode", ("utf-8", "surrogatepass"))?;
    Ok(encoded.cast::<PyBytes>()?.as_bytes().to_vec())
}
