"""A thread of a store's own: calls from any event loop queue for it, and it answers many of them at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from concurrent.futures import Future
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any

from rolecore import deadlines
from rolecore.errors import StoreError
from rolecore.stores import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Job:
    """One call that waits for its answer.

    Attributes:
        work: what is asked for; the thread knows what it means.
        n_bytes: what it weighs in a batch.
        answer: what the call returns, or the error it raises.
        gives_up_at: when it need not wait for a lock any longer, in seconds of `time.monotonic`.
        has_deadline: whether that is the caller's deadline, which the caller itself looks after.
    """

    __slots__ = ("answer", "future", "gives_up_at", "has_deadline", "loop", "n_bytes", "work")

    def __init__(self, work: Any, n_bytes: int, patience_s: float) -> None:  # noqa: ANN401  the thread knows
        """Belong to the running event loop."""
        left = deadlines.remaining()
        self.work = work
        self.n_bytes = n_bytes
        self.answer: Any = None
        self.has_deadline = left is not None
        self.gives_up_at = time.monotonic() + (patience_s if left is None else left)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def is_over(self) -> bool:
        """Whether nobody waits for it any more, so that it must not begin."""
        return self.future.cancelled() or (self.has_deadline and time.monotonic() >= self.gives_up_at)


class Worker:
    """The thread and its queue. It starts with the first call, and ends when it is stopped and the queue is empty.

    Args:
        name: of the thread.
        serve: called in the thread while there are jobs: takes some and answers them, or waits a moment.
        finish: called in the thread as it ends.
        patience_s: how long a call without a deadline waits for a lock, in seconds.
    """

    def __init__(self, name: str, serve: Callable[[], None], finish: Callable[[], None], patience_s: float) -> None:
        """Start no thread yet."""
        self._name = name
        self._serve = serve
        self._finish = finish
        self._patience_s = patience_s
        self._jobs: deque[Job] = deque()
        self._taken: list[Job] = []
        self._changed = Condition(Lock())
        self._is_idle = False
        self._wakers: set[asyncio.AbstractEventLoop] = set()  # those that will wake the thread in their next turn
        self._thread: Thread | None = None
        self._is_stopping = False
        self._end: Future[None] = Future()
        self._pid = os.getpid()

    async def ask(self, work: Any, n_bytes: int = 0) -> Any:  # noqa: ANN401  what the thread answers
        """Return the thread's answer. A call that is cancelled before the thread takes it is never begun.

        Raises:
            StoreError: the worker is stopped, or was made by the process that this one was forked from.
        """
        if os.getpid() != self._pid:
            msg = "the store was opened before the process forked; open one of its own in each process"
            raise StoreError(msg)
        job = Job(work, n_bytes, self._patience_s)
        with self._changed:
            if self._is_stopping:
                raise rules.closed()
            self._jobs.append(job)
            if self._thread is None:
                # A daemon: a store that nobody closed must not keep the process from ending.
                self._is_idle = True
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            # One turn of the loop later, when all tasks that are ready by now have asked too: they make one batch.
            if self._is_idle and job.loop not in self._wakers:
                self._wakers.add(job.loop)
                job.loop.call_soon(self._wake, job.loop)
        return await job.future

    async def stop(self) -> None:
        """Take no more calls, and return when the thread has answered those it has and is gone."""
        with self._changed:
            self._is_stopping = True
            self._is_idle &= not self._jobs
            thread = self._thread
            self._changed.notify()
        if thread is not None and os.getpid() == self._pid:
            await asyncio.shield(asyncio.wrap_future(self._end))
            thread.join()

    def take(self, most_jobs: int, most_bytes: int) -> list[Job]:
        """Return the oldest jobs that are not over, up to so many, and no more once they weigh so much."""
        n_bytes = 0
        with self._changed:
            while self._jobs and len(self._taken) < most_jobs and n_bytes < most_bytes:
                job = self._jobs.popleft()
                if not job.is_over():
                    self._taken.append(job)
                    n_bytes += job.n_bytes
        return self._taken

    def take_all(self, is_wanted: Callable[[Job], bool]) -> list[Job]:
        """Return all jobs that are wanted, out of order; others stay."""
        with self._changed:
            self._taken = [job for job in self._jobs if is_wanted(job)]
            if self._taken:
                self._jobs = deque(job for job in self._jobs if not is_wanted(job))
        return self._taken

    def has_jobs(self) -> bool:
        """Whether any job waits."""
        return bool(self._jobs)

    def answer(self) -> None:
        """Hand what was taken its answers: each event loop is woken once."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        for job in self._taken:
            by_loop.setdefault(job.loop, []).append(job)
        self._taken = []
        for loop, jobs in by_loop.items():
            try:
                loop.call_soon_threadsafe(_settle, jobs)
            except RuntimeError:  # that loop is closed, and nobody waits
                continue

    def refuse(self, error: StoreError, is_refused: Callable[[Job], bool] = lambda _job: True) -> None:
        """Answer all jobs that wait, or those of a kind, with an error."""
        for job in self.take_all(is_refused):
            job.answer = type(error)(str(error))  # each its own: a traceback grows as it is raised
        self.answer()

    def lose_patience(self, error: StoreError) -> None:
        """Let go of all jobs whose time is over, with an error for those that have no deadline."""
        now = time.monotonic()
        self.take_all(lambda job: job.is_over())
        self._taken = []  # their callers have been told, or are about to tell themselves
        self.refuse(error, lambda job: now >= job.gives_up_at and not job.has_deadline)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._changed:
            self._wakers.discard(loop)
            self._is_idle = False
            self._changed.notify()

    def _wait(self) -> bool:
        with self._changed:
            self._is_idle = not self._jobs
            while self._is_idle:
                if self._is_stopping:
                    return False
                self._changed.wait()
        return True

    def _run(self) -> None:
        try:
            while self._wait():
                try:
                    self._serve()
                except Exception as error:  # noqa: BLE001  whatever it is, nobody may wait for ever
                    for job in self._taken or self.take_all(lambda _job: True):
                        job.answer = error
                    self.answer()
            self._finish()
        finally:
            self._end.set_result(None)


def _settle(jobs: Iterable[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if isinstance(job.answer, Exception):
            job.future.set_exception(job.answer)
        else:
            job.future.set_result(job.answer)
