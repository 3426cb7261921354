"""`shrink_tool_outputs=True`: smaller tool outputs lose no value, no error, and tell what went."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

import rolecore

RANDOM = random.Random(3)  # noqa: S311  no secrets here
RECORDS = [
    {
        "id": f"ORD-{i:05}",
        "name": RANDOM.choice(["Ana", "李雷", "Bob"]),
        "total": RANDOM.choice([12.50, 7, 1e3, None]),
        "to": {"city": RANDOM.choice(["Oslo", "北京"]), "zip": str(10000 + i)},
        "tags": ["a", "b"][: i % 3],
    }
    for i in range(60)
]
LOG = "\n".join(
    f"2026-05-15 10:{i % 60:02}:{i * 7 % 60:02} INFO worker {i % 5} served request {i * 31} in {i % 97} ms"
    + (
        '\nTraceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\nValueError: bad lantern 17'
        if i == 150
        else ""
    )
    + ("\nERROR: disk /dev/sda1 is full" if i == 220 else "")
    for i in range(400)
)


def session(*outputs: Any) -> rolecore.History:
    history = rolecore.History([{"role": "user", "content": "What do you find?"}])
    for i, output in enumerate(outputs):
        function = {"name": "look", "arguments": "{}"}
        history.append(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"c{i}", "type": "function", "function": function}],
            }
        )
        history.append({"role": "tool", "tool_call_id": f"c{i}", "content": output})
    history.append({"role": "user", "content": "Thank you."})
    return history


def shrunk(history: rolecore.History, **options: Any) -> list[str]:
    window = history.fit(history.tokens - 1, keep_last=0, shrink_tool_outputs=True, **options)
    assert window.tokens == rolecore.tokenizer("o200k_base").count_messages(window.messages) < history.tokens
    assert window.sources == list(range(len(history)))
    return [message["content"] for message in window.messages if message["role"] == "tool"]


def expand(rows: list[Any]) -> list[Any]:
    """Give each row the keys of the nearest object before it."""

    def like(header: Any, value: Any) -> Any:
        if isinstance(header, dict) and isinstance(value, list):
            return {key: like(inner, item) for (key, inner), item in zip(header.items(), value, strict=True)}
        return value

    out: list[Any] = []
    header: Any = None
    for row in rows:
        header = row if isinstance(row, dict) else header
        out.append(row if isinstance(row, dict) else like(header, row))
    return out


@pytest.mark.parametrize("indent", [None, 2])
def test_json_loses_nothing(indent: int | None) -> None:
    source = json.dumps(RECORDS, indent=indent)
    (table,) = shrunk(session(source))
    assert len(table) < 0.7 * len(source)
    assert expand(json.loads(table)) == RECORDS


def test_json_keeps_its_keys_where_it_may_be_cut() -> None:
    (compact,) = shrunk(session(json.dumps(RECORDS, indent=2)), unit="sentence")
    assert json.loads(compact) == RECORDS


def test_log_keeps_errors_tracebacks_head_and_tail_and_counts_the_rest() -> None:
    (folded,) = shrunk(session(LOG))
    lines = LOG.split("\n")
    left = folded.split("\n")
    for wanted in (
        lines[0],
        "Traceback (most recent call last):",
        "ValueError: bad lantern 17",
        "ERROR: disk /dev/sda1 is full",
        lines[-1],
    ):
        assert wanted in left
    markers = [line for line in left if line.startswith("[… ")]
    assert len(left) - len(markers) + sum(int(line.split()[1]) for line in markers) == len(lines)


@pytest.mark.parametrize("output", [json.dumps(RECORDS), "The lantern " * 60], ids=["json", "text"])
def test_older_copies_of_an_output_refer_to_the_newest(output: str) -> None:
    first, second, other, last = shrunk(session(output, output, "something else", output))
    assert "c3" in first
    assert "c3" in second
    assert len(first) < 80
    assert other == "something else"
    assert expand(json.loads(last)) == RECORDS if output.startswith("[") else last == output


def test_reference_never_points_to_what_is_not_in_the_window() -> None:
    output = json.dumps(RECORDS)
    history = session(output, "short", output, "short too")
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        window = history.fit(int(history.tokens * share), keep_last=0, shrink_tool_outputs=True)
        told = [message["content"] for message in window.messages if message["role"] == "tool"]
        if any("c2" in content and "same as" in content for content in told):
            assert 6 in window.sources


def test_history_under_its_budget_comes_back_as_it_is() -> None:
    history = session(json.dumps(RECORDS, indent=2), LOG)
    window = history.fit(history.tokens, shrink_tool_outputs=True)
    assert all(message is history[i] for i, message in enumerate(window.messages))


def test_pinned_output_is_not_touched_and_a_later_pin_is_seen() -> None:
    history = session(json.dumps(RECORDS, indent=2))
    assert shrunk(history)[0] != history[2]["content"]
    function = {"name": "look", "arguments": "{}"}
    history.append(
        {"role": "assistant", "content": None, "tool_calls": [{"id": "p", "type": "function", "function": function}]},
        pin=True,
    )
    pinned = {"role": "tool", "tool_call_id": "p", "content": json.dumps(RECORDS, indent=2)}
    history.append(pinned)
    window = history.fit(history.tokens - 1, keep_last=0, shrink_tool_outputs=True)
    assert any(message is pinned for message in window.messages)


def test_report_says_what_was_saved() -> None:
    history = session(json.dumps(RECORDS, indent=2))
    report = history.fit(history.tokens - 1, keep_last=0, shrink_tool_outputs=True).report()
    assert report.reasons["shrunk"][1] == report.history_tokens - report.window_tokens > 0
    assert "shrunk" in report._repr_html_()


def test_option_of_a_wrong_kind_raises_argument_error() -> None:
    with pytest.raises(rolecore.ArgumentError, match="shrink_tool_outputs is of type str; it must be a bool"):
        session("x").fit(100, shrink_tool_outputs="yes")  # type: ignore[arg-type]
