"""One transaction of `stores.sqlite`: many calls, each of which is done or refused by itself, and one commit.

Sessions are fetched once, calls are applied to them in memory, and what has changed is written with a few statements of
many rows. Each statement that SQLite runs gives the interpreter's lock away and waits to have it back, up to 5 ms where
an event loop is busy: five statements a call, with a savepoint for each, would be as slow as the disk.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from rolecore.errors import StoreError
from rolecore.stores import rules

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

# Tenant and session id.
Key: TypeAlias = tuple[str, str]

# Rows of one statement: 8 values each is less than the 999 that older versions of SQLite take.
_MOST_ROWS = 64
# Ended sessions that one transaction removes beside its own work.
_MOST_ENDED = 64


@dataclass(slots=True)
class _Session:
    number: int
    version: int
    n_bytes: int
    created_at: int
    updated_at: int
    ends_at: int | None


@dataclass(slots=True)
class Append:
    """Append texts to a session."""

    key: Key
    texts: list[str]
    n_bytes: int
    expected: int | None

    def apply(self, batch: Batch) -> int:
        """Return the new version."""
        session = batch.find(self.key)
        version = 0 if session is None else session.version
        if self.expected is not None and self.expected != version:
            raise rules.conflict(self.expected, version)
        batch.make_room(self.key[0], self.n_bytes)
        batch.append(self.key, self.texts, self.n_bytes)
        return version + len(self.texts)


@dataclass(slots=True)
class Delete:
    """Remove a session."""

    key: Key

    def apply(self, batch: Batch) -> None:
        """Remove it, if it is there."""
        if batch.find(self.key) is None:
            raise rules.not_found()
        batch.drop(self.key)


@dataclass(slots=True)
class Expire:
    """Let a session end so many seconds from when it is applied, or never."""

    key: Key
    seconds: float | None

    def apply(self, batch: Batch) -> None:
        """Set its end, if it is there."""
        session = batch.find(self.key)
        if session is None:
            raise rules.not_found()
        session.ends_at = None if self.seconds is None else batch.now + round(self.seconds * 1e6)
        batch.touch(self.key)


class Batch:
    """What a transaction has found and will write. All of it happens between BEGIN IMMEDIATE and COMMIT.

    Args:
        con: with its transaction begun.
        keys: of all sessions that will be asked for.
        now: microseconds since 1970.
        quota: bytes a tenant may take, or None.

    Attributes:
        is_written: whether all of it is done but the commit.
        mark: key and token of the first turn that is written, by which the transaction is known again; None without.
    """

    def __init__(self, con: sqlite3.Connection, keys: Iterable[Key], now: int, quota: int | None) -> None:
        """Fetch the sessions, and drop some that have ended."""
        self.now = now
        self.is_written = False
        self.mark: tuple[int, bytes] | None = None
        self._con = con
        self._quota = quota
        self._sessions: dict[Key, _Session] = {}
        self._used: dict[str, int] = {}
        self._more: dict[str, int] = {}
        self._touched: set[Key] = set()
        self._dropped: set[int] = set()
        self._turns: list[tuple[int, str]] = []
        self._next = con.execute("SELECT coalesce(max(number), 0) + 1 FROM sessions").fetchone()[0]
        self._fetch(list(keys))
        self._drop_ended("ends_at <= ? LIMIT ?", (now, _MOST_ENDED))

    @property
    def n_pages(self) -> int:
        """About as many pages as the transaction writes."""
        return 4 + 2 * len(self._touched) + sum(len(text) for _, text in self._turns) // 4096 + 2 * len(self._dropped)

    def find(self, key: Key) -> _Session | None:
        """Return a session as it is by now; None when there is none, or when it has ended."""
        session = self._sessions.get(key)
        if session is not None and session.ends_at is not None and session.ends_at <= self.now:
            self.drop(key)
            return None
        return session

    def touch(self, key: Key) -> None:
        """Have a session written anew."""
        self._touched.add(key)

    def append(self, key: Key, texts: list[str], n_bytes: int) -> None:
        """Add turns to a session, which is made when it is absent."""
        session = self._sessions.get(key)
        if session is None:
            session = self._sessions[key] = _Session(self._next, 0, 0, self.now, self.now, None)
            self._next += 1
        place = (session.number << 32) + session.version
        self._turns += ((place + i, text) for i, text in enumerate(texts, start=1))
        session.version += len(texts)
        session.n_bytes += n_bytes
        session.updated_at = max(session.updated_at, self.now)  # a wall clock may be set back
        self._more[key[0]] = self._more.get(key[0], 0) + n_bytes
        self.touch(key)

    def drop(self, key: Key) -> None:
        """Remove a session that was found."""
        session = self._sessions.pop(key)
        self._touched.discard(key)
        self._dropped.add(session.number)
        self._more[key[0]] = self._more.get(key[0], 0) - session.n_bytes

    def make_room(self, tenant: str, n_bytes: int) -> None:
        """Raise QuotaError where so much more is over the quota, with ended sessions gone."""
        if self._quota is None:
            return
        if self._needed(tenant, n_bytes) > self._quota:
            self._drop_ended("tenant = ? AND ends_at <= ?", (tenant, self.now))
        needed = self._needed(tenant, n_bytes)
        if needed > self._quota:
            raise rules.over_quota(needed, self._quota)

    def write(self) -> None:
        """Write what has changed; the commit is the caller's."""
        for numbers in _parts(sorted(self._dropped)):
            marks = ", ".join("?" * len(numbers))
            self._con.execute(f"DELETE FROM sessions WHERE number IN ({marks})", numbers)  # noqa: S608  marks only
            for number in numbers:
                self._con.execute("DELETE FROM turns WHERE key BETWEEN ? AND ?", (number << 32, (number + 1 << 32) - 1))
        turns: list[tuple[int, str, bytes | None]] = [
            (key, text, None) for key, text in self._turns if not self._dropped or key >> 32 not in self._dropped
        ]
        if turns:
            self.mark = turns[0][0], os.urandom(16)
            turns[0] = *turns[0][:2], self.mark[1]
        # A statement that may fail halfway notes the old pages aside, in a file where they are many: 10 us a turn.
        self._insert("OR ROLLBACK INTO turns (key, text, token)", turns)
        sessions = self._sessions
        self._insert(
            "INTO sessions (number, tenant, id, version, n_bytes, created_at, updated_at, ends_at)",
            [
                (s.number, *key, s.version, s.n_bytes, s.created_at, s.updated_at, s.ends_at)
                for key, s in sessions.items()
                if key in self._touched
            ],
            "ON CONFLICT (number) DO UPDATE SET version = excluded.version, n_bytes = excluded.n_bytes, "
            "updated_at = excluded.updated_at, ends_at = excluded.ends_at",
        )
        more = [(tenant, n_bytes) for tenant, n_bytes in self._more.items() if n_bytes]
        self._insert(
            "INTO tenants (tenant, n_bytes)",
            more,
            "ON CONFLICT (tenant) DO UPDATE SET n_bytes = n_bytes + excluded.n_bytes",
        )
        for tenant, n_bytes in more:
            if n_bytes < 0:
                self._con.execute("DELETE FROM tenants WHERE tenant = ? AND n_bytes = 0", (tenant,))
        self.is_written = True

    def _fetch(self, keys: list[Key]) -> None:
        for part in _parts(keys):
            wanted = ", ".join(f"({i}, ?, ?)" for i in range(len(part)))
            # As one row, and so in one step. CROSS JOIN: the wanted ones first, each found by the index.
            found = self._con.execute(
                "SELECT json_group_array(json_array(column1, number, version, n_bytes, created_at, updated_at, "  # noqa: S608  numbers and marks only
                f"ends_at)) FROM (VALUES {wanted}) CROSS JOIN sessions ON tenant = column2 AND id = column3",
                [text for key in part for text in key],
            ).fetchone()[0]
            for i, *session in json.loads(found):
                self._sessions[part[i]] = _Session(*session)

    def _drop_ended(self, where: str, values: tuple[Any, ...]) -> None:
        found = self._con.execute(
            f"SELECT tenant, id, number, n_bytes FROM sessions WHERE {where}",  # noqa: S608  texts of this file
            values,
        )
        for tenant, session_id, number, n_bytes in found.fetchall():
            session = self._sessions.get((tenant, session_id))
            if session is None:
                if number in self._dropped:
                    continue
                session = self._sessions[tenant, session_id] = _Session(number, 0, n_bytes, 0, 0, self.now)
            if session.number == number and session.ends_at is not None and session.ends_at <= self.now:
                self.drop((tenant, session_id))

    def _needed(self, tenant: str, n_bytes: int) -> int:
        if tenant not in self._used:
            found = self._con.execute("SELECT n_bytes FROM tenants WHERE tenant = ?", (tenant,)).fetchone()
            self._used[tenant] = 0 if found is None else found[0]
        return self._used[tenant] + self._more.get(tenant, 0) + n_bytes

    def _insert(self, into: str, rows: Sequence[tuple[Any, ...]], then: str = "") -> None:
        for part in _parts(rows):
            marks = ", ".join(["(" + ", ".join("?" * len(part[0])) + ")"] * len(part))
            self._con.execute(
                f"INSERT {into} VALUES {marks} {then}",  # noqa: S608  texts of this file
                [value for row in part for value in row],
            )


