"""Endpoints that fail at every byte: each call ends in a result or a typed error by its deadline; nothing is left."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from agent_talk import SECRET, agent, n_sockets_to, until
from raw_server import RawServer, reply, stream
from stalling_proxy import Fault, StallingProxy

import rolecore
from rolecore import AdapterError, APIConnectionError, Completion, DeadlineExceeded
from rolecore.breaker import CircuitBreaker
from rolecore.demo.model_server import ModelServer

if TYPE_CHECKING:
    from stalling_proxy import Kind

pytestmark = [pytest.mark.usefixtures("at_once"), pytest.mark.slow, pytest.mark.timeout(300)]

DEADLINE_S = 0.03
# What a deadline may be overrun by, beyond what the event loop itself is late by.
MOST_OVER_S = 0.05
TEXT = "Three days, 三天。"


class Proxied:
    """A server seen through a proxy."""

    def __init__(self, proxy: StallingProxy) -> None:
        self.base_url = f"http://127.0.0.1:{proxy.port}/v1"


class LoopNoise:
    """The most that the event loop is late in waking by itself, as other processes take the processor."""

    async def __aenter__(self) -> LoopNoise:  # noqa: PYI034
        self.worst_s = 0.0
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _watch(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            self.worst_s = max(self.worst_s, time.monotonic() - began - 0.005)


async def ask(one: rolecore.OpenAIAgent, *, streamed: bool) -> Completion:
    if not streamed:
        return await one.acomplete(SECRET)
    answer = one.astream(SECRET)
    pieces = [piece async for piece in answer]
    assert answer.completion is not None
    assert "".join(pieces) == answer.completion.text
    return answer.completion


async def outcome(one: rolecore.OpenAIAgent, *, streamed: bool, deadline_s: float = DEADLINE_S) -> tuple[Any, float]:
    """What a call came to, and the seconds it was past its deadline."""
    began = time.monotonic()
    with rolecore.deadline(deadline_s):
        (found,) = await asyncio.gather(ask(one, streamed=streamed), return_exceptions=True)
    over_s = time.monotonic() - began - deadline_s
    assert isinstance(found, Completion | AdapterError | DeadlineExceeded)
    assert SECRET not in str(found)
    return found, over_s


async def reply_length(proxy: StallingProxy, one: rolecore.OpenAIAgent, *, streamed: bool) -> int:
    proxy.set(None)
    await ask(one, streamed=streamed)
    return proxy.n_passed["reply"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["stall", "reset", "truncate", "drip"])
@pytest.mark.parametrize("of", ["reply", "request"])
def test_call_cut_at_every_byte_ends_by_its_deadline(kind: Kind, of: Any, streamed: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        async with ModelServer(TEXT) as server, StallingProxy("127.0.0.1", server.port) as proxy:
            options: dict[str, Any] = {"max_retries": 0, "breaker": CircuitBreaker(max_failures=10**9)}
            async with agent(Proxied(proxy), **options) as one, LoopNoise() as noise:
                length = await reply_length(proxy, one, streamed=streamed)
                if of == "request":
                    length = proxy.n_passed["request"]
                # A stall takes its whole deadline: every seventh byte of it, each of the others.
                step = 7 if kind in {"stall", "drip"} else 1
                ends: dict[str, int] = {}
                for at in range(0, length, step):
                    proxy.set(Fault(kind, after=at, of=of))
                    found, over_s = await outcome(one, streamed=streamed)
                    assert over_s < MOST_OVER_S + noise.worst_s, at
                    assert not isinstance(found, Completion) or found.text == TEXT
                    ends[type(found).__name__] = ends.get(type(found).__name__, 0) + 1
                proxy.set(None)
                assert (await ask(one, streamed=streamed)).text == TEXT
                assert n_sockets_to(proxy.port) <= 1
                assert asyncio.all_tasks() - set(server._connections) - proxy._tasks >= {asyncio.current_task()}
            if kind == "stall":
                assert ends.keys() <= {"DeadlineExceeded", "Completion"}
            elif kind == "drip":
                assert ends.get("Completion", 0) > 0
            else:
                assert ends.get("APIConnectionError", 0) > length // step // 2

    asyncio.run(main())


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_call_cut_before_its_answer_is_tried_again(streamed: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        async with ModelServer(TEXT) as server, StallingProxy("127.0.0.1", server.port) as proxy:
            async with agent(Proxied(proxy)) as one:
                await reply_length(proxy, one, streamed=streamed)
            kinds: tuple[Kind, ...] = ("reset", "truncate")
            places = range(0, proxy.n_passed["request"], 40)
            for kind in kinds:
                for fault in [Fault(kind, of="request", after=at) for at in places] + [Fault(kind)]:
                    proxy.set(fault)
                    async with agent(Proxied(proxy)) as one:  # with a budget of its own
                        assert (await ask(one, streamed=streamed)).text == TEXT
                    assert proxy.n_met == 1

    asyncio.run(main())


WHOLE = {
    "message": {"role": "assistant", "content": "Three."},
    "index": 0,
    "finish_reason": "stop",
}
BODY = {"choices": [WHOLE], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Three."},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)
FAULTY = {
    "html": reply(b"<html>" + b"x" * 5000),
    "half a json": reply(b'{"choices": [{"message": {"content": "Thr'),
    "error with 200": reply({"error": {"message": SECRET}}),
    "length too large": reply(BODY, length=5000),
    "length too small": reply(BODY, length=40),
    "length negative": reply(BODY).replace(b"Content-Length: ", b"Content-Length: -"),
    "length of words": reply(BODY).replace(b"Content-Length: ", b"Content-Length: many"),
    "two lengths": reply(BODY, more="Content-Length: 3\r\n"),
    "no length": reply(BODY).replace(b"Content-Length:", b"X-Length:"),
    "chunked garbage": reply(BODY, more="Transfer-Encoding: chunked\r\n"),
    "chunk of a huge size": stream(EVENTS).replace(b"\r\n\r\n", b"\r\n\r\nffffffffffffffff\r\n", 1),
    "chunk without an end": stream(EVENTS)[:-9],
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n" * 3,
    "no status": reply(BODY).replace(b" 200 ", b" two "),
    "status 99": reply(BODY).replace(b" 200 ", b" 099 "),
    "head without an end": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 5000,
    "header of 1 MB": reply(BODY, more="X-A: " + "b" * (1 << 20) + "\r\n"),
    "header of garbage": reply(BODY, more="\x00\x01: x\r\n"),
    "gzip": reply(b"\x1f\x8b" + bytes(100), more="Content-Encoding: gzip\r\n"),
    "only 100s": b"HTTP/1.1 100 Continue\r\n\r\n" * 5,
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "two replies": reply(BODY) + reply(BODY),
    "nothing": b"",
    "redirect": reply(b"", status=307, more="Location: http://127.0.0.1:1/v1\r\n"),
    "redirect to itself": reply(b"", status=302, more="Location: /v1/chat/completions\r\n"),
    "429": reply({}, status=429, more="Retry-After: 3600\r\n"),
    "429 at nonsense": reply({}, status=429, more="Retry-After: \xff1e999\r\n".encode("latin-1").decode("latin-1")),
    "500": reply({"error": SECRET}, status=500),
    "stream for a whole": stream(EVENTS),
    "whole for a stream": reply(BODY),
    "line without an end": stream(b"data: " + b"x" * 500_000),
    "null bytes": stream(b"data: \x00\x00\n\n"),
    "stream cut in a letter": stream(EVENTS.replace(b"Three.", b"\xe4\xb8")),
}


@pytest.mark.parametrize("then", ["close", "silent", "more"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", FAULTY)
def test_call_of_a_faulty_reply_ends_by_its_deadline(name: str, then: Any, streamed: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        async with RawServer(FAULTY[name], then=then) as server:
            async with agent(server, max_retries=1) as one, LoopNoise() as noise:
                found, over_s = await outcome(one, streamed=streamed, deadline_s=0.1)
                assert over_s < MOST_OVER_S + noise.worst_s
                if isinstance(found, Completion):
                    assert found.text == "Three."
                    allowed = {"stream for a whole"} if streamed else {"no length", "two replies", "whole for a stream"}
                    assert name in allowed | {"chunk without an end"}
            await until(lambda: not server.n_connections)

    asyncio.run(main())


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_call_that_is_cancelled_at_any_step_leaves_the_agent_as_it_was(streamed: bool) -> None:  # noqa: FBT001
    async def main() -> None:
        async with ModelServer(TEXT) as server, agent(server, max_concurrent=2, requests_per_minute=10**6) as one:
            n_cancelled = 0
            for steps in range(60):
                task = asyncio.create_task(ask(one, streamed=streamed))
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
                try:
                    assert (await task).text == TEXT
                except asyncio.CancelledError:
                    n_cancelled += 1
                assert (await ask(one, streamed=streamed)).text == TEXT
            assert n_cancelled >= 5
            await until(lambda: server.n_connections <= 2)
            assert asyncio.all_tasks() - set(server._connections) == {asyncio.current_task()}

    asyncio.run(main())


def test_half_open_endpoint_gets_one_call() -> None:
    now = [0.0]
    breaker = CircuitBreaker(max_failures=1, reset_s=5, clock=lambda: now[0])
    gate = asyncio.Event()

    async def wait(_: float) -> None:
        await gate.wait()

    async def main() -> None:
        async with (
            ModelServer("yes", statuses={"demo": 500}, wait=wait) as server,
            agent(server, breaker=breaker, max_retries=0) as one,
        ):
            with pytest.raises(rolecore.APIStatusError):
                await one.ainvoke("hi")
            now[0] = 5.0
            server.statuses.clear()
            server.delays_s["demo"] = 1.0
            probe = asyncio.create_task(one.ainvoke("hi"))
            await until(lambda: server.n_requests["demo"] == 2)
            with pytest.raises(rolecore.CircuitOpen, match="one call is on its way"):
                await one.ainvoke("hi")
            gate.set()
            assert await probe == "yes"
            assert await one.ainvoke("hi") == "yes"

    asyncio.run(main())


def test_calls_at_once_through_a_proxy_that_fails_now_and_then_all_end() -> None:
    async def main() -> None:
        async with ModelServer(TEXT) as server, StallingProxy("127.0.0.1", server.port) as proxy:
            options: dict[str, Any] = {"max_retries": 2, "breaker": CircuitBreaker(max_failures=10**9)}
            async with agent(Proxied(proxy), **options) as one, LoopNoise() as noise:
                for kind in ("reset", "truncate", "stall", "drip"):
                    proxy.set(Fault(kind, after=200, times=10))
                    found = await asyncio.gather(
                        *(outcome(one, streamed=bool(i % 2), deadline_s=1.0) for i in range(50))
                    )
                    assert max(over_s for _, over_s in found) < MOST_OVER_S + noise.worst_s
                    assert sum(isinstance(end, Completion) for end, _ in found) >= 30
                    for end, _ in found:
                        assert isinstance(end, Completion | APIConnectionError | DeadlineExceeded)

    asyncio.run(main())
