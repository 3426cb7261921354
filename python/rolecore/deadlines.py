"""Deadlines: one limit in seconds for all that happens inside a `with`, in synchronous and in async code.

Not named deadline.py: `import rolecore.deadline` would put the module where the function `rolecore.deadline` is.

A deadline is an instant of one monotonic clock, whoever reads it: a worker thread and an event loop agree on it. The
loop's own clock may start anywhere, as it is only asked to wake a step after the seconds that are left. A simulation on
virtual time replaces both: the loop's, and this one with `use_clock`.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecore.errors import ArgumentError, DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextvars import Token
    from types import TracebackType


class _Limit(NamedTuple):
    at: float  # instant of the clock, in seconds
    seconds: float  # what was asked for, to be named when it is over


_limit: ContextVar[_Limit | None] = ContextVar("rolecore.deadline", default=None)
_clock: Callable[[], float] = time.monotonic


def deadline(seconds: float | None) -> AbstractContextManager[None]:
    """Limit what happens inside the `with` to so many seconds.

    Every store and adapter takes its timeout from it, and its retries happen within. Nested, the inner one never
    outlives the outer. Nothing is raised on entering or on leaving late: the steps inside check. It flows into tasks
    and into `asyncio.to_thread` as context variables do, not into a bare thread or `run_in_executor`. Don't `yield`
    from a generator inside: the caller would run under it. Make one for each `with`; tasks and threads share none.

    Args:
        seconds: from entering the `with`, 0 or more; None: no limit but the outer one's.

    Raises:
        ArgumentError: `seconds` is not a finite number from 0, or None; on entering it while it is entered.

    Example:
        >>> from rolecore.deadlines import remaining
        >>> with rolecore.deadline(60), rolecore.deadline(3600):
        ...     remaining() <= 60
        True
    """
    return _Entered(None if seconds is None else read_seconds(seconds))


class _Entered(AbstractContextManager[None]):
    """A deadline from entering it on. A class, as a generator takes twice as long, and each call enters one."""

    __slots__ = ("_limit", "_seconds", "_token")

    def __init__(self, seconds: float | None, limit: _Limit | None = None) -> None:
        self._seconds = seconds
        self._limit = limit  # instead, one that is held
        self._token: Token[_Limit | None] | None = None

    def __enter__(self) -> None:
        if self._token is not None:
            msg = "this deadline is entered already; make one for each `with`"
            raise ArgumentError(msg)
        limit = self._limit or _limit.get()
        if self._seconds is not None:
            new = _Limit(_clock() + self._seconds, self._seconds)
            limit = new if limit is None else min(limit, new)
        self._token = _limit.set(limit)

    def __exit__(self, *_: object) -> None:
        token, self._token = self._token, None
        if token is not None:
            _limit.reset(token)


def hold(seconds: float | None) -> Callable[[], AbstractContextManager[None]]:
    """Return what enters one and the same deadline again and again: for a generator, which must not `yield` inside one.

    Args:
        seconds: as in `deadline`, from now; under the deadline that holds now.
    """
    with deadline(seconds):
        limit = _limit.get()
    return lambda: _Entered(None, limit)


def remaining() -> float | None:
    """Return the seconds left, never below 0.0; None without a deadline."""
    limit = _limit.get()
    return None if limit is None else max(0.0, limit.at - _clock())


def check(what: str) -> None:
    """Raise when the deadline is over; nothing without one.

    Args:
        what: names the step in the message, as "append"; no user's text.

    Raises:
        DeadlineExceeded: no time is left.
    """
    if remaining() == 0.0:
        raise exceeded(what)


def exceeded(what: str) -> DeadlineExceeded:
    """Return the error for a step that ran into the deadline, as when a driver reports the timeout it was given.

    Args:
        what: as in `check`.
    """
    limit = _limit.get()
    of = "" if limit is None else f" of {limit.seconds:g} s"
    return DeadlineExceeded(f"{what}: the deadline{of} is over; allow more in rolecore.deadline(seconds)")


def within(what: str) -> AbstractAsyncContextManager[None]:
    """Cancel the steps inside at the deadline; without one they run as they are.

    A cancellation from outside stays one, also at the very moment of the deadline. A `TimeoutError` of the steps' own
    passes through while there is time left.

    Args:
        what: as in `check`.

    Raises:
        DeadlineExceeded: no time was left, or it ran out. What was sent by then may have been done or not.
    """
    return _Within(what)


class _Within(AbstractAsyncContextManager[None]):
    """What `asyncio.timeout` is, without what it can do beyond: half its cost, and each call enters one."""

    __slots__ = ("_cancelling", "_is_over", "_task", "_timer", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_over = False
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        left_s = remaining()
        if left_s is None:
            return
        if left_s == 0.0:
            raise exceeded(self._what)
        task = asyncio.current_task()
        if task is None:
            msg = "a deadline in async code needs a task; run it by asyncio.run or create_task"
            raise RuntimeError(msg)
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = task.get_loop().call_later(left_s, self._expire)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is None:
            return
        self._timer.cancel()
        if self._is_over:
            # Others may have cancelled it too: then it stays cancelled.
            is_ours = self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError)
            is_theirs = isinstance(error, TimeoutError) and not isinstance(error, DeadlineExceeded)
            if is_ours or is_theirs:
                raise exceeded(self._what) from error

    def _expire(self) -> None:
        self._is_over = True
        self._task.cancel()


def read_seconds(value: Any, name: str = "seconds") -> float:  # noqa: ANN401  any argument
    """Return a finite number of seconds from 0 as a float.

    Raises:
        ArgumentError: `value` is none.
    """
    wanted = "it must be a finite number from 0"
    if not isinstance(value, Real) or isinstance(value, bool):
        msg = f"{name} is of type {type(value).__name__}; {wanted}"
        raise ArgumentError(msg)
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not 0 <= seconds < math.inf:
        msg = f"{name} is {seconds}; {wanted}, or None for no limit"
        raise ArgumentError(msg)
    return seconds


@contextmanager
def use_clock(clock: Callable[[], float]) -> Iterator[None]:
    """Read deadlines off another clock, in the whole process, for tests and simulations.

    Args:
        clock: returns seconds that never run backwards. Change it only while no deadline is entered.
    """
    global _clock  # noqa: PLW0603  one clock for all threads is the point
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before
