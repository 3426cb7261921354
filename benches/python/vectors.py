"""Unit rows to search, real and made up, with queries that hit and miss, and what a search must find among them.

Real rows: distinct sentences of recorded talk, embedded by static_embedder.py. Made up: Gaussian rows, which have no
structure and so are the hardest to rule out; rows whose spectrum falls and that share a mean, as embeddings do.
"""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from texts import chinese, english

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Rows = NDArray[np.float32]

SEED = 20261125
N_REAL_ROWS = 30_000
N_REAL_QUERIES = 200
SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
CLAUSE = re.compile(r"[^,，；;.!?。！？\n]+[,，；;.!?。！？]*")
# Two sums of the same float64 products, in any order, differ by less.
ROUNDING = 1e-12


class Search(NamedTuple):
    """Rows, and queries of another origin than each other's."""

    rows: Rows
    queries: Rows


def unit(rows: NDArray[Any]) -> Rows:
    """Bring rows to unit length."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)


def turns(value: Any) -> Iterator[str]:
    """Yield what was said in a JSON value: the texts of its turns and messages."""
    if isinstance(value, dict):
        yield from (text for key in ("t", "content", "text") if isinstance(text := value.get(key), str))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from turns(item)


def sentences(folder: Path | None, n: int) -> list[str]:
    """Return `n` distinct sentences, shuffled: of a folder's talk, or of pydoc's reference and a novel.

    Where there are too few, their clauses come in.
    """
    if folder:
        said = [text for path in sorted(folder.glob("*.json")) for text in turns(json.loads(path.read_text("utf-8")))]
    else:
        said = [*english(None), *chinese(None)]
    said = [text for text in said if "{" not in text]
    found: dict[str, None] = {}
    for pattern in (SENTENCE, CLAUSE):
        parts = [part.strip() for text in said for part in pattern.findall(text)]
        found |= dict.fromkeys(part for part in parts if sum(map(str.isalnum, part)) > 1)
        if len(found) >= n:
            break
    shuffled = list(found)
    random.Random(SEED).shuffle(shuffled)  # noqa: S311  no secrets here
    return shuffled[:n]


def gaussian(n: int, dim: int, seed: int = SEED) -> Rows:
    """Return unit rows of no structure."""
    return unit(np.random.default_rng(seed).standard_normal((n, dim), np.float32))


def leaning(n: int, dim: int) -> Rows:
    """Return unit rows with a spectrum of i^-0.7, turned at random, and a common mean: their average cosine is 0.3."""
    noise = np.random.default_rng(SEED)
    spread = noise.standard_normal((n, dim)) * np.arange(1, dim + 1) ** -0.7
    spread /= np.sqrt((spread**2).sum(axis=1).mean())
    turn, _ = np.linalg.qr(noise.standard_normal((dim, dim)))
    mean = np.zeros(dim)
    mean[0] = np.sqrt(0.3 / 0.7)
    return unit((spread + mean) @ turn)


def near(rows: Rows, n: int) -> Rows:
    """Return `n` queries, each with a cosine of 0.90 to 0.98 to one of `rows`."""
    noise = np.random.default_rng(SEED + 1)
    chosen = rows[noise.integers(0, len(rows), n)].astype(np.float64)
    away = noise.standard_normal(chosen.shape)
    away -= (away * chosen).sum(axis=1, keepdims=True) * chosen
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    cosine = noise.uniform(0.90, 0.98, (n, 1))
    return unit(cosine * chosen + np.sqrt(1 - cosine**2) * away)


def half_hits(rows: Rows, fresh: Rows) -> Search:
    """Return a search of `rows` with as many queries as `fresh` has: half of them hits, half of them fresh draws."""
    half = len(fresh) // 2
    queries = np.concatenate([near(rows, half), fresh[half:]])
    return Search(rows, np.ascontiguousarray(queries[np.random.default_rng(SEED + 2).permutation(len(queries))]))


def gaussian_search(n: int, dim: int, n_queries: int) -> Search:
    """Return Gaussian rows, with queries half of which hit."""
    return half_hits(gaussian(n, dim), gaussian(n_queries, dim, SEED + 3))


def filled(rows: Rows) -> rolecore.VectorCache:
    """Return a cache that holds `rows`; each one's key is its number."""
    cache = rolecore.VectorCache(rows.shape[1], capacity=len(rows))
    for i, row in enumerate(rows):
        cache.put(str(i), row)
    return cache


class Truth:
    """What a search must find, by the definition: float64 products over the float32 rows, ties to the oldest."""

    def __init__(self, search: Search) -> None:
        """Compute all scores once."""
        self._queries = search.queries
        wide = search.queries.astype(np.float64)
        steps = range(0, len(search.rows), 10_000)
        parts = [wide @ search.rows[i : i + 10_000].astype(np.float64).T for i in steps]
        self.scores = np.concatenate(parts, axis=1)
        twins: dict[bytes, int] = {}
        self._oldest = [twins.setdefault(row.tobytes(), i) for i, row in enumerate(search.rows)]

    def check(self, found: list[list[tuple[str, float]]], top_k: int, threshold: float = -2.0) -> None:
        """Fail if any answer is wrong: `found` holds the keys and scores of each query, best first."""
        for scores, pairs in zip(self.scores, found, strict=True):
            best = np.sort(np.partition(scores, -top_k)[-top_k:])[::-1]
            expected = best[best >= threshold]
            if abs(best[0] - threshold) > ROUNDING:
                assert len(pairs) == len(expected)
            numbers = [int(key) for key, _ in pairs]
            assert len(set(numbers)) == len(numbers)
            for place, ((_, score), number) in enumerate(zip(pairs, numbers, strict=True)):
                assert abs(score - scores[number]) <= ROUNDING
                assert scores[number] >= best[place] - ROUNDING
                # The oldest of equal rows comes first.
                older = self._oldest[number]
                assert older == number or older in numbers[:place]


def answers(cache: rolecore.VectorCache, queries: Rows, top_k: int) -> list[list[tuple[str, float]]]:
    """Return what `search` finds for each query."""
    return [[(hit.key, hit.score) for hit in cache.search(query, top_k)] for query in queries]


def lookups(cache: rolecore.VectorCache, queries: Rows, threshold: float) -> list[list[tuple[str, float]]]:
    """Return what `lookup` finds for each query: one pair, or none."""
    hits = [cache.lookup(query, threshold) for query in queries]
    return [[(hit.key, hit.score)] if hit else [] for hit in hits]


def each(run: Callable[..., object], queries: list[Any], *more: Any) -> Callable[[], None]:
    """Return a function that runs `run` on each query, one at a time."""

    def all_of_them() -> None:
        for query in queries:
            run(query, *more)

    return all_of_them
