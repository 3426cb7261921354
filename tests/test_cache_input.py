"""VectorCache: the rows of numbers it takes, and every bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rolecore import CacheError, VectorCache


def cache_of_one() -> VectorCache:
    cache = VectorCache(2, capacity=100)
    cache.put("a", [1, 0], "value of a")
    return cache


def readonly(vector: Any) -> Any:
    vector.flags.writeable = False
    return vector


@pytest.mark.parametrize(
    "vector",
    [
        [3, 4],
        (3.0, 4.0),
        np.array([3, 4]),
        np.array([3, 4], np.float64),
        np.array([3, 4], np.float16),
        np.array([3, 4], np.uint8),
        np.array([3, 4], ">f4"),
        np.array([3, 4], np.float32),
        np.array([3, 9, 4, 9], np.float32)[::2],
        np.array([4, 3], np.float32)[::-1],
        np.array([[3, 9], [4, 9]], np.float32)[:, 0],
        readonly(np.array([3, 4], np.float32)),
        np.array([3, 4], np.float32).data,
        np.frombuffer(b"x" + np.array([3, 4], np.float32).tobytes(), np.float32, offset=1),
    ],
    ids=repr,
)
def test_put_takes_any_row_of_numbers(vector: Any) -> None:
    cache = VectorCache(2, capacity=2)
    cache.put("a", vector)
    assert cache.get("a").vector.tolist() == pytest.approx([0.6, 0.8])  # type: ignore[union-attr]
    assert cache.lookup(vector, 0.999) is not None
    assert len(cache.search(vector)) == 1


@pytest.mark.parametrize(
    ("vector", "match"),
    [
        ([math.nan, 1], "number 0 of the vector is NaN or infinite"),
        ([1, math.inf], "number 1 of the vector is NaN or infinite"),
        ([0, 0], "all zeros"),
        ([0.0, -0.0], "all zeros"),
        ([], r"vector has 0 numbers; it must be float32, shape \(2,\)"),
        ([1], "vector has 1 numbers"),
        ([1, 2, 3], "vector has 3 numbers"),
        (np.ones(3, np.float32), "vector has 3 numbers"),
        ([[1, 2]], r"vector has shape \(1, 2\)"),
        (np.ones((1, 2), np.float32), r"vector has shape \(1, 2\)"),
        (np.float32(1), r"vector has shape \(\)"),
        ([[1], [2, 3]], "vector is of type list and no array of numbers"),
        ([True, False], "dtype bool"),
        ([1j, 2], "dtype complex128"),
        (["1", "2"], "dtype str"),
        ([None, None], "dtype object"),
        ([10**400, 1], "dtype object"),
        (None, "vector is None"),
        ("ab", "vector is of type str"),
        (b"12345678", "vector is of type bytes"),
        ({1: 2}, "vector is of type dict"),
        ([1e300, 1], "vector is of type list and no array of numbers"),  # the overflow is a warning, which tests raise
    ],
    ids=repr,
)
def test_vector_that_is_none_is_refused_and_changes_nothing(vector: Any, match: str) -> None:
    cache = cache_of_one()
    before = cache.stats()
    with pytest.raises(CacheError, match=match):
        cache.put("a", vector, "other")
    with pytest.raises(CacheError, match=match):
        cache.lookup(vector, 0.9)
    with pytest.raises(CacheError, match=match):
        cache.search(vector)
    assert cache.stats() == before
    assert cache.get("a").value == "value of a"  # type: ignore[union-attr]


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e20, 1e30])
def test_put_vector_of_any_scale_is_stored_at_unit_length(scale: float) -> None:
    cache = VectorCache(2, capacity=2)
    cache.put("a", [3 * scale, 4 * scale])
    assert cache.get("a").vector.tolist() == pytest.approx([0.6, 0.8])  # type: ignore[union-attr]
    assert cache.lookup([scale, scale], 0.9).score == pytest.approx(1.4 / math.sqrt(2))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"dim": -5}, "dim is -5"),
        ({"dim": 65_537}, "dim is 65537; it must be an int from 1 to 65536"),
        ({"dim": 2**64 - 1}, "dim is 18446744073709551615; it must be an int from 1 to 65536"),
        ({"dim": 2**70}, r"dim is 2\*\*64 or more; it must be an int from 1 to 65536"),
        ({"dim": 10**400}, r"dim is 2\*\*64 or more; it must be an int from 1 to 65536"),
        ({"dim": 2.0}, "dim is of type float"),
        ({"dim": "2"}, "dim is of type str"),
        ({"dim": True}, "dim is of type bool"),
        ({"capacity": None}, "neither capacity nor max_bytes is given"),
        ({"capacity": 0}, "capacity is 0"),
        ({"capacity": -1}, "capacity is -1"),
        ({"capacity": 1.5}, "capacity is of type float"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"max_bytes": -(10**30)}, r"max_bytes is below -2\*\*63"),
        ({"max_bytes": "1GB"}, "max_bytes is of type str"),
        ({"time_to_live_s": 0}, "time_to_live_s is 0"),
        ({"time_to_live_s": -1.5}, "time_to_live_s is -1.5"),
        ({"time_to_live_s": math.nan}, "time_to_live_s is NaN"),
        ({"time_to_live_s": math.inf}, "time_to_live_s is inf"),
        ({"time_to_live_s": "60"}, "time_to_live_s is of type str"),
        ({"time_to_live_s": 10**400}, "time_to_live_s is too large"),
        ({"policy": "lfu"}, 'policy is "lfu"; it must be "lru" or "s3fifo" or "gdsf"'),
        ({"policy": None}, "policy is None"),
        ({"metric": "l2"}, 'metric is "l2"; it must be "cosine"'),
        ({"clock": 5}, "clock is of type int"),
    ],
    ids=repr,
)
def test_constructor_bad_option_is_a_cache_error(options: dict[str, Any], match: str) -> None:
    with pytest.raises(CacheError, match=match):
        VectorCache(**{"dim": 2, "capacity": 10, **options})


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda c: c.put(5, [1, 0]), "key is of type int"),
        (lambda c: c.put(b"a", [1, 0]), "key is of type bytes"),
        (lambda c: c.put("a", [1, 0], 5), "value is of type int; it must be bytes, a str or None"),
        (lambda c: c.put("a", [1, 0], bytearray(b"x")), "value is of type bytearray"),
        (lambda c: c.put("a", [1, 0], tenant=5), "tenant is of type int"),
        (lambda c: c.put("a", [1, 0], model_id=b""), "model_id is of type bytes"),
        (lambda c: c.put("a", [1, 0], pinned=1), "pinned is of type int"),
        (lambda c: c.put("a", [1, 0], time_to_live_s=0.0), "time_to_live_s is 0"),
        (lambda c: c.put("a", [1, 0], cost=-1), "cost is -1"),
        (lambda c: c.put("a", [1, 0], cost=math.nan), "cost is NaN"),
        (lambda c: c.put("a", [1, 0], cost=math.inf), "cost is inf"),
        (lambda c: c.put("a", [1, 0], cost=True), "cost is of type bool"),
        (lambda c: c.get(None), "key is None"),
        (lambda c: c.get("a", tenant=5), "tenant is of type int"),
        (lambda c: c.remove(5), "key is of type int"),
        (lambda c: c.lookup([1, 0], 1.0001), r"threshold is 1.0001; it must be a float from -1 to 1"),
        (lambda c: c.lookup([1, 0], -2), "threshold is -2"),
        (lambda c: c.lookup([1, 0], 1e308), "threshold is 1e308; it must be a float from -1 to 1"),
        (lambda c: c.put("a", [1, 0], cost=-1e300), "cost is -1e300; it must be a finite float from 0"),
        (lambda c: c.lookup([1, 0], math.nan), "threshold is NaN"),
        (lambda c: c.lookup([1, 0], True), "threshold is of type bool"),  # noqa: FBT003
        (lambda c: c.lookup([1, 0], "0.9"), "threshold is of type str"),
        (lambda c: c.search([1, 0], 0), "top_k is 0"),
        (lambda c: c.search([1, 0], -3), "top_k is -3"),
        (lambda c: c.search([1, 0], 2.0), "top_k is of type float"),
        (lambda c: c.search([1, 0], True), "top_k is of type bool"),  # noqa: FBT003
        (lambda c: c.search([1, 0], tenant=None), "tenant is None"),
    ],
)
def test_bad_argument_is_a_cache_error_and_changes_nothing(call: Any, match: str) -> None:
    cache = cache_of_one()
    before = cache.stats()
    with pytest.raises(CacheError, match=match):
        call(cache)
    assert cache.stats() == before
