"""The event loop on virtual time: time jumps, the seed draws the order, and a failure tells the seed."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import rolecore
from rolecore import deadlines
from rolecore.testing import VirtualLoop, run_virtual

SCRIPT = """
import asyncio
from rolecore.testing import run_virtual
async def main():
    seen = []
    async def one(name):
        for i in range(3):
            await asyncio.sleep(len(name) % 2)
            seen.append(name)
    await asyncio.gather(*(one("x" * i) for i in range(9)))
    return [len(name) for name in seen]
print(run_virtual(main(), seed=5))
"""


async def shuffled() -> list[int]:
    seen: list[int] = []

    async def one(i: int) -> None:
        await asyncio.sleep(0)
        seen.append(i)

    await asyncio.gather(*map(one, range(20)))
    return seen


def test_time_jumps_to_the_next_timer_and_deadlines_with_it() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with rolecore.deadline(100):
            await asyncio.sleep(40)
            assert loop.time() == 40
            assert deadlines.remaining() == 60
            with pytest.raises(rolecore.DeadlineExceeded):
                async with deadlines.within("sleep"):
                    await asyncio.sleep(86_400 * 365)
            assert loop.time() == 100
        async with asyncio.timeout(5):
            await asyncio.sleep(4.5)
        assert loop.time() == 104.5

    run_virtual(main(), seed=1)


def test_one_seed_gives_one_order_and_others_give_others() -> None:
    orders = {tuple(run_virtual(shuffled(), seed=seed)) for seed in range(20) for _ in range(2)}
    assert len(orders) == 20
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(20))}


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_order_does_not_depend_on_hashes(hash_seed: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": hash_seed}
    )
    namespace: dict[str, object] = {}
    exec(SCRIPT.replace("print(", "result = ("), namespace)  # noqa: S102  the script above
    assert run.stdout == f"{namespace['result']}\n"


def test_failure_tells_the_seed() -> None:
    async def main() -> None:
        await asyncio.sleep(3)
        raise LookupError

    with pytest.raises(LookupError) as caught:
        run_virtual(main(), seed=77)
    assert caught.value.__notes__[0].startswith("seed 77, 3.0 s of virtual time")


def test_error_in_a_callback_is_raised() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: 1 / 0)
        await asyncio.sleep(2)

    with pytest.raises(ZeroDivisionError):
        run_virtual(main(), seed=1)


def test_waiting_for_what_never_comes_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    loop = VirtualLoop(1)
    with pytest.raises(RuntimeError, match="nothing is left to happen"):
        loop.run_until_complete(loop.create_task(main()))
    assert len(asyncio.all_tasks(loop)) == 1
    loop.run_until_complete(cancel(loop))
    loop.close()


async def cancel(loop: VirtualLoop) -> None:
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_cancelled_timers_neither_run_nor_take_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        handles = [loop.call_later(i, pytest.fail) for i in range(1, 200)]
        for handle in handles:
            handle.cancel()
        await asyncio.sleep(0.5)
        return loop.time()

    assert run_virtual(main(), seed=1) == 0.5


def test_tasks_that_leftovers_start_are_cancelled_too() -> None:
    ended = []

    async def stubborn(n: int) -> None:
        try:
            await asyncio.sleep(10**9)
        except asyncio.CancelledError:
            if n:
                tasks.append(asyncio.ensure_future(stubborn(n - 1)))
        ended.append(n)

    async def main() -> None:
        tasks.append(asyncio.ensure_future(stubborn(3)))
        await asyncio.sleep(1)
        raise LookupError

    tasks: list[asyncio.Future[None]] = []
    with pytest.raises(LookupError):
        run_virtual(main(), seed=1)
    assert ended == [3, 2, 1, 0]


def test_tasks_left_over_are_cancelled() -> None:
    ended = []

    async def endless() -> None:
        try:
            await asyncio.sleep(10**9)
        finally:
            ended.append(True)

    async def main() -> None:
        tasks.append(asyncio.ensure_future(endless()))
        await asyncio.sleep(1)

    tasks: list[asyncio.Future[None]] = []
    run_virtual(main(), seed=1)
    assert ended == [True]
