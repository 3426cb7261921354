//! Which special tokens a caller allows in a text.

use pyo3::prelude::*;
use pyo3::types::PyString;
use rolecore_core::tokens::Specials;

use crate::arguments::{each, wrong_kind};
use crate::errors::CoreError;
use crate::text::text_of;

/// Special tokens that a caller allows.
#[derive(Default)]
pub(crate) enum Allowed {
    #[default]
    None,
    These(Vec<String>),
    All,
}

impl Allowed {
    /// What `f` makes of the specials, if the tokenizer has them.
    pub(crate) fn apply<T>(
        self,
        tokenizer: &rolecore_core::Tokenizer,
        f: impl FnOnce(Specials<'_>) -> T,
    ) -> PyResult<T> {
        let checked = |specials| tokenizer.check_specials(specials).map_err(CoreError);
        match self {
            Self::None => Ok(f(Specials::Text)),
            Self::All => {
                checked(Specials::All)?;
                Ok(f(Specials::All))
            }
            Self::These(these) => {
                let these: Vec<&str> = these.iter().map(String::as_str).collect();
                checked(Specials::Allowed(&these))?;
                Ok(f(Specials::Allowed(&these)))
            }
        }
    }
}

/// Reads `allowed_special`.
pub(crate) fn allowed(value: &Bound<'_, PyAny>) -> PyResult<Allowed> {
    const EXPECTED: &str = "\"all\" or an iterable of strings, as (\"<|endoftext|>\",)";
    let wrong = || wrong_kind(value, "allowed_special", EXPECTED);
    if let Ok(word) = value.cast::<PyString>() {
        return if text_of(word)? == "all" { Ok(Allowed::All) } else { Err(wrong()) };
    }
    let mut these = Vec::new();
    for item in each(value, "allowed_special", EXPECTED)? {
        these.push(text_of(item?.cast::<PyString>().map_err(|_| wrong())?)?.into_owned());
    }
    Ok(if these.is_empty() { Allowed::None } else { Allowed::These(these) })
}
