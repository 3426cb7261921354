"""Sessions in a SQLite file, through Python's own sqlite3: each acknowledged turn is on the disk, many in one sync."""

from __future__ import annotations

import math
import re
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecore import deadlines
from rolecore.errors import ArgumentError, StoreError
from rolecore.stores import rules, sqlite_batch, sqlite_file, wire
from rolecore.stores.protocol import Ids, SessionRecord
from rolecore.stores.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Self

    from rolecore.stores.worker import Job

# What one transaction takes, so that none holds the lock for long.
_MOST_JOBS = 512
_MOST_BYTES = 8 << 20
# 3,000 years from now; microseconds are counted in 64 bits.
_NEVER_S = 1e11
# Between two tries to get a lock, in seconds.
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.008
# Of the log, before it is moved into the database: 16 MiB, each read once more when it is opened after a crash.
_MOST_PAGES = 4000
# How long it may take, after the disk has failed, to find out what became of a transaction.
_SETTLE_S = 5.0


def path_of(url: str) -> str:
    """Return the path that a URL names: sqlite:///relative.db, sqlite:////absolute.db.

    Raises:
        ArgumentError: it names none, or more than a path.
    """
    path = url.partition("://")[2]
    is_name = not re.search("[\0?\ud800-\udc7f\udd00-\udfff]", path)  # others stand for bytes that are no UTF-8
    if not path.startswith("/") or len(path) == 1 or path[1:] == ":memory:" or not is_name:
        msg = "url must be 'sqlite:///relative.db' or 'sqlite:////absolute.db' and have no ?options; for a store in "
        msg += "memory it is 'memory://'"
        raise ArgumentError(msg)
    return path[1:]


def open_url(url: str, *, durability: str, quota_bytes: int | None) -> SqliteStore:
    """Return the store of a file, which is opened or made when it is entered or first used.

    Raises:
        ArgumentError: the URL names no path, or the quota is none.
    """
    return SqliteStore(path_of(url), durability=durability, quota_bytes=quota_bytes)


