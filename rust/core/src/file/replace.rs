//! A file is written whole or not at all: beside the old one, which it then takes the place of.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Writes the file at `path` anew with `write` and sees to it that it is on disk. What was there before is there until then.
///
/// # Errors
/// [`Error::Os`] when the file cannot be written; then what was there before still is.
pub fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<()> {
    replace_in_folder(path, write).map_err(|error| Error::os(&error, path))
}

fn replace_in_folder(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut new = Unfinished::in_folder(folder_of(path))?;
    write(&mut new.file)?;
    new.file.sync_all()?;
    new.take_the_place_of(path)?;
    sync_folder_of(path)
}

/// Sees to it that the name of a file is on disk.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match File::open(folder_of(path))?.sync_all() {
        // Of file systems that know no such thing.
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that goes away again unless it is finished.
struct Unfinished {
    file: File,
    path: Option<PathBuf>,
}

impl Unfinished {
    fn in_folder(folder: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".rolecore-{}-{number}.tmp", process::id()));
            match File::create_new(&path) {
                Ok(file) => return Ok(Self { file, path: Some(path) }),
                // Of a process with the same number that was killed, or runs in another container.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take_the_place_of(mut self, path: &Path) -> io::Result<()> {
        fs::rename(self.path.as_ref().expect("it is finished once"), path)?;
        self.path = None;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}
