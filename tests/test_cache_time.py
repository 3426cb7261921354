"""VectorCache at the very moment an entry's time is over: gone for every method, in every policy, and from then on."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

import rolecore
from rolecore import VectorCache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLICIES = ["lru", "s3fifo", "gdsf"]
# Each says whether it still sees the entry "brief".
WAYS: dict[str, Callable[[VectorCache], bool]] = {
    "get": lambda cache: cache.get("brief") is not None,
    "lookup": lambda cache: cache.lookup([1, 0], 0.99) is not None,
    "search": lambda cache: "brief" in [hit.key for hit in cache.search([1, 0])],
    "len": lambda cache: len(cache) == 2,
    "repr": lambda cache: "rows=2" in repr(cache),
    "stats": lambda cache: cache.stats()["rows"] == 2,
    "stats.bytes": lambda cache: cache.stats()["bytes"] > 20_000,
    "memory": lambda cache: cache.memory()["values"] > 0,
    "remove": lambda cache: cache.remove("brief"),
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def cache_at(clock: Clock, policy: str = "lru") -> VectorCache:
    cache = VectorCache(2, capacity=2, policy=policy, clock=clock)
    cache.put("brief", [1, 0], b"x" * 20_000, time_to_live_s=10)
    cache.put("lasting", [0, 1])
    return cache


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", POLICIES)
def test_entry_at_its_deadline_is_gone_and_just_before_it_is_not(policy: str, way: str) -> None:
    for moment, is_there in ((9.999999999, True), (10.0, False), (10.000000001, False)):
        clock = Clock()
        cache = cache_at(clock, policy)
        clock.now = moment
        assert WAYS[way](cache) is is_there
        assert cache.stats()["expiries"] == (not is_there)


@pytest.mark.parametrize("policy", POLICIES)
def test_put_at_a_deadline_evicts_nothing(policy: str) -> None:
    for moment, evicted, expired in ((9.999999999, 1, 0), (10.0, 0, 1)):
        clock = Clock()
        cache = cache_at(clock, policy)
        clock.now = moment
        cache.put("new", [1, 1])
        assert (cache.stats()["evictions"], cache.stats()["expiries"]) == (evicted, expired)
        assert (len(cache), cache.get("new") is not None) == (2, True)


def test_put_of_the_same_key_at_its_deadline_replaces_nothing() -> None:
    clock = Clock()
    cache = VectorCache(2, capacity=2, clock=clock)
    cache.put("brief", [1, 0], time_to_live_s=10, pinned=True)
    clock.now = 10.0
    cache.put("brief", [1, 0], time_to_live_s=10)
    stats = cache.stats()
    assert (stats["rows"], stats["pinned"], stats["expiries"], stats["evictions"]) == (1, 0, 1, 0)
    clock.now = 20.0
    assert len(cache) == 0


def test_pinned_entries_at_their_deadline_leave_their_place() -> None:
    clock = Clock()
    cache = VectorCache(2, capacity=1, clock=clock)
    cache.put("brief", [1, 0], time_to_live_s=10, pinned=True)
    with pytest.raises(rolecore.CacheError, match="1 entries are pinned and capacity is 1"):
        cache.put("new", [1, 0])
    clock.now = 10.0
    cache.put("new", [1, 0])
    assert cache.get("new") is not None


def test_save_at_a_deadline_leaves_the_entry_out(tmp_path: Path) -> None:
    for moment, n_rows in ((9.999999999, 2), (10.0, 1)):
        clock = Clock()
        cache = cache_at(clock)
        clock.now = moment
        cache.save(tmp_path / "cache")
        # A wall clock that has not moved; a nanosecond on disk would end the entry.
        saved = (tmp_path / "cache").read_bytes()
        (n_row_bytes,) = struct.unpack_from("<Q", saved, 56)
        assert (n_row_bytes, b"brief" in saved, len(saved) > 20_000) == (8 * n_rows, n_rows == 2, n_rows == 2)


def test_deadlines_are_rounded_to_nanoseconds_so_that_sums_of_floats_are_met() -> None:
    clock = Clock()
    cache = VectorCache(2, capacity=2, clock=clock)
    clock.now = 1.1
    cache.put("brief", [1, 0], time_to_live_s=0.1)
    clock.now = 1.2
    assert clock.now < 1.1 + 0.1
    assert cache.get("brief") is None


def test_memory_gives_back_what_has_expired_as_stats_does() -> None:
    clock = Clock()
    cache = VectorCache(2, capacity=2, clock=clock, time_to_live_s=10)
    cache.put("brief", [1, 0], b"x" * 1000)
    cache.put("held", [0, 1], b"y" * 1000)
    held = cache.get("held")
    assert cache.memory()["values"] > 2000
    clock.now = 10.0
    memory = cache.memory()
    assert memory["rows"] == memory["codes"] == memory["keys"] == memory["values"] == 0
    assert memory["viewed"] > 1000
    assert memory["total"] == cache.stats()["bytes"]
    assert held is not None
