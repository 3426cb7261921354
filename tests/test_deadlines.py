"""Deadlines and what else flows with a call, on a clock that the tests turn and on the loop's own."""

from __future__ import annotations

import asyncio
import math
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore import deadlines
from rolecore.testing import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    hand = Clock()
    with deadlines.use_clock(hand):
        yield hand


def test_remaining_without_a_deadline_is_none() -> None:
    assert deadlines.remaining() is None
    deadlines.check("append")


def test_remaining_runs_down_to_zero_and_no_further(clock: Clock) -> None:
    with rolecore.deadline(2):
        assert deadlines.remaining() == 2
        clock.now += 1.5
        assert deadlines.remaining() == 0.5
        clock.now += 5
        assert deadlines.remaining() == 0
    assert deadlines.remaining() is None


@given(seconds=st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=6), pauses=st.lists(st.floats(0, 100)))
def test_inner_never_outlives_outer(seconds: list[float | None], pauses: list[float]) -> None:
    hand = Clock()
    with deadlines.use_clock(hand):
        end = math.inf

        def enter(depth: int) -> None:
            nonlocal end
            if depth == len(seconds):
                return
            outer = end
            given_seconds = seconds[depth]
            if given_seconds is not None:
                end = min(end, hand.now + given_seconds)
            with rolecore.deadline(given_seconds):
                left = deadlines.remaining()
                assert left == (None if end == math.inf else max(0.0, end - hand.now))
                hand.now += pauses[depth % len(pauses)] if pauses else 0
                enter(depth + 1)
            end = outer

        enter(0)
        assert deadlines.remaining() is None


def test_expired_deadline_raises_only_where_it_is_checked(clock: Clock) -> None:
    with rolecore.deadline(1), rolecore.deadline(0.25):
        clock.now += 9
        with (
            rolecore.deadline(5),
            pytest.raises(rolecore.DeadlineExceeded, match=r"^append: .* of 0\.25 s .*allow more"),
        ):
            deadlines.check("append")


def test_deadline_counts_from_entering(clock: Clock) -> None:
    limit = rolecore.deadline(1)
    clock.now += 9
    with limit:
        assert deadlines.remaining() == 1


def test_deadline_entered_twice_at_once_is_refused_and_leaves_nothing_behind() -> None:
    limit = rolecore.deadline(1)
    with limit:
        with pytest.raises(rolecore.ArgumentError, match="make one for each `with`"):
            limit.__enter__()
        assert deadlines.remaining() is not None
    assert deadlines.remaining() is None
    with limit:  # again, once it was left
        assert deadlines.remaining() is not None
    assert deadlines.remaining() is None


@pytest.mark.parametrize("seconds", [-1, -1e-9, math.nan, math.inf, -math.inf, 10**400, "1", True, [1], Decimal(1), 1j])
def test_deadline_of_no_sound_number_raises(seconds: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"seconds is .* finite number from 0"):
        rolecore.deadline(seconds)


@pytest.mark.parametrize("seconds", [0, 3, 0.5, np.float32(2), np.int64(4)])
def test_deadline_takes_any_real_number(clock: Clock, seconds: Any) -> None:
    assert clock.now == 0
    with rolecore.deadline(seconds):
        assert deadlines.remaining() == float(seconds)


def test_deadline_is_the_same_instant_in_loop_and_threads() -> None:
    seen: list[float | None] = []

    async def main() -> None:
        with rolecore.deadline(60):
            seen.append(deadlines.remaining())
            seen.append(await asyncio.to_thread(deadlines.remaining))
            seen.append(deadlines.remaining())
            bare = threading.Thread(target=lambda: seen.append(deadlines.remaining()))
            bare.start()
            await asyncio.to_thread(bare.join)

    asyncio.run(main())
    *inside, outside = seen
    assert inside == sorted(inside, key=lambda left: -(left or 0))
    assert all(left is not None and 50 < left <= 60 for left in inside)
    assert outside is None  # a bare thread starts with an empty context


def test_deadline_stays_in_its_task() -> None:
    async def limited(seconds: float) -> float | None:
        with rolecore.deadline(seconds):
            await asyncio.sleep(0)
            return deadlines.remaining()

    async def main() -> None:
        short, long = await asyncio.gather(limited(10), limited(100))
        assert short is not None
        assert long is not None
        assert short <= 10
        assert 90 < long <= 100
        assert deadlines.remaining() is None

    asyncio.run(main())


def test_within_cancels_at_the_deadline() -> None:
    async def main() -> None:
        was_cancelled = False
        with rolecore.deadline(0.02):
            try:
                async with deadlines.within("load"):
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        was_cancelled = True
                        raise
            except rolecore.DeadlineExceeded as error:
                assert str(error).startswith("load: the deadline of 0.02 s")  # noqa: PT017  it is about what comes after
        assert was_cancelled
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    asyncio.run(main())


def test_within_without_time_left_does_not_begin(clock: Clock) -> None:
    async def main() -> None:
        with rolecore.deadline(1):
            clock.now += 1
            with pytest.raises(rolecore.DeadlineExceeded):
                async with deadlines.within("load"):
                    pytest.fail("it began")

    asyncio.run(main())


