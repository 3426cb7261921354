"""When an agent tries again, how long it waits, and what its breaker and its limiter are told."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

import pytest
from agent_talk import HELLO, SECRET, Ledger, agent, fails, n_sockets_to, run, told, until
from raw_server import RawServer, reply

import rolecore
from rolecore import (
    AdapterError,
    APIConnectionError,
    APIStatusError,
    CircuitBreaker,
    CircuitOpen,
    DeadlineExceeded,
    OpenAIAgent,
    RateLimitError,
    Usage,
    deadlines,
)
from rolecore.demo.model_server import ModelServer

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.mark.parametrize(
    ("status", "way_out"),
    [
        (400, "check model"),
        (401, "check api_key"),
        (404, "check base_url"),
        (413, "send less"),
        (418, "check base_url"),
    ],
)
def test_agent_refused_raises_the_status_at_once(status: int, way_out: str) -> None:
    server = RawServer(reply({"error": {"message": SECRET}}, status=status))
    error = fails(server, APIStatusError, f"status {status}; {way_out}")
    assert error.status == status
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [301, 302, 307, 308, 204, 101])
def test_agent_follows_no_redirect(status: int) -> None:
    server = RawServer(reply(b"", status=status, more="Location: http://127.0.0.1:9/\r\n"), then="close")

    async def main() -> None:
        async with server, agent(server, max_retries=0) as one:
            with pytest.raises((APIStatusError, APIConnectionError)) as caught:
                await one.ainvoke("hi")
            assert getattr(caught.value, "status", status) == status
        assert len(server.asked) == 1

    run(main)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_agent_tries_again_where_that_is_safe(status: int, at_once: list[float]) -> None:
    server = RawServer(reply({}, status=status), reply({}, status=status), reply(HELLO))
    assert told(server).text == "hello"
    assert len(server.asked) == 3
    assert at_once == [0.5, 1.0]


def test_agent_tries_a_lost_connection_again() -> None:
    server = RawServer(b"", reply(HELLO), then="close")
    assert told(server).text == "hello"
    assert len(server.asked) == 2


def test_agent_gives_up_after_max_retries() -> None:
    server = RawServer(reply({}, status=503))
    breaker = CircuitBreaker(max_failures=100)
    fails(server, APIStatusError, "status 503; try again later", max_retries=1, breaker=breaker)
    assert len(server.asked) == 4


def test_agent_spends_a_budget_of_retries() -> None:
    server = RawServer(reply({}, status=503))

    async def main() -> None:
        async with server, agent(server, max_retries=3, breaker=CircuitBreaker(max_failures=100)) as one:
            for _ in range(20):
                with pytest.raises(APIStatusError):
                    await one.ainvoke("hi")

    run(main)
    assert 20 < len(server.asked) < 30


@pytest.mark.parametrize("after", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_agent_waits_as_the_endpoint_asks(after: str) -> None:
    server = RawServer(reply({}, status=429, more=f"Retry-After: {after}\r\n"), reply(HELLO))
    assert told(server).text == "hello"


@pytest.mark.parametrize("after", ["60", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_agent_asked_to_wait_past_the_deadline_raises_at_once(after: str) -> None:
    server = RawServer(reply({}, status=429, more=f"Retry-After: {after}\r\n"))
    with rolecore.deadline(20):
        error = fails(server, RateLimitError, "status 429; wait, or send less")
        assert deadlines.remaining() > 15  # type: ignore[operator]
    assert error.retry_after_s >= 60
    assert len(server.asked) == 2


def test_agent_of_a_silent_endpoint_raises_at_the_deadline() -> None:
    with rolecore.deadline(0.1):
        fails(RawServer(b"", then="silent"), DeadlineExceeded, "completion: the deadline of 0.1 s is over")


def test_agent_without_a_deadline_keeps_timeout_s() -> None:
    fails(RawServer(b"", then="silent"), DeadlineExceeded, "the deadline of 0.05 s is over", timeout_s=0.05)


def test_agent_where_nobody_listens_raises() -> None:
    class Nobody(RawServer):
        async def __aenter__(self) -> Self:
            await super().__aenter__()
            await super().__aexit__(None, None, None)
            return self

    breaker = CircuitBreaker(max_failures=100)
    error = fails(Nobody(), APIConnectionError, "no whole reply from .*: ClientConnectorError", breaker=breaker)
    assert isinstance(error, ConnectionError)


def test_agent_of_a_host_that_cannot_be_raises() -> None:
    async def main() -> None:
        for host in ("x" * 70, "a..b", "xn--"):
            async with OpenAIAgent(base_url=f"http://{host}/v1", model="m", max_retries=0) as one:
                with pytest.raises(APIConnectionError, match="no whole reply from"):
                    await one.ainvoke("hi")

    run(main)


def test_agent_checks_tls_before_it_sends() -> None:
    heard: list[bytes] = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.write(b"HTTP/1.1 400 no\r\n\r\n")
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with OpenAIAgent(base_url=f"https://127.0.0.1:{port}/v1", model="m", max_retries=0) as one:
                with pytest.raises(APIConnectionError, match="SSL"):
                    await one.ainvoke("hi")
        assert b"POST" not in heard[0]

    run(main)


def test_agent_keeps_requests_from_an_endpoint_that_is_down() -> None:
    now = [0.0]
    breaker = CircuitBreaker(max_failures=2, reset_s=5, clock=lambda: now[0])
    server = RawServer(reply({}, status=500), reply({}, status=500), reply(HELLO))

    async def main() -> None:
        async with server, agent(server, breaker=breaker, max_retries=5) as one:
            # The second failure opens it, and is what the caller hears of.
            with pytest.raises(APIStatusError):
                await one.ainvoke("hi")
            with pytest.raises(CircuitOpen):
                await one.ainvoke("hi")
            assert len(server.asked) == 2
            now[0] = 5.0
            assert await one.ainvoke("hi") == "hello"
            assert breaker.state == "closed"

    run(main)


@pytest.mark.parametrize(
    ("answered", "is_open"),
    [
        (reply({}, status=400), False),
        (reply({}, status=429), False),
        (reply(b"<html>"), False),
        (reply({}, status=503), True),
        (b"", True),
        (reply(HELLO)[:-3], True),
    ],
)
def test_breaker_counts_only_what_says_the_endpoint_is_down(answered: bytes, is_open: bool) -> None:  # noqa: FBT001
    breaker = CircuitBreaker(max_failures=1)

    async def main() -> None:
        async with RawServer(answered, then="close") as server, agent(server, breaker=breaker, max_retries=0) as one:
            with pytest.raises(AdapterError):
                await one.ainvoke("hi")

    run(main)
    assert (breaker.state == "open") is is_open


def test_breaker_counts_timeouts_and_no_cancellation() -> None:
    breaker = CircuitBreaker(max_failures=1)

    async def main() -> None:
        async with RawServer(b"", then="silent") as server, agent(server, breaker=breaker) as one:
            task = asyncio.create_task(one.ainvoke("hi"))
            await until(lambda: server.asked)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert breaker.state == "closed"
            with rolecore.deadline(0.05), pytest.raises(DeadlineExceeded):
                await one.ainvoke("hi")
            assert breaker.state == "open"

    run(main)


def test_agent_bounds_what_runs_at_once() -> None:
    now, most = 0, 0
    gate = asyncio.Event()

    async def wait(_: float) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if most == 3:
            gate.set()
        await gate.wait()
        now -= 1

    async def main() -> None:
        async with ModelServer("yes", delay_s=1, wait=wait) as server, agent(server, max_concurrent=3) as one:
            assert await asyncio.gather(*(one.ainvoke("hi") for _ in range(20))) == ["yes"] * 20
            assert server.n_connections == 3

    run(main)
    assert most == 3


def test_limiter_is_asked_before_each_attempt_and_told_the_cost() -> None:
    ledger = Ledger()
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    server = RawServer(reply({}, status=503), reply({**HELLO, "usage": usage}))
    told(server, limiter=ledger, options={"max_tokens": 50})
    n = rolecore.tokenizer("o200k_base").count_messages([{"role": "user", "content": "hi"}]) + 50
    assert ledger.said == [("acquire", n), ("settle", 1, 0), ("acquire", n), ("settle", 3, 10)]


def test_limiter_is_told_what_a_stream_cost() -> None:
    ledger = Ledger()

    async def main() -> Usage | None:
        async with ModelServer("yes") as server, agent(server, limiter=ledger) as one:
            told = one.astream("hi")
            assert [piece async for piece in told] == ["yes"]
            assert told.completion is not None
            return told.completion.usage

    usage = run(main)
    assert ledger.said[1:] == [("settle", 1, usage.input_tokens + usage.output_tokens)]


@pytest.mark.parametrize("streamed", [False, True])
def test_answer_is_not_lost_by_a_limiter_out_of_reach(streamed: bool) -> None:  # noqa: FBT001
    class Stalled(Ledger):
        async def settle(self, reservation: int, n_tokens: int) -> None:
            async with deadlines.within("settle"):
                await super().settle(reservation, n_tokens)
                await asyncio.Event().wait()

    ledger = Stalled()

    async def main() -> None:
        async with ModelServer("yes") as server, agent(server, limiter=ledger) as one:
            with rolecore.deadline(0.3):
                if streamed:
                    assert [piece async for piece in one.astream("hi")] == ["yes"]
                else:
                    assert await one.ainvoke("hi") == "yes"
                assert deadlines.remaining() == 0.0

    run(main)
    assert ledger.said[1][0] == "settle"


def test_agent_over_its_own_limit_raises_before_it_sends() -> None:
    server = RawServer(reply(HELLO))

    async def main() -> None:
        async with server, agent(server, requests_per_minute=1, tokens_per_minute=1000) as one:
            await one.ainvoke("hi")
            with rolecore.deadline(1), pytest.raises(RateLimitError, match="our own limit"):
                await one.ainvoke("hi")
        assert len(server.asked) == 1

    run(main)


def test_agent_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with RawServer(reply(HELLO)) as proxy:
            monkeypatch.setenv("http_proxy", f"http://ana:{SECRET}@127.0.0.1:{proxy.port}")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            async with OpenAIAgent(base_url="http://host.invalid/v1", model="m", max_retries=0) as one:
                assert [await one.ainvoke("hi"), await one.ainvoke("hi")] == ["hello"] * 2
                proxy.then = "close"
                proxy.replies = [b""]
                with pytest.raises(APIConnectionError) as caught:
                    await one.ainvoke("hi")
                assert SECRET not in str(caught.value)
        for head in proxy.heads:
            assert head.startswith("POST http://host.invalid/v1/chat/completions HTTP/1.1\r\nHost: host.invalid\r\n")
            assert "Proxy-Authorization: Basic " in head

    run(main)


def test_agent_that_is_cancelled_while_it_sends_lets_go_at_once() -> None:
    async def main() -> None:
        begun, is_over, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1)
            begun.set()
            await is_over.wait()
            with suppress(OSError):
                while await reader.read(1 << 20):
                    pass
            writer.close()
            gone.set()

        async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with OpenAIAgent(base_url=f"http://127.0.0.1:{port}/v1", model="m") as one:
                task = asyncio.create_task(one.ainvoke("x" * (8 << 20)))
                await begun.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                # Megabytes are still to be sent, to one who reads nothing.
                await until(lambda: n_sockets_to(port) == 0)
                is_over.set()
                await gone.wait()

    run(main)
