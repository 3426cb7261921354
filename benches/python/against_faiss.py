"""A search of a VectorCache against the same one of faiss-cpu's exact IndexFlatIP: checked, then timed in turns.

One query at a time, as an agent has them, on one thread, CPU time; a round is a pass over the queries on each side.
Before it is timed, every answer is compared with a float64 scan, and FAISS's with it too. FAISS picks its own code for
the processor. Skips whoever imports it where FAISS is not installed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import cpu_seconds
from vectors import Search, Truth, answers, each, filled, lookups

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Interleaved, Ratio

    import rolecore

faiss = pytest.importorskip("faiss", reason="needs the peers: make bench-cache")
faiss.omp_set_num_threads(1)

ROUNDS = 15
# A timed stretch; shorter ones are repeated.
MIN_SECONDS = 0.03
# What FAISS's float32 scores may be off by.
FLOAT32 = 1e-5


def flat(search: Search, truth: Truth, top_k: int) -> Any:
    """Return an IndexFlatIP of the rows, once it has found what must be found."""
    index = faiss.IndexFlatIP(search.rows.shape[1])
    index.add(search.rows)
    scores, _ = index.search(search.queries, top_k)
    best = np.sort(truth.scores, axis=1)[:, : -top_k - 1 : -1]
    assert np.abs(scores - best).max() < FLOAT32
    return index


def calls(run: Callable[[], object]) -> int:
    """How many passes take `MIN_SECONDS`, after one of warm-up."""
    run()
    began = time.thread_time()
    run()
    return 1 + int(MIN_SECONDS / max(time.thread_time() - began, 1e-6))


def compare(
    interleaved: Interleaved, name: str, search: Search, *, top_k: int = 1, threshold: float | None = None
) -> Ratio:
    """Check every answer, then time a pass over the queries on both sides; `threshold`: by lookup, else by search."""
    truth = Truth(search)
    cache = filled(search.rows)
    if threshold is None:
        truth.check(answers(cache, search.queries, top_k), top_k)
    else:
        truth.check(lookups(cache, search.queries, threshold), 1, threshold)
    index = flat(search, truth, top_k)
    ours = pass_of(cache, search, top_k, threshold)
    theirs = each(index.search, [query[None] for query in search.queries], top_k)
    return interleaved.add(name, pairs(ours, theirs, len(search.queries)))


def pairs(ours: Callable[[], object], theirs: Callable[[], object], n_queries: int) -> list[tuple[float, float]]:
    """Return CPU seconds a query of passes on each side, in turns."""
    ours_calls, theirs_calls = calls(ours), calls(theirs)
    return [
        (cpu_seconds(ours, ours_calls) / n_queries, cpu_seconds(theirs, theirs_calls) / n_queries)
        for _ in range(ROUNDS)
    ]


def pass_of(cache: rolecore.VectorCache, search: Search, top_k: int, threshold: float | None) -> Callable[[], object]:
    """Return a pass over the queries."""
    queries = list(search.queries)
    return each(cache.search, queries, top_k) if threshold is None else each(cache.lookup, queries, threshold)


def reaches(must: float, ratio: Ratio) -> bool:
    """Whether a ratio is what it must be, to the digits that are printed."""
    return round(ratio.median, 2) >= must
