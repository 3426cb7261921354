"""Prints what windows keep of evaluation data, beside newest-first and random, and gates it.

    python benches/eval DATA [--every N] [--only NAME] [--markdown]
    python benches/eval DATA --stress

DATA is a folder or files (joined as in PATH) of the form that data.py describes. measures.py, agents.py and
stream.py say what is measured, bars.py what must be reached; stress.py makes harder histories of the same data.
Exit status 1 when a figure is under its bar, a window over its budget, or anything in a window not of its source.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

import agents
import bars
import retention
import stream
import stress
from check import Tally
from data import load
from table import heading, markdown, numbers, row

if TYPE_CHECKING:
    from data import DataFile


def main() -> int:
    """Print the tables; return the exit status."""
    parser = argparse.ArgumentParser(prog="benches/eval", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="a folder or files, joined as in PATH")
    parser.add_argument("--every", type=int, default=1, help="ask only every N-th question by query")
    parser.add_argument("--only", default="", help="measure only files whose name starts so")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/retention.md as well")
    parser.add_argument("--stress", action="store_true", help="measure histories that are made hard instead")
    asked = parser.parse_args()
    began = time.monotonic()
    files = [file for file in load(asked.data) if file.stem.startswith(asked.only)]
    if asked.stress:
        failures = stress.run(files)
    else:
        failures = [
            failure for file in files for failure in evaluate(file, every=asked.every, is_markdown=asked.markdown)
        ]
    print(f"\n{len(files)} files in {time.monotonic() - began:.0f} s, {len(failures)} failures")
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures or not files else 0


def evaluate(file: DataFile, *, every: int, is_markdown: bool) -> list[str]:
    """Print the table of one file; return its failures in words."""
    tally = Tally()
    if file.conversations:
        n_turns = sum(len(one.turns) for one in file.conversations)
        title = f"{file.stem}: {len(file.conversations)} conversations, {n_turns} turns"
        shares = retention.SHARES
        figures = retention.run(file.conversations, tally, every=every)
        figures += stream.run(file.conversations, tally)
    else:
        title = f"{file.stem}: {len(file.sessions)} tool-calling sessions"
        shares = agents.SHARES
        figures = agents.run(file.sessions, tally, units=retention.UNITS)
    wanted = bars.of(file.stem)
    failures = [f"{file.stem}: {name} could not be measured" for name in bars.missing(wanted, figures)]
    print(heading(title, shares))
    for figure in figures:
        bar = wanted.get(figure.name)
        if bar is None:
            print(row(figure))
            continue
        is_reached = bars.reaches(figure, bar)
        print(row(figure, f"   bar {numbers(bar)} {'ok' if is_reached else 'BELOW'}"))
        if not is_reached:
            failures.append(f"{file.stem}: {figure.name} {numbers(figure.values)}, must be {numbers(bar)}")
    print(f"  {tally}")
    if is_markdown:
        print(markdown(file.stem, figures))
    if tally.over or tally.false:
        failures.append(f"{file.stem}: {tally.over} windows over budget, {tally.false} falsified")
        failures += [f"{file.stem}: {fault}" for fault in tally.faults]
    return failures


if __name__ == "__main__":
    sys.exit(main())
