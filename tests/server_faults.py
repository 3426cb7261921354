"""Loops that break real servers, their clients and the way between, and count what went wrong."""

from __future__ import annotations

import asyncio
import itertools
import random
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from servers import until
from stalling_proxy import Fault, Kind, StallingProxy
from store_writer import N_TASKS, SHARED, own

import rolecore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

WRITER = Path(__file__).parent / "store_writer.py"
SEEDED = [{"role": "user", "content": "Where is my parcel?"}, {"role": "assistant", "content": "In Lyon."}]
BATCH = [{"role": "user", "content": "Since when?"}, {"role": "assistant", "content": "Since Monday."}]
Messages: TypeAlias = list[dict[str, str]]
Store: TypeAlias = Any


async def _messages(store: Store, session_id: str, tenant: str) -> Messages:
    messages: Messages = (await store.load(session_id, tenant=tenant)).messages
    return messages


OPERATIONS: dict[str, Callable[[Store, str, str], Awaitable[Any]]] = {
    "append": lambda store, session_id, tenant: store.append(session_id, BATCH, tenant=tenant),
    "load": _messages,
    "list": lambda store, _, tenant: store.list(tenant=tenant),
    "delete": lambda store, session_id, tenant: store.delete(session_id, tenant=tenant),
    "connect": lambda store, _, __: store.__aenter__(),
}
# What they return on a session that holds SEEDED.
ANSWERS: dict[str, list[Any]] = {"append": [len(SEEDED + BATCH)], "load": [SEEDED], "list": [["s"]]}
# What they leave there.
LEFT: dict[str, Messages] = {"append": SEEDED + BATCH, "delete": []}


def through(url: str, port: int) -> str:
    """Return the URL with another port."""
    return url.replace(f":{urlsplit(url).port}/", f":{port}/")


@asynccontextmanager
async def proxied(url: str, seed: int = 0) -> AsyncIterator[StallingProxy]:
    parts = urlsplit(url)
    async with StallingProxy(parts.hostname or "", parts.port or 0, seed=seed) as proxy:
        yield proxy


class Late(NamedTuple):
    """By how many seconds a call outran its deadline, and a bare timer of the same length beside it."""

    call_s: float
    timer_s: float


@dataclass
class Resets:
    """What `resets` saw: how many faults were met, and what came of the calls."""

    n_met: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


async def resets(
    url: str,
    operation: str,
    *,
    kind: Kind,
    of: Literal["reply", "request"],
    times: int = 1,
    step: int = 1,
    timeout_s: float | None = None,
) -> Resets:
    """Break the connection after byte k of a reply or request for every k, until the operation no longer comes to it.

    Args:
        url: of the server.
        operation: one of `OPERATIONS`.
        kind: "reset" or "truncate".
        of: "reply" or "request".
        times: for how many connections in a row.
        step: 1: every k.
        timeout_s: the deadline of each call.
    """
    seen = Resets()
    call = OPERATIONS[operation]
    fresh = uuid.uuid4().hex
    ended: dict[str, str] = {}
    async with proxied(url) as proxy, rolecore.open_store(url) as direct:
        warm = rolecore.open_store(through(url, proxy.port))
        for k in itertools.count(0, step):
            # A tenant each, so that lists do not grow with k.
            tenant = f"{fresh}-{k}"
            await direct.append("s", SEEDED, tenant=tenant)
            store = rolecore.open_store(through(url, proxy.port)) if operation == "connect" else warm
            if store is warm:
                await warm.load("s", tenant=tenant)
            proxy.set(Fault(kind, k, of, times))
            try:
                with rolecore.deadline(timeout_s):
                    result = await call(store, "s", tenant)
                ended[tenant] = "done"
                if result not in ANSWERS.get(operation, [result]):
                    seen.wrong.append(f"{operation} broken at byte {k} returned {result}")
            except (rolecore.StoreError, rolecore.DeadlineExceeded) as error:
                ended[tenant] = type(error).__name__
            seen.outcomes[ended[tenant]] += 1
            n_met = proxy.n_met
            proxy.set(None)
            if store is not warm:
                await store.close()
            seen.n_met += min(n_met, 1)
            # On a slow machine a deadline can come before the byte.
            if not n_met and ended[tenant] == "done":
                break
        await warm.close()
        # Not before the end: what was sent on a connection that broke may still be under way.
        for tenant, outcome in ended.items():
            try:
                messages = await _messages(direct, "s", tenant)
            except rolecore.SessionNotFound:
                messages = []
            left = LEFT.get(operation, SEEDED)
            if messages not in ([left] if outcome == "done" else [SEEDED, left]):
                seen.wrong.append(f"{operation} broken at {tenant}, {outcome}, left {len(messages)} messages")
    return seen


