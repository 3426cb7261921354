"""The router: what it matches, whom it chooses, what it takes note of, and what it refuses."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from alike_roles import Clock, Table, replicas
from hypothesis import given, settings
from hypothesis import strategies as st

import rolecore
from rolecore import Role, Router
from rolecore.errors import (
    APIConnectionError,
    ArgumentError,
    CircuitOpen,
    DeadlineExceeded,
    RoleNotFound,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def clock() -> Clock:
    return Clock()


def two() -> list[Role]:
    return [
        Role("refunds", examples=["I want my money back", "refund my order", "退款怎么申请"]),
        Role("travel", examples=["book a flight to Oslo", "when does the ferry leave", "订一张机票"]),
    ]


def test_router_takes_the_role_that_matches() -> None:
    router = Router(two(), embedder=rolecore.HashingEmbedder())
    for query, name in [
        ("refund my order please", "refunds"),
        ("怎么申请退款", "refunds"),
        ("a flight to Bergen", "travel"),
    ]:
        decision = router.route(query)
        assert (decision.role.name, decision.second, decision.reason) == (name, None, "match")
    assert decision.vector.shape == (384,)
    assert set(decision.scores) == {"travel"}
    assert decision.weights == {"travel": 1.0}
    assert "flight" not in repr(decision)


def test_router_without_a_match_says_so_or_falls_back() -> None:
    embedder = rolecore.HashingEmbedder()
    with pytest.raises(RoleNotFound, match="no role matches"):
        Router(two(), embedder=embedder).route("xylophone")
    decision = Router(two(), embedder=embedder, fallback="travel").route("xylophone")
    assert (decision.role.name, decision.reason) == ("travel", "fallback")


def test_router_of_one_role_needs_no_examples() -> None:
    decision = Router([Role("helper")], embedder=rolecore.HashingEmbedder()).route("xylophone")
    assert (decision.role.name, decision.reason) == ("helper", "fallback")


def test_router_matches_a_description_where_there_are_no_examples() -> None:
    roles = [Role("a", description="refunds and returns of orders"), Role("b", examples=["book a flight"])]
    assert Router(roles, embedder=rolecore.HashingEmbedder()).route("refunds of orders").role.name == "a"


@pytest.mark.parametrize(
    "query",
    [
        "this is CONFIDENTIAL",
        "ｃｏｎｆｉｄｅｎｔｉａｌ",
        "con\u200dfi\u00addential",
        "confidéntial!",
        "我的密码是",
        "bank \n account",
    ],
)
def test_sensitive_word_goes_to_its_role_unembedded(query: str, clock: Clock) -> None:
    roles = [Role("chat", examples=["same"]), Role("law", sensitive_words=["Confidential", "密码", "bank account"])]
    embedder = Table({"same": (1, 0, 0), query: (1, 0, 0)})
    router = Router(roles, embedder=embedder, fallback="chat", clock=clock)
    embedder.asked.clear()
    decision = router.route(query, last_role="chat")
    assert (decision.role.name, decision.second, decision.reason) == ("law", None, "sensitive word")
    assert embedder.asked == []
    assert decision.weights == {"law": 1.0}
    assert router.compute_weights(query, {"chat": {"queue_len": 0, "success_rate": 1}})["law"] == 1.0
    assert decision.vector.tolist() == [1, 0, 0]
    assert router.route(query, vector=[1, 0, 0]).role.name == "law"


def test_sensitive_word_inside_a_word_is_none(clock: Clock) -> None:
    router = Router(
        [Role("chat"), Role("law", sensitive_words=["ass"])], embedder=Table({}), fallback="chat", clock=clock
    )
    assert router.route("the class assesses grass").role.name == "chat"
    assert router.route("you ass").role.name == "law"


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[list[int]]], list[int]]:
    dim = draw(st.sampled_from([2, 3, 8, 70]))
    row = st.lists(st.integers(-3, 3), min_size=dim, max_size=dim).filter(any)
    return draw(st.lists(st.lists(row, min_size=1, max_size=4), min_size=1, max_size=20)), draw(row)


@given(cases())
@settings(max_examples=150, deadline=None)
def test_match_equals_a_slow_definition(case: tuple[list[list[list[int]]], list[int]]) -> None:
    examples, query = case
    rows = {f"{r} {i}": row for r, own in enumerate(examples) for i, row in enumerate(own)}
    roles = [Role(str(r), examples=[f"{r} {i}" for i in range(len(own))]) for r, own in enumerate(examples)]
    router = Router(roles, embedder=Table(rows, len(query)), threshold=-1, margin=0)
    expected = [similarity(own, query) for own in examples]
    decision = router.route("q", vector=query)
    best = max(expected)
    assert decision.scores[decision.role.name].similarity == pytest.approx(best, abs=1e-6)
    assert expected[int(decision.role.name)] >= best - 1e-6
    assert router._core.similarities(query) == pytest.approx(expected, abs=1e-6)
    exact = router._core.similarities(query)
    assert [int(name) for name in decision.scores] == [r for r, score in enumerate(exact) if score == max(exact)]


def similarity(examples: Sequence[Sequence[float]], query: Sequence[float]) -> float:
    """Return the best of a role's examples, each drawn halfway to their mean, in plain float64."""
    units = [np.array(row) / np.linalg.norm(row) for row in np.array(examples, float)]
    mean = sum(units) / len(units)
    length = np.linalg.norm(mean)
    q = np.array(query) / np.linalg.norm(query)
    best = -math.inf
    for unit in units:
        mixed = unit + mean / length if length > 1e-6 else unit
        mixed = mixed if np.linalg.norm(mixed) > 1e-6 else unit
        best = max(best, float(q @ mixed / np.linalg.norm(mixed)))
    return best


