"""A Redis server as those who need one reach it: connections, scripts, and what its refusals mean."""

from __future__ import annotations

import hashlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rolecore.errors import ArgumentError, MissingExtraError, StoreError
from rolecore.stores.remote import LostError, Server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

# What of a URL reaches redis-py. Its timeouts and retries are ours.
_URL_OPTIONS = frozenset({"connection_class", "host", "port", "db", "username", "password", "client_name"})
# By what Redis's error starts with, or redis-py's class for it: what it means and the way out.
_REFUSALS = {
    "AuthenticationError": "it wants a password, or another one; check those in the URL, redis://user:password@host",
    "NoPermissionError": "the user lacks a right; it needs @connection, @scripting, @hash, @sortedset, @keyspace",
    "ReadOnlyError": "the server is a replica, which takes no writes; open the primary",
    "OutOfMemoryError": "the server's memory is full; raise its maxmemory or delete sessions",
    "MISCONF": "the server cannot save to its disk and takes no writes; look at its log, free its disk",
    "MOVED": "the server is one node of a cluster, which has the tenant elsewhere; open it through a proxy",
    "WRONGTYPE": "keys rolecore:* hold what no store wrote; use another database, as redis://host/1",
}


class RedisLink(Server[Any]):
    """Connections to one Redis server, and the way scripts go through them. Of one event loop.

    Args:
        url: as in `RedisStore`.
        check: what else a new connection must stand; raises StoreError.
        owner: as in `Server`.

    Raises:
        ArgumentError: the URL is not of the form.
        MissingExtraError: redis-py is not installed.
    """

    def __init__(
        self, url: str, *, check: Callable[[Any], Awaitable[None]] | None = None, owner: str = "store"
    ) -> None:
        """Read the URL; nothing is sent."""
        super().__init__(self._open, _drop, owner)
        self._check = check
        try:
            self._redis: Any = import_module("redis.asyncio.connection")
            self._errors: Any = import_module("redis.exceptions")
            retry: Any = import_module("redis.asyncio.retry")
            backoff: Any = import_module("redis.backoff")
        except ImportError as error:
            msg = f"a {owner} in Redis needs redis; pip install 'rolecore[redis]'"
            raise MissingExtraError(msg) from error
        options = self._read_url(url)
        self._kind = options.pop("connection_class", self._redis.Connection)
        # redis-py would try 10 times, each with a timeout of its own.
        self._options = options | {
            "protocol": 2,
            "retry": retry.Retry(backoff.NoBackoff(), 0),
            "socket_timeout": None,
            "socket_connect_timeout": None,
            "socket_keepalive": True,
        }

    async def run(self, what: str, script: str, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  the script's
        """Return the script's answer, after as many attempts as there is time for; raises as `Server.call`."""
        return (await self.run_twice(what, script, keys, arguments))[0]

    async def run_twice(
        self, what: str, script: str, keys: tuple[str, ...], arguments: tuple[Any, ...]
    ) -> tuple[Any, bool]:
        """Return the script's answer, and whether an earlier attempt may have been done."""
        rest = (len(keys), *keys, *arguments)
        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()

        async def work(connection: Any, again: bool) -> tuple[Any, bool]:  # noqa: ANN401, FBT001  redis-py's, Server.call's
            try:
                return await self.execute(connection, "EVALSHA", digest, *rest), again
            except self._errors.NoScriptError:
                return await self.execute(connection, "EVAL", script, *rest), again

        return await self.call(what, work)

    def _read_url(self, url: str) -> dict[str, Any]:
        scheme, _, rest = (url if isinstance(url, str) else "").partition("://")
        try:
            options: dict[str, Any] = self._redis.parse_url(f"{scheme.lower()}://{rest}")
        except ValueError:
            options = {}
        # redis-py takes any path that is no number for database 0.
        path = rest.partition("?")[0].partition("/")[2]
        known = all(name in _URL_OPTIONS or name.startswith("ssl_") for name in options)
        if not options.get("host") or not known or not (path.isdecimal() or not path):
            # Without the error it came from, which may show a part of the URL.
            msg = "url is not of the form redis://[user:password@]host[:port][/database]; quote signs as %40 for @"
            raise ArgumentError(msg)
        return options

    async def _open(self) -> Any:  # noqa: ANN401  redis-py's
        connection = self._kind(**self._options)
        try:
            try:
                await connection.connect()
            except self._errors.RedisError as error:
                raise self._translate(error, was_sent=False) from error
            # So far, connecting succeeds without a password where one is needed. PING fails when the disk does.
            await self.execute(connection, "SELECT", self._options.get("db", 0))
            if self._check is not None:
                await self._check(connection)
        except BaseException:
            _drop(connection)
            raise
        return connection

    async def execute(self, connection: Any, *command: Any) -> Any:  # noqa: ANN401  redis-py's
        """Return a connection's answer to one command; raises LostError or StoreError."""
        try:
            await connection.send_command(*command)
            return await connection.read_response()
        except self._errors.NoScriptError:
            raise
        except self._errors.RedisError as error:
            raise self._translate(error, was_sent=True) from error

    def _translate(self, error: Exception, *, was_sent: bool) -> StoreError | LostError:
        names = [kind.__name__ for kind in type(error).__mro__]
        word = str(error).partition(" ")[0]
        means = next((_REFUSALS[name] for name in (*names, word) if name in _REFUSALS), None)
        if means is not None:
            return StoreError(f"Redis refused: {means}")
        if isinstance(error, self._errors.BusyLoadingError):
            return LostError("the server is still reading its file", was_sent=False)
        if isinstance(error, (self._errors.ConnectionError, self._errors.TimeoutError)):
            reason = "the connection to Redis broke" if was_sent else "Redis cannot be reached"
            return LostError(reason, was_sent=was_sent)
        code = word if word.isupper() and word.isalpha() else type(error).__name__
        return StoreError(f"Redis refused with {code}; see the error that this one came from")


def _drop(connection: Any) -> None:  # noqa: ANN401  redis-py's
    # `disconnect` would keep the socket until a stalled server took what is left.
    writer = connection._writer  # noqa: SLF001
    connection._reader = connection._writer = None  # noqa: SLF001
    if writer is not None:
        writer.transport.abort()
