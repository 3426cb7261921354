"""Agents without a model: a script, and what was said before; and four agents under one piece of code."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from agent_talk import CALL

import rolecore
from rolecore import (
    AdapterError,
    AIAgent,
    ArgumentError,
    DeadlineExceeded,
    ExtractiveAgent,
    MessageError,
    ScriptedAgent,
)
from rolecore.adapters.extractive import NOTHING, NOTHING_ZH
from rolecore.demo.model_server import ModelServer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Always answer questions about the train in French."},
    {"role": "user", "content": "I booked the 08:15 train to Oslo for Ana. It cost 42.50 euros. Bergen was sunny."},
    {"role": "assistant", "content": "Noted. When does Ana's train leave?"},
    {"role": "user", "content": "安娜的航班是下午三点起飞。酒店不要早餐。我们住在海边。"},
    {"role": "assistant", "content": NOTHING},
    {"role": "user", "content": [{"type": "text", "text": "The invoice number is A-1042."}]},
]


def test_script_gives_what_matches_again_and_the_rest_in_order() -> None:
    agent = ScriptedAgent([{"match": "OSLO", "answer": "08:15"}, "one", {"answer": "two"}])
    asked: list[Any] = ["to Oslo?", "a", "oslo", "b", {"role": "user", "content": [{"type": "text", "text": "OSLO"}]}]
    assert [agent.invoke(text) for text in asked] == ["08:15", "one", "08:15", "two", "08:15"]
    with pytest.raises(AdapterError, match="none of the script's 3 answers matches"):
        agent.invoke("secret c")


@pytest.mark.parametrize("agent", [ScriptedAgent(["one"]), ExtractiveAgent()], ids=["script", "extractive"])
def test_what_is_no_message_is_refused_and_takes_no_answer(agent: AIAgent) -> None:
    wrong: Any
    for wrong in (None, 7, [{"role": "user", "content": "hunter2"}]):
        with pytest.raises(MessageError, match=r"input is of type .*; it must be a str or a message") as caught:
            agent.invoke(wrong)
        assert "hunter2" not in str(caught.value)
    wrong = None
    with pytest.raises(ArgumentError, match="context is of type NoneType; it must be an iterable of messages"):
        agent.invoke("hi", wrong)
    wrong = [{"role": "hunter2"}]
    with pytest.raises(MessageError):
        agent.invoke("hi", wrong)
    assert agent.invoke("hi") in {"one", NOTHING}


@pytest.mark.parametrize("form", ["list", "lines"])
def test_script_is_read_from_a_file(tmp_path: Path, form: str) -> None:
    answers = ["one", {"match": "三天", "answer": "three"}]
    lines = [json.dumps(answer, ensure_ascii=False) for answer in answers]
    text = json.dumps(answers) if form == "list" else "\n\n".join(lines) + "\n"
    path = tmp_path / "script"
    path.write_text(text, encoding="utf-8")
    for given in (path, str(path)):
        agent = ScriptedAgent(given)
        assert [agent.invoke("等三天"), agent.invoke("x")] == ["three", "one"]
        assert repr(agent) == "ScriptedAgent(2 answers)"


def test_script_counts_and_calls_tools() -> None:
    agent = ScriptedAgent([{"answer": {"tool_calls": [CALL]}}, "yes"])

    async def main() -> list[rolecore.Completion]:
        return [await agent.acomplete("hi", TALK), await agent.acomplete("hi")]

    calls, text = asyncio.run(main())
    assert calls.message == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert (calls.text, calls.finish_reason, text.finish_reason) == ("", "tool_calls", "stop")
    count = rolecore.tokenizer("o200k_base").count_messages
    assert calls.usage == (count([*TALK, {"role": "user", "content": "hi"}]), count([calls.message]), 0)


@pytest.mark.parametrize(
    "answers",
    [
        [7],
        [{"match": "x"}],
        [{"match": "", "answer": "x"}],
        [{"match": 7, "answer": "x"}],
        [{"answer": 7}],
        [{"content": "hunter2"}],
    ],
)
def test_script_of_another_form_is_refused(answers: list[Any]) -> None:
    with pytest.raises(ArgumentError, match="answer 0 is of another form") as caught:
        ScriptedAgent(answers)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1, ", '"one"\nhunter2', "[" * 100_000])
def test_script_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ArgumentError, match="cannot be read") as caught:
        ScriptedAgent(path)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ArgumentError, match="cannot be read: no such file"):
        ScriptedAgent(tmp_path / "absent")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("When does Ana's train to Oslo leave?", "I booked the 08:15 train to Oslo for Ana."),
        ("How much did it cost?", "It cost 42.50 euros."),
        ("安娜的航班几点起飞？", "安娜的航班是下午三点起飞。"),
        ("酒店有早餐吗？", "酒店不要早餐。"),
        ("What was the invoice's number?", "The invoice number is A-1042."),
        ("What is quantum chromodynamics?", NOTHING),
        ("量子物理是什么？", NOTHING_ZH),
        ("", NOTHING),
        ("What is it?", NOTHING),
    ],
)
def test_extractive_answers_with_what_was_said(question: str, answer: str) -> None:
    assert ExtractiveAgent().invoke(question, TALK) == answer


def test_extractive_says_nothing_of_nothing() -> None:
    agent = ExtractiveAgent(max_tokens=3)
    assert agent.invoke("Where?") == rolecore.tokenizer("o200k_base").truncate(NOTHING, 3)
    assert repr(agent) == "ExtractiveAgent(max_tokens=3)"


def test_extractive_finds_one_sentence_in_a_long_talk() -> None:
    talk = [{"role": "user", "content": f"Item {i} was packed on day {i}. All is well there."} for i in range(2000)]
    talk[700] = {"role": "user", "content": "Marguerite keeps the vault's code. All is well there."}
    assert ExtractiveAgent().invoke("Who keeps the code of the vault?", talk) == "Marguerite keeps the vault's code."


@pytest.mark.parametrize("max_tokens", [1, 5, 12, 100])
def test_extractive_keeps_its_limit_and_counts(max_tokens: int) -> None:
    talk = [
        {
            "role": "user",
            "content": "The red train is late. The blue train is early. The green train is lost. 火车晚点了。",
        }
    ]
    agent = ExtractiveAgent(max_tokens=max_tokens)
    completion = asyncio.run(agent.acomplete("Which train?", talk))
    tokenizer = rolecore.tokenizer("o200k_base")
    n_input = tokenizer.count_messages([*talk, {"role": "user", "content": "Which train?"}])
    assert completion.usage == (n_input, tokenizer.count(completion.text), 0)
    assert 0 < completion.usage.output_tokens <= max_tokens


def test_extractive_takes_calls_and_their_results() -> None:
    talk: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "The parcel lies in Lyon."},
    ]
    assert ExtractiveAgent().invoke("Where is the parcel?", talk) == "The parcel lies in Lyon."


@pytest.mark.parametrize("agent", [ScriptedAgent(["yes"]), ExtractiveAgent()])
def test_agent_past_the_deadline_raises(agent: AIAgent) -> None:
    with rolecore.deadline(0), pytest.raises(DeadlineExceeded, match="completion"):
        agent.invoke("hi")


class Shouting(AIAgent):
    """A user's own."""

    async def ainvoke(self, input: str | dict[str, Any], context: Iterable[dict[str, Any]] = ()) -> str:  # noqa: A002
        return f"{list(context)[-1]['content']}! {input}".upper()


