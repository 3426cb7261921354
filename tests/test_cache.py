"""VectorCache through Python: keys and vectors, limits, tenants, time and memory."""

from __future__ import annotations

import gc
import itertools
import math
import random
import subprocess
import sys
import weakref
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import rolecore
from rolecore import CacheError, VectorCache

POLICIES = ["lru", "s3fifo", "gdsf"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def cache_of(**keys: list[float]) -> VectorCache:
    cache = VectorCache(2, capacity=100)
    for key, vector in keys.items():
        cache.put(key, vector, f"value of {key}")
    return cache


def rows(n: int, dim: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def test_get_returns_key_value_and_unit_vector() -> None:
    cache = cache_of(a=[3, 4])
    entry = cache.get("a")
    assert entry is not None
    assert (entry.key, entry.value, entry.expires_in_s) == ("a", "value of a", None)
    assert entry.vector.tolist() == pytest.approx([0.6, 0.8])
    assert (entry.vector.dtype, entry.vector.shape) == (np.float32, (2,))
    assert cache.get("b") is None
    assert cache.get("") is None


@pytest.mark.parametrize("value", [None, b"", "", b"\x00\xff", "text", "汉字 👋", "\ud800 lone", b"x" * 100_000])
@pytest.mark.parametrize("key", ["", "k", "汉字", "\ud83d", "\ud83d\udc4b", "\x00", "k" * 10_000])
def test_put_any_text_comes_back_equal(key: str, value: bytes | str | None) -> None:
    cache = VectorCache(2, capacity=2)
    cache.put(key, [1, 0], value, tenant=key, model_id=key)
    entry = cache.get(key, tenant=key, model_id=key)
    assert entry is not None
    assert (entry.key, entry.value, type(entry.value)) == (key, value, type(value))
    hit = cache.search([1, 0], tenant=key, model_id=key)[0]
    assert (hit.key, hit.value, hit.score) == (key, value, 1.0)


def test_put_lone_surrogates_are_keys_of_their_own() -> None:
    cache = VectorCache(2, capacity=9)
    for i, key in enumerate(["\ud800", "\ud801", "\ufffd", "?", "\ud83d\udc4b", "👋"]):
        cache.put(key, [1, i], str(i))
    assert len(cache) == 6
    assert [cache.get(key).value for key in ("\ud800", "\ufffd", "👋")] == ["0", "2", "5"]  # type: ignore[union-attr]


def test_lookup_finds_the_best_at_or_above_the_threshold() -> None:
    cache = cache_of(east=[1, 0], north=[0, 1])
    hit = cache.lookup([1, 0.1], 0.9)
    assert hit is not None
    assert (hit.key, hit.value) == ("east", "value of east")
    assert hit.score == pytest.approx(1 / math.sqrt(1.01), abs=1e-9)
    assert cache.lookup([1, 0.1], math.nextafter(hit.score, 2)) is None
    assert cache.lookup([1, 0.1], hit.score).key == "east"  # type: ignore[union-attr]
    assert cache.lookup([-1, -1], -1.0) is not None


def test_score_is_the_cosine_within_the_rounding_that_the_docs_tell() -> None:
    lengths = [1, 0.03, 1 - 9.5e-7, 1 + 9.5e-7, 1 - 2e-6, 1 + 2e-6, 1e30]
    for dim in (2, 3, 384):
        for length, vector in itertools.product(lengths, rows(50, dim)):
            given = (vector.astype(np.float64) / np.linalg.norm(vector.astype(np.float64)) * length).astype(np.float32)
            cache = VectorCache(dim, capacity=1)
            cache.put("a", given)
            assert cache.lookup(given, 0.99999).score == pytest.approx(1, abs=3e-6)  # type: ignore[union-attr]
            assert cache.get("a").vector @ given.astype(np.float64) == pytest.approx(length, rel=3e-6)  # type: ignore[union-attr]


def test_search_gives_the_nearest_first_and_of_equals_the_oldest() -> None:
    cache = cache_of(a=[1, 0], b=[2, 0], c=[0, 1], d=[1, 1])
    assert [hit.key for hit in cache.search([1, 0.1])] == ["a", "b", "d", "c"]
    cache.put("a", [1, 0])  # the youngest now
    assert [hit.key for hit in cache.search([1, 0.1], 3)] == ["b", "a", "d"]
    assert cache.lookup([1, 0], 0.5).key == "b"  # type: ignore[union-attr]
    scores = [hit.score for hit in cache.search([1, 0.1], 10**30)]
    assert scores == sorted(scores, reverse=True)
    assert all(type(score) is float for score in scores)


def test_remove_and_clear_forget() -> None:
    cache = cache_of(a=[1, 0], b=[0, 1])
    assert cache.remove("a")
    assert not cache.remove("a")
    assert cache.get("a") is None
    assert [hit.key for hit in cache.search([1, 0])] == ["b"]
    cache.clear()
    assert len(cache) == 0
    assert cache
    assert cache.search([1, 0]) == []
    assert cache.memory()["total"] == 0


def test_tenants_and_models_see_only_their_own() -> None:
    cache = VectorCache(2, capacity=100)
    for tenant in ("", "a", "b", "ab"):
        for model_id in ("", "a", "b"):
            cache.put("key", [1, 0], f"{tenant}|{model_id}", tenant=tenant, model_id=model_id)
    for tenant in ("", "a", "b", "ab"):
        for model_id in ("", "a", "b"):
            entry = cache.get("key", tenant=tenant, model_id=model_id)
            assert entry is not None
            assert entry.value == f"{tenant}|{model_id}"
            found = cache.search([1, 0], tenant=tenant, model_id=model_id)
            assert [hit.value for hit in found] == [f"{tenant}|{model_id}"]
    assert cache.remove("key", tenant="a")
    assert cache.lookup([1, 0], -1.0, tenant="a") is None
    assert cache.stats()["spaces"] == 11


def test_lookup_beside_a_poisoned_tenant_never_returns_its_rows() -> None:
    cache = VectorCache(16, capacity=10_000)
    mine, query = rows(50, 16), rows(50, 16, seed=1)
    for i in range(50):
        cache.put(f"mine{i}", mine[i], "mine", tenant="me")
        cache.put(f"poison{i}", query[i], "poison", tenant="neighbour")
        cache.put(f"mine{i}", query[i], "poison", tenant="neighbour")
    for i in range(50):
        assert all(hit.value == "mine" for hit in cache.search(query[i], 100, tenant="me"))
        hit = cache.lookup(query[i], 0.99, tenant="me")
        assert hit is None or hit.value == "mine"
        assert cache.lookup(query[i], 0.99, tenant="nobody") is None


def test_lru_at_capacity_evicts_as_an_ordered_dict_does() -> None:
    cache = VectorCache(4, capacity=20)
    oracle: OrderedDict[str, int] = OrderedDict()
    draw = random.Random(3)  # noqa: S311  no secrets here
    axes = np.eye(4)
    for i in range(5000):
        key = str(draw.randrange(60))
        if draw.random() < 0.4:
            cache.put(key, axes[i % 4], str(i))
            oracle[key] = i
            oracle.move_to_end(key)
            if len(oracle) > 20:
                oracle.popitem(last=False)
        elif key in oracle:
            oracle.move_to_end(key)
            assert cache.get(key).value == str(oracle[key])  # type: ignore[union-attr]
        else:
            assert cache.get(key) is None
    assert len(cache) == 20


def test_lookup_counts_as_a_use_and_search_does_not() -> None:
    for is_lookup, gone in ((True, "b"), (False, "a")):
        cache = VectorCache(2, capacity=2)
        cache.put("a", [1, 0])
        cache.put("b", [0, 1])
        assert cache.lookup([1, 0], 0.9) if is_lookup else cache.search([1, 0])
        cache.put("c", [1, 1])
        assert cache.get(gone) is None
        assert len(cache) == 2


def test_gdsf_keeps_what_saves_the_most_for_its_bytes() -> None:
    cache = VectorCache(2, capacity=3, policy="gdsf")
    cache.put("dear", [1, 0], cost=1000.0)
    cache.put("cheap", [1, 0], cost=1.0)
    cache.put("large", [1, 0], b"x" * 100_000, cost=1000.0)
    cache.put("new", [1, 0], cost=500.0)
    assert [cache.get(key) is not None for key in ("dear", "cheap", "large", "new")] == [True, False, True, True]
    cache.put("newer", [1, 0], cost=500.0)
    assert [cache.get(key) is not None for key in ("dear", "large", "new", "newer")] == [True, False, True, True]


def test_s3fifo_a_scan_does_not_push_out_what_is_used() -> None:
    kept = {}
    for policy in ("lru", "s3fifo"):
        cache = VectorCache(2, capacity=100, policy=policy)
        for _ in range(3):
            for i in range(50):
                if cache.get(f"used{i}") is None:
                    cache.put(f"used{i}", [1, 0])
        for i in range(1000):
            cache.put(f"scan{i}", [1, 0])
        kept[policy] = sum(cache.get(f"used{i}") is not None for i in range(50))
    assert kept["lru"] == 0
    assert kept["s3fifo"] == 50


def test_pinned_entries_stay_and_a_full_cache_of_them_refuses() -> None:
    for policy in POLICIES:
        cache = VectorCache(2, capacity=2, policy=policy)
        cache.put("a", [1, 0], pinned=True)
        for i in range(10):
            cache.put(f"x{i}", [0, 1])
        assert cache.get("a") is not None
        cache.put("b", [1, 0], "first", pinned=True)
        with pytest.raises(CacheError, match="2 entries are pinned and capacity is 2"):
            cache.put("c", [1, 0])
        cache.put("b", [1, 0], "second", pinned=True)
        assert cache.get("b").value == "second"  # type: ignore[union-attr]
        assert cache.stats()["pinned"] == 2
        cache.put("b", [1, 0])  # unpins
        cache.put("c", [1, 0])
        assert [cache.get(key) is not None for key in "abc"] == [True, False, True]


def test_pinned_bytes_over_the_limit_refuse_and_change_nothing() -> None:
    for policy in POLICIES:
        cache = VectorCache(2, max_bytes=20_000, policy=policy)
        cache.put("pin", [1, 0], b"x" * 12_000, pinned=True)
        cache.put("other", [0, 1], b"y")
        before = cache.stats(), cache.memory()
        for size in (8_000, 20_000, 10**7):
            with pytest.raises(CacheError, match=r"max_bytes is 20000 .* needs max_bytes from [0-9]+ on: .* unpin"):
                cache.put("large", [1, 0], b"z" * size)
            with pytest.raises(CacheError, match="pinned entries take 1"):
                cache.put("other", [1, 0], b"z" * size)
        assert (cache.stats(), cache.memory()) == before
        assert cache.get("other").value == b"y"  # type: ignore[union-attr]
        assert [hit.key for hit in cache.search([0, 1])] == ["other", "pin"]


def test_time_to_live_ends_whatever_the_hits_and_pins() -> None:
    clock = Clock()
    cache = VectorCache(2, capacity=10, time_to_live_s=10, clock=clock)
    cache.put("a", [1, 0])
    cache.put("brief", [1, 0], time_to_live_s=0.5)
    cache.put("pin", [0, 1], pinned=True)
    assert cache.get("a").expires_in_s == 10  # type: ignore[union-attr]
    clock.now = 0.5
    assert cache.get("brief") is None
    for clock.now in (3.0, 6.0, 9.75):
        assert cache.get("a").expires_in_s == 10 - clock.now  # type: ignore[union-attr]
        assert cache.lookup([1, 0], 0.9).key == "a"  # type: ignore[union-attr]
    cache.put("late", [1, 1])
    clock.now = 10.0
    assert cache.get("a") is None
    assert cache.get("pin") is None
    assert cache.lookup([1, 0], 0.9) is None
    assert len(cache) == 1
    assert [hit.key for hit in cache.search([1, 0])] == ["late"]
    assert cache.stats()["expiries"] == 3


def test_time_to_live_without_a_clock_is_real_time() -> None:
    cache = VectorCache(2, capacity=10)
    cache.put("a", [1, 0], time_to_live_s=1000)
    cache.put("gone", [1, 0], time_to_live_s=1e-9)
    assert 990 < cache.get("a").expires_in_s <= 1000  # type: ignore[operator, union-attr]
    assert cache.get("gone") is None


def test_clock_that_fails_passes_its_error_through() -> None:
    def broken() -> float:
        raise KeyError

    cache = VectorCache(2, capacity=10, clock=broken)
    with pytest.raises(KeyError):
        cache.put("a", [1, 0])
    bad: Any
    for bad in (-1.0, math.nan, math.inf, "now", None, True):
        cache = VectorCache(2, capacity=10, clock=itertools.repeat(bad).__next__)
        with pytest.raises(CacheError, match="what clock returns"):
            cache.get("a")


def test_clock_may_use_the_cache() -> None:
    cache: VectorCache

    def clock() -> float:
        return inner.stats()["puts"]

    inner = VectorCache(2, capacity=1)
    cache = VectorCache(2, capacity=1, clock=clock, time_to_live_s=1)
    cache.put("a", [1, 0])
    inner.put("a", [1, 0])
    assert cache.get("a") is None


def test_stats_count_what_happened() -> None:
    cache = VectorCache(2, capacity=2)
    cache.put("a", [1, 0], cost=12.5)
    cache.put("b", [0, 1], cost=3)
    cache.put("c", [1, 1])
    cache.get("a")
    cache.get("b")
    cache.get("c")
    cache.lookup([0, 1], 0.9)
    cache.lookup([0, -1], 0.9)
    cache.search([0, 1])
    stats = cache.stats()
    assert stats.pop("bytes") == cache.memory()["total"] > 0
    assert stats == {
        "hits_exact": 2,
        "hits_semantic": 1,
        "refused": 0,
        "misses": 2,
        "puts": 3,
        "evictions": 1,
        "expiries": 0,
        "tokens_saved": 3 + 1 + 3,
        "rows": 2,
        "pinned": 0,
        "spaces": 1,
    }


def test_memory_parts_add_up_and_never_pass_the_limit() -> None:
    draw = random.Random(5)  # noqa: S311  no secrets here
    for policy in POLICIES:
        cache = VectorCache(8, max_bytes=50_000, policy=policy)
        for vector in rows(2000, 8):
            tenant = str(draw.randrange(5))
            cache.put(str(draw.randrange(500)), vector, b"v" * draw.randrange(2000), tenant=tenant)
            memory = cache.memory()
            assert memory["total"] == sum(memory[part] for part in memory if part not in {"total", "viewed"}) <= 50_000
        assert memory["total"] > 40_000
        assert memory["values"] > memory["rows"] > 0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_memory_of_churn_stays_the_same() -> None:
    for policy in POLICIES:
        cache = VectorCache(8, capacity=500, policy=policy, time_to_live_s=1000)
        vectors = rows(97, 8)
        seen = []
        for i in range(100_000):
            cache.put(f"key{i * 7919 % 5000:05d}", vectors[i % 97], b"value")
            cache.get(f"key{i * 104_729 % 5000:05d}")
            if i >= 20_000 and i % 100 == 0:
                seen.append(cache.memory()["total"])
        assert min(seen) == max(seen)


def test_view_of_an_evicted_entry_stays_as_it_was() -> None:
    cache = VectorCache(4, capacity=1)
    cache.put("a", [1, 2, 2, 0], "value")
    entry = cache.get("a")
    assert entry is not None
    view = entry.vector
    assert cache.memory()["viewed"] == 0
    for i in range(100):
        cache.put(str(i), [0, 0, 0, 1], tenant=str(i))
    assert view.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 0])
    assert (entry.key, entry.value) == ("a", "value")
    assert cache.memory()["viewed"] > 0
    del entry
    assert cache.memory()["viewed"] > 0
    del cache
    gc.collect()
    assert view.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 0])
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True


