"""Question: how many times as fast is an exact search of a VectorCache as faiss-cpu's exact IndexFlatIP?

Input: 30,000 real rows (vectors.py; `--texts` names a folder with recorded talk) and 200 other sentences as queries;
Gaussian rows, half of whose queries hit. Checked and timed by against_faiss.py. A row's name ends with what it must
reach and what it aims for. Data on which sketches rule out little: bench_cache_hostile.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from against_faiss import compare, pairs, pass_of, reaches
from vectors import N_REAL_QUERIES, N_REAL_ROWS, Search, filled, gaussian_search, sentences

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Interleaved

    # What a ratio must reach, and what it aims for.
    Bars = tuple[float, float]


@pytest.fixture(scope="module")
def real(texts_folder: Path | None) -> Search:
    """Return real rows and queries."""
    pytest.importorskip("tokenizers")
    from static_embedder import StaticEmbedder

    said = sentences(texts_folder, N_REAL_ROWS + N_REAL_QUERIES)
    assert len(said) == N_REAL_ROWS + N_REAL_QUERIES, f"{len(said)} sentences; give a folder with more"
    rows = StaticEmbedder().embed(said)
    return Search(rows[N_REAL_QUERIES:], rows[:N_REAL_QUERIES])


def compare_real(
    interleaved: Interleaved, real: Search, folder: Path | None, bars: Bars, threshold: float | None
) -> None:
    """Compare on real rows; the bars are for talk, of which more can be ruled out than of one book's clauses."""
    must, aim = bars
    what = "search 1" if threshold is None else f"lookup {threshold}"
    rows = f"30k x 256 talk : IndexFlatIP ({must}; {aim})" if folder else "30k x 256 prose : IndexFlatIP"
    assert reaches(must if folder else 1, compare(interleaved, f"{what}/{rows}", real, threshold=threshold))


@pytest.mark.parametrize(("threshold", "bars"), [(0.9, (17, 40)), (0.8, (12, 25))])
def test_lookup_in_real_rows(
    interleaved: Interleaved, real: Search, texts_folder: Path | None, threshold: float, bars: Bars
) -> None:
    compare_real(interleaved, real, texts_folder, bars, threshold)


def test_nearest_of_real_rows(interleaved: Interleaved, real: Search, texts_folder: Path | None) -> None:
    compare_real(interleaved, real, texts_folder, (6, 12), None)


@pytest.mark.parametrize(
    ("n", "dim", "bars"),
    [(1000, 384, (6, 12)), (10_000, 384, (25, 40)), (100_000, 384, (25, 40)), (100_000, 768, (18, 30))],
)
def test_lookup_in_gaussian_rows(interleaved: Interleaved, n: int, dim: int, bars: Bars) -> None:
    must, aim = bars
    # Fewer queries where FAISS takes long for one.
    search = gaussian_search(n, dim, n_queries=max(20, min(200, 1_000_000 // n)))
    name = f"lookup 0.9/{n // 1000}k x {dim} : IndexFlatIP ({must}; {aim})"
    assert reaches(must, compare(interleaved, name, search, threshold=0.9))


def test_eight_nearest_of_gaussian_rows(interleaved: Interleaved) -> None:
    search = gaussian_search(10_000, 384, 100)
    assert reaches(5, compare(interleaved, "search 8/10k x 384 : IndexFlatIP (5; 8)", search, top_k=8))


def test_same_lookup_against_itself(interleaved: Interleaved) -> None:
    search = gaussian_search(10_000, 384, 100)
    run = pass_of(filled(search.rows), search, 1, 0.9)
    interleaved.add("A/A lookup 0.9/10k x 384", pairs(run, run, len(search.queries)))
