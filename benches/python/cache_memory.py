"""Resident bytes of a fresh process beside what a VectorCache says it takes; prints one line of JSON.

`fill`: entries with values of 500 bytes until `memory()` says 100 MB; the change of RSS over that. `churn`: a full
cache of 2,000 entries in which each `put` evicts one, values and keys of changing lengths; RSS is read 200 times after
the first tenth, and its slope is that of the least-squares line, in bytes a put, beside the standard error of that
slope. Rows and texts are made in place, before the first reading, so that nothing but the cache takes memory.

    python cache_memory.py fill
    python cache_memory.py churn 1000000 lru
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Any

import numpy as np

import rolecore

DIM = 384
N_ROWS = 4096
FILL_BYTES = 100_000_000
VALUE_BYTES = 500
CHURN_CAPACITY = 2000
N_READINGS = 200


def rss() -> int:
    """Resident bytes of this process."""
    found = rolecore.MemoryProbe().read().rss_bytes
    if found is None:
        raise SystemExit("no /proc here, which says the resident bytes")  # noqa: EM101, TRY003
    return found


def fill(rows: np.ndarray[Any, Any]) -> dict[str, float]:
    """Fill a cache to 100 MB."""
    rss()
    gc.collect()
    before = rss()
    cache = rolecore.VectorCache(DIM, max_bytes=10 * FILL_BYTES)
    n = 0
    while True:
        cache.put(f"question number {n:029d}", rows[n % N_ROWS], b"%0500d" % n)
        n += 1
        if n % 64 == 0 and cache.memory()["total"] >= FILL_BYTES:
            break
    return {"entries": n, "rss": rss() - before, **cache.memory()}


def churn(rows: np.ndarray[Any, Any], n_operations: int, policy: str) -> dict[str, float]:
    """Put `n_operations` entries into a full cache."""
    cache = rolecore.VectorCache(DIM, capacity=CHURN_CAPACITY, policy=policy)
    value = bytes(800)
    step = max(1, (n_operations - n_operations // 10) // N_READINGS)
    at, read = [], []
    for n in range(n_operations):
        # 97 and 601 are primes: lengths meet in all pairs.
        cache.put("k" * (n % 97) + str(n), rows[n % N_ROWS], value[: 200 + n % 601])
        if n >= n_operations // 10 and n % step == 0:
            at.append(n)
            read.append(rss())
    (slope, _), covariance = np.polyfit(at, read, 1, cov=True)
    stats = cache.stats()
    return {
        "slope": slope,
        "error": float(np.sqrt(covariance[0, 0])),
        "first": read[0],
        "last": read[-1],
        "evictions": stats["evictions"],
        "total": stats["bytes"],
    }


def main() -> None:
    """Measure what the arguments say."""
    rows = np.random.default_rng(1).standard_normal((N_ROWS, DIM), np.float32)
    np.polyfit([0, 1, 2, 3], [1, 2, 2, 4], 1, cov=True)
    print(json.dumps(fill(rows) if sys.argv[1] == "fill" else churn(rows, int(sys.argv[2]), sys.argv[3])))


if __name__ == "__main__":
    main()
