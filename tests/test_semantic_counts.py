"""SemanticCache and CachedEmbedder: what the VectorCache below counts, what hits save, and who keeps whose answer."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import numpy as np

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ANGLES = {"one": 0.0, "near one": 0.1, "also near": 0.2, "far": 2.0}


class Embedder:
    dim = 2
    model_id = "plane"

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self.meanwhile = meanwhile

    def embed(self, texts: Sequence[str], /) -> Any:
        self.meanwhile()
        return np.array([[math.cos(ANGLES[text]), math.sin(ANGLES[text])] for text in texts], np.float32)


def counted(vectors: rolecore.VectorCache, ask: Callable[[], object]) -> dict[str, float]:
    """What a call adds to the counts."""
    before = vectors.stats()
    ask()
    after = vectors.stats()
    names = ("hits_exact", "hits_semantic", "refused", "misses", "tokens_saved")
    return {name: after[name] - before[name] for name in names if after[name] != before[name]}


def test_each_stage_is_counted_once_by_its_own_name() -> None:
    vectors = rolecore.VectorCache(2, capacity=10)
    answers = rolecore.SemanticCache(Embedder(), vectors, gate=lambda text, cached: "also" not in text + cached)
    answers.put("one", "1", cost=40)
    assert counted(vectors, lambda: answers.get("one")) == {"hits_exact": 1, "tokens_saved": 40}
    assert counted(vectors, lambda: answers.get("near one")) == {"misses": 1, "hits_semantic": 1, "tokens_saved": 40}
    assert counted(vectors, lambda: answers.get("also near")) == {"misses": 1, "refused": 1}
    assert counted(vectors, lambda: answers.get("far")) == {"misses": 2}


def test_hit_behind_one_that_is_refused_is_a_semantic_hit_alone() -> None:
    vectors = rolecore.VectorCache(2, capacity=10)
    answers = rolecore.SemanticCache(Embedder(), vectors, gate=lambda _, cached: cached != "near one")
    answers.put("near one", "no", cost=7)
    answers.put("one", "yes", cost=40)
    assert counted(vectors, lambda: answers.get("also near")) == {"misses": 1, "hits_semantic": 1, "tokens_saved": 40}


def test_what_the_gate_refuses_is_not_used() -> None:
    for is_refused, gone in ((True, "one"), (False, "far")):
        vectors = rolecore.VectorCache(2, capacity=2)
        answers = rolecore.SemanticCache(Embedder(), vectors, gate=lambda *_, no=is_refused: not no)
        answers.put("one", "1")
        answers.put("far", "2")
        answers.get("near one")
        vectors.put("new", [0, -1], model_id="plane")
        assert vectors.get(gone, model_id="plane") is None


def test_near_rows_without_an_answer_are_a_miss() -> None:
    vectors = rolecore.VectorCache(2, capacity=10)
    answers = rolecore.SemanticCache(Embedder(), vectors)
    rolecore.CachedEmbedder(Embedder(), vectors).embed(["one"])
    assert counted(vectors, lambda: answers.get("near one")) == {"misses": 2}


def test_cost_of_an_answer_is_what_its_hits_save() -> None:
    vectors = rolecore.VectorCache(2, capacity=2, policy="gdsf")
    answers = rolecore.SemanticCache(Embedder(), vectors, gate=lambda *_: False)
    assert answers.get_or_compute_in_thread("one", lambda: "1", cost=500) == "1"
    assert asyncio.run(answers.get_or_compute("far", lambda: "2", cost=3.5)) == "2"
    assert counted(vectors, lambda: answers.get("one")) == {"hits_exact": 1, "tokens_saved": 500}
    assert counted(vectors, lambda: answers.get("far")) == {"hits_exact": 1, "tokens_saved": 3.5}
    answers.put("near one", "3", cost=400)
    assert [answers.get(text) for text in ("one", "near one", "far")] == ["1", "3", None]


def test_vector_that_is_put_late_leaves_the_answer_that_came_meanwhile() -> None:
    vectors = rolecore.VectorCache(2, capacity=10)
    answers = rolecore.SemanticCache(Embedder(), vectors)
    remembers = rolecore.CachedEmbedder(Embedder(meanwhile=lambda: answers.put("one", "1")), vectors)
    remembers.embed(["one"])
    assert answers.get("one") == "1"
    vectors.clear()
    remembers.embed_summary("one")
    assert answers.get("one") == "1"


def test_vector_that_two_embed_at_once_is_put_once() -> None:
    vectors = rolecore.VectorCache(2, capacity=10)
    other = rolecore.CachedEmbedder(Embedder(), vectors)
    rows = rolecore.CachedEmbedder(Embedder(meanwhile=lambda: other.embed(["one"])), vectors).embed(["one"])
    assert vectors.stats()["puts"] == 1
    assert rows.tolist() == [[1.0, 0.0]]
