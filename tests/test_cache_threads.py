"""VectorCache shared by threads: right results, and limits that hold."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from rolecore import VectorCache

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICIES = ["lru", "s3fifo", "gdsf"]
# How long the soak lasts with each policy; `make soak-cache` says more.
SOAK_S = float(os.environ.get("ROLECORE_SOAK_SECONDS", "1"))
# Two sums of the same float64 products, in any order, differ by less.
ROUNDING = 1e-12


Rows: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]


def rows(n: int, dim: int, seed: int = 0) -> Rows:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def run_threads(work: Any, n: int) -> None:
    failures: list[BaseException] = []

    def guarded(i: int) -> None:
        try:
            work(i)
        except BaseException as error:  # noqa: BLE001  told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("policy", POLICIES)
def test_threads_search_and_write_at_once_with_right_results(policy: str) -> None:
    n_threads, n_keys, dim = 8, 40, 16
    shared = rows(n_keys, dim, seed=99)
    cache = VectorCache(dim, capacity=n_threads * n_keys + n_keys, policy=policy, time_to_live_s=1000)
    for i in range(n_keys):
        cache.put(f"shared{i}", shared[i], f"shared{i}", tenant="shared", pinned=True)

    def work(me: int) -> None:
        own = rows(n_keys, dim, seed=me)
        draw = random.Random(me)  # noqa: S311  no secrets here
        tenant = f"tenant{me}"
        present: set[int] = set()
        for _ in range(400):
            i = draw.randrange(n_keys)
            what = draw.random()
            if what < 0.4:
                cache.put(f"key{i}", own[i], f"{me}/{i}", tenant=tenant)
                present.add(i)
            elif what < 0.5:
                assert cache.remove(f"key{i}", tenant=tenant) == (i in present)
                present.discard(i)
            elif what < 0.7:
                hit = cache.lookup(own[i], 0.999, tenant=tenant)
                assert (hit.value if hit else None) == (f"{me}/{i}" if i in present else None)
            elif what < 0.8:
                entry = cache.get(f"key{i}", tenant=tenant)
                assert (entry.value if entry else None) == (f"{me}/{i}" if i in present else None)
            elif what < 0.9:
                assert cache.lookup(shared[i], 0.999, tenant="shared").key == f"shared{i}"  # type: ignore[union-attr]
                cache.put(f"shared{i}", shared[i], f"shared{i}", tenant="shared", pinned=True)
            else:
                found = cache.search(own[i], n_keys, tenant=tenant)
                assert sorted(hit.key for hit in found) == sorted(f"key{j}" for j in present)

    run_threads(work, n_threads)
    assert cache.stats()["evictions"] == 0


def test_threads_that_evict_each_others_entries_stay_within_the_limits() -> None:
    cache = VectorCache(16, capacity=50, max_bytes=30_000)

    def work(me: int) -> None:
        own = rows(30, 16, seed=me)
        tenant = str(me % 3)
        for i in range(300):
            cache.put(f"{me}/{i % 30}", own[i % 30], f"{tenant}", tenant=tenant)
            for hit in cache.search(own[i % 7], 4, tenant=tenant):
                assert hit.value == tenant
            entry = cache.get(f"{me}/{i % 11}", tenant=tenant)
            assert entry is None or (entry.value == tenant and entry.vector.shape == (16,))
            stats = cache.stats()
            assert stats["rows"] <= 50
            assert stats["bytes"] <= 30_000

    run_threads(work, 8)


class Talker:
    """One thread of the soak: a tenant of its own, of which it knows all, and one that all share and evict from."""

    N_OWN, N_SHARED, N_VERSIONS = 40, 300, 3

    def __init__(self, me: int, cache: VectorCache, shared: Rows) -> None:
        self.tenant = f"tenant{me}"
        self.cache = cache
        self.shared = shared
        self.draw = random.Random(me)  # noqa: S311  no secrets here
        self.noise = np.random.default_rng(me)
        self.own: dict[str, tuple[Rows, str]] = {}
        self.viewed: list[tuple[Rows, Rows]] = []
        self.n_checked = 0

    def unit(self) -> Rows:
        """Draw a row that is stored as it is."""
        row = self.noise.standard_normal(self.shared.shape[2])
        return np.asarray(row / np.linalg.norm(row), np.float32)

    def put_own(self, number: int) -> None:
        """Own entries are pinned: nobody evicts them."""
        key, row = f"key{number}", self.unit()
        self.own[key] = row, f"{self.tenant} {self.draw.random()}"
        self.cache.put(key, row, self.own[key][1], tenant=self.tenant, pinned=True)

    def write(self) -> None:
        """Change an entry of each tenant."""
        number = self.draw.randrange(self.N_OWN)
        if self.draw.random() < 0.2:
            is_in = self.own.pop(f"key{number}", None) is not None
            assert self.cache.remove(f"key{number}", tenant=self.tenant) == is_in
        else:
            self.put_own(number)
        number, version = self.draw.randrange(self.N_SHARED), self.draw.randrange(self.N_VERSIONS)
        if self.draw.random() < 0.1:
            self.cache.remove(f"shared{number}", tenant="shared")
        else:
            row = self.shared[number, version]
            self.cache.put(f"shared{number}", row, f"{number} {version}", tenant="shared", cost=number)

    def read_own(self) -> None:
        """Compare with a scan of what this thread has put."""
        key = f"key{self.draw.randrange(self.N_OWN)}"
        entry = self.cache.get(key, tenant=self.tenant)
        assert (entry and entry.value) == (self.own[key][1] if key in self.own else None)
        query = self.own[key][0] if key in self.own else self.unit()
        scores = {name: float(row.astype(np.float64) @ query.astype(np.float64)) for name, (row, _) in self.own.items()}
        best = sorted(scores.values(), reverse=True)
        found = self.cache.search(query, 5, tenant=self.tenant)
        assert [hit.score for hit in found] == pytest.approx(best[:5], abs=ROUNDING, rel=0)
        assert all(hit.score == pytest.approx(scores[hit.key], abs=ROUNDING, rel=0) for hit in found)
        assert all(hit.value == self.own[hit.key][1] for hit in found)
        hit = self.cache.lookup(query, 0.5, tenant=self.tenant)
        assert (hit is not None) == bool(best and best[0] >= 0.5)
        assert hit is None or hit.value == self.own[hit.key][1]

    def read_shared(self) -> None:
        """Whatever is found was put, and is what it says."""
        query = self.shared[self.draw.randrange(self.N_SHARED), self.draw.randrange(self.N_VERSIONS)]
        found = self.cache.search(query, 8, tenant="shared")
        hit = self.cache.lookup(query, 0.9, tenant="shared")
        for near in [*found, *([hit] if hit else [])]:
            number, version = map(int, str(near.value).split())
            assert near.key == f"shared{number}"
            truth = float(self.shared[number, version].astype(np.float64) @ query.astype(np.float64))
            assert near.score == pytest.approx(truth, abs=ROUNDING, rel=0)
        assert hit is None or hit.score >= 0.9
        assert [near.score for near in found] == sorted((near.score for near in found), reverse=True)
        assert len({near.key for near in found}) == len(found)
        if found and (entry := self.cache.get(found[0].key, tenant="shared")):
            number, version = map(int, str(entry.value).split())
            self.viewed.append((entry.vector, self.shared[number, version]))
        if len(self.viewed) == 20:
            # Most of them are evicted or replaced by now.
            assert all(np.array_equal(view, row) for view, row in self.viewed)
            self.viewed.clear()

    def run_until(self, end: float) -> None:
        while time.monotonic() < end:
            self.write()
            self.read_own()
            self.read_shared()
            self.n_checked += 1


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Python changes threads every 10 us, not every 5 ms."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.slow
@pytest.mark.timeout(SOAK_S + 60)
@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("policy", POLICIES)
def test_threads_that_read_and_write_for_long_find_what_is_there(policy: str) -> None:
    n_threads, dim, n_unpinned = 8, 32, 150
    unit = rows(Talker.N_SHARED * Talker.N_VERSIONS, dim, seed=5)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    shared = unit.reshape(Talker.N_SHARED, Talker.N_VERSIONS, dim)
    capacity = n_threads * Talker.N_OWN + n_unpinned
    cache = VectorCache(dim, capacity=capacity, policy=policy, time_to_live_s=10_000)
    talkers = [Talker(me, cache, shared) for me in range(n_threads)]
    for number, versions in enumerate(shared):
        cache.put(f"shared{number}", versions[0], f"{number} 0", tenant="shared", cost=number)
    for talker in talkers:
        for number in range(Talker.N_OWN):
            talker.put_own(number)
    end = time.monotonic() + SOAK_S
    run_threads(lambda me: talkers[me].run_until(end), n_threads)
    assert min(talker.n_checked for talker in talkers) > 0
    stats = cache.stats()
    assert stats["evictions"] > 0
    assert stats["rows"] <= capacity
    assert stats["pinned"] == sum(len(talker.own) for talker in talkers)
