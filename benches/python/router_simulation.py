"""Unlike servers on virtual time: the router's policies, by its real code, against one another.

    python benches/python/router_simulation.py [--requests 40000] [--seeds 10] [--tune]

Requests come as a Poisson process, each server answers one after another in exponential times, and a router sees
nothing but its own calls. All policies meet the same arrivals and the same work (common random numbers). The first
tenth of each run is left out. Loads and seeds of `--tune` are not those of the report.

Prints the p99 of each policy, and the ratio of the default policy's to each other's: mean over seeds and its 95 %
interval (Student's t). Exit status 1 where the default is worse on unlike servers at 0.9 load: a ratio above 1.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import statistics
import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rolecore import Role, Router
from rolecore.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

POLICIES = ("adaptive", "softmax", "shortest_queue")
# Student's t, two-sided 95 %, by degrees of freedom.
T_95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 7: 2.36, 9: 2.26, 11: 2.20, 15: 2.13, 19: 2.09}


class System(NamedTuple):
    """Servers by their rates, answers a second; the share of calls that fail at once at each; how many gateways."""

    name: str
    rates: tuple[float, ...]
    load: float = 0.9
    failing: tuple[float, ...] = ()
    gateways: int = 1
    is_judged: bool = False


HET10 = (2, 2, 1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25)
HET3 = (2, 1, 0.5)
REPORTED = (
    System("het10, load 0.9", HET10, is_judged=True),
    System("het3, load 0.9", HET3, is_judged=True),
    System("het10, load 0.6", HET10, 0.6),
    System("homog10, load 0.9", (1,) * 10),
    System("het10 at ten times the seconds, load 0.9", tuple(rate / 10 for rate in HET10), is_judged=True),
    System("het10, one of ten fails every second call, load 0.7", HET10, 0.7, (0, 0, 0.5)),
    System("het10, three gateways that know only their own calls, load 0.9", HET10, gateways=3),
)
TUNED = (
    System("unlike5, load 0.85", (3, 1.5, 1, 0.7, 0.3), 0.85),
    System("unlike8, load 0.92", (1.8, 1.4, 1, 1, 0.8, 0.6, 0.4, 0.2), 0.92),
    System("alike6, load 0.9", (1,) * 6),
    System("unlike5, slow, load 0.85", (0.3, 0.15, 0.1, 0.07, 0.03), 0.85),
)


class Clock:
    """Seconds of virtual time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Alike:
    """An embedder for which all texts are alike."""

    dim = 1
    model_id = "alike"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.ones((len(texts), 1), np.float32)


def simulate(system: System, policy: str, seed: int, n_requests: int) -> tuple[NDArray[np.float64], float]:
    """Return the seconds that answered requests took, and the share that failed."""
    clock, draw = Clock(), random.Random(seed)  # noqa: S311  a simulation
    roles = [Role(str(i)) for i in range(len(system.rates))]
    routers = [
        Router(roles, embedder=Alike(), policy=policy, seed=seed + g, clock=clock) for g in range(system.gateways)
    ]
    row = np.ones(1, np.float32)
    failing = dict(enumerate(system.failing))
    free_at = [0.0] * len(roles)
    ending: list[tuple[float, int, object, bool]] = []
    took: list[float] = []
    arrival, n_failed = 0.0, 0
    for number in range(n_requests):
        arrival += draw.expovariate(system.load * sum(system.rates))
        work, luck, gateway = draw.expovariate(1.0), draw.random(), draw.randrange(system.gateways)
        while ending and ending[0][0] <= arrival:
            leave(*heapq.heappop(ending), clock)
        clock.now = arrival
        role = routers[gateway].route("", vector=row).role
        at = int(role.name)
        call = routers[gateway].call(role)
        call.__enter__()
        has_failed = luck < failing.get(at, 0.0)
        start = max(arrival, free_at[at])
        if not has_failed:
            free_at[at] = start + work / system.rates[at]
        heapq.heappush(ending, (start if has_failed else free_at[at], number, call, has_failed))
        if number >= n_requests // 10:
            n_failed += has_failed
            if not has_failed:
                took.append(free_at[at] - arrival)
    return np.array(took), n_failed / (n_requests - n_requests // 10)


def leave(at: float, _number: int, call: object, has_failed: bool, clock: Clock) -> None:  # noqa: FBT001
    """Let a call end."""
    clock.now = at
    kind = APIConnectionError if has_failed else None
    call.__exit__(kind, kind and kind("failed"), None)  # type: ignore[attr-defined]


def main() -> int:
    """Print a table a system; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=40_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tune", action="store_true")
    options = parser.parse_args()
    seeds = range(900, 900 + options.seeds) if options.tune else range(options.seeds)
    missed = 0
    for system in TUNED if options.tune else REPORTED:
        print(f"{system.name}: {options.requests} requests, seeds {seeds.start} to {seeds.stop - 1}")
        p99: dict[str, list[float]] = {}
        for policy in POLICIES:
            runs = [simulate(system, policy, seed, options.requests) for seed in seeds]
            p99[policy] = [float(np.quantile(took, 0.99)) for took, _ in runs]
            mean = statistics.fmean(float(took.mean()) for took, _ in runs)
            p999 = statistics.fmean(float(np.quantile(took, 0.999)) for took, _ in runs)
            failed = statistics.fmean(failed for _, failed in runs)
            p99_mean = statistics.fmean(p99[policy])
            print(f"  {policy:15} mean {mean:7.2f} s  p99 {p99_mean:7.2f}  p999 {p999:7.2f}  failed {failed:7.2%}")
        for policy in POLICIES[1:]:
            ratios = [a / b for a, b in zip(p99["adaptive"], p99[policy], strict=True)]
            mean = statistics.fmean(ratios)
            spread = T_95.get(len(ratios) - 1, 2.0) * statistics.stdev(ratios) / math.sqrt(len(ratios))
            verdict = ""
            if system.is_judged and not options.tune:
                verdict = "must 1: " + ("kept" if mean <= 1 else "MISSED")
                missed += mean > 1
            print(f"  adaptive / {policy:15} p99 {mean:5.3f} +- {spread:5.3f}  {verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