def test_calls_are_noted(clock: Clock) -> None:
    router = replicas(2, clock)
    first = router.route("q")
    assert (first.reason, {first.role.name, first.second.name if first.second else None}) == ("policy", {"r0", "r1"})
    with router.call(first.role):
        assert router.route("q").role is first.second
        clock.now += 4
    score = router.route("q").scores
    assert [score[role.name].queue for role in router.roles.values()] == [0, 0]
    assert score[first.role.name].success == 1.0


def test_faster_role_gets_longer_queue(clock: Clock) -> None:
    router = replicas(2, clock)
    for name, seconds in (("r0", 1), ("r1", 4)):
        for _ in range(20):
            with router.call(name):
                clock.now += seconds
    calls = []
    for _ in range(5):
        role = router.route("q").role
        calls.append(router.call(role))
        calls[-1].__enter__()
    assert Counter(call._role for call in calls) == {0: 4, 1: 1}
    for call in calls:
        call.__exit__(None, None, None)


def test_failures_cost_a_role_its_turns_and_open_its_breaker(clock: Clock) -> None:
    router = replicas(2, clock, max_failures=3)

    def fail(error: Exception) -> None:
        clock.now += 0.1
        with pytest.raises(type(error)), router.call("r0"):
            raise error

    fail(APIConnectionError())
    assert router.route("q").role.name == "r1"
    fail(ValueError("not the role's fault"))
    fail(DeadlineExceeded("late"))
    assert router.route("q").scores["r0"].success < 0.6
    fail(APIConnectionError())
    decision = router.route("q")
    assert (decision.role.name, decision.second, decision.scores["r0"].is_blocked) == ("r1", None, True)
    assert decision.weights == {"r0": 0.0, "r1": 1.0}
    with pytest.raises(CircuitOpen), router.call("r0"):
        raise AssertionError
    assert router.route("q").scores["r0"].queue == 0, "what was not let in is not counted"


def test_half_open_role_gets_exactly_one_call(clock: Clock) -> None:
    router = replicas(1, clock, max_failures=1)
    with pytest.raises(APIConnectionError), router.call("r0"):
        raise APIConnectionError
    with pytest.raises(CircuitOpen) as caught:
        router.route("q")
    assert caught.value.retry_after_s == pytest.approx(10)
    clock.now += 10
    with router.call(router.route("q").role):
        with pytest.raises(CircuitOpen) as caught:
            router.route("q")
        assert caught.value.retry_after_s is None
        with pytest.raises(CircuitOpen), router.call("r0"):
            raise AssertionError
    assert router.route("q").role.name == "r0"


def give_up_after(seconds: float, clock: Clock) -> None:
    clock.now += seconds
    raise asyncio.CancelledError


def test_cancelled_call_is_neither_answer_nor_failure(clock: Clock) -> None:
    router = replicas(2, clock)
    call = router.call("r0")
    with pytest.raises(asyncio.CancelledError), call:
        give_up_after(3, clock)
    score = router.route("q").scores["r0"]
    assert (score.queue, score.success) == (0, 1.0)
    assert score.seconds > router.route("q").scores["r1"].seconds, "the time it took counts"


def test_closed_role_takes_no_turns(clock: Clock) -> None:
    router = replicas(2, clock)
    router.close("r0")
    assert {router.route("q").role.name for _ in range(9)} == {"r1"}
    router.close(router.roles["r1"])
    with pytest.raises(RoleNotFound):
        router.route("q")
    router.open("r0")
    assert router.route("q").role.name == "r0"


