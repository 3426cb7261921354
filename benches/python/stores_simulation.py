"""Fleets of sessions on virtual time, with faults from a seed, and what must hold however it goes: tests/fleet.py.

    python stores_simulation.py [--sessions 100000] [--seed 0] [--jobs 1]

Each fleet of 500 has a seed of its own, from `--seed` on. Prints what happened, and exits with 1 at a violation, whose
message names the seed: `--sessions 500 --seed N` runs that fleet again, step by step the same.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from fleet import N_SESSIONS, Fleet, Report


def run(seed: int) -> Report:
    """Run one fleet; its violation leaves with its notes, which a pool would lose."""
    try:
        return Fleet(seed).run()
    except BaseException as error:
        notes = "; ".join(getattr(error, "__notes__", []))
        msg = f"fleet of seed {seed}: {type(error).__name__}: {error} ({notes})"
        raise RuntimeError(msg) from error


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    seeds = range(args.seed, args.seed + -(-args.sessions // N_SESSIONS))
    total, began = Report(), time.perf_counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        for report in pool.map(run, seeds):
            total.add(report)
    took = time.perf_counter() - began
    print(f"{total.sessions} sessions in {len(seeds)} fleets, seeds {seeds[0]} to {seeds[-1]}, hash {total.trace}")
    print(f"  {took:.0f} s, {total.sessions / took:.0f} sessions a second with {args.jobs} processes; no violation")
    print(f"  messages {sum(total.told.values())}, acknowledged {total.acknowledged}")
    print("  told: " + ", ".join(f"{name} {n}" for name, n in total.told.most_common()))
    print("  faults: " + ", ".join(f"{name} {n}" for name, n in total.faults.most_common()))
    print("  seen: " + ", ".join(f"{name} {n}" for name, n in total.seen.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
