"""A disk that loses power: what a process wrote and synced, told by disk_shim.c, and what is left of it at any moment.

Kept is only what was synced: of a file the pages that its last sync covered, of a directory the names at its last sync.
A torn moment also keeps some of the pages written since, as a disk that was busy would. After a sync that failed, what
it was to write counts as clean and is never written, as Linux has it.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

SHIM = Path(__file__).with_name("disk_shim.c")
PAGE = 4096
_HEAD = struct.Struct("<6Q")
WRITE, TRUNCATE, SYNC, CREATE, UNLINK, RENAME, SYNC_DIRECTORY, SAY = range(1, 9)


class Record(NamedTuple):
    kind: int
    inode: int
    offset: int
    error: int
    data: bytes
    name: str


@cache
def compiler() -> str | None:
    """Return the C compiler; None when there is none, or this is no Linux."""
    return shutil.which("cc") if os.uname().sysname == "Linux" else None


def build_shim(directory: Path) -> Path:
    """Compile the shim into a directory and return it."""
    shim = directory / "disk_shim.so"
    command = [compiler() or "cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(shim), str(SHIM)]
    subprocess.run([*command, "-ldl", "-lpthread"], check=True)
    return shim


def memory_directory() -> Path:
    """Return a directory whose files are in memory where there is one: images are many."""
    return Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(gettempdir())  # noqa: S108


def environment(shim: Path, directory: Path, trace: Path | None) -> dict[str, str]:
    """Return the variables of a process whose files in a directory are watched; it must exist."""
    watched = {"LD_PRELOAD": str(shim), "ROLECORE_SHIM_DIR": str(directory.resolve())}
    return {**os.environ, **watched, **({} if trace is None else {"ROLECORE_SHIM_TRACE": str(trace)})}


def read_trace(path: Path) -> Iterator[Record]:
    """Yield what was done, up to where the process died."""
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            kind, inode, offset, n_bytes, n_name, error = _HEAD.unpack(head)
            data, name = file.read(n_bytes), file.read(n_name)
            if len(data) < n_bytes or len(name) < n_name:
                return
            yield Record(kind, inode, offset, error, data, name.decode())


class _File:
    def __init__(self) -> None:
        self.live = bytearray()
        self.kept = bytearray()
        self.dirty: set[int] = set()

    def write(self, offset: int, data: bytes) -> None:
        if len(self.live) < offset:
            self.live += bytes(offset - len(self.live))
        self.live[offset : offset + len(data)] = data
        self.dirty.update(range(offset // PAGE, (offset + len(data) - 1) // PAGE + 1))

    def truncate(self, length: int) -> None:
        self.live = self.live[:length] + bytes(max(0, length - len(self.live)))
        self.dirty = {page for page in self.dirty if page * PAGE < length}

    def sync(self) -> None:
        self.kept = self.image(self.dirty, len(self.live))
        self.dirty.clear()

    def image(self, pages: set[int], length: int) -> bytearray:
        """Return what is kept, with some pages as they are now, at a length."""
        image = self.kept[:length] + bytes(max(0, length - len(self.kept)))
        for page in pages:
            start, end = page * PAGE, min(len(self.live), (page + 1) * PAGE)
            if len(image) < end:
                image += bytes(end - len(image))
            image[start:end] = self.live[start:end]
        return image

    def torn(self, random: Random) -> bytearray:
        """Return what a busy disk may have."""
        share = random.random()
        pages = {page for page in sorted(self.dirty) if random.random() < share}
        return self.image(pages, random.choice([len(self.kept), len(self.live)]))


class Disk:
    """The files of one directory, as the process sees them and as a power cut leaves them.

    Attributes:
        said: what the process has said on standard output by now.
    """

    def __init__(self) -> None:
        self.said = bytearray()
        self._files: dict[int, _File] = {}
        self._names: dict[str, _File] = {}
        self._kept_names: dict[str, _File] = {}

    def apply(self, record: Record) -> None:
        """Do what was done."""
        kind, error = record.kind, record.error
        if kind == SAY:
            self.said += record.data
        elif kind == CREATE:
            # A number that is used again is another file.
            self._names[record.name] = self._files[record.inode] = _File()
        elif kind == WRITE:
            self._files[record.inode].write(record.offset, record.data)
        elif kind == TRUNCATE:
            self._files[record.inode].truncate(record.offset)
        elif kind == SYNC:
            if error:
                self._files[record.inode].dirty.clear()
            else:
                self._files[record.inode].sync()
        elif kind == UNLINK:
            del self._names[record.name]
        elif kind == RENAME:
            self._names[record.name] = self._names.pop(record.data.decode())
        elif kind == SYNC_DIRECTORY and not error:
            self._kept_names = dict(self._names)

    def leave(self, directory: Path, random: Random | None = None) -> None:
        """Write what a power cut leaves into an empty directory; torn by `random`, or the least there can be."""
        for name, file in self._kept_names.items():
            (directory / name).write_bytes(file.kept if random is None else file.torn(random))


def moments(trace: Path) -> Iterator[Disk]:
    """Yield the disk just before each sync, when all was said that the last one allows to say, and at the end."""
    disk = Disk()
    for record in read_trace(trace):
        if record.kind in {SYNC, SYNC_DIRECTORY}:
            yield disk
        disk.apply(record)
    yield disk
