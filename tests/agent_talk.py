"""What the tests of the agent behind an endpoint share."""

from __future__ import annotations

import asyncio
import json
import pickle
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rolecore import Completion, DeadlineExceeded, OpenAIAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from raw_server import RawServer

SECRET = "hunter2"  # noqa: S105 - texts and keys that no error may show
KEY = "sk-hunter2"
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}
CALL: dict[str, Any] = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "find", "arguments": '{"order": "A-1042"}'},
}
HELLO = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}


def n_sockets_to(port: int) -> int:
    """Connections to a port of this machine that their client has not closed."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


async def until(condition: Callable[[], Any]) -> None:
    """Let others run until it holds."""
    while not condition():  # noqa: ASYNC110  no event tells of a socket
        await asyncio.sleep(0)


def agent(server: Any, **options: Any) -> OpenAIAgent:
    return OpenAIAgent(**{"base_url": server.base_url, "model": "demo", "api_key": KEY, **options})


def told(server: RawServer, **options: Any) -> Completion:
    """What an agent makes of a server's reply."""

    async def main() -> Completion:
        async with server, agent(server, **options) as one:
            return await one.acomplete("hi")

    return asyncio.run(main())


def fails(server: Any, error: type[Exception], match: str, **options: Any) -> Any:
    """Ask a secret, whole and as a stream, and return the error, in which it must not be."""

    async def main() -> list[BaseException]:
        found: list[BaseException] = []
        async with server, agent(server, **options) as one:
            with pytest.raises(error, match=match) as caught:
                await one.acomplete(f"text {SECRET}")
            found.append(caught.value)
            with pytest.raises(error, match=match) as caught:
                _ = [piece async for piece in one.astream(f"text {SECRET}")]
            found.append(caught.value)
        return found

    for caught in asyncio.run(main()):
        assert type(caught) is error
        assert caught.__cause__ is None or error is DeadlineExceeded
        assert SECRET not in "".join(traceback.format_exception(caught)) + repr(vars(caught))
        assert SECRET not in repr(pickle.loads(pickle.dumps(caught)))
    return caught


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


class Ledger:
    """A limiter that writes down what it is asked."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    async def acquire(self, n_tokens: int) -> int:
        self.said.append(("acquire", n_tokens))
        return len(self.said)

    async def settle(self, reservation: int, n_tokens: int) -> None:
        self.said.append(("settle", reservation, n_tokens))

    async def cancel(self, reservation: int) -> None:
        self.said.append(("cancel", reservation))


def answer(message: Any, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, **more}]}


def events(*told: Any, end: bytes = b"data: [DONE]\n\n") -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in told) + end


def delta(content: Any = None, reason: Any = None, **more: Any) -> Any:
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": reason}]}
