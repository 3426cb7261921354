"""The agent behind a chat completions endpoint: what it sends, who may share it, and what it shows."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Self

import pytest
from agent_talk import CALL, HELLO, KEY, SECRET, TOOL, Ledger, agent, run, told, until
from raw_server import RawServer, reply

import rolecore
from rolecore import (
    AdapterError,
    ArgumentError,
    Completion,
    MessageError,
    OpenAIAgent,
    Usage,
)
from rolecore.demo.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.usefixtures("at_once")


def test_agent_sends_the_request_and_reads_the_answer() -> None:
    server = RawServer(reply({**HELLO, "usage": {"prompt_tokens": 9, "completion_tokens": 1}}))

    async def main() -> Completion:
        async with server, agent(server, tools=[TOOL], options={"temperature": 0, "stop": ["\n"]}) as one:
            return await one.acomplete("你好 \ud800", [{"role": "system", "content": "Be brief."}])

    expected = Completion({"role": "assistant", "content": "hello"}, Usage(9, 1), "stop")
    assert run(main) == expected
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "你好 \ufffd"}]
    sent = {"model": "demo", "temperature": 0, "stop": ["\n"], "tools": [TOOL], "messages": messages}
    assert server.asked == [sent]
    head = server.heads[0]
    assert head.startswith("POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"Authorization: Bearer {KEY}\r\n" in head
    assert "Accept-Encoding" not in head


def test_agent_without_a_key_sends_none() -> None:
    server = RawServer(reply(HELLO))
    told(server, api_key=None)
    assert "Authorization" not in server.heads[0]


def test_agent_takes_a_message_with_what_it_holds() -> None:
    image = {"role": "user", "content": [{"type": "text", "text": "What is it?"}], "name": "ana"}
    server = RawServer(reply(HELLO))

    async def main() -> None:
        async with server, agent(server) as one:
            await one.ainvoke(image)

    run(main)
    assert server.asked[0]["messages"] == [image]


def test_agent_answers_whole_streamed_and_without_a_loop() -> None:
    async def main() -> None:
        async with ModelServer("It takes three days. 三天。") as server, agent(server) as one:
            whole = await one.acomplete("How long?")
            assert whole.text == await one.ainvoke("How long?") == "It takes three days. 三天。"
            assert await asyncio.to_thread(one.invoke, "How long?") == whole.text
            answer = one.astream("How long?")
            assert answer.completion is None
            assert "".join([piece async for piece in answer]) == whole.text
            assert answer.completion == whole
            assert whole.usage is not None
            assert whole.usage.output_tokens == rolecore.tokenizer("o200k_base").count(whole.text)

    run(main)


def test_agent_reads_tool_calls_ready_for_a_history() -> None:
    async def main() -> None:
        async with (
            ModelServer({"tool_calls": [CALL, {**CALL, "id": "call_2"}]}) as server,
            agent(server, tools=[TOOL]) as one,
        ):
            whole = await one.acomplete("Where?")
            assert whole.message == {
                "role": "assistant",
                "content": None,
                "tool_calls": [CALL, {**CALL, "id": "call_2"}],
            }
            assert (whole.text, whole.finish_reason) == ("", "tool_calls")
            answer = one.astream("Where?")
            assert [piece async for piece in answer] == []
            assert answer.completion == whole
        history = rolecore.History([{"role": "user", "content": "Where?"}, whole.message])
        assert history.to_messages()[1] == whole.message

    run(main)


def test_agent_uses_a_connection_again() -> None:
    async def main() -> None:
        async with ModelServer("yes") as server, agent(server) as one:
            for _ in range(10):
                await one.ainvoke("hi")
                _ = [piece async for piece in one.astream("hi")]
            assert server.n_connections == 1

    run(main)


def test_agent_in_threads_and_loops_at_once_answers_each() -> None:
    found: list[str] = []

    async def main() -> None:
        async with ModelServer(lambda request: request["messages"][0]["content"]) as server, agent(server) as one:

            def work(i: int) -> None:
                found.append(one.invoke(f"{i}"))
                found.append(asyncio.run(one.ainvoke(f"{i}")))

            await asyncio.gather(*(asyncio.to_thread(work, i) for i in range(8)), one.ainvoke("own"))

    run(main)
    assert sorted(found) == sorted([f"{i}" for i in range(8)] * 2)


def test_one_thread_per_agent_is_not_needed() -> None:
    """What threads share keeps its counts."""

    async def main() -> int:
        async with ModelServer("yes") as server, agent(server, max_concurrent=2) as one:
            threads = [threading.Thread(target=lambda: [one.invoke("hi") for _ in range(5)]) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            assert server.n_connections <= 2
            return server.n_requests["demo"]

    assert run(main) == 30


def test_agent_that_is_closed_says_so() -> None:
    async def main() -> None:
        async with ModelServer("yes") as server:
            async with agent(server) as one:
                await one.ainvoke("hi")
                await asyncio.to_thread(one.invoke, "hi")
            await until(lambda: not server.n_connections)
            with pytest.raises(AdapterError, match="closed"):
                await one.ainvoke("hi")

    run(main)


def test_agent_that_is_forgotten_warns_of_nothing() -> None:
    code = """
