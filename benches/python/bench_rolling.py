"""Question: what does one more turn cost in a RollingWindow between epochs, against a fit of the whole history?

Input: a made-up chat of 1,000 messages (conftest.Writer, seed 1), a window of 20 % of its tokens, then 300 messages
of 150 bytes, one by one: append and view. Each is timed alone and the median taken, so that the few turns that
begin an epoch do not count. Oracle: before any timing, every view is recounted and inside the budget. Reference:
append and fit, in turns.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Writer

MAX_US = 20.0
N_TURNS = 300

pytestmark = pytest.mark.skipif(not hasattr(rolecore, "RollingWindow"), reason="this rolecore has no RollingWindow")


def microseconds(run: Callable[[dict[str, Any]], object], message: dict[str, Any]) -> float:
    """Time of one call, alone."""
    began = time.perf_counter_ns()
    run(message)
    return (time.perf_counter_ns() - began) / 1000


def test_turn_in_a_rolling_window_between_epochs(writer: Writer, capsys: Any) -> None:
    chat = writer.chat(1000)
    budget = rolecore.History(chat).tokens // 5
    new = writer.chat(2 * N_TURNS)[1:]
    rolled, fitted = rolecore.History(chat), rolecore.History(chat)
    rolling = rolecore.RollingWindow(rolled, budget)

    def roll(message: dict[str, Any]) -> list[dict[str, Any]]:
        rolled.append(message)
        return rolling.view().messages

    def fit(message: dict[str, Any]) -> list[dict[str, Any]]:
        fitted.append(message)
        return fitted.fit(budget).messages

    tokenizer = rolecore.tokenizer("o200k_base")
    assert all(tokenizer.count_messages(roll(message)) <= budget for message in new[:N_TURNS])
    pairs = [(microseconds(roll, message), microseconds(fit, message)) for message in new[N_TURNS:]]
    ours, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
    slowest = max(us for us, _ in pairs)
    low, ratio, high = statistics.quantiles([fit_us / us for us, fit_us in pairs], n=4)
    with capsys.disabled():
        print(f"\nrolling/1k: append and view {ours:.1f} us, slowest {slowest:.0f} us; append and fit {whole:.1f} us")
        print(f"rolling/1k : fit {ratio:.1f}x [{low:.1f} .. {high:.1f}]")
    assert ours <= MAX_US
