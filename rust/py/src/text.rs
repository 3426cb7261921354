//! Python strings as UTF-8, lone surrogates too.

use std::borrow::Cow;

use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// The text of a Python string. Each lone surrogate is U+FFFD, which has as many bytes, so characters and bytes keep their
/// places; the text is borrowed unless there is one.
pub(crate) fn text_of<'a>(s: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, str>> {
    match s.to_str() {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(s.py()) => {
            let encoded = s.call_method1("encode", ("utf-8", "surrogatepass"))?;
            let mut bytes = encoded.cast::<PyBytes>()?.as_bytes().to_vec();
            for i in 0..bytes.len().saturating_sub(2) {
                // U+D800..=U+DFFF; in valid UTF-8 0xED is never followed by 0xA0 or more.
                if bytes[i] == 0xED && bytes[i + 1] >= 0xA0 {
                    bytes[i..i + 3].copy_from_slice("\u{FFFD}".as_bytes());
                }
            }
            String::from_utf8(bytes).map(Cow::Owned).map_err(|_| error)
        }
        Err(error) => Err(error),
    }
}
