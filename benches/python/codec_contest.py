"""Times any number of callables in turns, so that each pair of them can be told as a ratio with its own noise beside it.

A round times each once, in an order drawn anew from a fixed seed: who comes after whom, and whose pages the allocator
has just taken back, is the same for all in the long run. What is told twice, as "protobuf" and "protobuf again",
makes an A/A row, and a bar is held against the faster of the two.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from typing import TYPE_CHECKING

from conftest import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from conftest import Interleaved, Ratio

    Run = Callable[[], object]

ROUNDS = 21
# Of a batch: so long that the clock's own cost and step are not seen in it.
MIN_SECONDS = 0.003
AGAIN = " again"
SEED = 3
# glibc gives a freed block back to the system until a larger one has been freed: then each call pays for its pages anew,
# 100 us a megabyte and more, or does not, by what ran before. After this block no call does, as in a process that has run for a while.
WARM_BYTES = 24_000_000


def calls(run: Run) -> int:
    """How many calls a batch takes, after one of warm-up."""
    run()
    n = 1
    while (seconds := cpu_seconds(run, n)) * n < MIN_SECONDS:
        n = max(2 * n, min(10 * n, int(1.2 * MIN_SECONDS / max(seconds, 1e-9))))
    return n


class Contest:
    """CPU seconds of one call of each runner, a list of rounds each."""

    def __init__(self, runs: dict[str, Run], *, twice: Iterable[str], rounds: int = ROUNDS) -> None:
        """Time `runs` in turns; `twice`: which of them also as another."""
        runs = runs | {name + AGAIN: runs[name] for name in twice}
        bytes(WARM_BYTES)
        batches = {name: calls(run) for name, run in runs.items()}
        self.seconds: dict[str, list[float]] = {name: [] for name in runs}
        order, draw = list(runs), random.Random(SEED)  # noqa: S311  no secrets here
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds):
                draw.shuffle(order)
                for name in order:
                    self.seconds[name].append(cpu_seconds(runs[name], batches[name]))
        finally:
            gc.enable()

    def median_us(self, name: str) -> float:
        """Median microseconds of one call."""
        return statistics.median(self.seconds[name]) * 1e6

    def faster(self, name: str) -> str:
        """Return the one of a name's two runners that took less."""
        return min((n for n in (name, name + AGAIN) if n in self.seconds), key=self.median_us)

    def pairs(self, ours: str, theirs: str) -> list[tuple[float, float]]:
        """Return the seconds of two, round by round."""
        return list(zip(self.seconds[ours], self.seconds[theirs], strict=True))

    def against(self, interleaved: Interleaved, name: str, ours: str, theirs: str) -> Ratio:
        """Keep a row: how many times as long the faster of `theirs` takes."""
        return interleaved.add(name, self.pairs(ours, self.faster(theirs)))

    def above(self, interleaved: Interleaved, name: str, ours: str, floor: str) -> Ratio:
        """Keep a row: how many times as long as the faster of `floor` ours takes."""
        return interleaved.add(name, self.pairs(self.faster(floor), ours))

    def noise(self, interleaved: Interleaved, name: str) -> None:
        """Keep the A/A row of each that ran twice."""
        for again in [n for n in self.seconds if n.endswith(AGAIN)]:
            runner = again.removesuffix(AGAIN)
            interleaved.add(f"A/A {name}, {runner}", self.pairs(runner, again))


def reaches(must: float, ratio: Ratio) -> bool:
    """Whether a ratio is what it must be, to the digits that are printed."""
    return round(ratio.median, 2) >= must


def stays_under(must: float, ratio: Ratio) -> bool:
    """Whether a ratio is at most what it may be, to the digits that are printed."""
    return round(ratio.median, 2) <= must
