"""The FAISS index against brute force: keys, hidden rows, training, and what it refuses."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rolecore

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytest.importorskip("faiss")

DIM = 16


def vectors(n: int, seed: int = 0, dim: int = DIM) -> NDArray[np.float32]:
    """Rows around a few hundred centres, as real ones lie."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(200, dim))
    return (centres[draw.integers(0, 200, n)] + 0.4 * draw.normal(size=(n, dim))).astype(np.float32)


def brute(rows: dict[str, NDArray[np.float32]], query: NDArray[np.float32], top_k: int) -> list[tuple[str, float]]:
    def score(row: NDArray[np.float32]) -> float:
        a, b = row.astype(np.float64), query.astype(np.float64)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return sorted(((key, score(row)) for key, row in rows.items()), key=lambda pair: -pair[1])[:top_k]


def check(index: rolecore.FaissIndex, rows: dict[str, NDArray[np.float32]], query: NDArray[np.float32], k: int) -> None:
    found = index.search(query, k)
    expected = brute(rows, query, k)
    assert [match.score for match in found] == pytest.approx([score for _, score in expected], abs=1e-5)
    for match in found:
        assert match.score == pytest.approx(dict(brute(rows, query, len(rows)))[match.key], abs=1e-5)


def test_faiss_index_is_a_vector_index() -> None:
    def first(index: rolecore.VectorIndex) -> str:
        index.put("a", [1.0, 0.0])
        index.put("b", [0.0, 2.0])
        near = index.lookup([1.0, 9.0], 0.9)
        assert near is not None
        assert [match.key for match in index.search([9.0, 1.0], 1)] == ["a"]
        assert index.remove("a")
        return near.key

    assert first(rolecore.FaissIndex(2)) == "b"


KEYS = st.sampled_from("abcde")
STEPS = st.lists(st.tuples(st.sampled_from(["put", "remove"]), KEYS, st.integers(0, 30)), max_size=30)


@settings(max_examples=60)
@given(steps=STEPS, k=st.integers(1, 9), query=st.integers(0, 30))
@pytest.mark.parametrize("factory", ["Flat", "HNSW8"])
def test_puts_and_removes_leave_what_brute_force_finds(
    factory: str, steps: list[tuple[str, str, int]], k: int, query: int
) -> None:
    pool = vectors(31, seed=3)
    index = rolecore.FaissIndex(DIM, factory=factory)
    rows: dict[str, NDArray[np.float32]] = {}
    for step, key, number in steps:
        if step == "put":
            index.put(key, pool[number])
            rows[key] = pool[number]
        else:
            assert index.remove(key) == (rows.pop(key, None) is not None)
    assert len(index) == len(rows)
    assert index.hidden_rows == sum(step == "put" for step, _, _ in steps) - len(rows)
    check(index, rows, pool[query], k)


@pytest.mark.parametrize("factory", ["HNSW32", "IVF64,Flat"])
def test_search_finds_nearly_all_that_brute_force_finds(factory: str) -> None:
    rows = vectors(5000)
    index = rolecore.FaissIndex(DIM, factory=factory)
    if factory.startswith("IVF"):
        index.train(rows[:4000])
    keys = [f"row {i}" for i in range(len(rows))]
    index.put_many(keys, rows)
    for key in keys[::3]:
        assert index.remove(key)
    left = {key: row for i, (key, row) in enumerate(zip(keys, rows, strict=True)) if i % 3}
    queries = vectors(30, seed=9)
    found = [{match.key for match in index.search(query, 10)} for query in queries]
    expected = [{key for key, _ in brute(left, query, 10)} for query in queries]
    assert all(len(keys) == 10 for keys in found)
    shared = sum(len(a & b) for a, b in zip(found, expected, strict=True))
    assert shared >= 0.95 * 300


def test_search_steps_over_many_hidden_rows() -> None:
    near = np.full(DIM, 1, np.float32)
    index = rolecore.FaissIndex(DIM, factory="Flat")
    index.put_many([f"near {i}" for i in range(500)], near + vectors(500) * 0.01)
    index.put("far", -near)
    for i in range(500):
        index.remove(f"near {i}")
    assert [match.key for match in index.search(near, 3)] == ["far"]
    assert (len(index), index.hidden_rows) == (1, 500)


def test_search_of_ivf_lists_that_hold_less_ends_with_what_they_hold() -> None:
    rows = vectors(3000)
    index = rolecore.FaissIndex(DIM, factory="IVF64,Flat", parameters="nprobe=1")
    index.train(rows)
    index.put_many(map(str, range(3000)), rows)
    assert 0 < len(index.search(rows[0], 3000)) < 3000


def test_put_many_of_a_key_twice_keeps_the_last() -> None:
    index = rolecore.FaissIndex(2)
    index.put_many(["a", "b", "a"], [[1, 0], [1, 1], [0, 1]])
    assert (len(index), index.hidden_rows) == (2, 1)
    assert [match.key for match in index.search([0, 1])] == ["a", "b"]


