"""The database file of `stores.sqlite`: its schema, how a connection is opened, and what SQLite's errors mean."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from rolecore.errors import StoreError

# "rcss" in ASCII, at byte 68 of the file: whose database this is.
APPLICATION_ID = 0x72637373
SCHEMA_VERSION = 1
# The longest text SQLite takes, in bytes, as it is built unless somebody says otherwise.
MAX_TEXT_BYTES = 1_000_000_000

# Of a turn the key is `session number << 32 | place`, places from 1: the turns of a session lie side by side, in order,
# in the table itself. That is no WITHOUT ROWID table, which is for rows of less than a twentieth of a page.
# Times are microseconds since 1970, since JSON, in which sessions are fetched, would round a REAL.
# `token` names the transaction that wrote the turn, at its first turn only; null in all others.
_SCHEMA = """
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    n_bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ends_at INTEGER,
    UNIQUE (tenant, id)
);
CREATE INDEX ends ON sessions (ends_at) WHERE ends_at IS NOT NULL;
CREATE TABLE turns (key INTEGER PRIMARY KEY, text TEXT NOT NULL, token BLOB);
CREATE TABLE tenants (tenant TEXT PRIMARY KEY, n_bytes INTEGER NOT NULL) WITHOUT ROWID;
"""

_MEANINGS = {
    sqlite3.SQLITE_FULL: "the disk is full; free some room and try again",
    sqlite3.SQLITE_READONLY: "it cannot be written; make the file and its directory writable",
    sqlite3.SQLITE_PERM: "it may not be opened; change its permissions",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; its directory must exist and be writable, and it be a file",
    sqlite3.SQLITE_CORRUPT: "it is damaged and was left as it is; restore a backup, or try the sqlite3 command's "
    ".recover on a copy",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database and was left as it is; name another file",
    sqlite3.SQLITE_IOERR: "the disk failed; look into the system's log",
    sqlite3.SQLITE_TOOBIG: "a message is too long; store long contents elsewhere",
}


# What comes of a value that no store wrote: a text in place of a number, or a number too large.
DAMAGES = (TypeError, ValueError, OverflowError)


class LockedError(Exception):
    """Somebody else holds a lock that is needed; try again."""


def is_locked(error: Exception) -> bool:
    """Whether it is worth trying again in a moment."""
    return isinstance(error, LockedError) or _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_disk_failure(error: Exception) -> bool:
    """Whether the disk failed, so that nobody knows what of the last transaction is on it."""
    return isinstance(error, OSError) or _code(error) == sqlite3.SQLITE_IOERR


def explain(error: Exception, path: str) -> StoreError:
    """Return the error that says what SQLite's means and the way out; SQLite's own words may hold a user's."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, OSError):
        return StoreError(f"{path}: {(error.strerror or type(error).__name__).lower()}; look into the system's log")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    code = sqlite3.SQLITE_CORRUPT if isinstance(error, DAMAGES) else _code(error)
    meaning = _MEANINGS.get(code, "SQLite refuses; look up the name of the error")
    return StoreError(f"{path}: {meaning} ({name})")


def locked(path: str, patience_s: float) -> StoreError:
    """Return the error for a lock that another process did not let go in time."""
    msg = f"{path}: locked by another process for {patience_s:g} s; end what holds it, or wait longer with a deadline"
    return StoreError(msg)


def open_writer(path: str, durability: str, *, is_suspect: bool) -> sqlite3.Connection:
    """Return a connection that writes; makes the file, unless it is there, and checks that it is ours.

    It never moves the log into the database by itself: see `checkpoint`.

    Args:
        path: absolute.
        durability: "full" or "normal".
        is_suspect: whether a sync has failed: then the log must be made sound, else only where nobody writes to it.

    Raises:
        StoreError: it is another program's, or of a newer version; nothing in it was changed.
        LockedError, sqlite3.Error, OSError: as they come; see `is_locked` and `explain`.
    """
    con = _connect(path, "rwc")
    try:
        is_new = not _check(con, path)
        # Another's journal mode is not touched before it is known to be ours.
        _write_ahead(con, path)
        con.execute(f"PRAGMA synchronous={durability.upper()}")
        # macOS only: there a plain fsync leaves what it writes in the drive's cache.
        con.execute(f"PRAGMA fullfsync={durability == 'full':d}")
        con.execute(f"PRAGMA journal_size_limit={64 << 20}")
        # A failure in it would not be told, and those who wait for a commit would wait for it too.
        con.execute("PRAGMA wal_autocheckpoint=0")
        try:
            _make_log_sound(con, path)
        except (sqlite3.Error, LockedError) as error:
            if is_suspect or not is_locked(error):
                raise
        if is_new:
            _create(con, path)
        _sync(Path(path).parent)
    except BaseException:
        close(con, is_sound=False)
        raise
    return con


