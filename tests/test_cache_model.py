"""VectorCache against a plain model: any order of operations, with time, pins, tenants, replacements and both limits.

Which entry goes is for the policy to say. The model of "lru" says it, too; of the others it takes what it finds gone.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import rolecore

DIM = 3
# Few, so that equal rows and exact ties come up; small whole numbers.
VECTORS = st.lists(st.integers(-2, 2), min_size=DIM, max_size=DIM).filter(any)
KEYS = st.sampled_from(["a", "b", "c", "d", "e", "\ud800"])
NAMES = ["", "x", "y"]
TENANTS = st.sampled_from(NAMES)


class Kept(NamedTuple):
    tenant: str
    key: str
    row: np.ndarray[tuple[int], np.dtype[np.float64]]
    value: str
    cost: int
    deadline: float
    pinned: bool


class Model(RuleBasedStateMachine):
    """Two lists: `uses` begins with the entry whose last use is the longest ago, `ages` with the oldest."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.uses: list[Kept] = []
        self.ages: list[Kept] = []
        self.n_puts = 0
        self.counts = dict.fromkeys(
            ("puts", "evictions", "expiries", "hits_exact", "hits_semantic", "refused", "misses", "tokens_saved"), 0
        )

    @initialize(
        policy=st.sampled_from(["lru", "s3fifo", "gdsf"]),
        capacity=st.integers(1, 6),
        max_bytes=st.none() | st.integers(5_000, 25_000),
        ttl=st.none() | st.integers(1, 10),
    )
    def make(self, policy: str, capacity: int, max_bytes: int | None, ttl: int | None) -> None:
        self.policy = policy
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.ttl = ttl
        self.cache = rolecore.VectorCache(
            DIM,
            capacity=capacity,
            max_bytes=max_bytes,
            time_to_live_s=ttl,
            policy=policy,
            clock=lambda: float(self.now),
        )

    def drop(self, kept: Kept) -> None:
        self.uses = [other for other in self.uses if other is not kept]
        self.ages = [other for other in self.ages if other is not kept]

    def find(self, tenant: str, key: str) -> Kept | None:
        return next((kept for kept in self.uses if (kept.tenant, kept.key) == (tenant, key)), None)

    def seen(self) -> set[object]:
        """The values in the cache, by a search of all tenants, which is no use."""
        return {hit.value for tenant in NAMES for hit in self.cache.search([1] * DIM, 100, tenant=tenant)}

    def hit(self, kept: Kept, kind: str) -> None:
        self.counts[kind] += 1
        self.counts["tokens_saved"] += kept.cost
        self.uses = [*(other for other in self.uses if other is not kept), kept]

    def nearest(self, tenant: str, vector: list[int]) -> list[tuple[float, Kept]]:
        query = np.array(vector, np.float64)
        query /= np.linalg.norm(query)
        scored = [(float(query @ kept.row), kept) for kept in self.ages if kept.tenant == tenant]
        return sorted(scored, key=lambda scored: -scored[0])

    @rule(
        tenant=TENANTS,
        key=KEYS,
        vector=VECTORS,
        ttl=st.none() | st.integers(1, 10),
        pinned=st.integers(0, 5).map(lambda n: n == 0),
        cost=st.integers(0, 9),
        size=st.integers(0, 2_000),
    )
    def put(
        self, *, tenant: str, key: str, vector: list[int], ttl: int | None, pinned: bool, cost: int, size: int
    ) -> None:
        value = str(self.n_puts).ljust(size)
        old = self.find(tenant, key)
        others = [kept for kept in self.uses if kept is not old]

        def put() -> None:
            self.cache.put(key, vector, value, tenant=tenant, pinned=pinned, time_to_live_s=ttl, cost=cost)

        self.n_puts += 1
        if sum(kept.pinned for kept in others) >= self.capacity:
            with pytest.raises(rolecore.CacheError, match="entries are pinned and capacity is"):
                put()
            return
        try:
            put()
        except rolecore.CacheError as error:
            # That nothing has changed is for the invariants to see.
            least = re.search("max_bytes is ([0-9]+).* needs max_bytes from ([0-9]+) on", str(error))
            assert least is not None
            assert int(least[1]) == self.max_bytes
            assert int(least[2]) > self.max_bytes
            return
        self.counts["puts"] += 1
        if old:
            self.drop(old)
        seen = self.seen()
        assert value in seen
        gone = [kept for kept in self.uses if kept.value not in seen]
        loose = [kept for kept in self.uses if not kept.pinned]
        n_over = max(0, len(self.uses) + 1 - self.capacity)
        assert len(gone) >= n_over if self.max_bytes else len(gone) == n_over
        assert gone == loose[: len(gone)] if self.policy == "lru" else not any(kept.pinned for kept in gone)
        for kept in gone:
            self.drop(kept)
            self.counts["evictions"] += 1
        seconds = ttl or self.ttl
        row = np.array(vector, np.float64)
        row = (row / np.linalg.norm(row)).astype(np.float32).astype(np.float64)
        kept = Kept(tenant, key, row, value, cost, self.now + seconds if seconds else float("inf"), pinned)
        self.uses.append(kept)
        self.ages.append(kept)

    @rule(tenant=TENANTS, key=KEYS)
    def get(self, tenant: str, key: str) -> None:
        kept, entry = self.find(tenant, key), self.cache.get(key, tenant=tenant)
        if kept is None:
            assert entry is None
            self.counts["misses"] += 1
            return
        assert entry is not None
        assert (entry.key, entry.value) == (key, kept.value)
        assert entry.vector.tolist() == pytest.approx(kept.row.tolist(), abs=1e-7)
        left = kept.deadline - self.now
        assert entry.expires_in_s == (None if left == float("inf") else left)
        self.hit(kept, "hits_exact")

    @rule(tenant=TENANTS, key=KEYS)
    def remove(self, tenant: str, key: str) -> None:
        kept = self.find(tenant, key)
        assert self.cache.remove(key, tenant=tenant) == (kept is not None)
        if kept:
            self.drop(kept)

    @rule(tenant=TENANTS, vector=VECTORS, threshold=st.sampled_from([-1.0, 0.0, 0.5, 0.9, 0.999]))
    def lookup(self, tenant: str, vector: list[int], threshold: float) -> None:
        nearest = self.nearest(tenant, vector)
        if any(abs(score - threshold) < 1e-6 for score, _ in nearest):
            return
        hit = self.cache.lookup(vector, threshold, tenant=tenant)
        if not nearest or nearest[0][0] < threshold:
            assert hit is None
            self.counts["misses"] += 1
            return
        assert hit is not None
        score = nearest[0][0]
        assert hit.score == pytest.approx(score, abs=1e-9)
        # Rows whose scores differ by rounding alone may change places; the very same rows may not.
        kept = next(kept for near, kept in nearest if kept.value == hit.value and near > score - 1e-9)
        assert not any(
            other.value != kept.value and np.array_equal(other.row, kept.row)
            for _, other in nearest[: [k is kept for _, k in nearest].index(True)]
        )
        self.hit(kept, "hits_semantic")

    @rule(tenant=TENANTS, vector=VECTORS, top_k=st.integers(1, 8))
    def search(self, tenant: str, vector: list[int], top_k: int) -> None:
        nearest = self.nearest(tenant, vector)
        hits = self.cache.search(vector, top_k, tenant=tenant)
        assert [hit.score for hit in hits] == pytest.approx([score for score, _ in nearest[:top_k]], abs=1e-9)
        scores = {kept.value: score for score, kept in nearest}
        assert all(hit.score == pytest.approx(scores[str(hit.value)], abs=1e-9) for hit in hits)
        assert len({hit.value for hit in hits}) == len(hits)
        by_value = {kept.value: kept for _, kept in nearest}
        for one, next_one in itertools.pairwise(hits):
            a, b = by_value[str(one.value)], by_value[str(next_one.value)]
            assert not np.array_equal(a.row, b.row) or int(a.value) < int(b.value)

    @rule(seconds=st.integers(1, 6))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        for kept in list(self.uses):
            if kept.deadline <= self.now:
                self.drop(kept)
                self.counts["expiries"] += 1

    @rule()
    @precondition(lambda self: len(self.uses) > 3)
    def clear(self) -> None:
        self.cache.clear()
        self.uses, self.ages = [], []

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "cache"):
            return
        stats = self.cache.stats()
        assert len(self.cache) == stats["rows"] == len(self.uses) <= self.capacity
        assert stats["pinned"] == sum(kept.pinned for kept in self.uses)
        assert stats["spaces"] == len({kept.tenant for kept in self.uses})
        assert {name: stats[name] for name in self.counts} == self.counts
        assert stats["bytes"] == self.cache.memory()["total"]
        assert self.max_bytes is None or stats["bytes"] <= self.max_bytes
        assert self.seen() == {kept.value for kept in self.uses}


# Five seconds of CPU, of which a busy machine gives it few.
TestModel = pytest.mark.timeout(120)(Model.TestCase)
TestModel.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
