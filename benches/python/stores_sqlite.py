"""SQLite stores at length: `make bench-stores`. What a power cut takes, what kills and failing disks take, how fast.

Ends with 1 when a "must" is missed. Speed is measured on the disk that DIRECTORY is on, never in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import disk_trace
import power
from disk_faults import FOR_EVER, OPEN, READ, SYNC, TRUNCATE, UNLINK, WRITE, Fault

import rolecore
from rolecore.stores import sqlite_file, wire
from rolecore.stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable

SESSIONS = 50
TURN = {"role": "user", "content": "Where is my parcel? It was to come on Tuesday, and today is Friday. " * 3}
missed: list[str] = []


def must(what: str, *, is_met: bool) -> str:
    """Return a word for the table."""
    if not is_met:
        missed.append(what)
    return "ok" if is_met else "MISSED"


def power_cuts(images: int, seed: int) -> None:
    """Cut the power after each sync; with `normal` as the control that must lose some, and with failing syncs."""
    print("power cuts: durability, failing syncs in a row, images, acknowledged, images with loss, most lost, damaged")
    for durability, faults, wanted in (("full", 0, images), ("full", 2, images // 4), ("normal", 0, images // 20)):
        outcome = power.Outcome()
        run = 0
        while outcome.images < wanted:
            # Short runs begin and end often; long ones let the log go round.
            sessions, batches = ((8, 25), (20, 40), (50, 20))[run % 3]
            power.cut_power(durability, seed + run, outcome, sessions=sessions, batches=batches, faults=faults)
            run += 1
        loses = durability == "normal"
        is_met = not outcome.damage and bool(outcome.images_with_loss) == loses
        print(
            f"  {durability:7} {faults}  {outcome.images:6,}  {outcome.acknowledged:8,}  "
            f"{outcome.images_with_loss:5,}  {outcome.most_lost:5,}  {len(outcome.damage)}  "
            f"{must(f'power cuts, {durability}', is_met=is_met)}  (seeds {seed} to {seed + run - 1})",
            flush=True,
        )


def kills(n: int, seed: int, directory: Path) -> None:
    """Kill a writer again and again."""
    dice = random.Random(seed)  # noqa: S311  repeatable
    for durability in ("full", "normal"):
        n_acknowledged = 0
        for run in range(n):
            path = directory / f"kill-{durability}-{run}"
            path.mkdir()
            n_acknowledged += power.kill_writer(path / "store.db", durability, dice)
            shutil.rmtree(path)
        print(
            f"kill -9: {durability}, {n} kills, {n_acknowledged:,} acknowledged, 0 lost, doubled or out of order "
            f"(seed {seed})"
        )


def faults() -> None:
    """Let the n-th call to the disk fail, for every n."""
    print("failing disk: what, how often in a row, places it failed at, calls that raised StoreError")
    table = [
        ("sync EIO", SYNC, errno.EIO, (1, 2, 3, FOR_EVER), False),
        ("write ENOSPC", WRITE, errno.ENOSPC, (1, FOR_EVER), False),
        ("half a write, then ENOSPC", WRITE, errno.ENOSPC, (1, FOR_EVER), True),
        ("write EIO", WRITE, errno.EIO, (1, FOR_EVER), False),
        ("truncate EIO", TRUNCATE, errno.EIO, (1, FOR_EVER), False),
        ("unlink EIO", UNLINK, errno.EIO, (1, FOR_EVER), False),
        ("open EMFILE", OPEN, errno.EMFILE, (1, FOR_EVER), False),
        ("read EIO", READ, errno.EIO, (1, FOR_EVER), False),
    ]
    for name, kind, number, how_often, is_short in table:
        for times in how_often:
            with tempfile.TemporaryDirectory(dir=disk_trace.memory_directory()) as base:
                n_places, n_failed = power.let_fail(Fault(kind, number, times, is_short), Path(base), every=1)
            shown = "ever" if times == FOR_EVER else times
            print(f"  {name:26} {shown:>4}  {n_places:5,}  {n_failed:6,}  ok", flush=True)


# The naive ways: the store's own schema and pragmas, and a commit for each turn.


def naive_append(con: sqlite3.Connection, session_id: str) -> None:
    """Append a turn in a transaction of its own."""
    (text,) = wire.encode([TURN])
    now = round(time.time() * 1e6)
    con.execute("BEGIN IMMEDIATE")
    found = con.execute("SELECT number, version FROM sessions WHERE tenant = '' AND id = ?", (session_id,)).fetchone()
    if found is None:
        found = (
            con.execute(
                "INSERT INTO sessions (tenant, id, version, n_bytes, created_at, updated_at) "
                "VALUES ('', ?, 0, 0, ?, ?)",
                (session_id, now, now),
            ).lastrowid,
            0,
        )
    number, version = found
    con.execute("INSERT INTO turns (key, text) VALUES (?, ?)", ((number << 32) + version + 1, text))
    con.execute(
        "UPDATE sessions SET version = version + 1, n_bytes = n_bytes + ?, updated_at = ? WHERE number = ?",
        (len(text), now, number),
    )
    con.execute(
        "INSERT INTO tenants VALUES ('', ?) ON CONFLICT (tenant) DO UPDATE SET n_bytes = n_bytes + excluded.n_bytes",
        (len(text),),
    )
    con.execute("COMMIT")


def naive_open(path: str) -> sqlite3.Connection:
    """Open as the store does, but with SQLite's own checkpoints and waiting."""
    con = sqlite_file.open_writer(path, "full", is_suspect=False)
    con.execute("PRAGMA wal_autocheckpoint=1000")
    con.execute("PRAGMA busy_timeout=60000")
    return con


