"""Traces: figures that a sorted list agrees with, records for logs, and subscribers that no turn waits for."""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import sys
import threading
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore import AgentCall, CallStats, trace
from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALL = AgentCall(
    agent_type="ScriptedAgent",
    role="support",
    session_id="s1",
    tenant="acme",
    trace_id="t1",
    input_tokens=100,
    output_tokens=20,
    tokens_saved=400,
    cache="miss",
    outcome="ok",
    steps={"route": 0.001, "agent": 0.2},
    duration_s=0.25,
)
WAIT_S = 10.0


@pytest.fixture
def subscribe() -> Iterator[Callable[..., trace.Subscription]]:
    made: list[trace.Subscription] = []

    def start(*args: Any, **options: Any) -> trace.Subscription:
        made.append(rolecore.subscribe(*args, **options))
        return made[-1]

    yield start
    for subscription in made:
        subscription.close()


# Counted.


def test_stats_add_up_by_role_and_in_all() -> None:
    stats = CallStats()
    stats.add(CALL)
    stats.add(CALL._replace(cache="exact", input_tokens=0, output_tokens=0, tokens_saved=500, duration_s=0.5))
    stats.add(CALL._replace(role="sales", outcome="RateLimitError"))
    assert stats.roles == ["support", "sales"]
    support = stats.read("support")
    assert (support.calls, support.input_tokens, support.output_tokens, support.tokens_saved) == (2, 100, 20, 900)
    assert support.cache == {"exact": 1, "semantic": 0, "miss": 1, "off": 0}
    assert support.outcomes == {"ok": 2}
    assert support.seconds == 0.75
    total = stats.read()
    assert (total.calls, total.tokens_saved, total.outcomes) == (3, 1300, {"ok": 2, "RateLimitError": 1})
    assert sum(calls for _, calls in total.buckets) == 3
    assert stats.read("nobody").calls == 0
    assert stats.read("nobody").quantile(0.5) == 0


@given(st.lists(st.floats(1e-6, 86_400), min_size=1, max_size=200), st.floats(0, 1))
def test_quantile_is_the_sorted_lists_within_its_bound(durations: list[float], share: float) -> None:
    stats = CallStats()
    for duration_s in durations:
        stats.add(CALL._replace(duration_s=duration_s))
    truth = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    assert stats.read().quantile(share) == pytest.approx(truth, rel=trace.QUANTILE_ERROR * 1.000001)
    limits = [limit for limit, _ in stats.read().buckets]
    assert limits == sorted(set(limits))


def test_quantile_of_what_is_too_short_or_too_long_is_the_ends() -> None:
    stats = CallStats()
    stats.add(CALL._replace(duration_s=0))
    stats.add(CALL._replace(duration_s=1e300))
    assert stats.read().quantile(0) == pytest.approx(1e-6, rel=0.02)
    assert stats.read().quantile(1) == pytest.approx(86_400, rel=0.02)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_quantile_of_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ArgumentError, match="share is"):
        CallStats().read().quantile(share)


def test_stats_of_endless_roles_and_errors_stay_small() -> None:
    stats = CallStats(max_roles=3)
    for i in range(1000):
        stats.add(CALL._replace(role=f"role {i}", outcome=f"Error{i}", duration_s=1.01**i / 1e4))
    assert stats.roles == ["role 0", "role 1", "role 2", trace.OTHER]
    assert stats.read(trace.OTHER).calls == 997
    assert stats.read().calls == 1000
    assert len(stats.read(trace.OTHER).outcomes) == 101


@pytest.mark.parametrize("change", [{"duration_s": math.nan}, {"duration_s": math.inf}, {"duration_s": -1}])
def test_call_of_no_duration_is_refused_and_not_counted(change: dict[str, Any]) -> None:
    stats = CallStats()
    with pytest.raises(ArgumentError, match="duration_s is"):
        stats.add(CALL._replace(**change))
    assert stats.read().calls == 0


def test_call_of_an_unknown_cache_outcome_is_refused_without_naming_it() -> None:
    with pytest.raises(ArgumentError, match="one of 'exact', 'semantic', 'miss', 'off'") as refused:
        CallStats().add(CALL._replace(cache="what the user said"))
    assert "user" not in str(refused.value)


def test_stats_of_no_role_are_refused() -> None:
    with pytest.raises(ArgumentError, match="max_roles"):
        CallStats(max_roles=0)


def test_stats_from_threads_lose_no_call() -> None:
    stats = CallStats()

    def work() -> None:
        for _ in range(2000):
            stats.add(CALL)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.read().calls == stats.read().cache["miss"] == 8000


def test_process_counts_what_is_traced() -> None:
    before = rolecore.call_stats().read("support").calls
    rolecore.trace_agent_call(CALL)
    assert rolecore.call_stats().read("support").calls == before + 1


# Logged.


def test_log_record_has_every_field_and_no_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rolecore.trace")
    rolecore.trace_agent_call(CALL)
    (record,) = caplog.records
    assert {field: getattr(record, field) for field in AgentCall._fields} == CALL._asdict()
    assert record.getMessage() == "agent call: ok in 0.250000 s"


def test_log_is_silent_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rolecore.trace")
    rolecore.trace_agent_call(CALL)
    assert caplog.records == []


# Handed over.


def test_subscriber_gets_each_call_in_order_in_another_thread(subscribe: Callable[..., trace.Subscription]) -> None:
    got: Queue[tuple[AgentCall, str]] = Queue()
    subscribe(lambda call: got.put((call, threading.current_thread().name)))
    for i in range(100):
        rolecore.trace_agent_call(CALL._replace(input_tokens=i))
    handed = [got.get(timeout=WAIT_S) for _ in range(100)]
    assert [call.input_tokens for call, _ in handed] == list(range(100))
    assert {name for _, name in handed} == {"rolecore-trace"}


