"""The local server that speaks chat completions: what it answers, and what it can be told to do."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest
from agent_talk import CALL

import rolecore
from rolecore.demo.model_server import ModelServer

MESSAGES = [{"role": "user", "content": "How long? 多久？"}]


def ask(server: ModelServer, path: str = "/chat/completions", *, key: str = "", **request: Any) -> tuple[int, Any, Any]:
    """The status, the headers and the body of one reply."""
    data = json.dumps({"model": "demo", "messages": MESSAGES, **request}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    asked = urllib.request.Request(server.base_url + path, data if "chat" in path else None, headers)  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def answers(server: ModelServer, *args: Any, **request: Any) -> tuple[int, Any, Any]:
    async def main() -> tuple[int, Any, Any]:
        async with server:
            return await asyncio.to_thread(ask, server, *args, **request)

    return asyncio.run(main())


def events(body: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in body.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_server_answers_a_fixed_text_and_counts_it() -> None:
    status, headers, body = answers(ModelServer("Three days. 三天。"))
    told = json.loads(body)
    tokenizer = rolecore.tokenizer("o200k_base")
    n_input, n_output = tokenizer.count_messages(MESSAGES), tokenizer.count("Three days. 三天。")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert told["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "Three days. 三天。"}, "finish_reason": "stop"}
    ]
    expected = {"prompt_tokens": n_input, "completion_tokens": n_output, "total_tokens": n_input + n_output}
    assert told["usage"] == expected


def test_server_answers_by_the_request() -> None:
    server = ModelServer(lambda request: f"{request['model']} heard {request['messages'][-1]['content']}")
    assert json.loads(answers(server, model="b")[2])["choices"][0]["message"]["content"] == "b heard How long? 多久？"


def test_server_cuts_at_max_tokens() -> None:
    choice = json.loads(answers(ModelServer("one two three four"), max_tokens=2)[2])["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("one two", "length")


def test_server_calls_tools() -> None:
    choice = json.loads(answers(ModelServer({"tool_calls": [CALL]}))[2])["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert choice["finish_reason"] == "tool_calls"


def test_server_streams_pieces_then_usage() -> None:
    server = ModelServer("It takes three days, 三天。")
    _, headers, body = answers(server, stream=True, stream_options={"include_usage": True})
    *pieces, reason, usage = events(body)
    assert headers["Content-Type"] == "text/event-stream"
    text = "".join(piece["choices"][0]["delta"]["content"] for piece in pieces)
    assert text == "It takes three days, 三天。"
    assert len(pieces) > 3
    assert reason["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == rolecore.tokenizer("o200k_base").count(text)
    assert "usage" not in events(answers(server, stream=True)[2])[-1]


def test_server_streams_tool_calls_in_pieces() -> None:
    found = events(answers(ModelServer({"tool_calls": [CALL, {**CALL, "id": "call_2"}]}), stream=True)[2])
    deltas = [call for event in found for call in event["choices"][0]["delta"].get("tool_calls", ())]
    second = [delta for delta in deltas if delta["index"] == 1]
    assert (second[0]["id"], second[0]["function"]["name"]) == ("call_2", "find")
    assert "".join(delta["function"]["arguments"] for delta in second) == CALL["function"]["arguments"]


def test_server_lists_models() -> None:
    listed = json.loads(answers(ModelServer(models=("a", "b")), "/models")[2])
    assert [model["id"] for model in listed["data"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (404, {"path": "/chat/elsewhere"}),
        (400, {"messages": "none"}),
        (400, {"messages": [7]}),
        (401, {"key": "wrong"}),
        (429, {"model": "busy"}),
        (503, {"model": "down"}),
    ],
)
def test_server_fails_as_told(status: int, asked: dict[str, Any]) -> None:
    server = ModelServer(statuses={"busy": 429, "down": 503}, retry_after="7", api_key="right")
    found, headers, body = answers(server, asked.pop("path", "/chat/completions"), **{"key": "right", **asked})
    assert found == status
    assert headers["Retry-After"] == ("7" if status in {429, 503} else None)
    assert json.loads(body)["error"]["message"]


def test_server_waits_by_the_model_and_fails_a_share() -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def main() -> list[int]:
        async with ModelServer(delay_s=1, delays_s={"slow": 9}, fail_share=0.5, seed=3, wait=wait) as server:
            models = ["demo", "slow"] * 20
            return [(await asyncio.to_thread(ask, server, model=model))[0] for model in models]

    statuses = asyncio.run(main())
    assert waits == [1, 9] * 20
    assert set(statuses) == {200, 503}
    assert 10 <= statuses.count(503) <= 30


def test_server_runs_alone_until_its_input_ends() -> None:
    command = [sys.executable, "-m", "rolecore.demo.model_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = process.stdout.readline().strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url + "/models") as reply:
            assert reply.status == 200
        process.stdin.close()
        assert process.wait(20) == 0
