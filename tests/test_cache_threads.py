"""VectorCache shared by threads: right results, and limits that hold."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

from rolecore import VectorCache

POLICIES = ["lru", "s3fifo", "gdsf"]


def rows(n: int, dim: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
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
