"""How requests reach an endpoint: `Transport`, a small protocol, and the one over aiohttp, known only here."""

from __future__ import annotations

import asyncio
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Protocol

from rolecore.errors import AdapterError, APIConnectionError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping


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

    Proxies are taken from the environment as Python does, once for each host; passwords of ~/.netrc are not. When an
    event loop ends, or when this is forgotten, its connections are closed.

    Raises:
        MissingExtraError: aiohttp is not installed.
    """

    def __init__(self) -> None:
        """Connect to nothing yet."""
        try:
            import aiohttp
        except ImportError:
            msg = "requests need aiohttp; run `pip install 'rolecore[openai]'`"
            raise MissingExtraError(msg) from None
        self._aiohttp = aiohttp
        self._lost = (aiohttp.ClientError, OSError, ValueError)  # the last: what is no URL to it, or no HTTP
        self._pools: dict[asyncio.AbstractEventLoop, tuple[aiohttp.ClientSession, AsyncGenerator[None]]] = {}
        self._proxies: dict[str, str | None] = {}
        self._is_closed = False

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Send a request and return the reply when its head has come, as `Transport` says."""
        pool = self._pools.get(asyncio.get_running_loop()) or await self._open()
        if url not in self._proxies:
            self._proxies[url] = _proxy(url)
        try:
            response = await pool[0].request(
                "POST", url, headers=headers, data=body, allow_redirects=False, proxy=self._proxies[url]
            )
        except self._lost as error:
            lost = _lost(url, error)
        else:
            return _AiohttpReply(response, self._lost, url)
        # Out here it has no context: aiohttp's errors know the headers, the key among them.
        raise lost

    async def aclose(self) -> None:
        """Close all connections, also those of other event loops that run."""
        self._is_closed = True
        here = asyncio.get_running_loop()
        while self._pools:
            loop, (_, guard) = self._pools.popitem()
            if loop is here:
                await guard.aclose()
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(guard), loop))

    async def _open(self) -> tuple[Any, AsyncGenerator[None]]:
        if self._is_closed:
            msg = "the agent is closed; make another one"
            raise AdapterError(msg)
        for loop in [loop for loop in self._pools if loop.is_closed()]:
            del self._pools[loop]
        aiohttp = self._aiohttp
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            # An answer that was packed could unpack to any size.
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        )
        # Event loops finish the asynchronous generators that were begun in them, when they end or forget them.
        guard = _guard(session)
        await anext(guard)
        pool = self._pools[asyncio.get_running_loop()] = session, guard
        return pool


class _AiohttpReply:
    __slots__ = ("_errors", "_response", "_url", "retry_after", "status")

    def __init__(self, response: Any, errors: tuple[type[Exception], ...], url: str) -> None:  # noqa: ANN401  aiohttp's
        self._response = response
        self._errors = errors
        self._url = url
        self.status: int = response.status
        self.retry_after: str | None = response.headers.get("Retry-After")

    async def read(self) -> bytes:
        try:
            piece: bytes = await self._response.content.readany()
        except self._errors as error:
            lost = _lost(self._url, error)
        else:
            return piece
        raise lost

    def close(self) -> None:
        # aiohttp has given the connection back when the body has come to its end, and closes it here if not.
        self._response.close()


async def _guard(session: Any) -> AsyncGenerator[None]:  # noqa: ANN401  aiohttp's
    try:
        yield
    finally:
        await session.close()


async def _close(guard: AsyncGenerator[None]) -> None:
    await guard.aclose()


def _lost(url: str, error: Exception) -> APIConnectionError:
    return APIConnectionError(f"no whole reply from {url}: {type(error).__name__}; check base_url, or try again later")


def _proxy(url: str) -> str | None:
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)
