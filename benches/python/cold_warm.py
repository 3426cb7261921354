"""Times two counters on texts they have not seen and on texts they have, in a process where nothing else has run.

    python benches/python/cold_warm.py --peer tiktoken --vocabulary o200k_base --kind english [--texts FOLDER]

Each message is counted once by each side, in slices of 60 kB, A B then B A: that is cold. Then the same slices again,
several rounds: that is warm. Whoever goes second finds the text in the processor's caches, so two slices, one in each
order, make one pair. Before it both sides count texts of the other kinds, so that loading and lazy tables are not in
the figures. CPU time of the whole process, so that a peer's threads would count. Prints the seconds of each pair of
slices as JSON; fails if a count differs.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from counters import counter
from texts import KINDS, messages

if TYPE_CHECKING:
    from counters import Counter

MESSAGE_BYTES = 600
SLICE = 100
WARM_ROUNDS = 4
# Messages of each other kind.
BEFOREHAND = 300


def timed(count: Counter, texts: list[str]) -> tuple[float, list[int]]:
    """CPU seconds and counts of some messages."""
    began = time.process_time()
    counts = [count(text) for text in texts]
    return time.process_time() - began, counts


def pairs(a: Counter, b: Counter, slices: list[list[str]]) -> list[tuple[float, float]]:
    """Seconds of both sides for each two slices; they take turns at going first."""
    found: list[tuple[float, float]] = []
    for i, texts in enumerate(slices):
        if i % 2:
            seconds_b, counts_b = timed(b, texts)
            seconds_a, counts_a = timed(a, texts)
        else:
            seconds_a, counts_a = timed(a, texts)
            seconds_b, counts_b = timed(b, texts)
        if counts_a != counts_b:
            sys.exit(f"counts differ in slice {i}")
        found.append((seconds_a, seconds_b))
    return [(a0 + a1, b0 + b1) for (a0, b0), (a1, b1) in itertools.pairwise(found)][::2]


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", required=True)
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--kind", required=True, choices=KINDS)
    parser.add_argument("--texts", type=Path)
    args = parser.parse_args()
    ours, theirs = (counter(name, args.vocabulary) for name in ("rolecore", args.peer))
    for kind in KINDS:
        if kind != args.kind:
            beforehand = messages(kind, MESSAGE_BYTES, args.texts)[:BEFOREHAND]
            pairs(ours, theirs, [beforehand])
    texts = messages(args.kind, MESSAGE_BYTES, args.texts)
    slices = [texts[i : i + SLICE] for i in range(0, len(texts) - SLICE + 1, SLICE)]
    gc.collect()
    gc.disable()
    cold = pairs(ours, theirs, slices)
    warm = pairs(ours, theirs, slices * WARM_ROUNDS)
    same = pairs(ours, ours, slices * WARM_ROUNDS)
    print(json.dumps({"cold": cold, "warm": warm, "same": same}))


if __name__ == "__main__":
    main()
