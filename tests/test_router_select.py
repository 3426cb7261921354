"""The choice among roles that match alike, against a slow definition, and over all that can happen to calls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from alike_roles import Clock, Table, replicas
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rolecore import Role, Router
from rolecore.errors import APIConnectionError, ArgumentError, CircuitOpen, RoleNotFound

if TYPE_CHECKING:
    from rolecore.role_calls import Call

FIELDS = ("queue", "since", "busy", "answers", "failures", "at", "blocked", "closed")
TAU = 60.0
NOW = 100.0


class Known(NamedTuple):
    """What is known of a role."""

    similarity: float
    queue: int
    since: float
    busy: float
    answers: float
    failures: float
    at: float
    blocked: float
    closed: bool


known = st.builds(
    Known,
    similarity=st.sampled_from([0.1, 0.5, 0.59, 0.6, 0.61, 0.9]),
    queue=st.integers(0, 14),
    since=st.sampled_from([0.0, 70.0, 99.0, 101.0]),
    busy=st.sampled_from([0.0, 0.5, 30.0]),
    answers=st.sampled_from([0.0, 1.0, 20.0]),
    failures=st.sampled_from([0.0, 1.0, 7.0]),
    at=st.sampled_from([0.0, 90.0, 100.0]),
    blocked=st.sampled_from([0.0, 0.0, 0.0, 50.0, 101.0, math.inf]),
    closed=st.sampled_from([False, False, False, True]),
)


def expected(roles: list[Known], policy: str) -> dict[int, tuple[float, bool]]:
    """Return the weight of each role that matches as well as the best, and whether it is blocked."""
    matching = {i: role for i, role in enumerate(roles) if not role.closed and role.similarity >= 0.3}
    best = max((role.similarity for role in matching.values()), default=0)
    alike = {i: role for i, role in matching.items() if role.similarity >= best - 0.05}
    fade = {i: math.exp((role.at - NOW) / TAU) for i, role in alike.items()}
    busy = sum(role.busy * fade[i] for i, role in alike.items())
    answers = sum(role.answers * fade[i] for i, role in alike.items())
    mean = busy / answers if busy and answers else 1.0
    weights = {}
    for i, role in alike.items():
        at_work = role.busy * fade[i] + (max(0.0, NOW - role.since) if role.queue else 0.0)
        pace = (2 * mean + at_work) / (2 + role.answers * fade[i])
        success = (2 + role.answers * fade[i]) / (2 + (role.answers + role.failures) * fade[i])
        weight = {
            "adaptive": success / ((role.queue + 1) * pace),
            "softmax": role.similarity * max(0.0, 1 - role.queue / 10) * success,
            "shortest_queue": 1 / (role.queue + 1),
        }[policy]
        weights[i] = (weight, role.blocked > NOW)
    return weights


@given(st.lists(known, min_size=2, max_size=7), st.sampled_from(["adaptive", "softmax", "shortest_queue"]))
@settings(max_examples=150, deadline=None)
def test_choice_equals_a_slow_definition(roles: list[Known], policy: str) -> None:
    clock = Clock()
    clock.now = NOW
    rows = {str(i): (role.similarity, math.sqrt(1 - role.similarity**2), 0) for i, role in enumerate(roles)}
    router = Router(
        [Role(str(i), examples=[str(i)]) for i in range(len(roles))],
        embedder=Table(rows),
        clock=clock,
        threshold=0.3,
        margin=0.05,
        policy=policy,
    )
    for i, role in enumerate(roles):
        for f, field in enumerate(FIELDS):
            router._live.numbers[f * len(roles) + i] = float(getattr(role, field))
    weights = expected(roles, policy)
    free = sorted((weight for weight, is_blocked in weights.values() if not is_blocked), reverse=True)
    if not weights:
        with pytest.raises(RoleNotFound):
            router.route("?", vector=[1, 0, 0])
    elif not free:
        with pytest.raises(CircuitOpen):
            router.route("?", vector=[1, 0, 0])
    else:
        decision = router.route("?", vector=[1, 0, 0])
        scores = {int(name): score for name, score in decision.scores.items()}
        assert {i: score.is_blocked for i, score in scores.items()} == {
            i: blocked for i, (_, blocked) in weights.items()
        }
        assert [scores[i].weight for i in weights] == pytest.approx([weight for weight, _ in weights.values()])
        two = [role for role in (decision.role, decision.second) if role is not None]
        chosen = [weights[int(role.name)][0] for role in two]
        assert sorted(chosen, reverse=True) == pytest.approx(free[:2])
        assert chosen == sorted(chosen, reverse=True) or policy == "softmax"


class Calls(RuleBasedStateMachine):
    """Calls that begin and end in any order, with any outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.router = replicas(3, self.clock, max_failures=2)
        self.begun: list[tuple[str, Call]] = []

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def begin(self) -> None:
        try:
            role = self.router.route("q").role
        except CircuitOpen:
            return
        call = self.router.call(role)
        call.__enter__()  # what is routed to is let through
        self.begun.append((role.name, call))

    @precondition(lambda self: self.begun)
    @rule(data=st.data(), outcome=st.sampled_from([None, APIConnectionError, KeyboardInterrupt]))
    def end(self, data: st.DataObject, outcome: Any) -> None:
        _, call = self.begun.pop(data.draw(st.integers(0, len(self.begun) - 1)))
        call.__exit__(outcome, None, None)

    @invariant()
    def queues_are_those_of_the_calls(self) -> None:
        numbers = self.router._live.numbers
        assert [numbers[i] for i in range(3)] == [sum(name == f"r{i}" for name, _ in self.begun) for i in range(3)]
        assert all(number >= 0 and not math.isnan(number) for number in numbers)


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


def test_call_entered_twice_is_refused() -> None:
    router = replicas(1, Clock())
    call = router.call("r0")
    with call:
        with pytest.raises(ArgumentError, match="has begun already"):
            call.__enter__()
        assert router.route("q").scores["r0"].queue == 1
    assert router.route("q").scores["r0"].queue == 0
    with call:
        pass


def test_equal_roles_are_told_apart_by_similarity_then_by_chance() -> None:
    rows = {"a": (1, 0, 0), "b": (0.999, 0.0447, 0), "c": (0.999, 0.0447, 0)}
    router = Router([Role(name, examples=[name]) for name in "bac"], embedder=Table(rows), clock=Clock())
    decisions = [router.route("?", vector=[1, 0, 0]) for _ in range(60)]
    assert {decision.role.name for decision in decisions} == {"a"}
    assert {decision.second and decision.second.name for decision in decisions} == {"b", "c"}


def test_hanging_role_loses_turns_before_it_has_answered() -> None:
    clock = Clock()
    router = replicas(2, clock)
    for name in ("r0", "r1"):
        for _ in range(10):
            with router.call(name):
                clock.now += 1
    router.call("r0").__enter__()
    calls = [router.call("r1") for _ in range(3)]
    for call in calls:
        call.__enter__()
    assert router.route("q").role.name == "r0", "its queue is shorter"
    for call in calls:
        clock.now += 20
        call.__exit__(None, None, None)
        call.__enter__()
    assert router.route("q").scores["r0"].seconds > 4


def test_given_vector_is_taken_at_any_length() -> None:
    router = replicas(1, Clock())
    decision = router.route("q", vector=np.array([3, 4, 0], np.float64))
    assert decision.scores["r0"].similarity == pytest.approx(0.6)
    assert decision.vector.tolist() == pytest.approx([0.6, 0.8, 0])