def one_connection(path: str, turns: int) -> None:
    """All sessions over one connection, one after the other."""
    with closing(naive_open(path)) as con:
        for _ in range(turns):
            for session in range(SESSIONS):
                naive_append(con, f"s{session}")


def connection_each(path: str, turns: int) -> None:
    """Each session in a thread with a connection of its own; SQLite waits for its lock."""
    naive_open(path).close()

    def talk(session: int) -> None:
        with closing(naive_open(path)) as con:
            for _ in range(turns):
                naive_append(con, f"s{session}")

    threads = [threading.Thread(target=talk, args=(session,)) for session in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lock_and_threads(path: str, turns: int) -> None:
    """One connection, a lock around it, and asyncio.to_thread: what is written most often."""
    lock = threading.Lock()
    with closing(naive_open_shared(path)) as con:

        def append(session: int) -> None:
            with lock:
                naive_append(con, f"s{session}")

        async def talk(session: int) -> None:
            for _ in range(turns):
                await asyncio.to_thread(append, session)

        async def main() -> None:
            await asyncio.gather(*(talk(session) for session in range(SESSIONS)))

        asyncio.run(main())


def naive_open_shared(path: str) -> sqlite3.Connection:
    """Open one connection that many threads use, each when it holds the lock."""
    naive_open(path).close()
    con = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    con.execute("PRAGMA synchronous=FULL")
    return con


def ours(path: str, turns: int) -> None:
    """All sessions at once, each waiting for its turn to be acknowledged."""

    async def main() -> None:
        async with rolecore.open_store(f"sqlite:///{path}") as store:

            async def talk(session: int) -> None:
                for _ in range(turns):
                    await store.append(f"s{session}", [TURN])

            await asyncio.gather(*(talk(session) for session in range(SESSIONS)))

    asyncio.run(main())


def rate(way: Callable[[str, int], None], directory: Path, turns: int) -> float:
    """Return turns a second, all of which are counted afterwards."""
    with tempfile.TemporaryDirectory(dir=directory) as base:
        path = f"{base}/store.db"
        start = time.perf_counter()
        way(path, turns)
        took_s = time.perf_counter() - start
        with closing(sqlite3.connect(path)) as con:
            assert con.execute("SELECT count(*) FROM turns").fetchone()[0] == SESSIONS * turns
    return SESSIONS * turns / took_s


def speed(rounds: int, directory: Path) -> None:
    """Compare with the naive ways, in turns; the row A/A says what two equal things differ by."""
    ways: dict[str, tuple[Callable[[str, int], None], int]] = {
        "ours": (ours, 100),
        "ours again (A/A)": (ours, 100),
        "one connection": (one_connection, 10),
        "a connection a session, threads": (connection_each, 10),
        "one connection, a lock, to_thread": (lock_and_threads, 10),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (way, turns) in ways.items():
            found[name].append(rate(way, directory, turns))
    n_bytes = len(wire.encode([TURN])[0])
    print(f"append of one turn of {n_bytes} bytes, full, {SESSIONS} sessions at once, {rounds} rounds")
    print(f"on {file_system(directory)}")
    print("way, turns a second (median), ours / it: median, least, most")
    for name, rates in found.items():
        ratios = [a / b for a, b in zip(found["ours"], rates, strict=True)]
        print(
            f"  {name:34} {statistics.median(rates):8,.0f}  {statistics.median(ratios):6.1f}  {min(ratios):6.1f}  "
            f"{max(ratios):6.1f}"
        )
    best = max((statistics.median(found[name]), name) for name in list(ways)[2:])[1]
    ratio = statistics.median(a / b for a, b in zip(found["ours"], found[best], strict=True))
    print(f"  against the best of them: {ratio:.1f}, must 5, aim 15: {must('append', is_met=ratio >= 5)}")


def file_system(directory: Path) -> str:
    """Return what a directory is on, as `findmnt` says it."""
    run = subprocess.run(
        ["findmnt", "-no", "FSTYPE,SOURCE,OPTIONS", "-T", directory],  # noqa: S607  wherever it is
        check=False,
        capture_output=True,
        text=True,
    )
    return " ".join(run.stdout.split()) or "an unknown file system"


HOLD = """
import sqlite3, sys
con = sqlite3.connect(sys.argv[1], isolation_level=None)
con.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def overrun(n: int, directory: Path, seed: int) -> None:
    """Let deadlines pass while another process holds the lock: one call alone, and 50 at once."""
    dice = random.Random(seed)  # noqa: S311  repeatable
    over: dict[int, list[float]] = {1: [], SESSIONS: []}

    async def late(store: SqliteStore, session: int, wait_s: float) -> float:
        start = time.perf_counter()
        try:
            with rolecore.deadline(wait_s):
                await store.append(f"s{session}", [TURN])
        except rolecore.DeadlineExceeded:
            return time.perf_counter() - start - wait_s
        raise AssertionError

    async def main(path: str) -> None:
        async with SqliteStore(path) as store:
            with subprocess.Popen(  # noqa: ASYNC220  nothing else runs yet
                [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as holder:
                assert holder.stdout is not None
                holder.stdout.readline()
                for at_once, found in over.items():
                    while len(found) < n:
                        waits = (dice.uniform(0.005, 0.1) for _ in range(at_once))
                        found.extend(await asyncio.gather(*(late(store, i, wait_s) for i, wait_s in enumerate(waits))))
                holder.communicate(b"")
            assert await store.list() == []

    with tempfile.TemporaryDirectory(dir=directory) as base:
        asyncio.run(main(f"{base}/store.db"))
    print(
        f"deadline of 5 to 100 ms over a lock of another process: overrun in ms, p50, p99, most, of {n} (seed {seed})"
    )
    for at_once, found in over.items():
        ms = sorted(1000 * value for value in found)
        p99 = ms[int(0.99 * len(ms))]
        word = must("deadline", is_met=p99 <= 50)
        print(
            f"  {at_once:2} at once  {statistics.median(ms):5.1f}  {p99:5.1f}  {ms[-1]:5.1f}  must 50, aim 20: {word}"
        )


def main() -> int:
    """Run all of it, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="power, kills, faults, speed, deadline; all without")
    parser.add_argument("--images", type=int, default=10_000, help="power cuts of the full store")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--overruns", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path(os.environ.get("TMPDIR", "/var/tmp")))  # noqa: S108  on a disk
    args = parser.parse_args()
    print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}, {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory(dir=args.directory) as name:
        directory = Path(name)
        parts: dict[str, Callable[[], Any]] = {
            "speed": lambda: speed(args.rounds, directory),
            "deadline": lambda: overrun(args.overruns, directory, args.seed),
            "kills": lambda: kills(args.kills, args.seed, directory),
            "power": lambda: power_cuts(args.images, args.seed),
            "faults": faults,
        }
        for part in args.parts or parts:
            parts[part]()
    for what in missed:
        print(f"MISSED: {what}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
