"""Question: what does it cost to make a tool result of 1 MB smaller while fitting?

Input: a JSON array of like records, indented, and a log of lines that mostly repeat, of 1 MB each (seed 1), as the
result of a call in a short chat; the budget is 60 % of the history, so that the result only stays if it shrinks. A
history is new for each fit; making it is not timed. Oracle: before timing, the window is recounted, and of JSON no
value is lost. Reference: what Python takes to write the same JSON without white space.
"""

from __future__ import annotations

import json
import random
import statistics
from typing import Any

import pytest
from conftest import cpu_seconds

import rolecore

MAX_MS = 20.0
SIZE = 1_000_000
SHARE = 0.6


def can_shrink() -> bool:
    """Whether `fit` has the option."""
    try:
        rolecore.History().fit(10, shrink_tool_outputs=True)
    except TypeError:
        return False
    return True


pytestmark = pytest.mark.skipif(not can_shrink(), reason="this rolecore's fit has no shrink_tool_outputs")


def records() -> str:
    """Return an indented JSON array of like records."""
    draw = random.Random(1)  # noqa: S311  no secrets here
    found: list[dict[str, Any]] = []
    size = 0
    while size < SIZE:
        n = len(found)
        record = {
            "id": f"ORD-{n:06}",
            "status": draw.choice(["open", "paid"]),
            "total": draw.randint(1, 999),
            "tags": ["a"],
        }
        found.append(record)
        size += len(json.dumps(record, indent=4)) + 40
    return json.dumps(found, indent=4)


def log() -> str:
    """Return a log in which few lines tell something."""
    draw = random.Random(1)  # noqa: S311  no secrets here
    lines: list[str] = []
    size = 0
    while size < SIZE:
        n = len(lines)
        is_fault = draw.random() < 0.001
        said = f"ERROR worker {n % 7} failed: code {n}" if is_fault else f"INFO request {n} done in {n % 90} ms"
        lines.append(f"2026-01-01T{n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02}Z {said}")
        size += len(lines[-1]) + 1
    return "\n".join(lines)


def history(result: str) -> rolecore.History:
    """Return a short chat with one call and its result."""
    function = {"name": "list", "arguments": "{}"}
    return rolecore.History(
        [
            {"role": "user", "content": "List all of it."},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "c", "content": result},
            {"role": "assistant", "content": "There it is."},
            {"role": "user", "content": "Which are open?"},
        ]
    )


@pytest.mark.parametrize("kind", ["json", "log"])
def test_shrink_1_mb_tool_result(kind: str, capsys: Any) -> None:
    text = records() if kind == "json" else log()
    made = history(text)
    budget = int(made.tokens * SHARE)
    window = made.fit(budget, keep_last=1, shrink_tool_outputs=True)
    assert rolecore.tokenizer("o200k_base").count_messages(window.messages) == window.tokens <= budget
    kept = next((m["content"] for m in window.messages if m["role"] == "tool"), "")
    assert 0 < len(kept) < len(text)
    if kind == "json":
        assert all(f"ORD-{n:06}" in kept for n in range(len(json.loads(text))))

    times = []
    for _ in range(8):
        fresh = history(text)
        times.append(cpu_seconds(lambda: fresh.fit(budget, keep_last=1, shrink_tool_outputs=True), 1) * 1000)  # noqa: B023
    ours = statistics.median(times[1:])
    beside = ""
    if kind == "json":
        compact = [cpu_seconds(lambda: json.dumps(json.loads(text), separators=(",", ":")), 1) * 1000 for _ in range(8)]
        beside = f"; Python's json, compact: {statistics.median(compact[1:]):.1f} ms"
    with capsys.disabled():
        print(f"\nshrink/1MB/{kind}: {ours:.1f} ms, {len(text)} bytes to {len(kept)}{beside}")
    assert ours <= MAX_MS
