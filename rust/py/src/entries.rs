//! What a dict holds under keys that are known, found in one walk through its entries.
#![allow(unsafe_code, reason = "a walk by the dict's own call counts no references but those that are kept")]

use std::array;
use std::ptr;

use pyo3::CastIntoError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{PyDict, PyDictMethods, PyString};

/// Keys to look for; none is there twice.
pub(crate) struct Keys<const N: usize> {
    pub(crate) names: [&'static str; N],
    /// The same, interned, as literals in the caller's code are.
    interned: PyOnceLock<[Py<PyString>; N]>,
}

impl<const N: usize> Keys<N> {
    pub(crate) const fn new(names: [&'static str; N]) -> Self {
        Self { names, interned: PyOnceLock::new() }
    }

    /// A search for them in one dict after another.
    pub(crate) fn search<'py>(&self, py: Python<'py>) -> Search<'py, N> {
        let interned = self.interned.get_or_init(py, || self.names.map(|name| PyString::intern(py, name).unbind()));
        Search { names: self.names, met: array::from_fn(|number| interned[number].bind(py).clone()) }
    }
}

/// A search for keys, which learns the objects they are: those that a JSON text is read into are its own, and the same in all of its dicts.
pub(crate) struct Search<'py, const N: usize> {
    names: [&'static str; N],
    /// Each key as it was met last.
    met: [Bound<'py, PyString>; N],
}

impl<'py, const N: usize> Search<'py, N> {
    /// What `dict` holds under each of the keys, and how many entries have another. Runs no code of any key: a `str` of whatever class
    /// is known by what it says.
    pub(crate) fn values(&mut self, dict: &Bound<'py, PyDict>) -> ([Option<Bound<'py, PyAny>>; N], usize) {
        let py = dict.py();
        let (mut values, mut n_others) = ([const { None }; N], 0);
        // Without a GIL, nobody else changes it either.
        with_critical_section(dict, || {
            let (mut at, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
            // To ask how many there are costs less than to ask for one after the last.
            for _ in 0..dict.len() {
                // SAFETY: it is a dict; a place that is past its end, were it shorter by now, is looked out for.
                let is_there = unsafe { ffi::PyDict_Next(dict.as_ptr(), &raw mut at, &raw mut key, &raw mut value) };
                if is_there == 0 {
                    break;
                }
                // SAFETY: the dict has just given it and holds it: nothing ran since that could have changed the dict.
                let value = unsafe { Bound::from_borrowed_ptr(py, value) };
                let number = self.met.iter().position(|met| met.as_ptr() == key).or_else(|| {
                    // SAFETY: the same. It is held, since to be read as UTF-8 may take memory, and so set off a collection.
                    let key = unsafe { Bound::from_borrowed_ptr(py, key) };
                    self.number_of(key)
                });
                match number {
                    Some(number) => values[number] = Some(value),
                    None => n_others += 1,
                }
            }
        });
        (values, n_others)
    }

    /// Of a key that is another object than the one met last.
    fn number_of(&mut self, key: Bound<'py, PyAny>) -> Option<usize> {
        let key = string_of(key).ok()?;
        let name = key.to_str().ok()?;
        let number = self.names.iter().position(|&known| known == name)?;
        self.met[number] = key;
        Some(number)
    }
}

/// A string, of whatever class; most are of none but `str`, which is seen without a call.
pub(crate) fn string_of(value: Bound<'_, PyAny>) -> Result<Bound<'_, PyString>, Bound<'_, PyAny>> {
    match value.cast_into_exact::<PyString>() {
        Ok(text) => Ok(text),
        Err(other) => other.into_inner().cast_into().map_err(CastIntoError::into_inner),
    }
}