def test_lookup_returns_the_best_from_the_threshold_on() -> None:
    index = rolecore.FaissIndex(2)
    assert index.lookup([1, 0], -1) is None
    index.put("a", [3, 4])
    found = index.lookup([1, 0], 0.59)
    assert found is not None
    assert found.key == "a"
    assert found.score == pytest.approx(0.6)
    assert index.lookup([1, 0], 0.61) is None


def test_search_of_an_empty_index_finds_nothing() -> None:
    index = rolecore.FaissIndex(2)
    assert index.search([1, 0]) == []
    index.put_many([], np.empty((0, 2)))
    index.put("a", [1, 0])
    assert index.remove("a")
    assert not index.remove("a")
    assert index.search([1, 0]) == []


def test_ivf_before_training_says_to_train() -> None:
    index = rolecore.FaissIndex(DIM, factory="IVF4,Flat")
    with pytest.raises(rolecore.CacheError, match=r"'IVF4,Flat' needs training; call train"):
        index.put("a", vectors(1)[0])
    with pytest.raises(rolecore.CacheError, match="cannot train 'IVF4,Flat' on 2 vectors; give more"):
        index.train(vectors(2))
    index.train(vectors(200))
    index.put("a", vectors(1)[0])
    with pytest.raises(rolecore.CacheError, match="the index holds 1 rows; train it before"):
        index.train(vectors(200))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ([[1.0, 2.0, 3.0]], r"vectors has shape \(1, 3\); it must be numbers, shape \(1, 2\)"),
        ([[1.0, 2.0]] * 2, r"shape \(2, 2\); it must be numbers, shape \(1, 2\)"),
        ([[0.0, 0.0]], "nothing but zeros in row 0"),
        ([[1.0, float("nan")]], "not finite in row 0"),
        ([["x", "y"]], "of dtype str"),
        ([[1.0], [2.0, 3.0]], "no array"),
        (None, "of dtype object"),
        (5.0, r"has shape \(\)"),
    ],
)
def test_put_bad_vectors_raises_and_puts_nothing(given: Any, what: str) -> None:
    index = rolecore.FaissIndex(2)
    with pytest.raises(rolecore.CacheError, match=what):
        index.put_many(["a"], given)
    assert len(index) == 0


def test_put_key_that_is_no_string_raises_and_puts_nothing() -> None:
    index = rolecore.FaissIndex(2)
    with pytest.raises(rolecore.CacheError, match=r"keys\[1\] is of type int; it must be a str"):
        index.put_many(["a", 1], np.eye(2))  # type: ignore[list-item]
    assert len(index) == 0


def test_search_bad_arguments_raise() -> None:
    index = rolecore.FaissIndex(2)
    index.put("a", [1, 0])
    with pytest.raises(rolecore.CacheError, match=r"vector has shape \(1, 3\)"):
        index.search([1, 0, 0])
    with pytest.raises(rolecore.ArgumentError, match="top_k is 0; it must be an int from 1"):
        index.search([1, 0], 0)


def test_vectors_are_read_from_arrays_of_any_layout() -> None:
    rows = vectors(40)
    frozen = rows.copy()
    frozen.flags.writeable = False
    index = rolecore.FaissIndex(DIM, factory="Flat")
    index.put_many(map(str, range(20)), frozen[::2])
    index.put_many(map(str, range(20, 40)), np.asfortranarray(rows[1::2].astype(np.float64)))
    check(index, dict(zip(map(str, range(40)), [*rows[::2], *rows[1::2]], strict=True)), rows[5], 8)


@pytest.mark.parametrize(
    "bad",
    [
        {"dim": 0},
        {"dim": "2"},
        {"factory": "no such"},
        {"factory": ""},
        {"factory": 7},
        {"parameters": "nprobe=3"},
        {"parameters": "no such=1"},
        {"parameters": 7},
    ],
)
def test_index_of_bad_argument_raises_naming_it(bad: dict[str, Any]) -> None:
    with pytest.raises(rolecore.ArgumentError, match=next(iter(bad))):
        rolecore.FaissIndex(**{"dim": 2, **bad})


def test_index_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(rolecore.MissingExtraError, match=r"pip install 'rolecore\[faiss\]'"):
        rolecore.FaissIndex(2)


def test_index_shared_by_threads_keeps_all_keys() -> None:
    rows = vectors(400)
    index = rolecore.FaissIndex(DIM, factory="Flat")

    def work(first: int) -> None:
        for i in range(first, 400, 4):
            index.put(str(i), rows[i])
            assert index.search(rows[i], 1)[0].score == pytest.approx(1, abs=1e-5)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(index) == 400
    assert sorted(match.key for match in index.search(rows[0], 400)) == sorted(map(str, range(400)))


def test_repr_shows_how_full_it_is() -> None:
    index = rolecore.FaissIndex(2)
    index.put("a", [1, 0])
    index.put("a", [0, 1])
    assert repr(index) == "FaissIndex(dim=2, factory='HNSW32', 1 keys, 1 hidden rows)"
