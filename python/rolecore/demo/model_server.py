"""A small server that speaks OpenAI's chat completions, without a model: for the demo, tests and benches.

`python -m rolecore.demo.model_server [--port 8000] [--delay-s 0.5]` runs one until its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import rolecore
from rolecore.errors import RolecoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

Request: TypeAlias = dict[str, Any]
Answer: TypeAlias = "str | dict[str, Any]"

_MAX_HEAD_BYTES = 1 << 16
_MAX_BODY_BYTES = 64 << 20
_PIECE_CHARACTERS = 8


class ModelServer:
    """Serves /v1/chat/completions, whole and as a stream, and /v1/models, on 127.0.0.1.

    Enter it where an event loop runs; `base_url` is what a client wants then. Answers are counted by `tokenizer`, and
    cut at the request's max_tokens. `delays_s` and `statuses` may be changed while it runs.

    Args:
        answer: a fixed text, or what makes of a request's JSON a text, or a message with tool calls.
        port: 0: a free one.
        models: what /v1/models lists; others answer as well.
        api_key: what a request must bring; None: whatever.
        delay_s: seconds before each reply.
        delays_s: by the model's name, instead.
        statuses: by the model's name: an HTTP status instead of an answer.
        fail_share: of all requests, drawn by `seed`: status 503.
        retry_after: what replies of status 429 and 503 say.
        wait: waits so many seconds.
        tokenizer: counts.
    """

    def __init__(
        self,
        answer: Answer | Callable[[Request], Answer] = "It is a test server that answers.",
        *,
        port: int = 0,
        models: Sequence[str] = ("demo",),
        api_key: str | None = None,
        delay_s: float = 0.0,
        delays_s: Mapping[str, float] | None = None,
        statuses: Mapping[str, int] | None = None,
        fail_share: float = 0.0,
        retry_after: str | None = None,
        seed: int = 0,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
        tokenizer: str = "o200k_base",
    ) -> None:
        """Listen to nothing yet."""
        self.answer = answer
        self.delays_s = dict(delays_s or {})
        self.statuses = dict(statuses or {})
        self.n_requests: Counter[str] = Counter()  # by the model's name
        self._port = port
        self._models = tuple(models)
        self._api_key = api_key
        self._delay_s = delay_s
        self._fail_share = fail_share
        self._retry_after = retry_after
        self._draw = random.Random(seed)  # noqa: S311  no secret
        self._wait = wait
        self._tokenizer = rolecore.tokenizer(tokenizer)
        self._count = lru_cache(1024)(self._tokenizer.count)
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def base_url(self) -> str:
        """What a client takes, as "http://127.0.0.1:8000/v1"."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def n_connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, limit=_MAX_HEAD_BYTES)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop all connections."""
        self._server.close()
        tasks = list(self._connections)
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  streams run this in one
        self._connections[task] = writer
        try:
            # A cancellation is `__aexit__`'s, and asyncio would report it.
            with suppress(OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
                while await self._serve(reader, writer):
                    pass
        finally:
            del self._connections[task]
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, *_ = [*first.split(" "), "", ""]
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > _MAX_BODY_BYTES or "transfer-encoding" in headers:
            writer.write(_failure(413, "the body's length must be told, and not above 64 MiB"))
            await writer.drain()
            return False
        body = await reader.readexactly(int(length))
        is_last = headers.get("connection", "").lower() == "close"
        if self._api_key is not None and headers.get("authorization") != f"Bearer {self._api_key}":
            writer.write(_failure(401, "the key is wrong"))
        elif (method, path) == ("POST", "/v1/chat/completions"):
            async for piece in self._complete(body):
                writer.write(piece)
                await writer.drain()
        elif (method, path) == ("GET", "/v1/models"):
            listed = [{"id": model, "object": "model", "created": 0, "owned_by": "rolecore"} for model in self._models]
            writer.write(_reply(200, {"object": "list", "data": listed}))
        else:
            writer.write(_failure(404, "there are POST /v1/chat/completions and GET /v1/models"))
        await writer.drain()
        return not is_last

    async def _complete(self, body: bytes) -> AsyncIterator[bytes]:
        try:
            request = json.loads(body)
            model, n_input = str(request["model"]), self._tokenizer.count_messages(request["messages"])
        except (ValueError, TypeError, KeyError, RecursionError, RolecoreError):
            yield _failure(400, "the body must be JSON with model and messages")
            return
        self.n_requests[model] += 1
        status = self.statuses.get(model, 200)
        if status == HTTPStatus.OK and self._fail_share and self._draw.random() < self._fail_share:
            status = 503
        delay_s = self.delays_s.get(model, self._delay_s)
        if delay_s:
            await self._wait(delay_s)
        if status != HTTPStatus.OK:
            yield _failure(status, "asked to fail", retry_after=self._retry_after if status in {429, 503} else None)
            return
        message, reason = self._answer(request)
        n_output = self._count(_said(message))
        usage = {"prompt_tokens": n_input, "completion_tokens": n_output, "total_tokens": n_input + n_output}
        named = {"id": f"chatcmpl-{self.n_requests.total()}", "created": int(time.time()), "model": model}
        if not request.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": reason}
            yield _reply(200, {**named, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        yield _head(200, "text/event-stream", "Transfer-Encoding: chunked\r\n")
        named["object"] = "chat.completion.chunk"
        for delta in _deltas(message):
            yield _event({**named, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        yield _event({**named, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if (request.get("stream_options") or {}).get("include_usage"):
            yield _event({**named, "choices": [], "usage": usage})
        yield _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    def _answer(self, request: Request) -> tuple[dict[str, Any], str]:
        """Return the message and why it ends."""
        told = self.answer(request) if callable(self.answer) else self.answer
        message = {"role": "assistant", "content": told} if isinstance(told, str) else {"role": "assistant", **told}
        limit = request.get("max_completion_tokens") or request.get("max_tokens")
        if message.get("tool_calls"):
            return {"content": None, **message}, "tool_calls"
        text = message["content"]
        if isinstance(limit, int) and self._count(text) > limit:
            return {**message, "content": self._tokenizer.truncate(text, limit)}, "length"
        return message, "stop"


def _said(message: dict[str, Any]) -> str:
    calls = [call["function"]["name"] + call["function"]["arguments"] for call in message.get("tool_calls") or ()]
    return (message.get("content") or "") + "".join(calls)


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a message, as a stream tells them."""
    text = message.get("content") or ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in _pieces(text)]
    for i, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        begun = {**call, "index": i, "function": {"name": function["name"], "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        deltas += [
            {"tool_calls": [{"index": i, "function": {"arguments": piece}}]} for piece in _pieces(function["arguments"])
        ]
    return deltas


def _pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE_CHARACTERS] for at in range(0, len(text), _PIECE_CHARACTERS)]


def _head(status: int, kind: str, more: str) -> bytes:
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\n{more}\r\n".encode("ascii")


def _reply(status: int, told: object, more: str = "") -> bytes:
    body = json.dumps(told, separators=(",", ":")).encode("ascii")
    return _head(status, "application/json", f"Content-Length: {len(body)}\r\n{more}") + body


def _failure(status: int, why: str, *, retry_after: str | None = None) -> bytes:
    more = "" if retry_after is None else f"Retry-After: {retry_after}\r\n"
    return _reply(status, {"error": {"message": why, "type": "error", "param": None, "code": None}}, more)


def _event(told: object) -> bytes:
    return _chunk(b"data: " + json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def _run(port: int, delay_s: float) -> None:
    async with ModelServer(port=port, delay_s=delay_s) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Serve until the input ends; the first line of the output is the base_url."""
    parser = argparse.ArgumentParser(prog="python -m rolecore.demo.model_server", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds before each reply")
    args = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(_run(args.port, args.delay_s))


if __name__ == "__main__":
    main()