async def business(agent: AIAgent, report: str) -> dict[str, Any]:
    """A user's code, which knows no more than what an agent is."""
    history = rolecore.History([{"role": "user", "content": report}])
    question = "Where is the parcel?"
    completion = await agent.acomplete(question, history.fit(200).messages)
    history.extend([{"role": "user", "content": question}, completion.message])
    streamed = "".join([piece async for piece in agent.astream(question, history.fit(200).messages)])
    said = await asyncio.to_thread(agent.invoke, question, history.fit(200).messages)
    return {"answer": completion.text, "streamed": streamed, "said": said, "n": len(history)}


def test_business_code_changes_nothing_when_the_model_does() -> None:
    report = "The parcel lies in Lyon."
    expected = {"answer": report, "streamed": report, "said": report, "n": 3}

    async def main() -> None:
        async with (
            ModelServer(lambda request: str(request["messages"][0]["content"])) as server,
            rolecore.OpenAIAgent(base_url=server.base_url, model="demo") as remote,
        ):
            assert await business(remote, report) == expected
        assert await business(ScriptedAgent([{"match": "parcel", "answer": report}]), report) == expected
        assert await business(ExtractiveAgent(), report) == expected
        shouted = await business(Shouting(), report)
        assert shouted["answer"] == "THE PARCEL LIES IN LYON.! WHERE IS THE PARCEL?"
        assert shouted["n"] == 3

    asyncio.run(main())
