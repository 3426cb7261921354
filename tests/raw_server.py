"""A server that answers each request with bytes as they are, however wrong, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


def reply(body: bytes | Any, *, status: int = 200, more: str = "", length: int | None = None) -> bytes:
    """A whole reply, its body JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(data) if length is None else length}\r\n\r\n".encode() + data


def stream(body: bytes) -> bytes:
    """A reply whose body comes in one chunk, and then its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


class RawServer:
    """Answers the first request with the first reply, and so on; all others with the last.

    Args:
        replies: bytes; b"" answers nothing.
        then: what follows each: the connection is closed, or is silent until the client goes, or takes another request.
    """

    def __init__(self, *replies: bytes, then: Literal["close", "silent", "more"] = "more") -> None:
        self.replies = list(replies)
        self.then = then
        self.heads: list[str] = []
        self.asked: list[Any] = []
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def n_connections(self) -> int:
        return len(self._connections)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        tasks = list(self._connections)
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        try:
            with suppress(OSError, EOFError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            del self._connections[task]
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = head.lower().split("content-length: ")[1].split("\r\n")[0]
            body = await reader.readexactly(int(length))
            self.heads.append(head)
            self.asked.append(json.loads(body))
            writer.write(self.replies[min(len(self.asked), len(self.replies)) - 1])
            await writer.drain()
            if self.then == "close":
                return
            if self.then == "silent":
                await reader.read()
                return
