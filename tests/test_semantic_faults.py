"""SemanticCache where `fn`, the embedder or the gate fails: all who ask see the same, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TEXT = "How do I reset my password?"
# What a future cannot hand on as it is, or makes something else of.
ODD_ERRORS = [
    StopIteration("empty"),
    StopAsyncIteration("empty"),
    concurrent.futures.CancelledError("by a pool"),
    concurrent.futures.InvalidStateError("of a pool"),
    TimeoutError("too late"),
]


class Embedder:
    dim = 2
    model_id = "plane"

    def __init__(self, embed: Callable[[Sequence[str]], Any] | None = None) -> None:
        self._embed = embed or (lambda texts: np.ones((len(texts), 2), np.float32))

    def embed(self, texts: Sequence[str], /) -> Any:
        return self._embed(texts)


def answers(embed: Callable[[Sequence[str]], Any] | None = None, **options: Any) -> rolecore.SemanticCache:
    return rolecore.SemanticCache(Embedder(embed), rolecore.VectorCache(2, capacity=100), **options)


def raising(error: BaseException) -> Callable[..., Any]:
    def fails(*_args: object) -> Any:
        raise error

    return fails


def same(error: BaseException, given: BaseException) -> bool:
    """Whether this is what was raised; out of a coroutine, Python lets no StopIteration."""
    return error is given or (type(error) is RuntimeError and error.__cause__ is given)


async def asked_by_tasks(cache: rolecore.SemanticCache, fn: Callable[[], Any], n: int = 5) -> list[Any]:
    asked = (cache.get_or_compute(TEXT, fn) for _ in range(n))
    async with asyncio.timeout(20):
        return await asyncio.gather(*asked, return_exceptions=True)


def asked_by_threads(cache: rolecore.SemanticCache, fn: Callable[[], Any], n: int = 5) -> list[Any]:
    seen: list[Any] = []

    def ask() -> None:
        try:
            seen.append(cache.get_or_compute_in_thread(TEXT, fn))
        except Exception as error:  # noqa: BLE001  what it is is the question
            seen.append(error)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return seen


@pytest.mark.parametrize("error", ODD_ERRORS, ids=repr)
def test_odd_error_of_fn_is_what_all_who_wait_see(error: Exception) -> None:
    cache = answers()
    seen = [*asyncio.run(asked_by_tasks(cache, raising(error))), *asked_by_threads(cache, raising(error))]
    assert len(seen) == 10
    assert all(same(one, error) for one in seen), seen
    assert cache.get_or_compute_in_thread(TEXT, lambda: "now") == "now"


@pytest.mark.parametrize("error", ODD_ERRORS, ids=repr)
@pytest.mark.parametrize("part", ["embedder", "gate"])
def test_odd_error_of_embedder_or_gate_is_what_all_who_wait_see(part: str, error: Exception) -> None:
    cache = answers(raising(error)) if part == "embedder" else answers(gate=raising(error))
    if part == "gate":
        cache.put("something near", "an answer")
    seen = [*asyncio.run(asked_by_tasks(cache, str)), *asked_by_threads(cache, str)]
    assert len(seen) == 10
    assert all(same(one, error) for one in seen), seen


@pytest.mark.parametrize("error", ODD_ERRORS, ids=repr)
def test_odd_error_in_a_thread_reaches_a_loop_that_waits(error: Exception) -> None:
    cache = answers()
    is_running, goes_on = threading.Event(), threading.Event()
    seen: list[Any] = []

    def fails() -> str:
        is_running.set()
        assert goes_on.wait(20)
        raise error

    thread = threading.Thread(target=lambda: seen.extend(asked_by_threads(cache, fails, 1)), daemon=True)
    thread.start()
    assert is_running.wait(20)

    async def main() -> list[Any]:
        waiters = asyncio.create_task(asked_by_tasks(cache, pytest.fail))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        goes_on.set()
        return await waiters

    seen += asyncio.run(main())
    thread.join(20)
    assert len(seen) == 6
    assert all(same(one, error) for one in seen), seen


def test_leader_cancelled_while_it_embeds_lets_another_take_over() -> None:
    is_embedding, goes_on = threading.Event(), threading.Event()

    def embed(texts: Sequence[str]) -> Any:
        is_embedding.set()
        assert goes_on.wait(20)
        return np.ones((len(texts), 2), np.float32)

    cache = answers(embed)

    async def main() -> list[Any]:
        leader = asyncio.create_task(cache.get_or_compute(TEXT, lambda: "of the leader"))
        assert await asyncio.to_thread(is_embedding.wait, 20)
        waiters = [asyncio.create_task(cache.get_or_compute(TEXT, lambda: "of another")) for _ in range(3)]
        await asyncio.sleep(0)
        leader.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        async with asyncio.timeout(20):
            return await asyncio.gather(leader, *waiters, return_exceptions=True)

    first, *rest = asyncio.run(main())
    assert isinstance(first, asyncio.CancelledError)
    assert rest == ["of another"] * 3


def test_fn_that_ends_as_cancelled_is_run_by_each_who_asks() -> None:
    cache = answers()
    runs: list[int] = []

    async def cancelled_inside() -> str:
        runs.append(1)
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        return str(await never)

    seen = asyncio.run(asked_by_tasks(cache, cancelled_inside))
    assert all(isinstance(one, asyncio.CancelledError) for one in seen)
    assert len(runs) == 5
    assert cache.get_or_compute_in_thread(TEXT, lambda: "now") == "now"


def test_thread_interrupted_lets_a_waiter_take_over() -> None:
    cache = answers()
    is_running, goes_on = threading.Event(), threading.Event()

    def interrupted() -> str:
        is_running.set()
        assert goes_on.wait(20)
        raise KeyboardInterrupt

    def lead() -> None:
        with pytest.raises(KeyboardInterrupt):
            cache.get_or_compute_in_thread(TEXT, interrupted)

    leader = threading.Thread(target=lead)
    leader.start()
    assert is_running.wait(20)
    threading.Timer(0, goes_on.set).start()
    assert cache.get_or_compute_in_thread(TEXT, lambda: "of another") == "of another"
    leader.join()
