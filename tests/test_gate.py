"""The gate through Python, and on the false-hit suite: what it refuses, what it lets pass, and every bad input."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore

SUITE = Path(__file__).parents[1] / "benches" / "false_hits"


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Load the module that makes the pairs."""
    monkeypatch.syspath_prepend(str(SUITE))
    return importlib.import_module("pairs")


def share_passing(pairs: list[Any]) -> float:
    return sum(rolecore.gate(pair.first, pair.second) for pair in pairs) / len(pairs)


def test_gate_refuses_pairs_that_must_not_match(suite: Any) -> None:
    pairs = suite.false_pairs()
    assert len(pairs) >= 2000
    assert 0.4 < sum(pair.language == "zh" for pair in pairs) / len(pairs) < 0.6
    for language in ("en", "zh"):
        for half in (0, 1):
            picked = [pair for pair in pairs if (pair.language, pair.half) == (language, half)]
            assert share_passing(picked) <= 0.01
    for kind in {pair.kind for pair in pairs}:
        assert share_passing([pair for pair in pairs if pair.kind == kind]) <= 0.05, kind


def test_gate_lets_paraphrases_pass(suite: Any) -> None:
    pairs = suite.true_pairs()
    assert len(pairs) == 500
    assert share_passing(pairs) >= 0.88
    for language in ("en", "zh"):
        for half in (0, 1):
            picked = [pair for pair in pairs if (pair.language, pair.half) == (language, half)]
            assert share_passing(picked) >= 0.83


def test_gate_on_pairs_written_unseen(suite: Any) -> None:
    different, same = suite.unseen_pairs("≠"), suite.unseen_pairs("=")
    assert (len(different), len(same)) == (165, 150)
    assert share_passing(different) <= 0.03
    assert share_passing(same) >= 0.75


def test_suite_pairs_are_distinct_texts_and_say_what_differs(suite: Any) -> None:
    for pair in [*suite.false_pairs(), *suite.true_pairs()]:
        assert pair.first != pair.second
        assert pair.first.strip()
        assert "{" not in pair.first + pair.second
    assert {pair.half for pair in suite.false_pairs()} == {0, 1}


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ("Is it open?", "Isn't it open?", "negation"),
        ("3 days", "4 days", "number"),
        ("see /a/b", "see /a/c", "name"),
        ("增加音量", "减少音量", "opposite"),
        ("all of them", "some of them", "quantity"),
        ("when is it", "where is it", "question"),
        ("from Rome to Bari", "from Bari to Rome", "order"),
        ("boil an egg", "boil a potato", "wording"),
        ("a b " * 2000, "c d " * 2000, "length"),
        ("他帮我", "我帮他", "order"),
        ("f(x, y)", "f(y, x)", "name"),
        ("Was it open?", "Will it be open?", "wording"),
        ("Only guests can eat", "Guests can only eat", "quantity"),
        ("Is it open?", "is it open, please", None),
        ("What's it like?", "How is it?", None),
        ("怎麼開燈", "怎么开灯", None),
    ],
)
def test_gate_reason_tells_what_differs(a: str, b: str, why: str | None) -> None:
    assert rolecore.gate_reason(a, b) == rolecore.gate_reason(b, a) == why
    assert rolecore.gate(a, b) is (why is None)


@given(st.text(), st.text())
def test_gate_takes_any_text_either_way_round(a: str, b: str) -> None:
    assert rolecore.gate(a, b) is rolecore.gate(b, a)
    assert rolecore.gate(a, a)
    lone = "\ud800" + a
    assert rolecore.gate(lone, lone)


@pytest.mark.parametrize(
    "piece",
    [
        "what is like ",
        "f(a, ",
        "except ",
        "除",
        "開",
        "two hundred ",
        "“",
        '"',
        "一",
        "一百",
        "a-",
        "不",
        "'",
        "1,000",
        "a.",
        "好不",
    ],
)
def test_gate_on_long_monotonous_text_takes_no_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.process_time()
    rolecore.gate(text, "x " + text)
    rolecore.gate(text, text[: len(text) // 2])
    assert time.process_time() - began < 2


@pytest.mark.parametrize("bad", [None, 3, b"text", ["text"]])
def test_gate_of_no_text_raises(bad: Any) -> None:
    for call in (rolecore.gate, rolecore.gate_reason):
        with pytest.raises(rolecore.ArgumentError, match=r"text is .*; it must be a str"):
            call(bad, "text")
        with pytest.raises(rolecore.ArgumentError, match=r"cached_text is .*; it must be a str"):
            call("text", bad)