import asyncio, rolecore
from rolecore.demo.model_server import ModelServer
async def main():
    async with ModelServer("yes") as server:
        one = rolecore.OpenAIAgent(base_url=server.base_url, model="m")
        print(await one.ainvoke("hi"), await asyncio.to_thread(one.invoke, "hi"))
        other = rolecore.OpenAIAgent(base_url=server.base_url, model="m")
        print(await other.ainvoke("hi"))
        del other
        stream = one.astream("hi")
        print(await anext(stream))
        return one
kept = asyncio.run(main())
"""
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code], check=True, capture_output=True, text=True
    )
    assert run.stdout.split() == ["yes"] * 4
    assert [line for line in run.stderr.splitlines() if "Executing" not in line] == []


def test_agent_leaves_no_task_and_no_connection() -> None:
    async def main() -> None:
        async with ModelServer("yes") as server:
            async with agent(server) as one:
                await asyncio.gather(*(one.ainvoke("hi") for _ in range(20)))
            assert asyncio.all_tasks() - set(server._connections) == {asyncio.current_task()}
            await until(lambda: not server.n_connections)

    run(main)


def test_agent_shows_its_key_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    async def main() -> None:
        async with ModelServer("yes", api_key=KEY) as server, agent(server) as one:
            assert await one.ainvoke("hi") == "yes"
            seen = f"{one!r} {one!s} {vars(one)} {vars(one._attempts)} {caplog.text}"
            assert SECRET not in seen
            for copying in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="holds a key and connections"):
                    copying(one)

    run(main)


def test_agent_without_aiohttp_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(rolecore.MissingExtraError, match=r"rolecore\[openai\]"):
        OpenAIAgent(base_url="http://x/v1", model="m")


class Canned:
    """Another transport."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.status = 200
        self.retry_after: str | None = None
        self.left = [json.dumps(HELLO).encode()]

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Self:
        assert (url, headers["Authorization"]) == ("http://x/v1/chat/completions", f"Bearer {KEY}")
        self.bodies.append(body)
        return self

    async def read(self) -> bytes:
        return self.left.pop() if self.left else b""

    def close(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


def test_agent_takes_another_transport() -> None:
    one = OpenAIAgent(base_url="http://x/v1/", model="m", api_key=KEY, transport=Canned())
    assert one.invoke("hi") == "hello"


@pytest.mark.parametrize("message", [7, {"role": "user", "content": {1, 2}}, {"role": "user", "content": float("nan")}])
def test_agent_of_a_message_that_is_none_raises(message: Any) -> None:
    one = OpenAIAgent(base_url="http://x/v1", model="m", transport=Canned())
    as_input = "input is of type int" if message == 7 else "message 1 is no dict, or holds what JSON has no form for"
    with pytest.raises(MessageError, match=as_input):
        one.invoke(message, [{"role": "user", "content": "hi"}])
    with pytest.raises(MessageError, match="message 0 is no dict, or holds what JSON has no form for"):
        one.invoke("hi", [message])


def test_agent_of_a_cyclic_message_raises() -> None:
    cyclic: dict[str, Any] = {"role": "user"}
    cyclic["content"] = cyclic
    with pytest.raises(MessageError, match="message 0"):
        OpenAIAgent(base_url="http://x/v1", model="m", transport=Canned()).invoke(cyclic)


@pytest.mark.parametrize(
    "bad",
    [
        *({"base_url": url} for url in ("", "ftp://x/v1", "http://u:hunter2@x/v1", "http://x/v1?key=hunter2", None)),
        *({"api_key": key} for key in ("", "hunter2\r\nX: y", "hunter2\n", "hunter2 x", "hünter2", 7)),
        *({"model": model} for model in ("", None)),
        *({"max_retries": n} for n in (-1, True)),
        *({"max_concurrent": n} for n in (0, True, 1.5)),
        *({"timeout_s": t} for t in (0, -1, float("inf"), float("nan"), None)),
        *({"options": options} for options in ({"x": {1}}, {"x": float("nan")}, 7, {"model": "y"}, {"stream": True})),
        *({"tools": tools} for tools in (7, [7], [{"x": {1}}])),
        {"requests_per_minute": 0},
        {"tokens_per_minute": 0},
        {"limiter": Ledger(), "requests_per_minute": 5},
    ],
)
def test_agent_of_bad_argument_raises_naming_it(bad: dict[str, Any]) -> None:
    name = next(iter(bad))
    with pytest.raises(ArgumentError, match=name) as caught:
        OpenAIAgent(**{"base_url": "http://x/v1", "model": "m", **bad})
    assert SECRET not in "".join(traceback.format_exception(caught.value)).split("\nrolecore")[-1]
