"""Bytes that live on while a session of 1 MB is open, by each serialiser; prints one line of JSON.

    PYTHONMALLOC=malloc GLIBC_TUNABLES=glibc.malloc.tcache_count=0 python codec_memory.py vectors [100]

The last word: how many times as large; with it, only rolecore and protobuf are measured. Beside them the views that
NumPy and memoryview make of bytes that are there. tracemalloc sees only what CPython allocates: neither the arena that
upb parses into nor Rust's memory. Here every allocation goes to glibc, and `mallinfo2` says what is taken, in all
arenas and in mapped blocks, before and after some sessions are opened and kept. That is live memory, with malloc's own
8 to 16 bytes a block, not what was taken and given back in between; the bytes that were read lie there before and do
not count. What CPython keeps in lists of free objects is taken before, by a first round. Beside it the rise of the
peak of resident memory (VmHWM, reset before), in which a copy shows even if it is given back at once.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from codec_peers import peers
from codec_shapes import VECTORS, shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from codec_peers import Peer
    from codec_shapes import Shape

SETTINGS = {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
# As many as make a few bytes of chance small; large ones are told well by few.
N_SMALL, N_LARGE = 1000, 4
LARGE_BYTES = 100_000


class MallInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@functools.cache
def mallinfo2() -> Callable[[], MallInfo]:
    """Return glibc's function."""
    function = ctypes.CDLL(None).mallinfo2
    function.restype = MallInfo
    return function


def is_possible() -> bool:
    """Whether this system has what is needed."""
    return Path("/proc/self/clear_refs").exists() and hasattr(ctypes.CDLL(None), "mallinfo2")


@functools.cache
def told(name: str, times: float = 1) -> dict[str, dict[str, float]]:
    """Return what this script prints for a shape, by peer and by what is kept, from a process of its own."""
    command = [sys.executable, __file__, name, str(times)]
    out = subprocess.run(command, capture_output=True, check=True, text=True, env=os.environ | SETTINGS).stdout
    found: dict[str, dict[str, float]] = json.loads(out)
    return found


def live_bytes() -> int:
    """Bytes that are taken from malloc."""
    info = mallinfo2()()
    return int(info.uordblks + info.hblkhd)


def peak_bytes() -> int:
    """Most resident bytes since the peak was reset."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("ascii"))
    return int(found[1]) * 1024 if found else 0


def kept(make: Callable[[], Any]) -> float:
    """Return the bytes that one of `make`'s results takes as long as it lives."""
    kept = [make()]
    n = N_LARGE if _taken(make, kept) > LARGE_BYTES else N_SMALL
    kept = [None] * n
    for _ in range(2):
        taken = _taken(make, kept)
    return taken / n


def _taken(make: Callable[[], Any], kept: list[Any]) -> int:
    """Fill `kept` and return the bytes taken; what it held before is given back first."""
    for index in range(len(kept)):
        kept[index] = None
    gc.collect()
    before = live_bytes()
    for index in range(len(kept)):
        kept[index] = make()
    return live_bytes() - before


def peak(make: Callable[[], Any]) -> int:
    """Return by how much the resident memory rises at most while one is made."""
    gc.collect()
    # Else room that was given back to malloc, not to the system, would be taken again unseen.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    before = peak_bytes()
    made = make()
    rise = peak_bytes() - before
    del made
    return rise


def of_peer(peer: Peer, shape: Shape) -> dict[str, float]:
    """Return bytes by what is kept."""
    data = peer.check(shape)
    ways: dict[str, Callable[[], Any]] = {"open": lambda: peer.open(data)}
    if shape.vectors is not None:
        ways["open + vectors"] = lambda: peer.vectors(peer.open(data))
    if shape.payload is not None:
        ways["open + payload"] = lambda: peer.payload(peer.open(data))
    found: dict[str, float] = {"bytes": len(data)} | {way: kept(make) for way, make in ways.items()}
    found |= {f"peak of {way}": peak(make) for way, make in ways.items()}
    if peer.name == "rolecore" and shape.messages:
        opened = peer.open(data)
        found["a turn"] = kept(lambda: opened.turns[shape.turn])
    return found


def floors(data: bytes) -> dict[str, float]:
    """Return what the smallest views that Python has take."""
    array = kept(lambda: np.frombuffer(data, np.float32).reshape(-1, VECTORS[1]))
    return {"open + vectors": array, "open + payload": kept(lambda: memoryview(data))}


def main() -> None:
    """Measure what the arguments say."""
    times = float(sys.argv[2]) if len(sys.argv) > 2 else 1
    session = shape(sys.argv[1], times=times)
    found = {peer.name: of_peer(peer, session) for peer in peers(session)[: None if times == 1 else 2]}
    print(json.dumps(found | {"NumPy, memoryview": floors(bytes(VECTORS[1] * 400))}))


if __name__ == "__main__":
    assert os.environ["PYTHONMALLOC"] == "malloc"
    main()