async def overruns(url: str, operation: str, *, timeout_s: float, step: int = 1) -> list[Late]:
    """Return by how many seconds each call outran its deadline, the server silent from byte k of its replies."""
    call = OPERATIONS[operation]
    fresh = uuid.uuid4().hex
    late = []
    async with proxied(url) as proxy, rolecore.open_store(url) as direct:
        warm = rolecore.open_store(through(url, proxy.port))
        for k in itertools.count(0, step):
            # A tenant each: a call that ran out of time may still be done later.
            tenant = f"{fresh}-{k}"
            await direct.append("s", SEEDED[:1], tenant=tenant)
            store = rolecore.open_store(through(url, proxy.port)) if operation == "connect" else warm
            if store is warm:
                await warm.load("s", tenant=tenant)
            proxy.set(Fault("stall", k, times=sys.maxsize))
            found = await overrun(call(store, "s", tenant), timeout_s)
            late += found
            is_through = not found and not proxy.n_met
            proxy.set(None)
            if store is not warm:
                await store.close()
            if is_through:
                break
        await warm.close()
    return late


async def overrun(call: Awaitable[Any], timeout_s: float) -> list[Late]:
    """Return by how many seconds a call outran its deadline; nothing when it kept to it."""
    began = time.perf_counter()

    async def bare_timer() -> float:
        await asyncio.sleep(timeout_s)
        return time.perf_counter() - began - timeout_s

    timer = asyncio.create_task(bare_timer())
    try:
        with rolecore.deadline(timeout_s):
            await call
    except rolecore.DeadlineExceeded:
        return [Late(time.perf_counter() - began - timeout_s, await timer)]
    timer.cancel()
    return []


async def frozen_overruns(server: Any, n: int, timeout_s: float) -> list[Late]:
    """Return by how many seconds calls outran their deadlines while the server's processes were stopped, n of each."""
    late = []
    tenant = f"frozen-{uuid.uuid4().hex}"
    async with rolecore.open_store(server.url) as store:
        for i, (name, call) in itertools.product(range(n), OPERATIONS.items()):
            await store.append(f"s{i}", SEEDED, tenant=tenant)
            opened = rolecore.open_store(server.url) if name == "connect" else store
            server.freeze()
            try:
                late += await overrun(call(opened, f"s{i}", tenant), timeout_s)
            finally:
                server.thaw()
            if opened is not store:
                await opened.close()
    return late


def quantile(values: Iterable[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


@dataclass
class Kills:
    """What `kills` found: how many turns were acknowledged, and how many of them were lost, doubled or out of order."""

    n_kills: int = 0
    n_acknowledged: int = 0
    n_unknown: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0


def kills(server: Any, folder: Path, *, writer: int, server_too: int, seed: int) -> Kills:
    """Kill a writing process and its server, so many times each, at random moments; read what is left.

    Args:
        server: from `servers.running`, fresh.
        folder: for the writers' notes.
        writer: kills of the writing process.
        server_too: kills of the server, while a writer goes on.
        seed: of the order and the moments.
    """
    draw = random.Random(seed)  # noqa: S311  no secret
    plan = ["writer"] * writer + ["server"] * server_too
    draw.shuffle(plan)
    notes = folder / f"notes-{server.port}"
    notes.touch()
    first = itertools.count(0, 1_000_000)
    process = None
    for victim in plan:
        if process is None:
            process = subprocess.Popen([sys.executable, WRITER, server.url, notes, str(next(first))])
        begun = notes.stat().st_size
        wanted = draw.randint(500, 5_000)
        until(lambda at=begun + wanted: notes.stat().st_size > at, "progress of the writer")  # type: ignore[misc]
        if victim == "server":
            server.kill()
            server.start()
        else:
            process.kill()
            process.wait()
            process = None
    if process is not None:
        begun = notes.stat().st_size
        until(lambda: notes.stat().st_size > begun + 500, "progress after the last kill")
        process.kill()
        process.wait()
    return asyncio.run(_compare(server.url, notes.read_text(encoding="ascii").splitlines(), len(plan)))


async def _compare(url: str, notes: list[str], n_kills: int) -> Kills:
    found = Kills(n_kills)
    acknowledged: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in notes:
        outcome, session_id, name, number = line.split()
        if outcome == "done":
            acknowledged[session_id].append((int(name), int(number)))
            found.n_acknowledged += 1
        else:
            found.n_unknown += 1
    async with rolecore.open_store(url) as store:
        for session_id in (SHARED, *map(own, range(N_TASKS))):
            turns = [(turn["task"], turn["number"]) for turn in (await store.load(session_id)).messages]
            found.lost += len(set(acknowledged[session_id]) - set(turns))
            found.doubled += len(turns) - len(set(turns))
            for task in range(N_TASKS):
                numbers = [turn[1] for turn in turns if turn[0] == task]
                found.out_of_order += sum(a > b for a, b in itertools.pairwise(numbers))
    return found