def test_last_role_keeps_the_session(clock: Clock) -> None:
    roles = [Role("a", examples=["a"]), Role("b", examples=["b"])]
    router = Router(roles, embedder=Table({"a": (1, 0, 0), "b": (0, 1, 0)}), clock=clock, max_failures=1)
    assert router.route("?", vector=[0.7, 0.72, 0]).role.name == "b"
    held = router.route("?", vector=[0.7, 0.72, 0], last_role="a")
    assert (held.role.name, held.reason) == ("a", "held")
    assert router.route("?", vector=[0.5, 0.8, 0], last_role="a").role.name == "b"
    with pytest.raises(APIConnectionError), router.call("a"):
        raise APIConnectionError
    assert router.route("?", vector=[0.7, 0.72, 0], last_role="a").role.name == "b"


def test_cold_roles_are_all_tried(clock: Clock) -> None:
    router = replicas(5, clock)
    with router.call("r0"):
        clock.now += 0.01
    chosen = []
    for _ in range(10):
        call = router.call(router.route("q").role)
        call.__enter__()
        chosen.append(call._role)
    assert set(Counter(chosen).values()) == {2}


def test_softmax_policy_draws_the_two_best_by_their_softmax(clock: Clock) -> None:
    router = replicas(3, clock, policy="softmax", seed=7)
    calls = [router.call("r1") for _ in range(3)] + [router.call("r2") for _ in range(12)]
    for call in calls:
        call.__enter__()
    n = 4000
    drawn = Counter(router.route("q").role.name for _ in range(n))
    assert drawn["r2"] == 0, "a queue of more than ten is no weight below zero"
    share = 1 / (1 + math.exp(0.7 - 1.0))
    expected = {"r0": n * share, "r1": n * (1 - share)}
    assert sum((drawn[name] - count) ** 2 / count for name, count in expected.items()) < 10.8  # p = 0.001, 1 degree
    weights = router.route("q").weights
    total = sum(math.exp(weight) for weight in (1.0, 0.7, 0.0))
    assert weights == pytest.approx({"r0": math.exp(1) / total, "r1": math.exp(0.7) / total, "r2": 1 / total})


def test_same_seed_draws_the_same(clock: Clock) -> None:
    one, same, other = (replicas(3, clock, policy="softmax", seed=seed) for seed in (7, 7, 8))
    names = [[router.route("q").role.name for _ in range(50)] for router in (one, same, other)]
    assert names[0] == names[1] != names[2]


def test_shortest_queue_policy(clock: Clock) -> None:
    router = replicas(3, clock, policy="shortest_queue")
    for _ in range(30):
        router.call(router.route("q").role).__enter__()
    assert {score.queue for score in router.route("q").scores.values()} == {10}


def test_compute_weights_are_the_articles(clock: Clock) -> None:
    router = replicas(3, clock)
    stats: dict[str, dict[str, float]] = {
        "r0": {"queue_len": 2, "success_rate": 0.9},
        "r1": {"queue_len": 25, "success_rate": 1},
        "r2": {"queue_len": 0, "success_rate": 0.5},
    }
    raw = [0.8 * 0.9, 0.0, 0.5]
    total = sum(math.exp(weight) for weight in raw)
    weights = router.compute_weights("q", stats)
    assert weights == pytest.approx({f"r{i}": math.exp(weight) / total for i, weight in enumerate(raw)})
    assert router.compute_weights("q", {}) == {}


@pytest.mark.parametrize(
    ("stats", "why"),
    [
        ({"queue_len": math.nan, "success_rate": 1}, "queue_len of role 'r0' is nan"),
        ({"queue_len": -1, "success_rate": 1}, "queue_len of role 'r0' is -1"),
        ({"queue_len": math.inf, "success_rate": 1}, "queue_len of role 'r0' is inf"),
        ({"queue_len": 1, "success_rate": 1.5}, "success_rate of role 'r0' is 1.5"),
        ({"queue_len": 1}, "must have queue_len and success_rate"),
        (None, "must have queue_len and success_rate"),
        ({"queue_len": "1", "success_rate": 1}, "queue_len of role 'r0' is of type str"),
    ],
)
def test_compute_weights_refuses_bad_statistics(stats: Any, why: str, clock: Clock) -> None:
    with pytest.raises(ArgumentError, match=why):
        replicas(1, clock).compute_weights("q", {"r0": stats})


