"""Sessions in PostgreSQL: rows that a short transaction appends to, and JSONB that audits can query."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import uuid
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from rolecore import deadlines
from rolecore.errors import ArgumentError, MissingExtraError, StoreError
from rolecore.stores import postgres_schema as schema
from rolecore.stores import rules, wire
from rolecore.stores.postgres_json import for_jsonb
from rolecore.stores.protocol import Ids, SessionRecord
from rolecore.stores.remote import DEFAULT_TIMEOUT_S, LostError, Server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType
    from typing import Self

# In the class `list` is the method.
Rows: TypeAlias = list[tuple[Any, ...]]

# 3,000 years from now; PostgreSQL's timestamps go on for 290,000.
_NEVER_S = 1e11
_MAX_TIMEOUT_MS = (1 << 31) - 1
# How near its end a deadline is taken for over when the server says that it is: its clock is read in milliseconds.
_NEARLY_S = 0.05

# SQLSTATE, or its class: what it means and the way out.
_REFUSALS = {
    "28": "the password or the user name is wrong; check those in the URL",
    "42501": "the user lacks a right; grant it CREATE on the database, or open the store once as one who has it",
    "25006": "the server is a standby, which takes no writes; open the primary",
    "53": "the server lacks disk, memory or connections; give it more",
    "54": "a message is larger than JSONB holds; keep what is in it elsewhere",
    "42": "the tables in the schema rolecore are not as a store made them; restore them from a backup",
    "XX": "the server found its files damaged; restore them from a backup",
}
_UNKNOWN = "see the error that this one came from"
# By its own timeouts, or by an administrator.
_CANCELLED = ("57014", "55P03")
# The server is going down, coming up, or has broken off.
_LOST = ("57P01", "57P02", "57P03", "57P05", "25P03", "08")
# Rolled back because of other transactions, or not let in at all: to be tried again.
_UNDONE = ("40", "53300")
# libpq's words for what stops it on the way; the server's own, when it refuses, come in any language.
_ON_THE_WAY = (
    "refused", "closed the connection", "reset by peer", "timed out", "timeout", "could not", "starting up",
    "not yet accept", "shutting down", "recovery", "no such file", "broken pipe", "unreachable", "eof", "too many",
    "no route", "invalid response", "expected authentication request", "received", "lost", "terminating connection",
)  # fmt: skip


def open_url(url: str, *, durability: str, quota_bytes: int | None) -> PostgresStore:
    """Return a store that is not connected yet.

    Raises:
        ArgumentError: the URL is not of the form, or the quota is none.
        MissingExtraError: psycopg is not installed.
    """
    return PostgresStore(url, durability=durability, quota_bytes=quota_bytes)


class PostgresStore:
    """A `SessionStore` with `SupportsTTL` and `SupportsQuota` in a PostgreSQL database, version 12 or newer.

    It lives in the schema `rolecore`, which it makes when it is absent. Times are the server's. With durability "full"
    each transaction waits for the server's disk, and a server that runs with fsync off is refused. Share it between
    tasks of one event loop. Needs the extra `rolecore[postgres]`.

    Args:
        url: as libpq takes it: "postgresql://[user:password@]host[:port]/database[?sslmode=verify-full...]".
        durability: as in `open_store`.
        quota_bytes: as in `open_store`.

    Raises:
        ArgumentError: the URL is not of the form, or the quota is none.
        MissingExtraError: psycopg is not installed.

    Cost: one round trip a call; `append` as long as its messages are, with a quota also as many sessions as the tenant
        has, and one at a time for each tenant; `load` as long as the session, `list` as many as the tenant has.
    """

    def __init__(self, url: str, *, durability: str = "full", quota_bytes: int | None = None) -> None:
        """Read the URL; nothing is sent."""
        self._quota = rules.check_quota(quota_bytes)
        self._durability = durability
        try:
            self._psycopg: Any = import_module("psycopg")
        except ImportError as error:
            msg = "a store in PostgreSQL needs psycopg; pip install 'rolecore[postgres]'"
            raise MissingExtraError(msg) from error
        scheme, _, rest = url.partition("://")
        try:
            self._options: dict[str, Any] = self._psycopg.conninfo.conninfo_to_dict(f"{scheme.lower()}://{rest}")
        except (self._psycopg.Error, ValueError):
            # Without the error it came from, which may show a part of the URL.
            msg = "url is not of the form postgresql://[user:password@]host[:port]/database; quote signs as %40 for @"
            raise ArgumentError(msg) from None
        self._options = {"application_name": "rolecore"} | self._options | {"client_encoding": "UTF8"}
        self._server: Server[Any] = Server(self._connect, _drop)

    def __repr__(self) -> str:
        """Show how it was opened, nothing of the URL."""
        return f"PostgresStore(durability={self._durability!r}, quota_bytes={self._quota})"

    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        """Append messages: see `SessionStore.append`."""
        rules.check_ids(tenant, session_id)
        expected = rules.check_expected_version(expected_version)
        texts = wire.encode(messages)
        shown, exact = zip(*map(for_jsonb, texts), strict=True)
        n_bytes = sum(map(len, texts))
        # A version that no session can have, rather than one that the server cannot read.
        limit = None if expected is None else min(expected, (1 << 63) - 1)
        quota = None if self._quota is None else min(self._quota, (1 << 63) - 1)
        values = (tenant, session_id, uuid.uuid4().hex, limit, quota, n_bytes, [*shown], [*exact])
        (outcome, number), *_ = (await self._run("append", schema.APPEND, values))[0]
        if outcome == schema.IS_CONFLICT:
            raise rules.conflict(expected or 0, number)
        if outcome == schema.IS_OVER_QUOTA:
            raise rules.over_quota(number, self._quota or 0)
        return int(number)

    async def load(self, session_id: str, *, tenant: str = "") -> SessionRecord:
        """Return a session: see `SessionStore.load`."""
        rules.check_ids(tenant, session_id)
        rows, _ = await self._run("load", schema.LOAD, (tenant, session_id))
        if not rows:
            raise rules.not_found()
        version, created_at, updated_at, *_ = rows[0]
        if [row[3] for row in rows] != list(range(1, version + 1)):
            msg = "the stored session is damaged: turns are missing; restore it from a backup, or delete it"
            raise StoreError(msg)
        return SessionRecord(wire.decode(row[4] for row in rows), version, created_at, updated_at)

    async def list(self, *, tenant: str = "") -> Ids:
        """Return the ids of the tenant's sessions, sorted: see `SessionStore.list`."""
        rules.check_tenant(tenant)
        rows, _ = await self._run("list", schema.LIST, (tenant,))
        return [session_id for (session_id,) in rows]

    async def delete(self, session_id: str, *, tenant: str = "") -> None:
        """Remove a session: see `SessionStore.delete`."""
        rules.check_ids(tenant, session_id)
        rows, again = await self._run("delete", schema.DELETE, (tenant, session_id))
        if rows != [(True,)] and not again:
            raise rules.not_found()

    async def expire(self, session_id: str, seconds: float | None, *, tenant: str = "") -> None:
        """Let a session end so many seconds from now: see `SupportsTTL.expire`."""
        rules.check_ids(tenant, session_id)
        left = math.inf if seconds is None else deadlines.read_seconds(seconds)
        values = (None if left > _NEVER_S else left, tenant, session_id)
        rows, again = await self._run("expire", schema.EXPIRE, values)
        # A session that a lost attempt ended at once is gone as well.
        if not rows and not (again and left == 0):
            raise rules.not_found()

    async def usage(self, *, tenant: str = "") -> int:
        """Return the bytes that the tenant's sessions take: see `SupportsQuota.usage`."""
        rules.check_tenant(tenant)
        rows, _ = await self._run("usage", schema.USAGE, (tenant,))
        return int(rows[0][0])

    async def close(self) -> None:
        """Drop the connections: see `SessionStore.close`."""
        self._server.close()

    async def __aenter__(self) -> Self:
        """Connect, check the server, make the tables; raises StoreError when it is not fit or the store is closed."""
        await self._server.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def _run(self, what: str, query: str, values: tuple[Any, ...]) -> tuple[Rows, bool]:
        """Return the rows of a transaction, and whether an earlier attempt may have been done."""

        async def transact(connection: Any) -> Rows:  # noqa: ANN401  psycopg's
            # All of it is sent at once, so that the transaction never waits for us. After an error the server skips the
            # rest, and the connection is dropped.
            broken = None
            async with connection.pipeline():
                try:
                    await connection.execute(schema.BEGIN)
                    await connection.execute(schema.SETTINGS, self._settings())
                    cursor = await connection.execute(query, values)
                    await connection.execute("COMMIT")
                except self._psycopg.OperationalError as error:
                    # A pipeline that is left by an error writes warnings to the log; it raises by itself.
                    broken = error
            if broken is not None:
                raise broken
            rows: Rows = await cursor.fetchall()
            return rows

        async def work(connection: Any, again: bool) -> tuple[Rows, bool]:  # noqa: ANN401, FBT001
            with self._translated(what, connection):
                return await _or_cut(connection, transact(connection)), again

        return await self._server.call(what, work)

    def _settings(self) -> tuple[str, str]:
        """Return what `schema.SETTINGS` takes; the server's limits end what we no longer wait for."""
        left_s = deadlines.remaining()
        left_ms = min((DEFAULT_TIMEOUT_S if left_s is None else left_s) * 1000, _MAX_TIMEOUT_MS)
        return "on" if self._durability == "full" else "off", str(max(1, math.ceil(left_ms)))

    async def _connect(self) -> Any:  # noqa: ANN401  psycopg's
        with self._translated("connect", None):
            connection = await self._psycopg.AsyncConnection.connect(
                **self._options, autocommit=True, prepare_threshold=None
            )
        try:
            with self._translated("connect", connection):
                await _or_cut(connection, self._prepare(connection))
        except BaseException:
            _drop(connection)
            raise
        return connection

    async def _prepare(self, connection: Any) -> None:  # noqa: ANN401  psycopg's
        fsync, encoding, is_there = await _one(connection, schema.CHECK)
        if self._durability == "full" and fsync != "on":
            msg = "durability 'full': the server runs with fsync off; turn it on, or open with durability='normal'"
            raise StoreError(msg)
        if encoding != "UTF8":
            msg = f"the database is encoded in {encoding}; a store needs one made with ENCODING 'UTF8'"
            raise StoreError(msg)
        if not is_there:
            await self._create(connection)
        (version,) = await _one(connection, schema.READ_VERSION)
        if version != schema.VERSION:
            msg = f"the store is of version {version}, this rolecore knows {schema.VERSION}; install a newer rolecore"
            raise StoreError(msg)

    async def _create(self, connection: Any) -> None:  # noqa: ANN401  psycopg's
        await connection.execute(schema.BEGIN)
        await connection.execute(schema.SETTINGS, self._settings())
        # Another may be making them.
        await connection.execute(schema.LOCK_SCHEMA)
        if not (await _one(connection, schema.CHECK))[2]:
            await connection.execute(schema.CREATE)
        await connection.execute("COMMIT")

    @contextmanager
    def _translated(self, what: str, connection: Any) -> Iterator[None]:  # noqa: ANN401  psycopg's
        try:
            yield
        except self._psycopg.Error as error:
            raise self._translate(error, what, connection) from error
        except OSError as error:
            # The host's name has no address, or there are no files left.
            msg = "PostgreSQL cannot be reached"
            raise LostError(msg, was_sent=connection is not None) from error

    def _translate(self, error: Any, what: str, connection: Any) -> Exception:  # noqa: ANN401  psycopg's
        state = error.sqlstate or ""
        translated: Exception
        if not state and connection is None:
            translated = _not_let_in(str(error).lower())
        elif state.startswith(_LOST) or (not state and connection.closed):
            translated = LostError("the connection to PostgreSQL broke", was_sent=connection is not None)
        elif state.startswith(_UNDONE):
            translated = LostError("PostgreSQL rolled it back, as others do the same", was_sent=False)
        elif state in _CANCELLED and (deadlines.remaining() or 0.0) < _NEARLY_S:
            translated = deadlines.exceeded(what)
        elif state in _CANCELLED:
            translated = StoreError(f"{what}: somebody cancelled it in the server, and it was not done; try again")
        else:
            means = next((means for code, means in _REFUSALS.items() if state.startswith(code)), _UNKNOWN)
            translated = StoreError(f"PostgreSQL refused with SQLSTATE {state or 'unknown'}: {means}")
        return translated


def _not_let_in(words: str) -> Exception:
    # When a connection fails, libpq keeps the server's words and not its SQLSTATE.
    if any(some in words for some in _ON_THE_WAY) and "authentication failed" not in words:
        return LostError("PostgreSQL cannot be reached", was_sent=False)
    return StoreError("PostgreSQL lets nobody in with this URL: check its user, password, database and sslmode")


async def _one(connection: Any, query: str) -> tuple[Any, ...]:  # noqa: ANN401  psycopg's
    row: tuple[Any, ...] = await (await connection.execute(query)).fetchone()
    return row


async def _or_cut(connection: Any, work: Any) -> Any:  # noqa: ANN401  psycopg's and its results
    """Return what `work` returns; when cancelled, cut the connection.

    psycopg meets a cancellation by asking the server to cancel, for up to 10 s. A server that is silent would make a
    deadline that late.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _cut(connection)
        # It finds the connection closed and ends, in a step of the loop.
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def _cut(connection: Any) -> None:  # noqa: ANN401  psycopg's
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as twin:
        try:
            twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            return


def _drop(connection: Any) -> None:  # noqa: ANN401  psycopg's
    connection.pgconn.finish()