def test_view_let_go_is_no_longer_counted() -> None:
    cache = VectorCache(4, capacity=1)
    cache.put("a", [1, 2, 2, 0])
    held: list[object] = [cache.get("a"), cache.search([1, 2, 2, 0])]
    cache.put("b", [1, 0, 0, 0])
    assert cache.memory()["viewed"] > 0
    held.clear()
    assert cache.memory()["viewed"] == 0


def test_put_copies_the_callers_array() -> None:
    cache = VectorCache(2, capacity=2)
    vector = np.array([1, 0], np.float32)
    cache.put("a", vector)
    vector[:] = [0, 1]
    assert cache.get("a").vector.tolist() == [1, 0]  # type: ignore[union-attr]


def test_costs_beyond_all_measure_do_no_harm() -> None:
    cache = VectorCache(2, capacity=3, policy="gdsf")
    for i in range(20):
        cache.put(str(i), [1, 0], cost=1.7e308)
        cache.get(str(i))
    assert len(cache) == 3
    assert cache.get("19") is not None


def test_cache_in_a_cycle_with_its_clock_is_collected() -> None:
    class Owner:
        cache: VectorCache

        def now(self) -> float:
            return 0.0

    owner = Owner()
    owner.cache = VectorCache(2, capacity=2, clock=owner.now)
    owner.cache.put("a", [1, 0])
    seen = weakref.ref(owner)
    del owner
    gc.collect()
    assert seen() is None


def test_float32_in_and_out_by_key_loads_no_numpy() -> None:
    code = (
        "import array, sys, rolecore; c = rolecore.VectorCache(2, capacity=2); v = array.array('f', [1, 0]);"
        "c.put('a', v, 'x'); assert c.get('a').value == c.lookup(v, 0.9).value == 'x';"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_repr_shows_keys_and_scores() -> None:
    cache = cache_of(a=[1, 0])
    assert repr(cache) == "VectorCache(dim=2, rows=1)"
    assert repr(cache.get("a")) == "Entry(key='a')"
    assert repr(cache.search([1, 0])) == "[Hit(key='a', score=1.0)]"
    assert rolecore.Hit is type(cache.search([1, 0])[0])
    assert rolecore.Entry is type(cache.get("a"))
