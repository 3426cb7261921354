"""How much memory is used, out of how much: the cgroup's, the machine's or a GPU's."""

from __future__ import annotations

import os
from importlib import import_module
from typing import NamedTuple, Protocol

from rolecore import _core
from rolecore.errors import ArgumentError, MissingExtraError

_KINDS = ("auto", "cgroup", "meminfo", "gpu")


class Memory(NamedTuple):
    """One reading; a named tuple, so it is immutable, compares by value and pickles.

    Attributes:
        used_bytes: bytes in use against the limit; they may exceed it for a moment.
        limit_bytes: bytes there may be, at least 1.
        rss_bytes: resident bytes of this process; None when /proc does not say.
        pressure: share of the last 10 s in which some task waited for memory, 0..1; None when the kernel does not say.
        source: what was read: "cgroup2:/path", "cgroup1:/path", "meminfo" or "gpu:0".
    """

    used_bytes: int
    limit_bytes: int
    rss_bytes: int | None
    pressure: float | None
    source: str

    @property
    def usage(self) -> float:
        """Used bytes as a share of the limit, 0 or more."""
        return self.used_bytes / self.limit_bytes


class Probe(Protocol):
    """What reads memory: a `MemoryProbe`, or anything that tells a `Memory`."""

    def read(self) -> Memory:
        """Return one reading."""


class MemoryProbe:
    """Reads memory each time it is asked; keeps nothing between readings and starts no thread.

    Args:
        kind: "auto": the tighter of the cgroup's limit and the machine's memory, whichever of the two can be read.
            "cgroup": this process's cgroup, v2 or v1. "meminfo": the whole machine. "gpu": GPU 0 as NVML numbers them,
            with the extra `rolecore[gpu]`.
        root: directory that every path is taken below, for tests on made-up trees or a host's files mounted elsewhere.

    Raises:
        ArgumentError: the kind is unknown or the root is no path.

    Example:
        >>> reading = rolecore.MemoryProbe().read()
        >>> 0 <= reading.usage
        True
    """

    __slots__ = ("kind", "root")

    def __init__(self, kind: str = "auto", root: str | os.PathLike[str] = "/") -> None:
        """Check the arguments; nothing is read yet."""
        if kind not in _KINDS:
            msg = f"kind is {kind!r}, it must be one of {', '.join(map(repr, _KINDS))}"
            raise ArgumentError(msg)
        try:
            path = os.fsdecode(root)
        except TypeError as error:
            msg = f"root is a {type(root).__name__}, it must be a path"
            raise ArgumentError(msg) from error
        self.kind = kind
        self.root = path

    def __repr__(self) -> str:
        """Show the two arguments."""
        return f"MemoryProbe(kind={self.kind!r}, root={self.root!r})"

    def read(self) -> Memory:
        """Return one reading.

        The limit is the tightest on the way from this process's cgroup up, the machine being the outermost level, and
        the use is that of the level which sets it. A cgroup's use is its working set: what is charged to it less
        inactive file pages, which the kernel drops before it kills.

        Returns:
            A `Memory`.

        Raises:
            ArgumentError: the files of this kind are missing or make no sense; with "auto", those of all kinds, as on
                any system but Linux.
            MissingExtraError: kind "gpu" without `rolecore[gpu]`.

        Cost: about ten small files, without the GIL; see docs/memory.md for the time.

        Source: the kernel's admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, filesystems/proc.rst and
            accounting/psi.rst; the working set is the kubelet's (google/cadvisor#1380).
        """
        if self.kind == "gpu":
            return _read_gpu(self.root)
        return Memory(*_core.read_memory(self.kind, self.root))


def _read_gpu(root: str) -> Memory:
    try:
        nvml = import_module("pynvml")
    except ImportError as error:
        msg = "kind='gpu' needs nvidia-ml-py; pip install 'rolecore[gpu]'"
        raise MissingExtraError(msg) from error
    try:
        # Counted by NVML: cheap from the second time on. Never shut down, another part of the program may use it.
        nvml.nvmlInit()
        info = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(0))
    except nvml.NVMLError as error:
        msg = f"kind='gpu': NVML cannot read GPU 0 ({error}); use kind='auto' or pass retain_ratio yourself"
        raise ArgumentError(msg) from error
    return Memory(info.used, info.total, _core.rss_bytes(root), None, "gpu:0")
