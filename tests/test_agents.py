"""Agents: what follows from `ainvoke` alone, and the synchronous face."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore import AIAgent, ArgumentError, Completion, DeadlineExceeded, deadlines

if TYPE_CHECKING:
    from collections.abc import Iterable


class Echo(AIAgent):
    async def ainvoke(self, input: str | dict[str, Any], context: Iterable[dict[str, Any]] = ()) -> str:  # noqa: A002
        async with deadlines.within("echo"):
            if input == "never":
                await asyncio.Event().wait()
        return f"{len(list(context))}: {input}"


def test_agent_with_ainvoke_alone_completes_and_streams() -> None:
    async def main() -> tuple[Completion, list[str]]:
        return await Echo().acomplete("hi"), [piece async for piece in Echo().astream("hi", [{}])]

    completion, pieces = asyncio.run(main())
    assert completion == Completion({"role": "assistant", "content": "0: hi"})
    assert completion.text == "0: hi"
    assert pieces == ["1: hi"]


def test_invoke_in_threads_at_once_answers_each() -> None:
    found: dict[int, str] = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: Echo().invoke(str(i))})) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: f"0: {i}" for i in range(20)}


def test_invoke_is_under_the_callers_deadline() -> None:
    with rolecore.deadline(0.01), pytest.raises(DeadlineExceeded, match="echo"):
        Echo().invoke("never")


def test_invoke_inside_an_event_loop_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(ArgumentError, match="await ainvoke"):
            Echo().invoke("hi")

    asyncio.run(main())


def test_completion_of_tool_calls_only_has_no_text() -> None:
    assert Completion({"role": "assistant", "content": None, "tool_calls": []}).text == ""