def test_within_without_a_deadline_lets_pass_what_is_raised() -> None:
    async def main() -> None:
        async with deadlines.within("load"):
            assert deadlines.remaining() is None
        for error in (TimeoutError("mine"), ValueError("mine")):
            with pytest.raises(type(error)) as caught:
                async with deadlines.within("load"):
                    raise error
            assert caught.value is error

    asyncio.run(main())


def test_within_lets_an_own_timeout_pass_while_time_is_left() -> None:
    async def main() -> None:
        mine = TimeoutError("mine")
        with rolecore.deadline(60), pytest.raises(TimeoutError) as caught:
            async with deadlines.within("load"):
                raise mine
        assert caught.value is mine

    asyncio.run(main())


def test_within_leaves_a_cancellation_from_outside_one() -> None:
    async def step() -> None:
        with rolecore.deadline(60):
            async with deadlines.within("load"):
                await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(step())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())


def test_within_cancelled_at_the_very_moment_of_the_deadline_is_cancelled(clock: Clock) -> None:
    async def step() -> None:
        with rolecore.deadline(1e-9):
            assert deadlines.remaining() == pytest.approx(1e-9, rel=0.5), clock.now
            async with deadlines.within("load"):
                await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(step())
        await asyncio.sleep(0)
        # Due in the same round of the loop as the deadline, just after it.
        asyncio.get_running_loop().call_later(0, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(main())


# What a step does for so long, cancelled meanwhile or not.
Step = tuple[str, int]


async def _take(steps: list[Step]) -> None:
    for kind, seconds in steps:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            if kind == "is late":
                await asyncio.sleep(1)
            if kind == "fails":
                raise ValueError from None
            if kind == "times out":
                raise TimeoutError from None
            if kind != "goes on":
                raise


async def _take_within(limits: list[int], steps: list[Step]) -> None:
    if not limits:
        return await _take(steps)
    with rolecore.deadline(limits[0]):
        async with deadlines.within("step"):
            return await _take_within(limits[1:], steps)


async def _take_by_asyncio(limits: list[int], steps: list[Step], outer: float = math.inf) -> None:
    if not limits:
        return await _take(steps)
    now = asyncio.get_running_loop().time()
    at = min(outer, now + limits[0])
    if at <= now:
        raise TimeoutError
    async with asyncio.timeout_at(at):
        return await _take_by_asyncio(limits[1:], steps, at)


@given(
    limits=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    steps=st.lists(
        st.tuples(st.sampled_from(["sleeps", "goes on", "is late", "fails", "times out"]), st.integers(0, 3)),
        min_size=1,
        max_size=3,
    ),
    cancelled_at=st.lists(st.integers(0, 3), max_size=2),
    seed=st.integers(0, 9),
)
def test_within_ends_as_timeouts_of_asyncio_do(
    limits: list[int], steps: list[Step], cancelled_at: list[int], seed: int
) -> None:
    """At instants that meet, in any order: the same end at the same time, and no cancellation lost or left behind."""

    def ends(take: Callable[[list[int], list[Step]], Awaitable[None]]) -> list[object]:
        seen: list[object] = []
        loop = VirtualLoop(seed)

        async def caller() -> None:
            task = asyncio.current_task()
            assert task is not None
            try:
                await take(limits, steps)
            except (asyncio.CancelledError, TimeoutError, ValueError) as error:
                kinds = (asyncio.CancelledError, TimeoutError, ValueError)
                seen.append(next(kind for kind in kinds if isinstance(error, kind)))
            seen.extend([task.cancelling(), loop.time()])
            await asyncio.sleep(9)
            seen.append("nothing was left behind")

        async def main() -> None:
            task = loop.create_task(caller())
            await asyncio.sleep(0)
            for seconds in cancelled_at:
                loop.call_later(seconds, task.cancel)
            await asyncio.wait([task])

        with deadlines.use_clock(loop.time):
            try:
                loop.run_until_complete(main())
            finally:
                loop.close()
        return seen

    assert ends(_take_within) == ends(_take_by_asyncio)


def test_context_key_holds_its_value_inside_only() -> None:
    assert rolecore.USER_ID.get() is None
    with rolecore.USER_ID.use("ana"), rolecore.TRACE_ID.use("t1"), rolecore.TENANT.use("acme"):
        with rolecore.USER_ID.use("bo"):
            assert rolecore.USER_ID.get() == "bo"
        assert (rolecore.USER_ID.get(), rolecore.TRACE_ID.get(), rolecore.TENANT.get()) == ("ana", "t1", "acme")
    assert rolecore.USER_ID.get() is None


def test_context_key_flows_into_tasks_and_threads_and_not_back() -> None:
    depth = rolecore.ContextKey("depth", int)

    async def child() -> int | None:
        with depth.use(2):
            return await asyncio.to_thread(depth.get)

    async def main() -> None:
        with depth.use(1):
            assert await child() == 2
            assert await asyncio.to_thread(depth.get) == 1
            assert depth.get() == 1

    asyncio.run(main())


def test_context_key_of_another_kind_of_value_raises_without_showing_it() -> None:
    bad: Any = b"secret"
    with pytest.raises(rolecore.ArgumentError, match=r"^tenant is of type bytes; it must be a str$"):
        rolecore.TENANT.use(bad)
    with rolecore.TENANT.use("secret"):
        assert repr(rolecore.TENANT) == "ContextKey('tenant', str)"