@pytest.mark.parametrize("value", [math.nan, -1.0, math.inf, -math.inf])
def test_route_refuses_bad_statistics_and_loses_nothing(value: float, clock: Clock) -> None:
    router = replicas(2, clock)
    router._live.numbers[1] = value
    with pytest.raises(ArgumentError, match="queue length of role 1 is"):
        router.route("q")
    router._live.numbers[1] = 0.0
    assert router.route("q").role.name in {"r0", "r1"}
    with pytest.raises(BufferError):
        router._live.numbers.append(1.0)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"policy": "best"}, 'policy is "best"; it must be "adaptive" or "softmax" or "shortest_queue"'),
        ({"threshold": math.nan}, "threshold is nan"),
        ({"threshold": "0.5"}, "threshold is of type str"),
        ({"threshold": 10**5000}, "threshold is beyond 64 bits"),
        ({"seed": 10**5000}, "seed is beyond 64 bits"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"hold": -0.1}, "hold is -0.1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is of type float"),
        ({"time_constant_s": 0}, "time_constant_s is 0"),
        ({"hedge_after_s": -1}, "hedge_after_s is -1"),
        ({"max_failures": 0}, "max_failures is 0"),
    ],
)
def test_router_refuses_bad_options(options: dict[str, Any], why: str, clock: Clock) -> None:
    with pytest.raises(ArgumentError, match=why):
        replicas(2, clock, **options)


def test_router_refuses_bad_roles_and_rows(clock: Clock) -> None:
    embedder = rolecore.HashingEmbedder()
    with pytest.raises(ArgumentError, match="there are no roles"):
        Router([], embedder=embedder)
    with pytest.raises(ArgumentError, match="two roles are named 'a'"):
        Router([Role("a"), Role("b"), Role("a")], embedder=embedder)
    with pytest.raises(RoleNotFound, match="no role is named 'c'"):
        Router([Role("a")], embedder=embedder, fallback="c")
    with pytest.raises(ArgumentError, match="roles is of type NoneType"):
        Router(None, embedder=embedder)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="embedder is of type str"):
        Router([Role("a")], embedder="hashing")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"roles\[1\] is of type str"):
        Router([Role("a"), "b"], embedder=embedder)  # type: ignore[list-item]
    with pytest.raises(ArgumentError, match="nothing that can be seen"):
        Router([Role("a", sensitive_words=["\u200b"])], embedder=embedder)
    router = replicas(2, clock)
    with pytest.raises(RoleNotFound, match="no role is named 'x'"):
        router.route("q", last_role="x")
    with pytest.raises(RoleNotFound):
        router.call("x")
    for bad_role in (None, 3, ["r0"]):
        with pytest.raises(ArgumentError, match="the role is of type"):
            router.call(bad_role)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="role_stats is of type"):
            router.compute_weights("q", bad_role)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"vector has 2 numbers; it must be float32, shape \(3,\)"):
        router.route("q", vector=[1, 0])
    with pytest.raises(ArgumentError, match="all zeros"):
        router.route("q", vector=[0, 0, 0])
    with pytest.raises(ArgumentError, match="NaN or infinite"):
        router.route("q", vector=[1, math.nan, 0])
    for bad in (None, b"q", 7):
        with pytest.raises(ArgumentError, match="query is"):
            router.route(bad)  # type: ignore[arg-type]
    router.embedder.dim = 4  # type: ignore[misc]
    router.embedder.rows["q"] = (1, 0, 0, 0)  # type: ignore[attr-defined]
    with pytest.raises(ArgumentError, match="it must be float32"):
        router.route("q")


def test_route_with_statistics_at_their_limits_still_explains_itself(clock: Clock) -> None:
    router = replicas(2, clock)
    for at in range(10):
        router._live.numbers[at] = 1e18 if at < 2 or at >= 4 else 0.0
    assert all(math.isfinite(weight) for weight in router.route("q").weights.values())


def test_route_reads_all_of_a_long_query_and_embeds_its_ends(clock: Clock) -> None:
    roles = [Role("chat", examples=["same"]), Role("law", sensitive_words=["密码"])]
    embedder = Table({"same": (1, 0, 0)})
    router = Router(roles, embedder=embedder, fallback="chat", clock=clock)
    router.route("x" * 1_000_000 + "end")
    assert len(embedder.asked[-1]) == 4097
    assert embedder.asked[-1].endswith("xend")
    assert router.route("x" * 500_000 + " 密 码 " + "y" * 500_000).role.name == "law"
    hashing = Router(two(), embedder=rolecore.HashingEmbedder(), fallback="travel")
    assert hashing.route("é" * 1_000_000).role.name == "travel"
    assert hashing.route("\ud800" * 1000).role.name == "travel"
