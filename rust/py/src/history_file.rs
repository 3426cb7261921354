//! Histories from snapshots, and in files.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rolecore_core::codec::{self, Snapshot};
use rolecore_core::file::replace;
use rolecore_core::{Error, Tokenizer};

use crate::errors::{CodecError, CoreError, TokenizerError};
use crate::history::History;
use crate::tokens::{default_tokenizer, resolve};
use crate::told;

pub(crate) fn write(path: &Path, snapshot: &Bound<'_, PyBytes>) -> PyResult<()> {
    let bytes = snapshot.as_bytes();
    Ok(snapshot.py().detach(|| replace(path, |file| file.write_all(bytes))).map_err(CoreError)?)
}

pub(crate) fn load(py: Python<'_>, path: &Path, tokenizer: Option<&Bound<'_, PyAny>>) -> PyResult<History> {
    let bytes = py.detach(|| codec::read(path)).map_err(CoreError)?;
    let snapshot = Snapshot::open(&bytes).map_err(CoreError)?;
    of_snapshot(py, &snapshot, tokenizer).map_err(|error| {
        // What no check of the format finds: texts that must be JSON and are not.
        if error.is_instance_of::<CodecError>(py) {
            CodecError::new_err(format!("{} cannot be loaded: {}", path.display(), error.value(py)))
        } else {
            error
        }
    })
}

/// The messages and pins of a snapshot, counted anew.
pub(crate) fn of_snapshot(
    py: Python<'_>,
    snapshot: &Snapshot<'_>,
    tokenizer: Option<&Bound<'_, PyAny>>,
) -> PyResult<History> {
    let tokenizer = match (tokenizer, snapshot.tokenizer().map_err(CoreError)?) {
        (Some(given), _) => resolve(given)?,
        (None, Some(name)) => own(py, name)?,
        (None, None) => default_tokenizer(py)?,
    };
    let history = History::lazy(tokenizer);
    let mut run = Vec::new();
    let mut is_pinned = false;
    for turn in snapshot.turns().map_err(CoreError)?.iter() {
        let turn = turn.map_err(CoreError)?;
        if turn.is_pinned().map_err(CoreError)? != is_pinned {
            history.append_all(py, std::mem::take(&mut run), is_pinned)?;
            is_pinned = !is_pinned;
        }
        run.push(told::message(py, &turn)?.into_any());
    }
    history.append_all(py, run, is_pinned)?;
    Ok(history)
}

/// The tokenizer that a snapshot names. Never a file: which of them are opened is not for a snapshot to say.
fn own(py: Python<'_>, name: &str) -> PyResult<Arc<Tokenizer>> {
    py.detach(|| Tokenizer::named(name)).map_err(|error| match error {
        Error::Tokenizer(_) => {
            // A path tells most at its end.
            let shown: String = name.chars().skip(name.chars().count().saturating_sub(60)).collect();
            TokenizerError::new_err(format!(
                "the snapshot was counted by {shown:?}, which does not come with rolecore; pass tokenizer=, such as the path of a \
                 tokenizer.json"
            ))
        }
        error => CoreError(error).into(),
    })
}
