"""Times any number of callables in turns, so that any two can be told as a ratio with its own noise beside it.

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from conftest import Interleaved, Ratio

    Run = Callable[[], object]

ROUNDS = 21
# Of a batch: so long that the clock's own cost and step are not seen in it.
MIN_SECONDS = 0.003
AGAIN = " again"
SEED = 3
# glibc gives a large freed block back to the system, and the next call pays for its pages anew, until a larger one has
# been freed: protobuf took 2,289 us or 135 us for the same 1,900 turns by that alone. After a block of this size nobody
# pays, as in a process that has run for a while.
WARM_BYTES = 24_000_000


def seconds(run: Run, calls: int, clock: Callable[[], float]) -> float:
    """Seconds of one of `calls` calls."""
    began = clock()
    for _ in range(calls):
        run()
    return (clock() - began) / calls


def batch(run: Run, clock: Callable[[], float]) -> int:
    """How many calls take `MIN_SECONDS`, after one of warm-up."""
    run()
    calls = 1
    while (taken := seconds(run, calls, clock) * calls) < MIN_SECONDS:
        calls = max(2 * calls, min(10 * calls, int(1.2 * calls * MIN_SECONDS / max(taken, 1e-9))))
    return calls


class Contest:
    """Seconds of one call of each runner, a list of rounds each: of CPU in this thread, or by another clock."""

    def __init__(
        self, runs: dict[str, Run], *, twice: Iterable[str], clock: Callable[[], float] = time.thread_time
    ) -> None:
        """Time `runs` in turns; `twice`: which of them also as another."""
        runs = runs | {name + AGAIN: runs[name] for name in twice}
        bytes(WARM_BYTES)
        batches = {name: batch(run, clock) for name, run in runs.items()}
        self.seconds: dict[str, list[float]] = {name: [] for name in runs}
        order, draw = list(runs), random.Random(SEED)  # noqa: S311  no secrets here
        gc.collect()
        gc.disable()
        try:
            for _ in range(ROUNDS):
                draw.shuffle(order)
                for name in order:
                    self.seconds[name].append(seconds(runs[name], batches[name], clock))
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
