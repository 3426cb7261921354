"""What is written to a store while power is cut or the writer killed, and the check that what it acknowledged is there.

As a program: `store_talk.py URL DURABILITY SEED SESSIONS BATCHES [FAULTS]`; with FAULTS, under disk_shim.c, so many
syncs in a row fail every now and then, and what fails is tried again. It says what is acknowledged, a line each.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import random
import sqlite3
import sys
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import rolecore

if TYPE_CHECKING:
    from pathlib import Path


def size_of(session: int, batch: int) -> int:
    """Return how many turns a batch has."""
    return 1 + (session + batch) % 3


def turn(session: int, place: int) -> dict[str, Any]:
    """Return the turn at a place, from 0; some are longer than a page."""
    return {"role": "user", "content": f"{session}.{place}", "pad": "x" * (5000 if (session + place) % 7 == 0 else 100)}


def acknowledged(said: bytes | bytearray) -> tuple[dict[int, int], set[int]]:
    """Return the version each session is at, and the sessions that were deleted, by what the writer has said."""
    versions: dict[int, int] = {}
    deleted: set[int] = set()
    for line in said.decode().splitlines():
        what, session, version = line.split()
        if what == "appended":
            versions[int(session)] = int(version)
        elif what == "deleted":
            deleted.add(int(session))
    return versions, deleted


async def talk(url: str, durability: str, *, seed: int, sessions: int, batches: int, faults: int = 0) -> None:
    """Talk in all sessions at once; every tenth is deleted in the end, and the store is opened anew now and then."""
    dice = random.Random(seed)  # noqa: S311  repeatable
    at = [0] * sessions
    for start in range(0, batches, 10):
        store = rolecore.open_store(url, durability=durability)

        async def speak(session: int, store: Any = store, start: int = start) -> None:
            for batch in range(start, min(start + 10, batches)):
                messages = [turn(session, at[session] + i) for i in range(size_of(session, batch))]
                at[session] = await append(store, session, messages, at[session], tries=4 * faults + 1)
                say("appended", session, at[session])
                if dice.random() < 0.3:
                    await asyncio.sleep(0)
                if faults and dice.random() < 0.05:
                    fail_syncs(dice.randint(1, 5), dice.randint(1, faults))

        await asyncio.gather(*(speak(session) for session in range(sessions)))
        if start + 10 >= batches and not faults:
            for session in range(0, sessions, 10):
                say("deleting", session, 0)
                await store.delete(f"s{session}")
                say("deleted", session, 0)
        await store.close()


async def append(store: rolecore.SessionStore, session: int, messages: list[Any], at: int, *, tries: int) -> int:
    """Return the new version; after an error the same is asked for again, as its author would."""
    while True:
        tries -= 1
        try:
            return await store.append(f"s{session}", messages, expected_version=at)
        except rolecore.SessionConflict as conflict:
            # Nobody else writes: it is there since the try before.
            if conflict.actual != at + len(messages):
                raise
            return conflict.actual
        except rolecore.StoreError:
            say("failed", session, at)
            if not tries:
                raise


def fail_syncs(at: int, times: int) -> None:
    """Let so many syncs fail, from the at-th from now on."""
    ctypes.CDLL(None).rolecore_shim_arm(0, ctypes.c_long(at), errno.EIO, times, 0)


def say(what: str, session: int, version: int) -> None:
    """Say in one write what is acknowledged."""
    sys.stdout.write(f"{what} {session} {version}\n")
    sys.stdout.flush()


class Verdict(NamedTuple):
    """What is wrong with a database: acknowledged turns that are gone, or deletions, and all else in words."""

    n_lost: int
    damage: list[str]


def examine(path: Path, said: bytes | bytearray) -> Verdict:
    """Look at a database after the writer has died, by SQLite itself and not by the store."""
    versions, deleted = acknowledged(said)
    deleting = {int(line.split()[1]) for line in said.decode().splitlines() if line.startswith("deleting")}
    found: dict[int, list[Any]] = {}
    damage: list[str] = []
    if path.exists():
        with closing(sqlite3.connect(path)) as con:
            damage += [text for (text,) in con.execute("PRAGMA integrity_check") if text != "ok"]
            if con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                damage += _read(con, found)
    n_lost = 0
    for session, messages in found.items():
        n = len(messages)
        if messages != [turn(session, place) for place in range(n)]:
            damage.append(f"session {session}: doubled, out of order or not as it was")
        if n not in set(accumulate(size_of(session, batch) for batch in range(n))):
            damage.append(f"session {session}: part of a batch")
        if session in deleted:
            n_lost += 1
    for session, version in versions.items():
        if session not in deleting:
            n_lost += max(0, version - len(found.get(session, [])))
    return Verdict(n_lost, damage)


def _read(con: sqlite3.Connection, found: dict[int, list[Any]]) -> list[str]:
    damage = []
    numbers = {}
    for number, session_id, version in con.execute("SELECT number, id, version FROM sessions"):
        numbers[number] = int(session_id[1:]), version
        found[int(session_id[1:])] = []
    n_bytes = 0
    for key, text in con.execute("SELECT key, text FROM turns ORDER BY key"):
        n_bytes += len(text)
        session, _ = numbers[key >> 32]
        found[session].append(json.loads(text))
        if key & 0xFFFFFFFF != len(found[session]):
            damage.append(f"session {session}: a gap")
    damage += [f"session {s}: {v} turns are said" for s, v in numbers.values() if v != len(found[s])]
    used = con.execute("SELECT coalesce(sum(n_bytes), 0) FROM tenants").fetchone()[0]
    if used != n_bytes:
        damage.append(f"{used} bytes are said to be used, of {n_bytes}")
    return damage


async def load_all(url: str, said: bytes | bytearray) -> None:
    """Check through the store that what was acknowledged is there, and that it goes on."""
    versions, deleted = acknowledged(said)
    async with rolecore.open_store(url) as store:
        for session in versions.keys() - deleted:
            record = await store.load(f"s{session}")
            assert record.messages == [turn(session, place) for place in range(record.version)]
            assert record.version >= versions[session]
        await store.append("s-1", [turn(-1, 0)], expected_version=0)


async def append_to(url: str, session_id: str, messages: list[dict[str, Any]]) -> int:
    """Append through a store of its own, and return the new version."""
    async with rolecore.open_store(url) as store:
        return await store.append(session_id, messages)


if __name__ == "__main__":
    numbers = dict(zip(("seed", "sessions", "batches", "faults"), map(int, sys.argv[3:]), strict=False))
    asyncio.run(talk(sys.argv[1], sys.argv[2], **numbers))
