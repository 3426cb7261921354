"""What an agent makes of the answers of endpoints, whole and as streams, in form and out of it."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest
from agent_talk import HELLO, SECRET, agent, answer, delta, events, fails, run, told, until
from raw_server import RawServer, reply, stream

import rolecore
from rolecore import (
    AdapterError,
    APIConnectionError,
    Completion,
    DeadlineExceeded,
    Usage,
    deadlines,
)
from rolecore.demo.model_server import ModelServer

pytestmark = pytest.mark.usefixtures("at_once")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # vLLM: null and empty lists, what it thought beside what it says.
        (
            {
                **answer(
                    {"content": "yes", "tool_calls": [], "reasoning_content": "hm", "function_call": None},
                    finish_reason="stop",
                    stop_reason=None,
                    logprobs=None,
                ),
                "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": None},
            },
            Completion({"role": "assistant", "content": "yes"}, Usage(7, 2), "stop"),
        ),
        # OpenAI: what its cache had, and a refusal.
        (
            {
                **answer({"content": None, "refusal": "No.", "annotations": []}, finish_reason="stop"),
                "usage": {
                    "prompt_tokens": 7,
                    "completion_tokens": 2,
                    "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
                },
            },
            Completion({"role": "assistant", "content": "", "refusal": "No."}, Usage(7, 2, 5), "stop"),
        ),
        # Nobody counts, nobody says why it ended.
        (answer({"content": "yes"}), Completion({"role": "assistant", "content": "yes"})),
        (answer({"role": "assistant"}), Completion({"role": "assistant", "content": ""})),
        # Arguments as an object, as some have them, and none.
        (
            answer({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {"x": "é"}}}]}),
            Completion(
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": "é"}'}}
                    ],
                }
            ),
        ),
    ],
)
def test_agent_reads_what_endpoints_make_of_the_form(body: Any, expected: Completion) -> None:
    assert told(RawServer(reply(body))) == expected


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": -5, "completion_tokens": 1},
        {"prompt_tokens": float("nan"), "completion_tokens": 1},
        {"prompt_tokens": "5", "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}},
    ],
)
def test_agent_loses_no_answer_by_a_count_that_is_none(usage: Any) -> None:
    body = {**answer({"content": "yes"}), "usage": usage}
    assert told(RawServer(reply(body))) == Completion({"role": "assistant", "content": "yes"})


def test_agent_gives_a_call_without_an_id_one() -> None:
    body = answer({"content": "", "tool_calls": [{"id": "", "function": {"name": "f"}}, {"function": {"name": "f"}}]})
    first, second = told(RawServer(reply(body))).message["tool_calls"]
    assert first["function"] == {"name": "f", "arguments": "{}"}
    assert first["id"].startswith("call_")
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>" + SECRET.encode(),
        b'{"choices": [{"message": {"content": "' + SECRET.encode(),
        b'{"choices": "\xff' + SECRET.encode(),
        b"[" * 100_000,
        {},
        [SECRET],
        None,
        SECRET,
        {"choices": None},
        {"choices": []},
        {"choices": [None]},
        {"choices": {"0": SECRET}},
        {"choices": [{"message": None}]},
        {"choices": [{"message": SECRET}]},
        answer({"content": 7}),
        answer({"content": [SECRET]}),
        answer({"content": "x", "tool_calls": {}}),
        answer({"tool_calls": [SECRET]}),
        answer({"tool_calls": [{"id": "a", "function": {}}]}),
        answer({"tool_calls": [{"id": "a", "function": {"name": 7}}]}),
        answer({"content": "x"}, finish_reason=7),
    ],
)
def test_agent_of_a_reply_that_is_no_answer_raises(body: Any) -> None:
    error = fails(RawServer(reply(body)), AdapterError, "the reply is not of the form|broke off")
    assert SECRET not in str(error)


@pytest.mark.parametrize("body", [{"error": {"message": SECRET}}, {"error": SECRET, **HELLO}])
def test_agent_of_an_error_with_status_200_raises(body: Any) -> None:
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    server = RawServer(reply(body), stream(data))
    fails(server, AdapterError, "an error in a reply of status 200")
    assert len(server.asked) == 2


def test_agent_stops_at_a_huge_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rolecore.adapters.chat_wire._MAX_REPLY_BYTES", 100_000)
    data = b"data: " + b"x" * 200_000
    fails(RawServer(reply(b" " * 200_000), stream(data)), AdapterError, "over 100000 bytes")


STREAMS = {
    "openai": (
        events(delta("", role="assistant"), delta("he"), delta("llo"), delta(None, "stop"))[:-14]
        + events({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}),
        Usage(9, 1),
        "stop",
    ),
    # Usage so far with each event, and what it thinks.
    "vllm": (
        events(
            {**delta(None, reasoning_content="hm"), "usage": {"prompt_tokens": 9, "completion_tokens": 0}},
            {**delta("hello", "stop"), "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
        ),
        Usage(9, 1),
        "stop",
    ),
    "ollama": (events({**delta("hello"), "usage": None}, delta("", "stop")), None, "stop"),
    "no reason": (events(delta("hello")), None, None),
    "no end": (events(delta("hello", "stop"), end=b""), None, "stop"),
    "no end of the line": (events(delta("hello", "stop"), end=b"data: [DONE]"), None, "stop"),
    "comments": (
        b": hi\r\nevent: x\r\nid: 7\r\nretry: 10\r\n"
        + events(delta("hel"), delta("lo", "stop")).replace(b"\n", b"\r\n")
        + b"after",
        None,
        "stop",
    ),
    "no blank": (events(delta("hello", "stop")).replace(b"data: ", b"data:"), None, "stop"),
}


@pytest.mark.parametrize("name", STREAMS)
def test_agent_reads_streams_as_endpoints_send_them(name: str) -> None:
    body, usage, reason = STREAMS[name]

    async def main() -> None:
        async with RawServer(stream(body)) as server, agent(server) as one:
            found = one.astream("hi")
            assert "".join([piece async for piece in found]) == "hello"
            assert found.completion == Completion({"role": "assistant", "content": "hello"}, usage, reason)
            sent = server.asked[0]
            assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})

    run(main)


def test_agent_puts_the_calls_of_a_stream_together() -> None:
    def piece(index: int | None, arguments: Any, **more: Any) -> Any:
        function = {"arguments": arguments, **({"name": more.pop("name")} if "name" in more else {})}
        return {**({} if index is None else {"index": index}), "function": function, **more}

    body = events(
        delta(tool_calls=[piece(0, "", id="a", name="f"), piece(1, '{"x"', id="b", name="g")]),
        delta(tool_calls=[piece(0, '{"y": 1}', id="", name="")]),
        delta(tool_calls=[piece(1, ": 2}", id=None)]),
        delta(tool_calls=[piece(None, {"z": 3}, id="c", name="h")], reason="tool_calls"),
    )

    async def main() -> Any:
        async with RawServer(stream(body)) as server, agent(server) as one:
            found = one.astream("hi")
            assert [piece async for piece in found] == []
            assert found.completion is not None
            return found.completion

    completion = run(main)
    calls = [(call["id"], *call["function"].values()) for call in completion.message["tool_calls"]]
    assert calls == [("a", "f", '{"y": 1}'), ("b", "g", '{"x": 2}'), ("c", "h", '{"z": 3}')]
    assert (completion.message["content"], completion.finish_reason) == (None, "tool_calls")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b": nothing\n\n", AdapterError),
        (b"<html>" + SECRET.encode() + b"\n", AdapterError),
        (b"data: {" + SECRET.encode() + b"\n\n", AdapterError),
        (events([SECRET]), AdapterError),
        (events({"choices": [SECRET]}), AdapterError),
        (events({"choices": [{"delta": SECRET}]}), AdapterError),
        (events(delta(7)), AdapterError),
        (events(delta("x", 7)), AdapterError),
        (events(delta(tool_calls=[SECRET])), AdapterError),
        (events(delta(tool_calls=[{"index": "0", "function": {"name": "f"}}])), AdapterError),
        (events(delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}])), AdapterError),
        (events({"error": {"message": SECRET}}), AdapterError),
        (events(), AdapterError),
        (events({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 0}}), AdapterError),
        (events(delta("hel"), end=b""), APIConnectionError),
        (events(delta("hel"), end=b'data: {"choices": [{"del'), APIConnectionError),
    ],
)
def test_agent_of_a_stream_that_is_no_answer_raises(body: bytes, error: type[Exception]) -> None:
    async def main() -> None:
        async with RawServer(stream(body)) as server, agent(server) as one:
            found = one.astream("hi")
            with pytest.raises(AdapterError) as caught:
                _ = [piece async for piece in found]
            assert type(caught.value) is error
            assert SECRET not in "".join(traceback.format_exception(caught.value))
            assert found.completion is None
            assert len(server.asked) == 1

    run(main)


def test_agent_tries_no_stream_again_that_has_begun() -> None:
    async def main() -> None:
        broken = stream(events(delta("hel")))[:-20]
        async with RawServer(broken, then="close") as server, agent(server) as one:
            found = one.astream("hi")
            assert await anext(found) == "hel"
            with pytest.raises(APIConnectionError):
                await anext(found)
            assert len(server.asked) == 1

    run(main)


def test_stream_under_a_deadline_leaves_the_callers_own() -> None:
    async def main() -> None:
        async with ModelServer("one two three four") as server, agent(server) as one:
            async for _ in one.astream("hi"):
                assert deadlines.remaining() is None
        async with RawServer(stream(events(delta("hel")))[:-15], then="silent") as silent, agent(silent) as one:
            with rolecore.deadline(0.2):
                found = one.astream("hi")
                assert await anext(found) == "hel"
            # It holds the deadline it was begun under.
            with pytest.raises(DeadlineExceeded):
                await anext(found)

    run(main)


def test_stream_that_is_stopped_lets_go_of_its_connection() -> None:
    async def main() -> None:
        async with (
            RawServer(stream(events(delta("hel")))[:-15], then="silent") as server,
            agent(server, max_concurrent=1) as one,
        ):
            for _ in range(3):
                found = one.astream("hi")
                assert await anext(found) == "hel"
                await found.aclose()
            await until(lambda: not server.n_connections)

    run(main)
