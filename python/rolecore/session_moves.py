"""What `rolecore sessions` does: list, show, export and move the sessions of a store."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rolecore import chatfile
from rolecore.errors import ArgumentError, SessionConflict, SessionNotFound
from rolecore.snapshot_tree import Row, shown
from rolecore.stores import open_store, wire

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from rolecore.stores.protocol import SessionRecord, SessionStore

T = TypeVar("T")

_SNAPSHOT_SUFFIX = ".rcss"


@dataclass(frozen=True)
class Summary:
    """A session without what was said in it."""

    id: str
    version: int
    bytes: int
    created_at: float
    updated_at: float

    def cells(self) -> tuple[str, ...]:
        """Return it as cells of a table."""
        return shown(self.id), f"{self.version:,}", f"{self.bytes:,}", utc(self.created_at), utc(self.updated_at)


# Of `migrate`, as they are told.
OUTCOMES = ("copied", "continued", "there", "gone", "conflict")
COLUMNS = ("id", "messages", "bytes", "created", "updated")


@dataclass(frozen=True)
class Moved:
    """What became of one session: "copied", "continued", "there", "gone" or "conflict", and its messages."""

    id: str
    outcome: str
    messages: int

    def __str__(self) -> str:
        """Say what became of it."""
        return f"{self.outcome}: {shown(self.id)}"


def summaries(url: str, tenant: str) -> list[Summary]:
    """Return the tenant's sessions, in the order of their ids."""

    async def work(store: SessionStore) -> list[Summary]:
        found = []
        for session_id in await store.list(tenant=tenant):
            try:
                found.append(summarize(session_id, await store.load(session_id, tenant=tenant)))
            except SessionNotFound:  # deleted meanwhile
                continue
        return found

    return _run(url, work)


def load(url: str, session_id: str, tenant: str) -> SessionRecord:
    """Return one session."""

    async def work(store: SessionStore) -> SessionRecord:
        return await store.load(session_id, tenant=tenant)

    return _run(url, work)


def summarize(session_id: str, record: SessionRecord) -> Summary:
    """Return a session's figures; its bytes are those a quota counts."""
    n_bytes = sum(map(len, wire.encode(record.messages)))
    return Summary(session_id, record.version, n_bytes, record.created_at, record.updated_at)