def place(path: str) -> tuple[int, int] | None:
    """Return which file has this name; None where there is none."""
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def check_place(path: str, expected: tuple[int, int] | None) -> None:
    """Raise where the file has gone since it was opened: SQLite would go on with one that nobody finds again.

    Raises:
        StoreError: another file has the name, or none.
    """
    if place(path) != expected:
        msg = f"{path}: moved, removed or replaced since it was opened; nothing was done, open the store anew"
        raise StoreError(msg)


def open_reader(path: str) -> sqlite3.Connection:
    """Return a connection that only reads a file which `open_writer` has opened; raises as that one."""
    con = _connect(path, "rw")
    try:
        con.execute("PRAGMA query_only=1")
        _check(con, path)
    except BaseException:
        close(con, is_sound=False)
        raise
    return con


def checkpoint(con: sqlite3.Connection) -> None:
    """Move what is in the log into the database, as far as no reader needs it, so that the log begins anew."""
    con.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def close(con: sqlite3.Connection, *, is_sound: bool) -> None:
    """Close a connection; with `is_sound`, the last of all moves the log into the database and removes it."""
    if not is_sound:
        # It stays true until another statement is run, and the checkpoint at the end asks for it.
        con.interrupt()
    # What the connection holds is safe already, or was refused.
    with suppress(sqlite3.Error):
        con.close()


def _connect(path: str, mode: str) -> sqlite3.Connection:
    # Waiting for locks is ours, within deadlines. Statements for each number of rows are kept.
    uri = f"{Path(path).as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None, cached_statements=300)


def _check(con: sqlite3.Connection, path: str) -> bool:
    """Return whether the schema is there; reads the file, and so finds out that it is no database."""
    n_tables = con.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application_id = con.execute("PRAGMA application_id").fetchone()[0]
    version = con.execute("PRAGMA user_version").fetchone()[0]
    if not n_tables and not application_id and not version:
        return False
    if application_id != APPLICATION_ID:
        msg = f"{path}: it is another program's SQLite database and was left as it is; name another file"
        raise StoreError(msg)
    if version != SCHEMA_VERSION:
        msg = f"{path}: its schema is of version {version}, this rolecore knows {SCHEMA_VERSION}; install a newer one"
        raise StoreError(msg)
    return True


def _create(con: sqlite3.Connection, path: str) -> None:
    con.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have made it meanwhile.
        if not _check(con, path):
            for statement in _SCHEMA.split(";"):
                con.execute(statement)
            con.execute(f"PRAGMA application_id={APPLICATION_ID}")
            con.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        con.execute("COMMIT")
    finally:
        if con.in_transaction:
            with suppress(sqlite3.Error):
                con.execute("ROLLBACK")


def _write_ahead(con: sqlite3.Connection, path: str) -> None:
    if con.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        msg = f"{path}: its file system has no shared memory for a write-ahead log; keep it on a local disk"
        raise StoreError(msg)


def _make_log_sound(con: sqlite3.Connection, path: str) -> None:
    """Write the log once more, sync it, and move it into the database.

    After a sync that failed, the system takes what it could not write for clean: everybody reads it, the next sync
    succeeds, and it is not on the disk. A log with such a gap must not be built upon: a power cut would take what was
    appended behind it, though its own sync succeeded; and moved into the database, with what is before the gap read
    back from the disk, it would leave pages of two ages. A process that ended on a failure leaves its log to the next.

    Raises:
        LockedError: somebody else reads or writes.
        sqlite3.Error, OSError: as they come.
    """
    log = Path(f"{path}-wal")
    if not log.exists() or not log.stat().st_size:
        return
    con.execute("BEGIN IMMEDIATE")  # nobody appends to the log meanwhile
    try:
        with log.open("r+b", buffering=0) as file:
            while chunk := file.read(1 << 20):
                file.seek(-len(chunk), os.SEEK_CUR)
                file.write(chunk)
            os.fsync(file.fileno())
    finally:
        con.execute("ROLLBACK")
    if con.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise LockedError
    # Only now is a transaction that failed gone for good.
    _sync(log)


def _sync(path: Path) -> None:
    # SQLite syncs the directory after it has made a log, not after it has made the database.
    if os.name == "posix" or path.is_file():
        fd = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _code(error: Exception) -> int:
    """Return SQLite's primary code; 0 for what is none of its errors."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