def test_subscriber_that_hangs_holds_up_nobody_and_loses_the_newest(
    subscribe: Callable[..., trace.Subscription],
) -> None:
    began, go_on = threading.Event(), threading.Event()
    got: list[int] = []

    def hang(call: AgentCall) -> None:
        began.set()
        assert go_on.wait(WAIT_S)
        got.append(call.input_tokens)

    others: Queue[int] = Queue()
    slow = subscribe(hang, max_waiting=3)
    subscribe(lambda call: others.put(call.input_tokens))
    rolecore.trace_agent_call(CALL._replace(input_tokens=0))
    assert began.wait(WAIT_S)
    for i in range(1, 10):
        rolecore.trace_agent_call(CALL._replace(input_tokens=i))
    assert [others.get(timeout=WAIT_S) for _ in range(10)] == list(range(10))
    assert slow.dropped == 6
    go_on.set()
    slow.close(wait_s=WAIT_S)
    assert got == [0, 1, 2, 3]


def test_close_of_a_subscriber_that_hangs_counts_what_was_left(subscribe: Callable[..., trace.Subscription]) -> None:
    began, go_on = threading.Event(), threading.Event()
    got: list[AgentCall] = []

    def hang(call: AgentCall) -> None:
        got.append(call)
        began.set()
        assert go_on.wait(WAIT_S)

    subscription = subscribe(hang)
    for _ in range(5):
        rolecore.trace_agent_call(CALL)
    assert began.wait(WAIT_S)
    thread = subscription._thread
    assert thread is not None
    subscription.close(wait_s=0)
    assert subscription.dropped == 4
    go_on.set()
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert len(got) == 1


def test_close_hands_over_what_waits_and_takes_no_more(subscribe: Callable[..., trace.Subscription]) -> None:
    got: list[AgentCall] = []
    subscription = subscribe(got.append)
    for _ in range(50):
        rolecore.trace_agent_call(CALL)
    subscription.close(wait_s=WAIT_S)
    rolecore.trace_agent_call(CALL)
    subscription.close()
    assert (len(got), subscription.dropped) == (50, 0)


def test_close_by_the_callback_itself_ends_it(subscribe: Callable[..., trace.Subscription]) -> None:
    got: Queue[AgentCall] = Queue()

    def once(call: AgentCall) -> None:
        subscription.close()
        got.put(call)

    subscription = subscribe(once)
    rolecore.trace_agent_call(CALL)
    got.get(timeout=WAIT_S)
    rolecore.trace_agent_call(CALL)
    thread = subscription._thread
    assert thread is not None
    thread.join(WAIT_S)
    assert not thread.is_alive()
    assert got.empty()


def test_subscriber_that_raises_is_logged_once_and_goes_on(
    subscribe: Callable[..., trace.Subscription], caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    def broken(_call: AgentCall) -> None:
        nonlocal calls
        calls += 1
        raise SystemExit

    subscription = subscribe(broken)
    for _ in range(3):
        rolecore.trace_agent_call(CALL)
    subscription.close(wait_s=WAIT_S)
    assert calls == 3
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "rolecore.trace")
    assert "raised SystemExit" in record.getMessage()


def test_subscriber_may_trace_itself(subscribe: Callable[..., trace.Subscription]) -> None:
    got: list[int] = []

    def again(call: AgentCall) -> None:
        got.append(call.input_tokens)
        if call.input_tokens < 5:
            rolecore.trace_agent_call(call._replace(input_tokens=call.input_tokens + 1))
        else:
            done.set()

    done = threading.Event()
    subscribe(again)
    rolecore.trace_agent_call(CALL._replace(input_tokens=0))
    assert done.wait(WAIT_S)
    assert got == [0, 1, 2, 3, 4, 5]


async def no_function(_call: AgentCall) -> None: ...


@pytest.mark.parametrize(
    ("callback", "options", "named"),
    [(None, {}, "NoneType"), (no_function, {}, "a coroutine function"), (print, {"max_waiting": 0}, "max_waiting")],
)
def test_subscriber_that_cannot_be_is_refused(callback: Any, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        rolecore.subscribe(callback, **options)
    assert trace._subscriptions == []


def test_signal_handler_may_trace_while_a_call_is_counted(subscribe: Callable[..., trace.Subscription]) -> None:
    subscribe(lambda _call: None)
    handled = 0

    def handle(_number: int, _frame: object) -> None:
        nonlocal handled
        handled += 1
        rolecore.trace_agent_call(CALL)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        while handled < 50:
            rolecore.trace_agent_call(CALL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


CHILDREN = """
import os, threading, rolecore
from rolecore import trace

call = rolecore.AgentCall("a", "r", "s", "", "", 1, 1, 0, "off", "ok", {}, 0.1)
got = threading.Event()
subscription = rolecore.subscribe(lambda call: got.set(), max_waiting=5)
rolecore.trace_agent_call(call)
assert got.wait(10)
got.clear()
holder = threading.Thread(target=trace._lock.acquire)  # as one may, at the moment of the fork
holder.start()
holder.join()
child = os.fork()
if child == 0:
    rolecore.trace_agent_call(call)
    os._exit(0 if got.wait(10) and rolecore.call_stats().read().calls == 2 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
EXITS = """
import threading, rolecore

call = rolecore.AgentCall("a", "r", "s", "", "", 1, 1, 0, "off", "ok", {}, 0.1)
began = threading.Event()
rolecore.subscribe(lambda call: (began.set(), threading.Event().wait()))
rolecore.trace_agent_call(call)
assert began.wait(10)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("code", [CHILDREN, EXITS], ids=["fork", "exit"])
def test_subscriber_hangs_neither_a_fork_nor_the_exit(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
