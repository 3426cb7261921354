"""Sessions in Redis: a hash each, appended to by one script, so that checking and writing are one step."""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, Any

from rolecore import deadlines
from rolecore.errors import StoreError
from rolecore.stores import redis_scripts, rules, wire
from rolecore.stores.protocol import Ids, SessionRecord
from rolecore.stores.redis_link import RedisLink

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

# 3,000 years from now; Redis counts milliseconds in 64 bits.
_NEVER_S = 1e11


def open_url(url: str, *, durability: str, quota_bytes: int | None) -> RedisStore:
    """Return a store that is not connected yet.

    Raises:
        ArgumentError: the URL is not of the form, or the quota is none.
        MissingExtraError: redis-py is not installed.
    """
    return RedisStore(url, durability=durability, quota_bytes=quota_bytes)


class RedisStore:
    """A `SessionStore` with `SupportsTTL` and `SupportsQuota` in a Redis server, version 6 or newer.

    A session is one hash. All keys of a tenant hold the same hash tag, so that they lie in one slot of a cluster. Times
    are the server's. With durability "full" the server must keep an append-only file, fsync it before it answers, and
    evict nothing: each connection asks. Share it between tasks of one event loop. Needs the extra `rolecore[redis]`.

    Args:
        url: "redis://[user:password@]host[:port][/database]", or "rediss://" for TLS, with redis-py's `ssl_` options.
        durability: as in `open_store`.
        quota_bytes: as in `open_store`.

    Raises:
        ArgumentError: the URL is not of the form, or the quota is none.
        MissingExtraError: redis-py is not installed.

    Cost: one round trip a call; `append` as long as its messages are, `load` as long as the session, `list` as many
    sessions as the tenant has.
    """

    def __init__(self, url: str, *, durability: str = "full", quota_bytes: int | None = None) -> None:
        """Read the URL; nothing is sent."""
        self._quota = rules.check_quota(quota_bytes)
        self._durability = durability
        self._link = RedisLink(url, check=self._check_durability if durability == "full" else None)

    def __repr__(self) -> str:
        """Show how it was opened, nothing of the URL."""
        return f"RedisStore(durability={self._durability!r}, quota_bytes={self._quota})"

    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        """Append messages: see `SessionStore.append`."""
        keys = _keys(tenant, session_id)
        expected = rules.check_expected_version(expected_version)
        texts = wire.encode(messages)
        options = [-1 if number is None else number for number in (expected, self._quota)]
        arguments = (session_id, uuid.uuid4().hex, *options, *texts)
        outcome, number = await self._link.run("append", redis_scripts.APPEND, keys, arguments)
        if outcome == redis_scripts.IS_CONFLICT:
            raise rules.conflict(options[0], number)
        if outcome == redis_scripts.IS_OVER_QUOTA:
            raise rules.over_quota(number, options[1])
        return int(number)

    async def load(self, session_id: str, *, tenant: str = "") -> SessionRecord:
        """Return a session: see `SessionStore.load`."""
        key = _keys(tenant, session_id)[0]

        async def work(connection: Any, _: bool) -> list[bytes]:  # noqa: ANN401, FBT001  redis-py's, Server.call's
            found: list[bytes] = await self._link.execute(connection, "HGETALL", key)
            return found

        found = iter(await self._link.call("load", work))
        fields = dict(zip(found, found, strict=True))
        if not fields:
            raise rules.not_found()
        try:
            version, created_us, updated_us = (int(fields[name]) for name in (b"v", b"c", b"u"))
            texts = [fields[b"%d" % (i + 1)].decode() for i in range(version)]
        except (KeyError, ValueError) as error:
            msg = "the stored session is damaged; restore it from a backup, or delete it"
            raise StoreError(msg) from error
        return SessionRecord(wire.decode(texts), version, created_us / 1e6, updated_us / 1e6)

    async def list(self, *, tenant: str = "") -> Ids:
        """Return the ids of the tenant's sessions, sorted: see `SessionStore.list`."""
        ids, _ = await self._link.run("list", redis_scripts.LOOK, _index_keys(tenant), ("",))
        return sorted(name.decode() for name in ids if name)

    async def delete(self, session_id: str, *, tenant: str = "") -> None:
        """Remove a session: see `SessionStore.delete`."""
        keys = _keys(tenant, session_id)
        was_there, again = await self._link.run_twice("delete", redis_scripts.DELETE, keys, (session_id,))
        if not was_there and not again:
            raise rules.not_found()

    async def expire(self, session_id: str, seconds: float | None, *, tenant: str = "") -> None:
        """Let a session end so many seconds from now: see `SupportsTTL.expire`."""
        keys = _keys(tenant, session_id)
        left = math.inf if seconds is None else deadlines.read_seconds(seconds)
        left_ms = -1 if left > _NEVER_S else math.ceil(left * 1000)
        was_there, again = await self._link.run_twice("expire", redis_scripts.EXPIRE, keys, (session_id, left_ms))
        # A session that a lost attempt ended at once is gone as well.
        if not was_there and not (again and left_ms == 0):
            raise rules.not_found()

    async def usage(self, *, tenant: str = "") -> int:
        """Return the bytes that the tenant's sessions take: see `SupportsQuota.usage`."""
        _, n_bytes = await self._link.run("usage", redis_scripts.LOOK, _index_keys(tenant), ("",))
        return int(n_bytes)

    async def close(self) -> None:
        """Drop the connections: see `SessionStore.close`."""
        self._link.close()

    async def __aenter__(self) -> Self:
        """Connect and check the server; raises StoreError when it is not fit or the store is closed."""
        await self._link.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def _check_durability(self, connection: Any) -> None:  # noqa: ANN401  redis-py's
        found: dict[bytes, bytes] = {}
        for pattern in ("append*", "maxmemory*"):
            try:
                reply = iter(await self._link.execute(connection, "CONFIG", "GET", pattern))
            except StoreError as error:
                msg = (
                    "durability 'full': the server does not let its settings be read by CONFIG GET, so nobody knows "
                    "what it keeps; allow that, or open the store with durability='normal'"
                )
                raise StoreError(msg) from error
            found |= dict(zip(reply, reply, strict=True))
        wanted = {b"appendonly": b"yes", b"appendfsync": b"always"}
        if found.get(b"maxmemory", b"0") != b"0":
            wanted[b"maxmemory-policy"] = b"noeviction"
        for name, value in wanted.items():
            if found.get(name) != value:
                has, needs = (f"{name.decode()} {word.decode()}" for word in (found.get(name, b"unknown"), value))
                msg = (
                    f"durability 'full': the server has {has}, it must have {needs}; set that, "
                    "or open the store with durability='normal'"
                )
                raise StoreError(msg)


def _index_keys(tenant: str) -> tuple[str, str]:
    base = _base(tenant)
    return f"{base}:ids", f"{base}:ends"


def _keys(tenant: str, session_id: str) -> tuple[str, str, str]:
    # No quoted id holds a colon, so that no session's key is an index's.
    quoted = rules.key(tenant, session_id)[len(rules.key_prefix(tenant)) :]
    return _base(tenant) + quoted, *_index_keys(tenant)


def _base(tenant: str) -> str:
    # The tag in braces is never empty: a prefix ends in a colon.
    return f"rolecore:{{{rules.key_prefix(tenant)}}}"
