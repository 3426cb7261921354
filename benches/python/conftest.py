"""Fixtures of the benches: interleaved ratios with their own noise beside them, and made-up chats.

Two gates are honest on a shared machine: instruction counts (benches/rust) and ratios measured A B A B (here).
"""

from __future__ import annotations

import json
import random
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from texts import vocabularies

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Ratio:
    """How many times as long the reference takes; the spread is the quartiles of the paired ratios."""

    name: str
    median: float
    low: float
    high: float
    candidate_us: float
    reference_us: float

    def __str__(self) -> str:
        """One row of a table."""
        times = f"{self.candidate_us:12.1f} us against {self.reference_us:12.1f} us"
        return f"{self.name:58} {self.median:9.2f}x  [{self.low:.2f} .. {self.high:.2f}]  {times}"


def cpu_seconds(run: Callable[[], object], calls: int) -> float:
    """CPU seconds of this thread for one of `calls` calls: neighbours count less than on the wall clock."""
    began = time.thread_time()
    for _ in range(calls):
        run()
    return (time.thread_time() - began) / calls


class Interleaved:
    """Measures two callables in turns, A B A B, and keeps the rows for the end of the run."""

    def __init__(self) -> None:
        """Start with no rows."""
        self.rows: list[Ratio] = []

    def __call__(
        self,
        name: str,
        candidate: Callable[[], object],
        reference: Callable[[], object],
        *,
        rounds: int = 15,
        candidate_calls: int = 1,
        reference_calls: int = 1,
    ) -> Ratio:
        """Return the reference's time over the candidate's, median of `rounds` pairs after one warm-up pair."""
        pairs = []
        for _ in range(rounds + 1):
            ours = cpu_seconds(candidate, candidate_calls)
            theirs = cpu_seconds(reference, reference_calls)
            pairs.append((ours, theirs))
        return self.add(name, pairs[1:])

    def add(self, name: str, pairs: Sequence[tuple[float, float]]) -> Ratio:
        """Keep a row of pairs of seconds, ours first, that were measured elsewhere in turns."""
        ratios = [theirs / ours for ours, theirs in pairs]
        low, median, high = statistics.quantiles(ratios, n=4)
        ours, theirs = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
        row = Ratio(name, median, low, high, ours, theirs)
        self.rows.append(row)
        return row

    def same(self, name: str, run: Callable[[], object], *, calls: int = 1, rounds: int = 15) -> Ratio:
        """Measure a callable against itself: what the machine's noise alone makes of a ratio."""
        return self(f"A/A {name}", run, run, rounds=rounds, candidate_calls=calls, reference_calls=calls)


@dataclass(frozen=True)
class Figure:
    """A figure that has no peer, beside the most it may be."""

    name: str
    value: float
    unit: str
    bar: float | None
    note: str

    @property
    def is_met(self) -> bool:
        """Whether the figure is within its bar, as one without a bar is."""
        return self.bar is None or self.value <= self.bar

    def __str__(self) -> str:
        """One row of a table."""
        bar = "" if self.bar is None else f"at most {self.bar:g}{'' if self.is_met else ', MISSED'}"
        return f"{self.name:50} {self.value:9.2f} {self.unit:4} {bar:22} {self.note}".rstrip()


class Figures:
    """Keeps absolute figures for the end of the run."""

    def __init__(self) -> None:
        """Start with no rows."""
        self.rows: list[Figure] = []

    def __call__(self, name: str, value: float, unit: str, *, bar: float | None = None, note: str = "") -> Figure:
        """Keep a figure."""
        figure = Figure(name, value, unit, bar, note)
        self.rows.append(figure)
        return figure


_interleaved = Interleaved()
_figures = Figures()


@pytest.fixture(scope="session")
def interleaved() -> Interleaved:
    """Measure a ratio; see `Interleaved`."""
    return _interleaved


@pytest.fixture(scope="session")
def figures() -> Figures:
    """Keep an absolute figure; see `Figures`."""
    return _figures


@pytest.fixture(scope="session")
def texts_folder(pytestconfig: pytest.Config) -> Path | None:
    """Return the folder that `--texts` names."""
    folder: str = pytestconfig.getoption("--texts")
    return Path(folder).expanduser().resolve() if folder else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--ratios FILE`, `--texts FOLDER` and `--operations N`."""
    parser.addoption("--ratios", help="write the interleaved ratios to this JSON file")
    parser.addoption("--texts", default="", help="a folder of JSON files with recorded talk to count; see texts.py")
    parser.addoption("--operations", default=1_000_000, type=int, help="puts in which a cache's memory must not grow")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print all figures and ratios, and write the ratios where `--ratios` says."""
    if _figures.rows:
        terminalreporter.section("figures")
        for figure in _figures.rows:
            terminalreporter.write_line(str(figure))
    if _interleaved.rows:
        terminalreporter.section("interleaved ratios (median, quartiles, CPU time)")
        for row in _interleaved.rows:
            terminalreporter.write_line(str(row))
    if path := config.getoption("--ratios"):
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123  a plain path from the command line
            json.dump([asdict(row) for row in _interleaved.rows], file, indent=1)


class Writer:
    """Makes up English-like text: words by Zipf's law, sentences of about twelve words. The seed is fixed."""

    def __init__(self, seed: int = 1) -> None:
        """Draw the vocabulary."""
        self.random = random.Random(seed)  # noqa: S311  no secrets here
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        weights = range(len(letters), 0, -1)
        lengths = [self.random.randint(2, 9) for _ in range(8000)]
        self.words = ["".join(self.random.choices(letters, weights, k=length)) for length in lengths]
        self.weights = [1 / (rank + 1) for rank in range(len(self.words))]

    def text(self, n_bytes: int) -> str:
        """Return a text of exactly `n_bytes` ASCII characters."""
        text = ""
        while len(text) < n_bytes:
            text += " ".join(self.random.choices(self.words, self.weights, k=12)).capitalize() + ". "
        return text[:n_bytes]

    def chat(self, n_turns: int, n_bytes: int = 150) -> list[dict[str, Any]]:
        """Return a system message and `n_turns` messages of users and assistants in turn."""
        roles = ("user", "assistant")
        turns = [{"role": roles[i % 2], "content": self.text(n_bytes)} for i in range(n_turns)]
        return [{"role": "system", "content": "Be brief."}, *turns]


@pytest.fixture
def writer() -> Writer:
    """Make up text."""
    return Writer()


@pytest.fixture(scope="session")
def vocabulary_folder() -> Path:
    """Return the folder of a PyPI package that holds tiktoken's vocabularies, so that tiktoken needs no network."""
    if not vocabularies().is_dir():
        pytest.skip("needs the peers: make bench")
    return vocabularies()
