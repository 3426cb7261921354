"""What each call of an agent came to: counted in this process, logged, and handed to those who subscribe."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from inspect import iscoroutinefunction
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from rolecore import deadlines
from rolecore.arguments import read_count
from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE_OUTCOMES = ("exact", "semantic", "miss", "off")
OTHER = "(other)"  # the label of all that came after the most there may be
QUANTILE_ERROR = 0.01  # the most a quantile is off, as a share of the true one

_MOST_OUTCOMES = 100
# DDSketch's buckets: number i holds what is over _GROWTH^(i-1) and up to _GROWTH^i, and stands for the value between
# whose distance to either end is the same share of it. Source: Masson, Rim and Lee, VLDB 2019, section 2.
_GROWTH = (1 + QUANTILE_ERROR) / (1 - QUANTILE_ERROR)
_PER_LOG = 1 / math.log(_GROWTH)
_LEAST_S, _MOST_S = 1e-6, 86_400.0

_log = logging.getLogger("rolecore.trace")
# One for all that is counted and waits, held for microseconds; it may be taken again, as by a signal's handler.
_lock = threading.RLock()


class AgentCall(NamedTuple):
    """What one call of an agent came to. It names who and how much; nothing that was said is in it.

    Attributes:
        agent_type: class of the agent.
        role: name of the role.
        session_id, tenant: whose turn.
        trace_id: the context's `TRACE_ID`, "" without one.
        input_tokens, output_tokens: what was sent and what came back; 0 for a cached answer.
        tokens_saved: those that the history has and that were not sent.
        cache: "exact" or "semantic" where a cache had the answer, "miss", or "off" where none was asked.
        outcome: "ok", or the name of the error's class.
        steps: seconds by step of the turn; all readers share it, so none may change it.
        duration_s: seconds in all.
    """

    agent_type: str
    role: str
    session_id: str
    tenant: str
    trace_id: str
    input_tokens: int
    output_tokens: int
    tokens_saved: int
    cache: str
    outcome: str
    steps: dict[str, float]
    duration_s: float


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What calls came to, by one moment.

    Attributes:
        calls: how many.
        seconds: their durations' sum.
        input_tokens, output_tokens, tokens_saved: sums of what each had.
        cache: calls by what the cache did.
        outcomes: calls by outcome.
        buckets: upper limits in seconds, rising, with the calls over the limit before it and up to it.
    """

    calls: int
    seconds: float
    input_tokens: int
    output_tokens: int
    tokens_saved: int
    cache: dict[str, int]
    outcomes: dict[str, int]
    buckets: list[tuple[float, int]]

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of the calls was done, 0 where there were none.

        It is that of the call at rank ceil(share x calls), within 1 % from a microsecond to a day; what is under or
        over counts as that.

        Args:
            share: from 0 to 1, as 0.99.

        Raises:
            ArgumentError: `share` is out of its range.
        """
        if not 0 <= share <= 1:
            msg = f"share is {share}; it must be from 0 to 1"
            raise ArgumentError(msg)
        left = max(1, math.ceil(share * self.calls))
        for limit_s, calls in self.buckets:
            left -= calls
            if left <= 0:
                return 2 * limit_s / (_GROWTH + 1)
        return 0.0


class CallStats:
    """Counts calls, by role.

    `call_stats()` is that of the process. Safe to share between threads.

    Args:
        max_roles: roles that are counted apart; those that come later share the label `OTHER`.

    Raises:
        ArgumentError: `max_roles` is not a whole number from 1.
    """

    __slots__ = ("_by_role", "_max_roles")

    def __init__(self, *, max_roles: int = 100) -> None:
        """Start at nothing."""
        self._max_roles = read_count(max_roles, "max_roles")
        self._by_role: dict[str, _Counts] = {}

    @property
    def roles(self) -> list[str]:
        """The labels there are figures of."""
        return list(self._by_role)

    def add(self, call: AgentCall) -> None:
        """Count a call.

        Raises:
            ArgumentError: its duration is not finite or below 0, or `cache` is none of the words there are.
        """
        if not 0 <= call.duration_s < math.inf:
            msg = f"duration_s is {call.duration_s}; it must be finite, from 0"
            raise ArgumentError(msg)
        if call.cache not in CACHE_OUTCOMES:
            msg = f"cache must be one of {', '.join(map(repr, CACHE_OUTCOMES))}"
            raise ArgumentError(msg)
        with _lock:
            counts = self._by_role.get(call.role)
            if counts is None:
                label = call.role if len(self._by_role) < self._max_roles else OTHER
                counts = self._by_role.setdefault(label, _Counts())
            counts.add(call)

    def read(self, role: str | None = None) -> CallFigures:
        """Return the figures so far.

        Args:
            role: a label of `roles`; None for all together. One that is not there has figures of 0.
        """
        total = _Counts()
        with _lock:
            for label, counts in self._by_role.items():
                if role in {None, label}:
                    total.update(counts)
        return CallFigures(
            calls=total.outcomes.total(),
            seconds=total.seconds,
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
            tokens_saved=total.tokens_saved,
            cache={word: total.cache[word] for word in CACHE_OUTCOMES},
            outcomes=dict(total.outcomes),
            buckets=[(_GROWTH**i, n) for i, n in sorted(total.buckets.items())],
        )


class _Counts:
    """What is counted under one label."""

    __slots__ = ("buckets", "cache", "input_tokens", "outcomes", "output_tokens", "seconds", "tokens_saved")

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.cache: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.seconds = 0.0
        self.input_tokens = self.output_tokens = self.tokens_saved = 0

    def add(self, call: AgentCall) -> None:
        outcomes = self.outcomes
        is_known = call.outcome in outcomes or len(outcomes) < _MOST_OUTCOMES
        outcomes[call.outcome if is_known else OTHER] += 1
        self.cache[call.cache] += 1
        within = min(max(call.duration_s, _LEAST_S), _MOST_S)
        self.buckets[math.ceil(math.log(within) * _PER_LOG)] += 1
        self.seconds += call.duration_s
        self.input_tokens += call.input_tokens
        self.output_tokens += call.output_tokens
        self.tokens_saved += call.tokens_saved

    def update(self, other: _Counts) -> None:
        self.outcomes.update(other.outcomes)
        self.cache.update(other.cache)
        self.buckets.update(other.buckets)
        self.seconds += other.seconds
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.tokens_saved += other.tokens_saved


class Subscription:
    """Hands calls to one callback, in order, in a thread of its own; made by `subscribe`.

    Attributes:
        dropped: calls that were not handed over, as too many waited or it was closed before their turn came.
    """

    __slots__ = ("_callback", "_has_failed", "_max_waiting", "_thread", "_waiting", "dropped")

    def __init__(self, callback: Callable[[AgentCall], object], max_waiting: int) -> None:
        """Keep what `subscribe` has checked; the thread starts with the first call."""
        self._callback = callback
        self._max_waiting = max_waiting
        self._has_failed = False
        self._restart()
        self.dropped = 0

    def close(self, *, wait_s: float = 1.0) -> None:
        """Take no more calls, hand over those that wait, and end the thread; a second time does nothing.

        Args:
            wait_s: seconds this takes at most, as where the callback hangs. What is not begun by then is dropped.

        Raises:
            ArgumentError: `wait_s` is not finite or below 0.
        """
        wait_s = deadlines.read_seconds(wait_s, "wait_s")
        with _lock:
            if self not in _subscriptions:
                return
            _subscriptions.remove(self)
            thread, waiting = self._thread, self._waiting
            waiting.put(None)
        if thread is None or thread is threading.current_thread():
            return
        thread.join(wait_s)
        with _lock:
            with suppress(Empty):
                while True:
                    self.dropped += waiting.get_nowait() is not None
            waiting.put(None)

    def _restart(self) -> None:
        """Begin with nothing waiting and no thread, as in a process that was forked off."""
        self._waiting: SimpleQueue[AgentCall | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def _offer(self, call: AgentCall) -> None:
        """Let a call wait if there is room. `_lock` is held."""
        if self._thread is None:
            # A daemon: it must not keep the process from ending. Known before it starts, which a signal may interrupt.
            self._thread = threading.Thread(target=self._run, args=(self._waiting,), name="rolecore-trace", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads, or the interpreter ends
                self._thread = None
                self.dropped += 1
                return
        if self._waiting.qsize() < self._max_waiting:
            self._waiting.put(call)
        else:
            self.dropped += 1

    def _run(self, waiting: SimpleQueue[AgentCall | None]) -> None:
        while (call := waiting.get()) is not None:
            try:
                self._callback(call)
            except BaseException as error:  # noqa: BLE001  whatever it is, the next call is handed over
                if not self._has_failed:
                    self._has_failed = True
                    kind = type(error).__name__
                    _log.warning("a subscriber raised %s; it goes on, and no more is said", kind, exc_info=error)


_stats = CallStats()
_subscriptions: list[Subscription] = []


def trace_agent_call(call: AgentCall) -> None:
    """Count a call, log it and hand it to all who subscribe.

    The logger is "rolecore.trace", the level INFO, and the record's attributes are those of `call`.

    Raises:
        ArgumentError: as `CallStats.add`.

    Cost: 3 us without subscribers and with the logger off; it waits for no subscriber.
    """
    _stats.add(call)
    if _log.isEnabledFor(logging.INFO):
        _log.info("agent call: %s in %.6f s", call.outcome, call.duration_s, extra=call._asdict())
    if _subscriptions:
        with _lock:
            for subscription in _subscriptions:
                subscription._offer(call)  # noqa: SLF001  one idea, one file


def call_stats() -> CallStats:
    """Return what this process has counted of the calls that were traced.

    Example:
        >>> rolecore.call_stats().read("no such role").calls
        0
    """
    return _stats


def subscribe(callback: Callable[[AgentCall], object], *, max_waiting: int = 1000) -> Subscription:
    """Hand each call that is traced from now on to a callback, in a thread of its own.

    A turn never waits for it: when too many wait, the newest is dropped and counted. What it raises is logged, once,
    and it goes on. A process that is forked off has it too, with a thread of its own and nothing waiting. What waits
    when the interpreter ends is lost; `close` hands it over.

    Args:
        callback: takes an AgentCall; must be no coroutine function.
        max_waiting: calls that may wait.

    Returns:
        What it is closed with, and what counts the dropped.

    Raises:
        ArgumentError: an argument is of a wrong kind or out of its range.
    """
    if not callable(callback) or iscoroutinefunction(callback):
        kind = "a coroutine function" if callable(callback) else f"of type {type(callback).__name__}"
        msg = f"callback is {kind}; it must be a function that takes an AgentCall"
        raise ArgumentError(msg)
    subscription = Subscription(callback, read_count(max_waiting, "max_waiting"))
    with _lock:
        _subscriptions.append(subscription)
    return subscription


def _begin_after_fork() -> None:
    """Free what another thread, which is not here, may have held."""
    global _lock  # noqa: PLW0603  one lock for all is the point
    _lock = threading.RLock()
    for subscription in _subscriptions:
        subscription._restart()  # noqa: SLF001  one idea, one file


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_after_fork)