def describe(session_id: str, record: SessionRecord, most: int | None) -> dict[str, Any]:
    """Return what the tree shows, as a dict that JSON can hold.

    Args:
        session_id: of the session.
        record: the session.
        most: messages that are told one by one, as many from either end; None: all.
    """
    sizes = list(map(len, wire.encode(record.messages)))
    count = len(sizes)
    head, tail = (count, count) if most is None or most >= count else ((most + 1) // 2, count - most // 2)
    told = []
    for index, (message, n_bytes) in enumerate(zip(record.messages, sizes, strict=True)):
        if not head <= index < tail:
            role = message.get("role")
            calls = message.get("tool_calls")
            n_calls = len(calls) if isinstance(calls, list) else 0
            role = role if isinstance(role, str) else None
            told.append({"index": index, "role": role, "tool_calls": n_calls, "bytes": n_bytes})
    left_out = {"count": max(0, tail - head), "bytes": sum(sizes[head:tail])}
    return {**asdict(summarize(session_id, record)), "messages": told, "left_out": left_out}


def rows(told: dict[str, Any]) -> Iterator[Row]:
    """Yield the lines for what `describe` returned."""
    times = f"created {utc(told['created_at'])}, updated {utc(told['updated_at'])}"
    yield Row(0, f"session {shown(told['id'])}, version {told['version']:,}, {times}", told["bytes"])
    at = 0
    left_out = Row(1, f"... {told['left_out']['count']:,}: --all shows them", told["left_out"]["bytes"])
    for message in told["messages"]:
        if message["index"] != at:
            yield left_out
        at = message["index"] + 1
        calls = f", {message['tool_calls']} tool calls" if message["tool_calls"] else ""
        yield Row(1, f"{message['index']} {shown(message['role'])}{calls}", message["bytes"])
    if at != told["version"]:
        yield left_out


def export(record: SessionRecord, session_id: str, path: str | None) -> bytes | None:
    """Return the messages as JSON Lines, or as JSON for a path that ends in .json; None when a snapshot was written.

    Raises:
        MessageError: a message is none that a history takes, which a snapshot is made of.
        CodecError: a text holds a lone surrogate, which a snapshot cannot hold.
    """
    suffix = "" if path is None else Path(path).suffix.lower()
    if path is not None and suffix == _SNAPSHOT_SUFFIX:
        from rolecore._core import History

        try:
            History(record.messages).save(path, session_id=session_id)
        except OSError as error:
            msg = f"{path}: cannot be written: {(error.strerror or type(error).__name__).lower()}"
            raise ArgumentError(msg) from error
        return None
    return chatfile.dump_messages(record.messages, as_lines=suffix != ".json")


def migrate(
    from_url: str, to_url: str, tenant: str, *, is_move: bool, tell: Callable[[Moved], None] = lambda _moved: None
) -> list[Moved]:
    """Copy the tenant's sessions into another store, and check each there; with `is_move`, delete it here after that.

    Made to be run again, until nothing is left to do: what is there already is compared and passed over, and what is
    there in part, because it has grown since, is continued. A session whose messages there are not the beginning of
    those here is a conflict, and is changed in neither store. Nothing is overwritten.

    Args:
        from_url: of the store to read; a file must exist.
        to_url: of the store to append to.
        tenant: whose sessions.
        is_move: whether to delete here what is there.
        tell: is called for each session as it is done.

    Raises:
        ArgumentError: both URLs are the same, or with `is_move` they name the same store: then nothing is deleted.
    """
    if from_url == to_url:
        msg = "both URLs are the same; name another store to move sessions to"
        raise ArgumentError(msg)

    async def work(source: SessionStore) -> list[Moved]:
        done = []
        async with open_store(to_url) as target:
            ids = await source.list(tenant=tenant)
            if is_move and ids and await _is_one(source, target, tenant):
                msg = "both URLs name the same store; name another to move sessions to"
                raise ArgumentError(msg)
            for session_id in ids:
                moved = await _migrate_one(source, target, session_id, tenant, is_move=is_move)
                tell(moved)
                done.append(moved)
        return done

    return _run(from_url, work)


async def _is_one(source: SessionStore, target: SessionStore, tenant: str) -> bool:
    """Whether both are one store, which URLs don't tell: a session that is made in one, for a moment, is in the other.

    Each session would be found there, and deleted here.
    """
    session_id = f"rolecore-migrate-{uuid.uuid4().hex}"
    await target.append(session_id, [{}], tenant=tenant, expected_version=0)
    try:
        await source.load(session_id, tenant=tenant)
    except SessionNotFound:
        return False
    finally:
        await target.delete(session_id, tenant=tenant)
    return True


async def _migrate_one(
    source: SessionStore, target: SessionStore, session_id: str, tenant: str, *, is_move: bool
) -> Moved:
    outcome, n_here = "there", -1
    while True:
        try:
            record = await source.load(session_id, tenant=tenant)
        except SessionNotFound:
            # Deleted by somebody else, as far as it was not copied.
            return Moved(session_id, "gone", 0)
        if record.version == n_here:
            break
        n_here = record.version
        copied = await _copy(target, session_id, tenant, record.messages)
        if copied == "conflict":
            return Moved(session_id, copied, n_here)
        outcome = copied if copied != "there" else outcome
        if not is_move:
            return Moved(session_id, outcome, n_here)
    # It is there as it is here, and has not grown while it was copied.
    await source.delete(session_id, tenant=tenant)
    return Moved(session_id, outcome, n_here)


async def _copy(target: SessionStore, session_id: str, tenant: str, messages: list[dict[str, Any]]) -> str:
    texts = wire.encode(messages)
    n_there = await _count_same(target, session_id, tenant, texts)
    if n_there is None:
        return "conflict"
    if n_there == len(texts):
        return "there"
    try:
        await target.append(session_id, messages[n_there:], tenant=tenant, expected_version=n_there)
    except SessionConflict:
        return "conflict"
    if await _count_same(target, session_id, tenant, texts) != len(texts):
        return "conflict"
    return "continued" if n_there else "copied"


async def _count_same(target: SessionStore, session_id: str, tenant: str, texts: list[str]) -> int | None:
    """Return how many of the messages are there; None when others are."""
    try:
        there = wire.encode((await target.load(session_id, tenant=tenant)).messages)
    except SessionNotFound:
        return 0
    return len(there) if there == texts[: len(there)] else None


def utc(seconds: float) -> str:
    """Return a time of day in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(seconds))


def _run(url: str, work: Callable[[SessionStore], Coroutine[Any, Any, T]]) -> T:
    """Return what is done with a store that must exist: who reads must not make a file by a slip of the pen."""
    store = open_store(url)
    if url.lower().startswith("sqlite:"):
        from rolecore.stores.sqlite import path_of

        if not Path(path_of(url)).exists():
            msg = f"{path_of(url)}: no such file; check the URL"
            raise ArgumentError(msg)

    async def main() -> T:
        async with store:
            return await work(store)

    return asyncio.run(main())
