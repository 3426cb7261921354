//! A batch file that is read in place.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use super::index::BatchIndex;
use crate::error::{Error, Result};
use crate::file::Mapped;

/// The snapshots that a batch file had when it was opened, read in place. Writers that append to the file meanwhile do not disturb it.
///
/// The file must not be changed or shortened in place by anything else meanwhile; see [`Mapped`].
#[derive(Debug, Clone)]
pub struct Batch {
    map: Arc<Mapped>,
    index: BatchIndex,
}

impl Batch {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of [`BatchIndex::read`].
    ///
    /// Cost: that of [`BatchIndex::read`].
    pub fn open(path: &Path) -> Result<Self> {
        let os = |error| Error::os(&error, path);
        let metadata = fs::metadata(path).map_err(os)?;
        if !metadata.is_file() && !metadata.is_dir() {
            // Reading one might wait for ever. A directory the system refuses in its own words.
            return Err(Error::Codec(format!("{}: it is no regular file", path.display())));
        }
        let file = File::open(path).map_err(os)?;
        let index = BatchIndex::read(&file, path)?;
        let len = usize::try_from(index.n_bytes()).map_err(|_| {
            let n_bytes = index.n_bytes();
            Error::Codec(format!("{}: it has {n_bytes} bytes, more than this machine can map", path.display()))
        })?;
        let map = Mapped::new(&file, 0, len).map_err(os)?;
        Ok(Self { map: Arc::new(map), index })
    }

    /// Where the snapshots are.
    pub fn index(&self) -> &BatchIndex {
        &self.index
    }

    /// What the snapshots are read in.
    pub fn map(&self) -> &Arc<Mapped> {
        &self.map
    }

    /// The bytes of a snapshot.
    ///
    /// # Errors
    /// Those of [`BatchIndex::snapshot`].
    pub fn snapshot(&self, index: usize) -> Result<&[u8]> {
        self.index.snapshot(self.map.bytes(), index)
    }

    /// Checks all of it.
    ///
    /// # Errors
    /// Those of [`BatchIndex::verify`].
    pub fn verify(&self) -> Result<()> {
        self.index.verify(self.map.bytes())
    }
}
