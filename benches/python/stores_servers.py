"""What stores in Redis and PostgreSQL lose when processes die, connections break and servers fall silent.

Real servers on this machine, in folders of their own, synced to its disk. Prints tables; exits with 1 when a must is
missed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from server_faults import OPERATIONS, Late, frozen_overruns, kills, overruns, quantile, resets  # noqa: E402
from servers import PostgresServer, RedisServer, running  # noqa: E402  the tests' servers

SEED = 2026
MUST_MS = 50
SERVERS = {"Redis": RedisServer, "PostgreSQL": PostgresServer}


def kill_table(n_kills: int) -> bool:
    print(f"\nkill -9 at random moments, 8 tasks appending without a pause; seed {SEED}")
    print("| store | kills of writer / server | acknowledged | outcome unknown | lost | doubled | out of order |")
    print("|---|---|---|---|---|---|---|")
    wrong = 0
    for name, kind in SERVERS.items():
        with tempfile.TemporaryDirectory() as folder, running(kind) as server:
            half = n_kills // 4
            found = kills(server, Path(folder), writer=half, server_too=half, seed=SEED)
        wrong += found.lost + found.doubled + found.out_of_order
        print(
            f"| {name} | {half} / {half} | {found.n_acknowledged} | {found.n_unknown} | {found.lost} | {found.doubled} "
            f"| {found.out_of_order} |",
            flush=True,
        )
    return wrong == 0


def reset_table(servers: dict[str, Any], step: int) -> bool:
    print(f"\nconnection broken after byte k, k = 0, {step}, {2 * step}, ... until the operation comes to no such byte")
    print("| store | broken | calls | faults met | made good | typed errors | wrong |")
    print("|---|---|---|---|---|---|---|")
    wrong = 0
    for name, server in servers.items():
        for times, timeout_s in ((1, None), (1000, 0.12)):
            for of in ("reply", "request"):
                n_calls = n_met = n_done = n_wrong = 0
                for kind in ("reset", "truncate") if times == 1 else ("reset",):
                    for operation in OPERATIONS:
                        seen = asyncio.run(
                            resets(server.url, operation, kind=kind, of=of, times=times, step=step, timeout_s=timeout_s)
                        )
                        n_calls += seen.outcomes.total()
                        n_met += seen.n_met
                        n_done += seen.outcomes["done"]
                        n_wrong += len(seen.wrong) + (times == 1 and set(seen.outcomes) != {"done"})
                        for line in seen.wrong[:3]:
                            print(line, file=sys.stderr)
                wrong += n_wrong
                how = "once" if times == 1 else "each time"
                print(
                    f"| {name} | {of}, {how} | {n_calls} | {n_met} | {n_done} | {n_calls - n_done} | {n_wrong} |",
                    flush=True,
                )
    return wrong == 0


def overrun_table(servers: dict[str, Any], step: int) -> bool:
    print(
        f"\ndeadline of 30 ms overrun when the server is silent from byte k, k = 0, {step}, ... of its replies; in ms"
    )
    print("| store | operation | calls | median | p99 | most | p99 of a bare timer |")
    print("|---|---|---|---|---|---|---|")
    is_met = True
    for name, server in servers.items():
        of_all = []
        for operation in (*OPERATIONS, "all, server stopped"):
            if operation in OPERATIONS:
                late = asyncio.run(overruns(server.url, operation, timeout_s=0.03, step=step))
                of_all += late
            else:
                late = asyncio.run(frozen_overruns(server, 40, 0.03))
            is_met = _row(name, operation, late) and is_met
        is_met = _row(name, "all, silent", of_all) and is_met
    return is_met


def _row(name: str, operation: str, late: list[Late]) -> bool:
    in_ms = [1000 * call.call_s for call in late]
    median, p99 = quantile(in_ms, 0.5), quantile(in_ms, 0.99)
    timer = 1000 * quantile([call.timer_s for call in late], 0.99)
    print(
        f"| {name} | {operation} | {len(late)} | {median:.1f} | {p99:.1f} | {max(in_ms):.1f} | {timer:.1f} |",
        flush=True,
    )
    return p99 < MUST_MS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="a quarter each of both stores' writers and servers")
    parser.add_argument("--step", type=int, default=1, help="bytes from one fault to the next")
    options = parser.parse_args()
    began = time.monotonic()
    with running(RedisServer) as redis, running(PostgresServer) as postgres:
        servers = {"Redis": redis, "PostgreSQL": postgres}
        results = {"overrun": overrun_table(servers, options.step), "kills": kill_table(options.kills)}
        results["resets"] = reset_table(servers, options.step)
    missed = [name for name, is_met in results.items() if not is_met]
    print(f"\n{time.monotonic() - began:.0f} s; musts missed: {', '.join(missed) or 'none'}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
