//! Arguments read from Python: what is wrong with one is an ArgumentError that names it, its type and what it must be.

use std::path::PathBuf;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyIterator, PyList, PyString, PyTuple};

use crate::errors::ArgumentError;

/// The type of a value, never the value: it may be a user's.
pub(crate) fn kind(value: &Bound<'_, PyAny>) -> String {
    if value.is_none() {
        return "None".to_owned();
    }
    value.get_type().name().map_or_else(|_| "an object".to_owned(), |name| format!("of type {name}"))
}

/// An argument that is not what it must be.
pub(crate) fn wrong_kind(value: &Bound<'_, PyAny>, name: &str, expected: &str) -> PyErr {
    ArgumentError::new_err(format!("{name} is {}; it must be {expected}", kind(value)))
}

/// A string, lone surrogates and all.
pub(crate) fn string<'a, 'py>(value: &'a Bound<'py, PyAny>, name: &str) -> PyResult<&'a Bound<'py, PyString>> {
    value.cast::<PyString>().map_err(|_| wrong_kind(value, name, "a str"))
}

/// The items of an iterable; what its own code raises passes through.
pub(crate) fn each<'py>(value: &Bound<'py, PyAny>, name: &str, expected: &str) -> PyResult<Bound<'py, PyIterator>> {
    value.try_iter().map_err(|error| match error {
        error if error.is_instance_of::<PyTypeError>(value.py()) => wrong_kind(value, name, expected),
        error => error,
    })
}

/// The items of an iterable of strings, which a string is not.
pub(crate) fn strings<'py>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Vec<Bound<'py, PyString>>> {
    const EXPECTED: &str = "an iterable of strings";
    let items = match value.cast::<PyList>() {
        Ok(list) => list.to_tuple(),
        Err(_) if value.is_instance_of::<PyString>() => return Err(wrong_kind(value, name, EXPECTED)),
        Err(_) => each(value, name, EXPECTED)?
            .collect::<PyResult<Vec<_>>>()
            .and_then(|items| PyTuple::new(value.py(), items))?,
    };
    let checked = items.iter_borrowed().enumerate().map(|(i, item)| {
        item.to_owned().cast_into::<PyString>().map_err(|_| wrong_kind(&item, &format!("{name}[{i}]"), "a str"))
    });
    checked.collect()
}

/// A path; what the caller's own `__fspath__` raises passes through.
pub(crate) fn path(value: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    value.extract().map_err(|error: PyErr| match error {
        error if error.is_instance_of::<PyTypeError>(value.py()) => wrong_kind(value, "path", "a str or a path"),
        error => error,
    })
}

/// True or False.
pub(crate) fn flag(value: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
    value.extract().map_err(|_| wrong_kind(value, name, "a bool"))
}

/// A whole number from 0; numbers past 2^64 are as good as that.
pub(crate) fn whole_number(value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    number_from(0, value, name)
}

/// A whole number from `least`; numbers past 2^64 are as good as that.
pub(crate) fn number_from(least: u64, value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    read_number(least, u64::MAX, &format!("an int from {least}"), value, name)
}

/// A whole number from `least` to `most`.
pub(crate) fn number_within(least: u64, most: u64, value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    read_number(least, most, &format!("an int from {least} to {most}"), value, name)
}

fn read_number(least: u64, most: u64, expected: &str, value: &Bound<'_, PyAny>, name: &str) -> PyResult<u64> {
    let py = value.py();
    let wrong = || wrong_kind(value, name, expected);
    let out_of_range = |shown: &str| ArgumentError::new_err(format!("{name} is {shown}; it must be {expected}"));
    let number = match value.cast::<PyInt>() {
        Ok(_) if value.is_instance_of::<PyBool>() => return Err(wrong()),
        Ok(number) => number.as_any().clone(),
        Err(_) => match py.import("operator")?.getattr("index")?.call1((value,)) {
            Err(error) if error.is_instance_of::<PyTypeError>(py) => return Err(wrong()),
            number => number?,
        },
    };
    match number.extract::<u64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            if number.lt(0)? {
                let shown = number.extract::<i64>().map_or_else(|_| "below -2**63".to_owned(), |n| n.to_string());
                return Err(out_of_range(&shown));
            }
            if most < u64::MAX { Err(out_of_range("2**64 or more")) } else { Ok(u64::MAX) }
        }
        Ok(number) if !(least..=most).contains(&number) => Err(out_of_range(&number.to_string())),
        number => number,
    }
}

/// A float or an int, which may be NaN or infinite.
pub(crate) fn float(value: &Bound<'_, PyAny>, name: &str, expected: &str) -> PyResult<f64> {
    let is_number =
        value.is_instance_of::<PyFloat>() || (value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>());
    if !is_number {
        return Err(wrong_kind(value, name, expected));
    }
    match value.extract::<f64>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Err(ArgumentError::new_err(format!("{name} is too large; it must be {expected}")))
        }
        number => number,
    }
}

/// A share from 0 to 1.
pub(crate) fn share(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    const EXPECTED: &str = "a float from 0 to 1";
    let share = float(value, name, EXPECTED)?;
    if !(0.0..=1.0).contains(&share) {
        return Err(ArgumentError::new_err(format!("{name} is {share:?}; it must be {EXPECTED}")));
    }
    Ok(share)
}

/// One of a few words.
pub(crate) fn one_of<T: Copy>(value: &Bound<'_, PyAny>, name: &str, choices: &[(&str, T)]) -> PyResult<T> {
    let given = crate::text::text_of(string(value, name)?)?;
    choices.iter().find(|(word, _)| *word == given).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let shown: String = given.chars().take(40).collect();
        ArgumentError::new_err(format!("{name} is {shown:?}; it must be {}", words.join(" or ")))
    })
}
