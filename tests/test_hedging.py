"""Hedged calls: the first answer wins, and what loses is no failure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from alike_roles import Clock, replicas

from rolecore.errors import APIConnectionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rolecore import Role, Router


@pytest.fixture
def clock() -> Clock:
    return Clock()


Send: TypeAlias = "Callable[[], Awaitable[str]]"


def hedge(first: Send, second: Send, clock: Clock, after: float = 0.0) -> tuple[Any, Router, list[str]]:
    router = replicas(2, clock, hedge_after_s=after)
    asked: list[str] = []

    async def send(role: Role) -> str:
        asked.append(role.name)
        return await (first if len(asked) == 1 else second)()

    async def run() -> str:
        return await router.hedged(router.route("q"), send)

    try:
        result: Any = asyncio.run(run())
    except APIConnectionError as error:
        result = error
    return result, router, asked


async def answers() -> str:
    return "answer"


async def hangs() -> str:
    await asyncio.Event().wait()
    return "never"


async def fails() -> str:
    raise APIConnectionError


def test_hedged_call_takes_the_first_answer(clock: Clock) -> None:
    result, router, asked = hedge(hangs, answers, clock)
    assert (result, len(asked)) == ("answer", 2)
    scores = router.route("q").scores
    assert [(score.queue, score.success) for score in scores.values()] == [(0, 1.0), (0, 1.0)]


def test_hedged_call_that_answers_in_time_is_alone(clock: Clock) -> None:
    result, _, asked = hedge(answers, fails, clock, after=30)
    assert (result, len(asked)) == ("answer", 1)


def test_hedged_call_that_fails_first_raises(clock: Clock) -> None:
    result, _, asked = hedge(fails, answers, clock, after=30)
    assert isinstance(result, APIConnectionError)
    assert len(asked) == 1


def test_hedged_second_that_fails_leaves_the_first(clock: Clock) -> None:
    gate = asyncio.Event()

    async def waits() -> str:
        await gate.wait()
        return "answer"

    async def fails_and_lets_go() -> str:
        gate.set()
        raise APIConnectionError

    result, router, asked = hedge(waits, fails_and_lets_go, clock)
    assert result == "answer"
    assert router.route("q").scores[asked[1]].success < 1
