"""Question: what memory does an opened snapshot take, and does it take more where there is more to read?

Input: text, vectors and a blob of 1 kB, 1 MB and 100 MB (text 10 MB), opened in processes of their own by
codec_memory.py, which counts what is taken from malloc: tracemalloc does not see all of it. Beside it the views that
NumPy and memoryview make. Oracle: the views lie in the bytes that were opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

pytest.importorskip("google.protobuf", reason="needs the peers: make bench-codec")

import numpy as np
from codec_memory import is_possible, told
from codec_peers import rolecore_of
from codec_shapes import shape

from rolecore.codec import open_snapshot

if TYPE_CHECKING:
    from conftest import Figures

pytestmark = pytest.mark.skipif(not is_possible(), reason="needs Linux and glibc 2.33")
# A block and its header: what malloc rounds to. As much may differ by chance.
ROUNDING = 32
# The aim of an opened snapshot.
AIM_BYTES = 250
# A page or two that CPython or the kernel touch for themselves.
MAX_PEAK = 65_536


@pytest.mark.parametrize(
    ("name", "sizes"), [("text", (0.001, 1.0, 10.0)), ("vectors", (0.001, 1.0, 100.0)), ("blob", (0.001, 1.0, 100.0))]
)
def test_open_takes_the_same(figures: Figures, name: str, sizes: tuple[float, ...]) -> None:
    found = [told(name, times)["rolecore"] for times in sizes]
    floors = told("blob", sizes[0])["NumPy, memoryview"]
    ways = [way for way in found[0] if way.startswith("open")]
    for way in ways:
        for one in found:
            note = f"; a view alone, by NumPy or memoryview: {floors[way]:.0f} B" if way in floors else ""
            size = f"{name} of {one['bytes'] / 1e6:.3f} MB"
            figures(f"{way}/{size}, live", one[way], "B", note=f"aim {AIM_BYTES}{note}")
            figures(f"{way}/{size}, peak", one[f"peak of {way}"], "B", bar=MAX_PEAK)
    if "a turn" in found[1]:
        figures(f"a turn/{name}, live", found[1]["a turn"], "B")
    for way in ways:
        assert max(one[way] for one in found) - min(one[way] for one in found) <= ROUNDING
        assert all(one[f"peak of {way}"] <= MAX_PEAK for one in found)
    # Two ways to look at one thing: what protobuf takes from malloc is what it adds to the resident memory.
    largest = told(name, sizes[-1])["protobuf"]
    assert largest["open"] == pytest.approx(largest["peak of open"], rel=0.1)
    figures(f"open/{name} of {largest['bytes'] / 1e6:.3f} MB, live, protobuf", largest["open"], "B")
    figures(f"open/{name} of {largest['bytes'] / 1e6:.3f} MB, peak, protobuf", largest["peak of open"], "B")


def test_views_lie_in_what_was_opened() -> None:
    for name in ("vectors", "blob"):
        session = shape(name)
        data = rolecore_of(session).check(session)
        opened = open_snapshot(data)
        view = opened.vectors if name == "vectors" else np.frombuffer(opened.payload, np.uint8)
        assert np.shares_memory(view, np.frombuffer(data, np.uint8))


@pytest.mark.parametrize("name", ["text", "vectors", "blob"])
def test_open_beside_peers(figures: Figures, name: str) -> None:
    for peer, found in told(name).items():
        for way in [way for way in found if way.startswith("open") and "bytes" in found]:
            figures(f"{way}/{name} of 1 MB, live, {peer}", found[way], "B")
