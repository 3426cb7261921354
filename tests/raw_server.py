"""A server that answers each request with bytes as they are, however wrong, and keeps what it was asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from rolecore.demo.model_server import ModelServer

if TYPE_CHECKING:
    import asyncio


def reply(body: bytes | Any, *, status: int = 200, more: str = "", length: int | None = None) -> bytes:
    """A whole reply, its body JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {len(data) if length is None else length}\r\n\r\n".encode() + data


def stream(body: bytes) -> bytes:
    """A reply whose body comes in one chunk, and then its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


class RawServer(ModelServer):
    """Answers the first request with the first reply, and so on; all others with the last.

    Args:
        replies: bytes; b"" answers nothing.
        then: what follows each: the connection is closed, or is silent until the client goes, or takes another request.
    """

    def __init__(self, *replies: bytes, then: Literal["close", "silent", "more"] = "more") -> None:
        super().__init__()
        self.replies = list(replies)
        self.then = then
        self.heads: list[str] = []
        self.asked: list[Any] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = head.lower().split("content-length: ")[1].split("\r\n")[0]
        body = await reader.readexactly(int(length))
        self.heads.append(head)
        self.asked.append(json.loads(body))
        writer.write(self.replies[min(len(self.asked), len(self.replies)) - 1])
        await writer.drain()
        if self.then == "silent":
            await reader.read()
        return self.then == "more"