class SqliteStore:
    """A `SessionStore` with `SupportsTTL` and `SupportsQuota` in one file, which several processes may share.

    One thread writes: what was asked for while it was busy becomes one transaction with one sync, and then all of it is
    answered. Another thread reads, and does not wait for a sync. Both end with `close`. Safe to share between tasks,
    loops and threads. After a fork the child must open a store of its own.

    durability="full" syncs each commit: what `append` has returned survives a power cut on a disk that honours syncs.
    "normal" syncs at checkpoints only: an acknowledged turn survives the death of the process, and a power cut may take
    the newest turns, never those in between.

    When a deadline passes while a commit runs, or an append that has begun is cancelled, its messages may come to be
    there or not: only with `expected_version` can it simply be made again. A refused append leaves nothing behind,
    unless the error says that this is not known.

    Args:
        path: of the file; its directory must exist.
        durability: "full" or "normal".
        quota_bytes: as in `open_store`; each process brings its own.
        clock: returns seconds since 1970, UTC.
        patience_s: how long a call without a deadline waits for a lock of another process, in seconds.

    Raises:
        ArgumentError: the quota is neither None nor an int from 1.

    Cost: `append` as long as its messages are and one sync, shared by all that ask in the meantime; `load` as long as
    the session; however many sessions there are. Two threads, and about six files that are held open.
    """

    def __init__(
        self,
        path: str,
        *,
        durability: str = "full",
        quota_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
        patience_s: float = 30.0,
    ) -> None:
        """Touch no file yet."""
        self._quota = rules.check_quota(quota_bytes)
        # A later change of the working directory changes nothing.
        self._path = str(Path(path).absolute())
        self._durability = durability
        self._clock = clock
        self._patience_s = patience_s
        self._is_open = False
        self._place: tuple[int, int] | None = None
        self._is_suspect = False  # the disk failed: what is in the log is not to be built upon
        self._n_pages = 0  # about as many as the log has grown by since its last checkpoint
        self._con: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._writer = Worker("rolecore-sqlite-writer", self._write, self._close_writer, patience_s)
        self._reader = Worker("rolecore-sqlite-reader", self._read, self._close_reader, patience_s)

    def __repr__(self) -> str:
        """Show where and how."""
        return f"SqliteStore({self._path!r}, durability={self._durability!r}, quota_bytes={self._quota})"

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
        n_bytes = sum(map(len, texts))
        if n_bytes > sqlite_file.MAX_TEXT_BYTES and max(map(len, texts)) > sqlite_file.MAX_TEXT_BYTES:
            msg = f"a message is over {sqlite_file.MAX_TEXT_BYTES} bytes long as JSON; store long contents elsewhere"
            raise StoreError(msg)
        work = sqlite_batch.Append((tenant, session_id), texts, n_bytes, expected)
        if deadlines.remaining() is None:  # the way of most, worth 10 us
            version: int = await self._writer.ask(work, n_bytes)
        else:
            async with deadlines.within("append"):
                version = await self._writer.ask(work, n_bytes)
        return version

    async def load(self, session_id: str, *, tenant: str = "") -> SessionRecord:
        """Return a session: see `SessionStore.load`."""
        rules.check_ids(tenant, session_id)

        def work(con: sqlite3.Connection) -> SessionRecord:
            texts, created_at, updated_at = sqlite_batch.load(con, (tenant, session_id), self._now())
            return SessionRecord(wire.decode(texts), len(texts), created_at / 1e6, updated_at / 1e6)

        record: SessionRecord = await self._ask_reader("load", work)
        return record

    async def list(self, *, tenant: str = "") -> Ids:
        """Return the ids of the tenant's sessions, sorted: see `SessionStore.list`."""
        rules.check_tenant(tenant)
        ids: Ids = await self._ask_reader("list", lambda con: sqlite_batch.list_ids(con, tenant, self._now()))
        return ids

    async def delete(self, session_id: str, *, tenant: str = "") -> None:
        """Remove a session: see `SessionStore.delete`."""
        rules.check_ids(tenant, session_id)
        async with deadlines.within("delete"):
            await self._writer.ask(sqlite_batch.Delete((tenant, session_id)))

    async def expire(self, session_id: str, seconds: float | None, *, tenant: str = "") -> None:
        """Let a session end so many seconds from now: see `SupportsTTL.expire`."""
        rules.check_ids(tenant, session_id)
        left = math.inf if seconds is None else deadlines.read_seconds(seconds)
        async with deadlines.within("expire"):
            await self._writer.ask(sqlite_batch.Expire((tenant, session_id), None if left > _NEVER_S else left))

    async def usage(self, *, tenant: str = "") -> int:
        """Return the bytes that the tenant's sessions take: see `SupportsQuota.usage`."""
        rules.check_tenant(tenant)
        n_bytes: int = await self._ask_reader("usage", lambda con: sqlite_batch.usage(con, tenant, self._now()))
        return n_bytes

    async def close(self) -> None:
        """Answer what was asked for, then let go of the file and of both threads: see `SessionStore.close`."""
        await self._reader.stop()
        await self._writer.stop()

    async def __aenter__(self) -> Self:
        """Open the file, or make it: see `SessionStore.__aenter__`. What cannot be opened is closed."""
        try:
            async with deadlines.within("open"):
                await self._writer.ask(None)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def _now(self) -> int:
        return round(self._clock() * 1e6)

    async def _ask_reader(self, what: str, work: Callable[[sqlite3.Connection], Any]) -> Any:  # noqa: ANN401  of `work`
        async with deadlines.within(what):
            if not self._is_open:
                await self._writer.ask(None)
            return await self._reader.ask(work)

    # In the reader's thread.

    def _read(self) -> None:
        for job in self._reader.take(1, 1):
            job.answer = self._answer_of(job)
        self._reader.answer()

    def _answer_of(self, job: Job) -> Any:  # noqa: ANN401  of the job's work
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                if self._reading is None:
                    self._reading = sqlite_file.open_reader(self._path)
                sqlite_file.check_place(self._path, self._place)
                return job.work(self._reading)
            except StoreError as error:
                return error
            except (sqlite3.Error, sqlite_file.LockedError, OSError, *sqlite_file.DAMAGES) as error:
                if not sqlite_file.is_locked(error):
                    self._close_reader()
                    return sqlite_file.explain(error, self._path)
            if time.monotonic() >= job.gives_up_at or job.future.cancelled():
                return sqlite_file.locked(self._path, self._patience_s)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _close_reader(self) -> None:
        con, self._reading = self._reading, None
        if con is not None:
            # Only the writer knows whether the log is sound.
            sqlite_file.close(con, is_sound=False)

    # In the writer's thread.

    def _write(self) -> None:
        try:
            if not self._begin():
                return
        except (sqlite3.Error, OSError, StoreError) as error:
            self._is_suspect |= sqlite_file.is_disk_failure(error)
            self._close_writer()
            self._writer.refuse(sqlite_file.explain(error, self._path))
            return
        jobs = self._writer.take(_MOST_JOBS, _MOST_BYTES)
        batch = None
        try:
            batch = sqlite_batch.Batch(self._open(), {job.work.key for job in jobs}, self._now(), self._quota)
            for job in jobs:
                try:
                    job.answer = job.work.apply(batch)
                except StoreError as error:
                    job.answer = error
            batch.write()
            self._open().execute("COMMIT")
        except (sqlite3.Error, *sqlite_file.DAMAGES) as error:
            why = self._settle(error, batch)
            if why is not None:
                for job in jobs:
                    job.answer = StoreError(why)
            batch = None
        self._writer.answer()
        if batch is not None:
            self._checkpoint(batch.n_pages)

    def _begin(self) -> bool:
        """Open the file and begin a transaction, patiently; returns whether there is anybody left to do it for."""
        pause_s = _FIRST_PAUSE_S
        while self._writer.has_jobs():
            try:
                con = self._open()
                if self._writer.take_all(lambda job: job.work is None):
                    self._writer.answer()
                    continue
                con.execute("BEGIN IMMEDIATE")
                sqlite_file.check_place(self._path, self._place)
            except (sqlite3.Error, sqlite_file.LockedError) as error:
                if not sqlite_file.is_locked(error):
                    raise
            else:
                return True
            self._writer.lose_patience(sqlite_file.locked(self._path, self._patience_s))
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return False

    def _open(self) -> sqlite3.Connection:
        if self._con is None:
            if self._place is not None:
                sqlite_file.check_place(self._path, self._place)  # or another would be made
            try:
                self._con = sqlite_file.open_writer(self._path, self._durability, is_suspect=self._is_suspect)
            except (sqlite3.Error, OSError) as error:
                self._is_suspect |= sqlite_file.is_disk_failure(error)
                raise
            # Once and for all: the file must not become another under way.
            self._place = self._place or sqlite_file.place(self._path)
            self._is_open, self._is_suspect = True, False
        return self._con

    def _settle(self, error: Exception, batch: sqlite_batch.Batch | None) -> str | None:
        """Return why a transaction failed, so that nothing of it is there; None when all of it is on the disk."""
        why = str(sqlite_file.explain(error, self._path))
        if not sqlite_file.is_disk_failure(error):
            self._roll_back()
            return why
        # The commit may be in the log, and the log on the disk or not.
        self._is_suspect = True
        self._close_writer()
        give_up_at = time.monotonic() + _SETTLE_S
        while time.monotonic() < give_up_at:
            try:
                con = self._open()
                if batch is None or not batch.is_written:
                    return why
                if batch.mark is None:
                    break
                return None if sqlite_batch.is_there(con, batch.mark) else why
            except (sqlite3.Error, sqlite_file.LockedError, OSError, StoreError) as failure:
                if not sqlite_file.is_locked(failure):
                    break
            time.sleep(_LONGEST_PAUSE_S)
        return f"{why}; whether the last change was made is not known: load the session to see"

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            self._open().execute("ROLLBACK")
        if self._open().in_transaction:
            self._close_writer()

    def _checkpoint(self, n_pages: int) -> None:
        """Keep the log short, after those who wait were answered."""
        self._n_pages += n_pages
        if self._n_pages < _MOST_PAGES:
            return
        self._n_pages = 0
        try:
            sqlite_file.checkpoint(self._open())
        except (sqlite3.Error, OSError, StoreError) as error:
            self._is_suspect |= sqlite_file.is_disk_failure(error)
            self._close_writer()

    def _close_writer(self) -> None:
        con, self._con = self._con, None
        if con is not None:
            sqlite_file.close(con, is_sound=not self._is_suspect)