def is_there(con: sqlite3.Connection, mark: tuple[int, bytes]) -> bool:
    """Whether the transaction of this mark was committed, as far as its first turn has not been deleted since."""
    return con.execute("SELECT 1 FROM turns WHERE key = ? AND token = ?", mark).fetchone() is not None


def load(con: sqlite3.Connection, key: Key, now: int) -> tuple[list[str], int, int]:
    """Return a session's texts and times, from one state of the database.

    Raises:
        SessionNotFound: there is none.
        StoreError: turns are missing.
    """
    con.execute("BEGIN")
    try:
        found = con.execute(
            "SELECT number, version, created_at, updated_at FROM sessions "
            "WHERE tenant = ? AND id = ? AND (ends_at IS NULL OR ends_at > ?)",
            (*key, now),
        ).fetchone()
        if found is None:
            raise rules.not_found()
        number, version, created_at, updated_at = found
        first = number << 32
        rows = con.execute(
            "SELECT text FROM turns WHERE key BETWEEN ? AND ? ORDER BY key", (first + 1, first + version)
        ).fetchall()
    finally:
        if con.in_transaction:
            con.execute("COMMIT")
    if len(rows) != version:
        msg = (
            f"the session has {version} messages and {len(rows)} are stored: the database is damaged; restore a backup"
        )
        raise StoreError(msg)
    return [text for (text,) in rows], created_at, updated_at


def list_ids(con: sqlite3.Connection, tenant: str, now: int) -> list[str]:
    """Return the ids of the tenant's sessions, in the order of SQLite's binary collation, that of code points."""
    rows = con.execute(
        "SELECT id FROM sessions WHERE tenant = ? AND (ends_at IS NULL OR ends_at > ?) ORDER BY id", (tenant, now)
    )
    return [session_id for (session_id,) in rows.fetchall()]


def usage(con: sqlite3.Connection, tenant: str, now: int) -> int:
    """Return the bytes of the tenant's sessions, those that have ended not among them."""
    n_bytes = con.execute(
        "SELECT coalesce((SELECT n_bytes FROM tenants WHERE tenant = ?1), 0) "
        "- coalesce((SELECT sum(n_bytes) FROM sessions WHERE tenant = ?1 AND ends_at <= ?2), 0)",
        (tenant, now),
    ).fetchone()[0]
    return int(n_bytes)


def _parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), _MOST_ROWS):
        yield rows[start : start + _MOST_ROWS]
