//! A snapshot in a file of its own.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::format::{HEADER, MOST_BYTES};
use super::verify::verify;
use crate::error::{Error, Result};

/// All bytes of the snapshot at `path`, which [`verify`] has passed. They are read and not mapped, so that nobody can change them
/// once they are checked.
///
/// # Errors
/// [`Error::Os`] when the file cannot be read, [`Error::Codec`] where it is no regular file or what it holds is no snapshot, a
/// damaged one or a newer one.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_regular(path).map_err(|error| Error::os(&error, path))?.and_then(|bytes| {
        verify(&bytes)?;
        Ok(bytes)
    });
    bytes.map_err(|error| match error {
        Error::Codec(why) => Error::Codec(format!("{} cannot be loaded: {why}", path.display())),
        error => error,
    })
}

/// The bytes, or why there is no need to read them.
fn read_regular(path: &Path) -> io::Result<Result<Vec<u8>>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() && !metadata.is_dir() {
        // Reading one might wait for ever. A directory the system refuses in its own words.
        return Ok(Err(Error::Codec("it is no regular file; give the path of one".to_owned())));
    }
    let mut file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    if n_bytes > MOST_BYTES as u64 {
        let limits = format!("a snapshot has {HEADER} to {MOST_BYTES}");
        return Ok(Err(Error::Codec(format!("it has {n_bytes} bytes, {limits}; give a file that holds one snapshot"))));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Ok(bytes))
}
