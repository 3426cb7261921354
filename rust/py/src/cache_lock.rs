//! How the binding gets at what a `VectorCache` holds: under its lock, by its clock.

use pyo3::prelude::*;
use rolecore_core::cache::{Busy, Store};

use crate::cache::VectorCache;
use crate::clock::time;
use crate::entry::Kept;
use crate::errors::CoreError;

impl VectorCache {
    /// Runs `f`; without the GIL where that has to wait.
    pub(crate) fn run<T: Send>(
        &self,
        py: Python<'_>,
        mut f: impl FnMut(&mut Store<Kept>) -> Result<T, Busy> + Send,
    ) -> PyResult<T> {
        match self.cache.try_run(&mut f).map_err(CoreError)? {
            Some(done) => Ok(done),
            None => Ok(py.detach(|| self.cache.run(f)).map_err(CoreError)?),
        }
    }

    /// What the caller's clock says; asked before any lock is taken.
    pub(crate) fn now(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        time(py, self.clock.as_ref())
    }
}
