"""What an idle session takes, how many messages a second it answers, and how long a paused session takes to wake.

    python stores_sessions.py [--sessions 100000] [--rate 10000] [--seconds 60] [--seed 0] [--part memory|load|wake]

Each part runs in a process of its own. Prints tables; exits with 1 when a bar is missed.

memory: sessions of one turn are held by one supervisor and paused. The store keeps nothing, so that what is there is
    theirs. Resident memory before and after, and what CPython's allocator was asked for by tracemalloc (with a fifth of
    the sessions), less the bytes of the snapshots.
load: messages come at random times, independent of the answers (an open loop), to 10,000 sessions on the memory store.
    The time of each runs from when it was due, not from when it was sent. Lost: not answered. Reordered: answered or
    stored in another order than sent, in its session.
wake: a paused session of 1,000 turns, each two messages of 400 bytes, gets a message. Until the handler has all
    messages; beside it until the answer, and what the History costs where a handler asks for it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import resource
import subprocess
import sys
import time
import tracemalloc
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import rolecore
from rolecore.sessions.session import SessionState

WORDS = (
    *("the", "invoice", "parcel", "arrived", "broken", "please", "refund"),
    *("order", "Lyon", "warehouse", "says", "tomorrow", "again", "number"),
)
MUST_BYTES, AIM_BYTES = 4096, 1024
MUST_WAKE_MS, AIM_WAKE_MS = 5.0, 1.0


def text(rng: Random, n: int) -> str:
    return " ".join(rng.choices(WORDS, k=n // 4))[:n]


class Nothing:
    """A store that says yes and keeps nothing."""

    async def append(self, _: str, messages: list[Any], *, tenant: str, expected_version: int) -> int:  # noqa: ARG002
        return expected_version + len(messages)

    async def load(self, _: str, *, tenant: str) -> Any:  # noqa: ARG002
        msg = "none"
        raise rolecore.SessionNotFound(msg)


def rss() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


async def idle(n: int, seed: int, read: Any) -> tuple[float, float, float]:
    """Return the bytes of a session beside its snapshot, of its snapshot, and of one more that was only started."""
    rng = Random(seed)  # noqa: S311
    any_store: Any = Nothing()

    async def handler(session: rolecore.RoleSession, message: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        return {"role": "assistant", "content": text(rng, 100)}

    async def hold(roles: rolecore.Supervisor, n: int) -> None:
        for _ in range(n):
            session = roles.start("support")
            await roles.send(session.session_id, {"role": "user", "content": text(rng, 100)})
            roles.pause(session.session_id)
            assert session.state is SessionState.PAUSED

    async with rolecore.Supervisor(handler, store=any_store) as roles:
        await hold(roles, 1000)  # what is made once is made by now
        gc.collect()
        before, held = read(), roles._tenants[""].nbytes
        await hold(roles, n)
        gc.collect()
        after, snapshots = read(), roles._tenants[""].nbytes - held
        fresh = [roles.start("support") for _ in range(n)]
        started = read() - after
        assert len(fresh) == n
    return (after - before - snapshots) / n, snapshots / n, started / n


def measure_memory(args: argparse.Namespace) -> bool:
    by_rss, snapshot, started = asyncio.run(idle(args.sessions, args.seed, rss))
    tracemalloc.start()
    traced, _, _ = asyncio.run(idle(args.sessions // 5, args.seed, lambda: tracemalloc.get_traced_memory()[0]))
    print(f"{args.sessions} paused sessions, one turn each, seed {args.seed}; bytes a session")
    print(f"  beside its snapshot, by resident memory {by_rss:8.0f}   (must {MUST_BYTES}, aim {AIM_BYTES})")
    print(f"  beside its snapshot, by tracemalloc     {traced:8.0f}")
    print(f"  its snapshot                            {snapshot:8.0f}")
    print(f"  started and never used, by resident     {started:8.0f}")
    return max(by_rss, traced) <= MUST_BYTES


async def offer(args: argparse.Namespace) -> bool:
    rng = Random(args.seed)  # noqa: S311
    loop = asyncio.get_running_loop()
    n_sessions = 10_000
    times: list[float] = []
    sent: dict[int, list[int]] = defaultdict(list)
    answered: dict[int, list[int]] = defaultdict(list)

    async def handler(session: rolecore.RoleSession, message: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        return {"role": "assistant", "content": message["content"]}

    def hear(i: int, number: int, due: float, answer: asyncio.Future[Any]) -> None:
        times.append(loop.time() - due)
        if answer.exception() is None and answer.result()["content"] == str(number):
            answered[i].append(number)

    async with rolecore.open_store("memory://") as store:
        async with rolecore.Supervisor(handler, store=store, when_full="reject") as roles:
            ids = [roles.start("support", session_id=f"s{i}").session_id for i in range(n_sessions)]
            n, began, cpu = int(args.rate * args.seconds), loop.time(), time.process_time()
            due = began
            for number in range(n):
                due += rng.expovariate(args.rate)
                if loop.time() < due:
                    await asyncio.sleep(due - loop.time())
                if number % 100 == 0:
                    await asyncio.sleep(0)  # however late it is, others run
                i = rng.randrange(n_sessions)
                sent[i].append(number)
                answer = await roles.post(ids[i], {"role": "user", "content": str(number)})
                answer.add_done_callback(lambda done, i=i, number=number, due=due: hear(i, number, due, done))
            await roles.close()
            took, cpu = loop.time() - began, time.process_time() - cpu
        lost = n - sum(map(len, answered.values()))
        reordered = sum(answered[i] != sorted(answered[i]) for i in answered)
        for i, numbers in sent.items():
            stored = [int(item["content"]) for item in (await store.load(ids[i])).messages[::2]]
            lost += len(set(numbers) - set(stored))
            reordered += stored != numbers
    times.sort()
    p50, p99, worst = (times[min(int(len(times) * share), len(times) - 1)] * 1e3 for share in (0.5, 0.99, 1.0))
    print(
        f"{args.rate:.0f} messages a second offered for {args.seconds:.0f} s to {n_sessions} sessions, seed {args.seed}"
    )
    print(f"  answered {n - lost} of {n} at {n / took:.0f} a second; lost {lost}, reordered {reordered} (must 0)")
    print(f"  of its time the process ran {cpu / took:.0%}: {cpu / n * 1e6:.0f} us a message")
    print(f"  p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.2f} ms")
    is_held = took < args.seconds * 1.05
    if not is_held:
        print(f"  the rate was not held: it took {took:.1f} s")
    return lost == 0 and reordered == 0 and is_held


async def wake(args: argparse.Namespace) -> bool:
    rng = Random(args.seed)  # noqa: S311
    entered: list[float] = []

    async def handler(session: rolecore.RoleSession, message: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001
        assert len(session.messages) >= 2000
        entered.append(time.perf_counter())
        return {"role": "assistant", "content": "yes"}

    async with rolecore.open_store("memory://") as store:
        roles_of = ("user", "assistant")
        turns = [{"role": roles_of[i % 2], "content": text(rng, 400)} for i in range(2000)]
        await store.append("s", turns)
        async with rolecore.Supervisor(handler, store=store) as roles:
            session = await roles.revive("support", "s")
            rows: dict[str, list[float]] = defaultdict(list)
            for is_made in [False] * 50 + [True] * 50:
                session.touch(0.0, 0.0)
                if is_made:
                    _ = session.history
                began = time.perf_counter()
                roles.pause("s")
                rows["to pause" + " with a History" * is_made].append(time.perf_counter() - began)
                began = time.perf_counter()
                await roles.send("s", {"role": "user", "content": "wake"})
                ended = time.perf_counter()
                rows["to wake: until the handler has all messages"].append(entered[-1] - began)
                rows["until the answer"].append(ended - began)
                began = time.perf_counter()
                history = session.history
                rows["its History, where a handler asks for it"].append(time.perf_counter() - began)
                began = time.perf_counter()
                history.fit(4000)
                rows["a window of 4,000 tokens of it"].append(time.perf_counter() - began)
    print(f"a paused session of 1,000 turns, 2,000 messages of 400 bytes, seed {args.seed}; ms: least, median, p90")
    medians = {}
    for name, seconds in rows.items():
        seconds.sort()
        medians[name] = seconds[len(seconds) // 2] * 1e3
        print(f"  {name:46}{seconds[0] * 1e3:8.3f} {medians[name]:8.3f} {seconds[len(seconds) * 9 // 10] * 1e3:8.3f}")
    woken = medians["to wake: until the handler has all messages"]
    print(f"  (to wake: must {MUST_WAKE_MS}, aim {AIM_WAKE_MS})")
    return woken <= MUST_WAKE_MS


PARTS = {
    "memory": measure_memory,
    "load": lambda args: asyncio.run(offer(args)),
    "wake": lambda args: asyncio.run(wake(args)),
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=PARTS)
    args = parser.parse_args()
    if args.part:
        return 0 if PARTS[args.part](args) else 1
    runs = [subprocess.run([sys.executable, *sys.argv, "--part", part], check=False) for part in PARTS]
    return max(run.returncode for run in runs)


if __name__ == "__main__":
    sys.exit(main())
