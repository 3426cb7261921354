"""The n-th call to the disk fails, for every n until none is reached: what a store then says, and what is left.

As a program, under disk_shim.c: `disk_faults.py DIRECTORY KIND ERRNO TIMES SHORT EVERY`: kind as numbered there, times
in a row, every so many-th n. Prints how many n there were and how many calls failed.
"""

from __future__ import annotations

import asyncio
import ctypes
import sqlite3
import sys
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from rolecore.errors import StoreError
from rolecore.stores import sqlite
from rolecore.stores.sqlite import SqliteStore

SYNC, WRITE, TRUNCATE, UNLINK, OPEN, READ = range(6)
FOR_EVER = 1 << 30
WORDS = "the-users-own-words"


class Fault(NamedTuple):
    kind: int
    errno: int
    times: int
    is_short: bool


class Shim:
    """The shim that this process runs under."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.rolecore_shim_seen.restype = ctypes.c_long

    def arm(self, fault: Fault, at: int) -> None:
        """Let the at-th call of a kind from now on fail."""
        self._library.rolecore_shim_arm(fault.kind, ctypes.c_long(at), fault.errno, fault.times, int(fault.is_short))

    def disarm(self, kind: int) -> int:
        """Let nothing fail, and return how many calls of a kind there were."""
        seen = self._library.rolecore_shim_seen(kind)
        self._library.rolecore_shim_arm(-1, ctypes.c_long(0), 0, 0, 0)
        return int(seen)


class Talk:
    """What was asked of a store, in order, and what it said: whether each append is there, absent, or not known."""

    def __init__(self) -> None:
        self.asked: dict[str, list[tuple[str, bool | None]]] = {}
        self.n_failed = 0

    async def append(self, store: SqliteStore, session_id: str, tag: str, size: int = 10) -> None:
        """Append two messages and note what is said."""
        asked = self.asked.setdefault(session_id, [])
        place = len(asked)
        asked.append((tag, None))
        try:
            await store.append(session_id, [{"tag": tag, "pad": WORDS * size}, {"tag": tag}])
            asked[place] = tag, True
        except StoreError as error:
            self.n_failed += 1
            check_words(error)
            asked[place] = tag, None if "not known" in str(error) else False

    def check(self, session_id: str, messages: list[dict[str, Any]]) -> None:
        """Assert that what was acknowledged is there, what was refused is not, all of it in order and once."""
        tags = [message["tag"] for message in messages]
        assert tags[::2] == tags[1::2], "half an append"
        possible = [tag for tag, said in self.asked[session_id] if said is not False]
        sure = [tag for tag, said in self.asked[session_id] if said]
        assert len(set(tags[::2])) == len(tags[::2]), "doubled"
        assert [tag for tag in possible if tag in tags] == tags[::2], "refused and there, or out of order"
        assert [tag for tag in tags[::2] if tag in sure] == sure, "acknowledged and lost"


async def work(store: SqliteStore, talk: Talk, name: str) -> None:
    """Append in three sessions at once, some over several pages, and read; calls may fail, with StoreError."""
    for turn in range(4):
        size = 500 if turn in {1, 2} else 10
        await asyncio.gather(*(talk.append(store, f"s{i}", f"{name}.{turn}.{i}", size) for i in range(3)))
        try:
            await store.list()
            await store.append("gone", [{"tag": "gone"}])
            await store.delete("gone")
        except StoreError as error:
            talk.n_failed += 1
            check_words(error)


def check_words(error: StoreError) -> None:
    """Assert that an error says something, and nothing of a message."""
    assert str(error).isprintable()
    assert WORDS not in str(error)


async def fail_at(shim: Shim, path: Path, fault: Fault, at: int, *, is_new: bool, to_the_end: bool) -> tuple[bool, int]:
    """Let one call fail; returns whether it was reached, and how many calls of the store failed."""
    talk = Talk()
    store = SqliteStore(str(path))
    if not is_new:
        await talk.append(store, "s0", "first")
    shim.arm(fault, at)
    await work(store, talk, "with")
    seen = shim.disarm(fault.kind) if not to_the_end else 0
    if not to_the_end:
        n_failed = talk.n_failed
        await work(store, talk, "after")
        assert talk.n_failed == n_failed, "the disk is well again, and the store is not"
    await store.close()
    seen = seen or shim.disarm(fault.kind)
    with closing(sqlite3.connect(path)) as con:
        assert con.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    async with SqliteStore(str(path)) as store:
        for session_id in talk.asked:
            record = await store.load(session_id) if session_id in await store.list() else None
            talk.check(session_id, [] if record is None else record.messages)
        await talk.append(store, "s0", "last")
    for file in path.parent.iterdir():
        file.unlink()
    return seen >= at, talk.n_failed


async def main() -> None:
    """Run the loop."""
    sqlite._MOST_PAGES = 20  # checkpoints come soon
    directory, every = Path(sys.argv[1]), int(sys.argv[6])
    kind, errno, times, is_short = map(int, sys.argv[2:6])
    fault = Fault(kind, errno, times, bool(is_short))
    shim = Shim()
    at, n_failed, n_places, is_reached = 1, 0, 0, True
    while is_reached:
        is_reached = False
        for is_new, to_the_end in product((True, False), repeat=2):
            reached, failed = await fail_at(
                shim, directory / "store.db", fault, at, is_new=is_new, to_the_end=to_the_end
            )
            n_failed += failed
            n_places += reached
            is_reached |= reached
        at += every
    sys.stdout.write(f"{n_places} {n_failed}\n")


if __name__ == "__main__":
    asyncio.run(main())
