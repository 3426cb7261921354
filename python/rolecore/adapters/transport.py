"""How requests reach an endpoint: `Transport`, a small protocol, and the one over aiohttp, known only here."""

from __future__ import annotations

import asyncio
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Protocol

from rolecore.errors import AdapterError, APIConnectionError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from aiohttp import ClientRequest, StreamReader, TCPConnector
    from aiohttp.connector import Connection
    from aiohttp.http import RawResponseMessage

_INFORMATIONAL, _SWITCHING, _OK = 100, 101, 200


class Reply(Protocol):
    """What an endpoint answers: its status, and its body, which comes in pieces."""

    status: int
    retry_after: str | None

    async def read(self) -> bytes:
        """Return the next piece of the body; b"" at its end.

        Raises:
            APIConnectionError: it breaks off before its end.
        """

    def close(self) -> None:
        """Let go of it. Its connection is used again if the whole body was read, and closed if not."""


class Transport(Protocol):
    """Sends requests. Used from several event loops, each in a thread of its own; keeps no time, as its callers do."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a request and return the reply when its head has come; a redirect is one.

        Raises:
            APIConnectionError: there is none: the endpoint cannot be reached, or broke off before.
        """

    async def aclose(self) -> None:
        """Close all connections."""


class AiohttpTransport:
    """Sends requests with aiohttp: a pool of connections for each event loop. TLS certificates are checked.

    Proxies are taken from the environment as Python does, once for each address; passwords of ~/.netrc are not. When an
    event loop ends, or when this is forgotten, its connections are closed.

    Its connector and its parser do the work, and no `ClientSession`: what that adds (redirects, cookies, traces,
    timeouts of its own, an object for each header) is not wanted here and costs twice as much as all the rest.

    Raises:
        MissingExtraError: aiohttp is not installed.
    """

    def __init__(self) -> None:
        """Connect to nothing yet."""
        try:
            import aiohttp
            import yarl
        except ImportError:
            msg = "requests need aiohttp; run `pip install 'rolecore[openai]'`"
            raise MissingExtraError(msg) from None
        self._aiohttp = aiohttp
        self._read_url = yarl.URL
        # The last: what is no URL to it.
        self._errors = (aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError, ValueError)
        self._no_timeout = aiohttp.ClientTimeout(total=None, sock_connect=None)
        self._pools: dict[asyncio.AbstractEventLoop, _Pool] = {}
        self._is_closed = False

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a request and return the reply when its head has come, as `Transport` says."""
        pool = self._pools.get(asyncio.get_running_loop()) or await self._open()
        try:
            target = pool.targets.get(url) or self._target(pool, url, headers)
            connection = await pool.connector.connect(target.request, traces=[], timeout=self._no_timeout)
            try:
                return await self._exchange(connection, target, body)
            except BaseException:
                _drop(connection)
                raise
        except self._errors as error:
            lost = _lost(url, error)
        # Out here it has no context: aiohttp's errors know the headers, the key among them.
        raise lost

    async def aclose(self) -> None:
        """Close all connections, also those of other event loops that run."""
        self._is_closed = True
        here = asyncio.get_running_loop()
        while self._pools:
            loop, pool = self._pools.popitem()
            if loop is here:
                await pool.guard.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(pool.guard), loop))

    async def _exchange(self, connection: Connection, target: _Target, body: bytes) -> Reply:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise self._aiohttp.ServerDisconnectedError
        # An answer that is packed could unpack to any size: it is not asked for, and left as it is.
        protocol.set_response_params(read_until_eof=True, auto_decompress=False)
        transport.write(b"%b%d\r\n\r\n%b" % (target.head, len(body), body))
        while True:
            message, payload = await protocol.read()
            if not _INFORMATIONAL <= message.code < _OK or message.code == _SWITCHING:
                return _AiohttpReply(connection, message, payload, self._errors, target.url)

    def _target(self, pool: _Pool, url: str, headers: Mapping[str, str]) -> _Target:
        proxy = _proxy(url)
        request = self._aiohttp.ClientRequest(
            "POST",
            self._read_url(url),
            headers=headers,
            skip_auto_headers=("Accept-Encoding",),
            loop=asyncio.get_running_loop(),
            proxy=None if proxy is None else self._read_url(proxy),
        )
        target = pool.targets[url] = _Target(url, request)
        return target

    async def _open(self) -> _Pool:
        if self._is_closed:
            msg = "the agent is closed; make another one"
            raise AdapterError(msg)
        for loop in [loop for loop in self._pools if loop.is_closed()]:
            del self._pools[loop]
        connector = self._aiohttp.TCPConnector(limit=0)
        # Event loops finish the asynchronous generators that were begun in them, when they end or forget them.
        guard = _guard(connector)
        await anext(guard)
        pool = self._pools[asyncio.get_running_loop()] = _Pool(connector, guard)
        return pool


class _Pool:
    """The connections of one event loop."""

    __slots__ = ("connector", "guard", "targets")

    def __init__(self, connector: TCPConnector, guard: AsyncGenerator[None]) -> None:
        self.connector = connector
        self.guard = guard
        self.targets: dict[str, _Target] = {}


class _Target:
    """Where requests go, which is the same for all of them but their bodies."""

    __slots__ = ("_head", "request", "url")

    def __init__(self, url: str, request: ClientRequest) -> None:
        self.url = url
        self.request = request
        self._head: bytes | None = None

    @property
    def head(self) -> bytes:
        """A request up to the number of its bytes; to be asked for with a connection, as a proxy may want a header."""
        if self._head is None:
            request = self.request
            is_relayed = request.proxy is not None and not request.is_ssl()
            path = str(request.url) if is_relayed else request.url.raw_path_qs
            lines = [f"{name}: {value}" for name, value in request.headers.items() if name != "Content-Length"]
            self._head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "Content-Length: "]).encode("ascii")
        return self._head


class _AiohttpReply:
    __slots__ = ("_connection", "_errors", "_payload", "_url", "retry_after", "status")

    def __init__(
        self,
        connection: Connection,
        message: RawResponseMessage,
        payload: StreamReader,
        errors: tuple[type[Exception], ...],
        url: str,
    ) -> None:
        self._connection = connection
        self._payload = payload
        self._errors = errors
        self._url = url
        self.status = message.code
        self.retry_after = message.headers.get("Retry-After")

    async def read(self) -> bytes:
        try:
            return await self._payload.readany()
        except self._errors as error:
            lost = _lost(self._url, error)
        raise lost

    def close(self) -> None:
        if self._payload.is_eof():
            self._connection.release()
        else:
            _drop(self._connection)


def _drop(connection: Connection) -> None:
    # At once: what is still to be sent may have nobody who reads it.
    if connection.transport is not None:
        connection.transport.abort()
    connection.close()


async def _guard(connector: TCPConnector) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await connector.close()


async def _close(guard: AsyncGenerator[None]) -> None:
    await guard.aclose()


def _lost(url: str, error: Exception) -> APIConnectionError:
    return APIConnectionError(f"no whole reply from {url}: {type(error).__name__}; check base_url, or try again later")


def _proxy(url: str) -> str | None:
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)
