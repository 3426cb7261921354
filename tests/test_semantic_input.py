"""SemanticCache and CachedEmbedder: every bad argument, text, gate, function and embedder is an error that says so."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rolecore
from rolecore import ArgumentError, CacheError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence


class Embedder:
    dim = 2
    model_id = "plane"

    def __init__(self, embed: Callable[[Sequence[str]], Any] = lambda texts: np.ones((len(texts), 2))) -> None:
        self.embed = embed


class AsyncEmbedder:
    dim = 2
    model_id = "plane"

    async def embed(self, _texts: Sequence[str], /) -> Any:
        raise NotImplementedError


async def answer() -> str:
    return "an answer"


async def pieces() -> AsyncIterator[str]:
    yield "an answer"


def store(dim: int = 2) -> rolecore.VectorCache:
    return rolecore.VectorCache(dim, capacity=9)


def made(**options: Any) -> object:
    return rolecore.SemanticCache(**{"embedder": Embedder(), "cache": store(), **options})


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"threshold": True}, "threshold is of type bool; it must be a cosine, -1 to 1"),
        ({"threshold": None}, "threshold is of type NoneType"),
        ({"threshold": np.float32(0.9)}, "threshold is of type float32"),
        ({"threshold": -1.5}, "threshold is -1.5"),
        ({"threshold": 1e308}, r"threshold is 1e\+308"),
        ({"threshold": 10**400}, "threshold is of more than 64 bits"),
        ({"gate": answer}, "gate is a coroutine function; it must be callable as gate"),
        ({"embedder": rolecore.HashingEmbedder}, "embedder is of type type"),
        ({"embedder": AsyncEmbedder()}, "embedder.embed is a coroutine function; it must return the rows"),
        ({"embedder": None}, "embedder is of type NoneType"),
        ({"cache": rolecore.VectorCache}, "cache is of type type"),
    ],
    ids=repr,
)
def test_maker_with_a_bad_option_raises(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        made(**options)


ROWS: list[tuple[Callable[[Sequence[str]], Any], str]] = [
    (lambda _: np.full((1, 2), math.nan), "a number that is not finite in row 0"),
    (lambda _: np.zeros((1, 2)), "nothing but zeros in row 0"),
    (lambda _: np.ones((0, 2)), r"has shape \(0, 2\); it must be numbers, shape \(1, 2\)"),
    (lambda _: np.ones((2, 2)), r"has shape \(2, 2\)"),
    (lambda _: np.ones((1, 3)), r"has shape \(1, 3\); it must be numbers, shape \(1, 2\)"),
    (lambda _: np.ones(2), r"has shape \(2,\)"),
    (lambda _: [[1, 0], [1]], "is no array, as with rows of different lengths"),
    (lambda _: None, "is of dtype object; it must be numbers"),
    (lambda _: [["1", "0"]], "is of dtype str"),
    (lambda _: answer(), "is of dtype object"),
]


@pytest.mark.parametrize(("embed", "match"), ROWS)
def test_rows_that_are_none_raise_and_nothing_is_kept(embed: Callable[[Sequence[str]], Any], match: str) -> None:
    vectors = store()
    answers = rolecore.SemanticCache(Embedder(embed), vectors)
    remembers = rolecore.CachedEmbedder(Embedder(embed), vectors)
    calls: list[Callable[[], object]] = [
        lambda: answers.get("a"),
        lambda: answers.put("a", "b"),
        lambda: answers.get_or_compute_in_thread("a", pytest.fail),
        lambda: asyncio.run(answers.get_or_compute("a", pytest.fail)),
        lambda: remembers.embed(["a"]),
        lambda: remembers.embed_summary("a"),
    ]
    for call in calls:
        with pytest.raises(ArgumentError, match=f"embedder.embed's result .*{match}"):
            call()
    assert (len(vectors), answers._flights) == (0, {})


def test_rows_of_any_length_are_brought_to_unit_length() -> None:
    for length in (1e-300, 0.5, 7, 1e300):
        vectors = store()
        rows = [[0.6 * length, 0.8 * length]]
        embedder = Embedder(lambda _, rows=rows: rows)  # type: ignore[misc]
        assert rolecore.CachedEmbedder(embedder, vectors).embed(["a"])[0].tolist() == pytest.approx([0.6, 0.8])
        assert vectors.get("a", model_id="plane").vector.tolist() == pytest.approx([0.6, 0.8])  # type: ignore[union-attr]


def test_cache_of_another_dim_raises_and_keeps_nothing() -> None:
    vectors = store(3)
    answers = rolecore.SemanticCache(Embedder(), vectors)
    calls: list[Callable[[], object]] = [
        lambda: answers.get("a"),
        lambda: answers.put("a", "b"),
        lambda: answers.get_or_compute_in_thread("a", pytest.fail),
        lambda: rolecore.CachedEmbedder(Embedder(), vectors).embed(["a"]),
    ]
    for call in calls:
        with pytest.raises(CacheError, match=r"vector has 2 numbers; it must be float32, shape \(3,\)"):
            call()
    assert (len(vectors), answers._flights) == (0, {})


@pytest.mark.parametrize("cost", [-1, -1e-9, math.nan, math.inf, 10**400, True, None, "1"], ids=repr)
def test_bad_cost_raises_before_anything_runs(cost: Any) -> None:
    answers = rolecore.SemanticCache(Embedder(lambda _: pytest.fail("it was asked")), store())
    calls: list[Callable[[], object]] = [
        lambda: answers.put("a", "b", cost=cost),
        lambda: answers.get_or_compute_in_thread("a", pytest.fail, cost=cost),
        lambda: asyncio.run(answers.get_or_compute("a", pytest.fail, cost=cost)),
    ]
    for call in calls:
        with pytest.raises(ArgumentError, match=r"cost is .*; it must be a finite number from 0"):
            call()


@pytest.mark.parametrize("tenant", [None, 3, b"a", []], ids=repr)
def test_bad_tenant_raises_before_anything_runs(tenant: Any) -> None:
    answers = rolecore.SemanticCache(Embedder(lambda _: pytest.fail("it was asked")), store())
    calls: list[Callable[[], object]] = [
        lambda: answers.get("a", tenant=tenant),
        lambda: answers.put("a", "b", tenant=tenant),
        lambda: answers.get_or_compute_in_thread("a", pytest.fail, tenant=tenant),
        lambda: asyncio.run(answers.get_or_compute("a", pytest.fail, tenant=tenant)),
    ]
    for call in calls:
        with pytest.raises(CacheError, match=r"tenant is .*; it must be a str"):
            call()


def test_function_that_is_none_or_gives_no_string_raises() -> None:
    answers = rolecore.SemanticCache(Embedder(), store())
    fn: Any
    for fn, match in (
        (None, "fn is of type NoneType"),
        ("b", "fn is of type str"),
        (answer(), "fn is of type coroutine"),
    ):
        with pytest.raises(ArgumentError, match=f"{match}; it must be callable without arguments for a str"):
            answers.get_or_compute_in_thread("a", fn)
        with pytest.raises(ArgumentError, match=match):
            asyncio.run(answers.get_or_compute("a", fn))
    with pytest.raises(ArgumentError, match="returned is of type coroutine; it must be a str; get_or_compute awaits"):
        answers.get_or_compute_in_thread("a", answer)  # type: ignore[arg-type]
    for fn in (pieces, lambda: iter("a"), lambda: b"a", lambda: None):
        with pytest.raises(ArgumentError, match=r"what fn returned is of type .*; it must be a str"):
            asyncio.run(answers.get_or_compute("a", fn))
    assert asyncio.run(answers.get_or_compute("a", lambda: "of a plain function")) == "of a plain function"
    assert answers._flights == {}


def test_gate_that_gives_an_awaitable_raises_and_lets_nothing_pass() -> None:
    vectors = store()
    answers = rolecore.SemanticCache(Embedder(), vectors, gate=lambda *_: answer())  # type: ignore[arg-type]
    answers.put("a", "1")
    with pytest.raises(ArgumentError, match="what gate returned is of type coroutine; it must be a bool"):
        answers.get("b")
    assert vectors.stats()["hits_semantic"] == 0


def test_lone_surrogates_are_keys_of_their_own_and_no_embedder_sees_them() -> None:
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> Any:
        asked.extend(texts)
        return np.ones((len(texts), 2))

    answers = rolecore.SemanticCache(Embedder(embed), store(), gate=lambda *_: False)
    answers.put("\ud800", "\udfff of one")
    answers.put("\ud801", "of another")
    assert (answers.get("\ud800"), answers.get("\ud801"), answers.get("\ud802")) == (
        "\udfff of one",
        "of another",
        None,
    )
    assert asked == ["\ufffd"] * 3


def test_text_of_a_million_characters_is_kept_and_found() -> None:
    embedder = rolecore.HashingEmbedder()
    answers = rolecore.SemanticCache(embedder, rolecore.VectorCache(embedder.dim, capacity=9))
    text = "why? " * 200_000
    answers.put(text, text)
    assert answers.explain(f"\n{text}").stage == "exact"
    assert answers.get(text) == text
