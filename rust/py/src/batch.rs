//! `rolecore.codec`: many snapshots in one file.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyIndexError, PyOverflowError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyRange, PySlice};
use rolecore_core::codec::{Batch as Core, BatchWriter as CoreWriter};

use crate::arguments::wrong_kind;
use crate::buffers::Owner;
use crate::codec::Snapshot;
use crate::errors::{ArgumentError, CoreError};

/// The one writer of a batch file: snapshots are appended, none is ever changed.
///
/// A context manager that closes the file, whether or not an exception leaves it. What was appended is in the file from then on: neither
/// an exception nor the end of the process undoes it. A power failure may undo what was appended since the last `flush` or `close`,
/// never what was there before. Without a `close`, the file takes longer to open, until the next one.
///
/// Args:
///     path: of the file, which is created if there is none. What a crash tore off at its end is cut off.
///
/// Raises:
///     OSError: the file cannot be written, or another writer has it open, in any process.
///     CodecError: it is no batch file, a newer one, or one that something else than a crash has damaged; it is left as it is.
///     ArgumentError: `path` is no path.
///
/// Example:
///     >>> import os, tempfile
///     >>> from rolecore.codec import BatchWriter, encode_snapshot, open_batch
///     >>> with tempfile.TemporaryDirectory() as folder:
///     ...     path = os.path.join(folder, "sessions")
///     ...     with BatchWriter(path) as writer:
///     ...         writer.append(encode_snapshot([{"role": "user", "content": "Hi"}], session_id="a"))
///     ...     [snapshot.session_id for snapshot in open_batch(path)]
///     0
///     ['a']
#[pyclass(frozen, module = "rolecore")]
pub(crate) struct BatchWriter {
    /// `None` once it is closed.
    writer: Mutex<Option<CoreWriter>>,
}

#[pymethods]
impl BatchWriter {
    #[new]
    #[pyo3(signature = (path: "str | os.PathLike[str]"), text_signature = "(path)")]
    fn new(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Self> {
        let path = file_path(path)?;
        let writer = py.detach(|| CoreWriter::open(&path)).map_err(CoreError)?;
        Ok(Self { writer: Mutex::new(Some(writer)) })
    }

    /// Append a snapshot; return its index in the file.
    ///
    /// Args:
    ///     snapshot: what `encode_snapshot` returned: any buffer of contiguous bytes.
    ///
    /// Raises:
    ///     CodecError: it cannot be opened as a snapshot. What is damaged deeper is not looked for.
    ///     OSError: it cannot be written; then nothing of it is in the file, and the writer can be used again.
    ///     ArgumentError: the writer is closed or of another process, which forked this one; an earlier failure could not be undone;
    ///         or `snapshot` is no buffer.
    ///
    /// Cost: O(bytes), without the GIL; nothing is copied but what can be written to. No wait for the disk.
    #[pyo3(signature = (snapshot: "typing_extensions.Buffer", /) -> "int")]
    fn append(&self, snapshot: &Bound<'_, PyAny>) -> PyResult<usize> {
        let owner = Owner::of(snapshot, None)?;
        let bytes = owner.bytes();
        self.run(snapshot.py(), |writer| writer.append(bytes))
    }

    /// Wait until all that was appended is on disk, and list it, so that the file opens fast.
    ///
    /// Raises:
    ///     OSError: the system cannot write it. What was appended is still in the file, but may not be on disk; if the writer refuses
    ///         more, open another.
    ///     CodecError: what is listed so far is damaged; another writer lists it anew.
    ///     ArgumentError: as for `append`.
    ///
    /// Cost: two waits for the disk, without the GIL; for each snapshot 16 bytes, which are written O(log snapshots) times in all.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.run(py, CoreWriter::flush)
    }

    /// Flush and close the file. A closed one is left alone, and in a forked process nothing is flushed.
    ///
    /// Raises:
    ///     OSError, CodecError: as for `flush`; the file is closed all the same.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let close = || {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            writer.is_of_this_process().then(|| writer.flush())
        };
        Ok(py.detach(close).transpose().map(|_| ()).map_err(CoreError)?)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_exception: "object") -> "None")]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyAny>) -> PyResult<()> {
        self.close(py)
    }

    /// Snapshots in the file.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.run(py, |writer| Ok(writer.len()))
    }

    /// A writer is true, whatever is in the file.
    #[expect(clippy::unused_self, reason = "Python calls it as a method")]
    fn __bool__(&self) -> bool {
        true
    }
}

