"""An event loop on virtual time, for tests: time jumps to the next timer, and what is ready runs in a seed's order."""

from __future__ import annotations

import asyncio
import heapq
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from rolecore import deadlines

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Coroutine

T = TypeVar("T")


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs tasks, futures, timers and timeouts; no sockets, threads, signals or processes: those are not repeatable.

    The same seed and the same code run the same steps at the same times. Callbacks that are ready at one time run in
    random order, so that nothing comes to lean on an order which threads and networks don't keep.

    Args:
        seed: draws the order.
    """

    # The base's own; it runs what is in them by `_run_once`, which is all that is another one's here.
    _ready: deque[asyncio.Handle]
    _scheduled: list[Any]

    def __init__(self, seed: int) -> None:
        """Start at time 0.0."""
        super().__init__()
        self._rng = Random(seed)  # noqa: S311  it is to be repeated
        self._now = 0.0
        self.steps = 0  # callbacks that were run
        self.reported: list[dict[str, Any]] = []  # what asyncio reports instead of raising
        self.set_exception_handler(lambda _, report: self.reported.append(report))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def _write_to_self(self) -> None:
        """Wake nobody: what `call_soon_threadsafe` adds from the loop's own thread is seen as all else is."""

    def _run_once(self) -> None:
        timers, ready = self._scheduled, self._ready
        while timers and (timers[0].cancelled() or not ready or timers[0].when() <= self._now):
            timer = heapq.heappop(timers)
            timer._scheduled = False  # noqa: SLF001
            if not timer.cancelled():
                self._now = max(self._now, timer.when())
                ready.append(timer)
        if not ready:
            msg = f"nothing is left to happen at {self._now} s of virtual time: what the run waits for never comes"
            raise RuntimeError(msg)
        # The last one takes the place of the one that is drawn.
        i = int(self._rng.random() * len(ready))
        handle, ready[i] = ready[i], ready[-1]
        ready.pop()
        if not handle.cancelled():
            self.steps += 1
            handle._run()  # noqa: SLF001


def run_virtual(main: Coroutine[Any, Any, T], *, seed: int) -> T:
    """Run a coroutine on virtual time, deadlines too, and return its result.

    Whatever it raises has the seed as a note, which pytest and tracebacks show; so has an error that asyncio only
    reports, as one in a callback.

    Args:
        main: what runs; tasks that it leaves are cancelled.
        seed: the same one repeats the run.

    Example:
        >>> import asyncio
        >>> from rolecore.testing import run_virtual
        >>> async def main():
        ...     await asyncio.sleep(3600)
        ...     return asyncio.get_running_loop().time()
        >>> run_virtual(main(), seed=7)
        3600.0
    """
    loop = VirtualLoop(seed)
    try:
        with deadlines.use_clock(loop.time):
            try:
                result = loop.run_until_complete(main)
            finally:
                # Some go on when they are cancelled, or start others.
                while left := asyncio.all_tasks(loop):
                    loop.run_until_complete(_cancel(left))
        if loop.reported:
            raise loop.reported[0].get("exception") or RuntimeError(loop.reported[0]["message"])  # noqa: TRY301
    except BaseException as error:
        error.add_note(f"seed {seed}, {loop.time()} s of virtual time, step {loop.steps}")
        raise
    finally:
        loop.close()
    return result


async def _cancel(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