impl BatchWriter {
    /// Runs `f` without the GIL.
    fn run<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut CoreWriter) -> rolecore_core::Result<T> + Send,
    ) -> PyResult<T> {
        // A panic in between leaves a writer whose file is as it was, or torn, which the next one cuts off.
        let run = || self.writer.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(f);
        let done = py.detach(run);
        let done = done.ok_or_else(|| ArgumentError::new_err("the writer is closed; open the file with another"))?;
        Ok(done.map_err(CoreError)?)
    }
}

/// Open a batch file: nothing is copied, and only what is asked for is read.
///
/// What a writer appends afterwards is not seen: open the file again.
///
/// Args:
///     path: of the file.
///
/// Raises:
///     OSError: it cannot be read; FileNotFoundError: there is none.
///     CodecError: it is no batch file, a newer one, or one that something else than a crash has damaged.
///     ArgumentError: `path` is no path.
///
/// Cost: the same for any size, without the GIL. After a crash, or while somebody writes: the header of each snapshot, and all bytes
/// appended since the last flush. A file that is cut while it is mapped ends the process, as with any mmap; writers never do that.
#[pyfunction]
#[pyo3(signature = (path: "str | os.PathLike[str]") -> "Batch", text_signature = "(path)")]
pub(crate) fn open_batch(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Batch> {
    let path = file_path(path)?;
    Ok(Batch { core: py.detach(|| Core::open(&path)).map_err(CoreError)? })
}

/// The snapshots of a batch file: a sequence that opens each where it is, when it is asked for.
///
/// The snapshots hold the file themselves: they can be read when the batch is gone, or the file deleted.
#[pyclass(frozen, sequence, module = "rolecore")]
pub(crate) struct Batch {
    core: Core,
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.core.index().len()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        let len = self.__len__();
        if let Ok(slice) = index.cast::<PySlice>() {
            let all = PyList::empty(py);
            let range = slice.indices(isize::try_from(len)?)?;
            let mut at = range.start;
            for _ in 0..range.slicelength {
                all.append(self.snapshot(usize::try_from(at)?)?)?;
                at += range.step;
            }
            return Ok(all.into_any());
        }
        let at = match index.extract::<isize>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
                return Err(PyIndexError::new_err("index is out of range: no file has 2**63 snapshots"));
            }
            at => at?,
        };
        let place = if at < 0 { len.checked_sub(at.unsigned_abs()) } else { Some(at.unsigned_abs()) };
        let place = place.filter(|&place| place < len).ok_or_else(|| {
            PyIndexError::new_err(format!("index {at} is out of range: the file has {len} snapshots"))
        })?;
        Ok(Bound::new(py, self.snapshot(place)?)?.into_any())
    }

    /// Iterate over the snapshots, each opened when its turn comes.
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyIterator>> {
        let py = slf.py();
        let range = PyRange::new(py, 0, isize::try_from(slf.get().__len__())?)?;
        py.import(intern!(py, "builtins"))?
            .call_method1(intern!(py, "map"), (slf.getattr("__getitem__")?, range))?
            .try_iter()
    }

    /// Check all of it at once: every checksum, every snapshot as its own `verify` does, and what is listed.
    ///
    /// Raises:
    ///     CodecError: what is damaged, and where.
    ///
    /// Cost: O(bytes), without the GIL; 16 bytes of memory for each snapshot.
    fn verify(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.core.verify()).map_err(CoreError)?)
    }

    /// Bytes of the file that are read: all but `n_torn_bytes`.
    #[getter]
    fn nbytes(&self) -> u64 {
        self.core.index().n_bytes()
    }

    /// Bytes at the end of the file that are no whole snapshot.
    ///
    /// A crash lost them, or a writer is about to write them. The next writer cuts them off.
    #[getter]
    fn n_torn_bytes(&self) -> u64 {
        self.core.index().n_torn_bytes()
    }

    fn __repr__(&self) -> String {
        format!("Batch({} snapshots, {} bytes)", self.__len__(), self.nbytes())
    }
}

impl Batch {
    fn snapshot(&self, index: usize) -> PyResult<Snapshot> {
        let bytes = self.core.snapshot(index).map_err(CoreError)?;
        Snapshot::of(Owner::of_file(self.core.map(), bytes))
    }
}

fn file_path(given: &Bound<'_, PyAny>) -> PyResult<PathBuf> {
    given.extract().map_err(|error: PyErr| match error {
        error if error.is_instance_of::<PyTypeError>(given.py()) => wrong_kind(given, "path", "a str or a path"),
        error => error,
    })
}
