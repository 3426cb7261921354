"""The figures of `rolecore analyze` against hand-computed ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore.analyze import Analysis, BudgetFigures
from rolecore.cli import main
from rolecore.newest_first import NewestFirst

if TYPE_CHECKING:
    from pathlib import Path


def chat(n_turns: int) -> list[dict[str, Any]]:
    """Make turns whose messages all cost the same: the user's text makes up for what the roles' names differ in."""
    make_up = " two" * (tokens("assistant", "one 0 two") - tokens("user", "one 0 two"))
    texts = {"user": make_up, "assistant": ""}
    return [{"role": role, "content": f"one {i} two{more}"} for i in range(n_turns) for role, more in texts.items()]


def tokens(role: str, content: str) -> int:
    return rolecore.History([{"role": role, "content": content}]).tokens


def cost() -> int:
    costs = {rolecore.History([message]).tokens for message in chat(4)}
    assert len(costs) == 1
    return costs.pop()


def analyze(messages: list[dict[str, Any]], budget: int, *, keep_last: int = 1) -> BudgetFigures:
    analysis = Analysis([budget], "o200k_base", keep_last)
    analysis.add(messages)
    return analysis.rows[0]


def test_chat_within_the_budget_is_sent_whole() -> None:
    c = cost()
    # Four requests of 1, 3, 5 and 7 messages; each is what came before and two more.
    row = analyze(chat(4), 7 * c)
    assert (row.requests, row.requests_over, row.chats_over, row.chats_refused) == (4, 0, 0, 0)
    assert row.tokens_in == row.tokens_sent == 16 * c
    assert row.saved_share == 0
    assert row.messages_dropped == 0
    # What the previous request sent is the prefix: 0 + 1 + 3 + 5.
    assert row.prefix_tokens == row.newest_prefix_tokens == 9 * c
    assert row.prefix_share == 9 / 16


def test_chat_over_the_budget_is_cut_to_it() -> None:
    c = cost()
    # Requests of 1, 3, 5, 7 messages at a budget of 3: 1, 3, 3 and 3 are sent, and 0, 0, 2 and 4 left out.
    row = analyze(chat(4), 3 * c)
    assert (row.requests, row.requests_over, row.chats_over) == (4, 2, 1)
    assert (row.tokens_in, row.tokens_sent) == (16 * c, 10 * c)
    assert row.saved_share == pytest.approx(6 / 16)
    assert row.messages_dropped == 6
    # Newest-first: the third request starts elsewhere, and so does the fourth: only the second reuses the first.
    assert (row.newest_tokens_sent, row.newest_prefix_tokens) == (10 * c, c)
    assert row.prefix_tokens >= c


def test_budget_under_the_newest_turns_is_refused_and_left_out_of_the_sums() -> None:
    c = cost()
    # keep_last=2: the requests of 3, 5 and 7 messages need three, that of one message needs one.
    row = analyze(chat(4), 2 * c, keep_last=2)
    assert (row.requests, row.requests_refused, row.chats_refused, row.requests_over) == (1, 3, 1, 3)
    assert row.needed_tokens == 3 * c
    assert row.tokens_in == row.tokens_sent == row.newest_tokens_sent == c


def test_repaired_call_is_a_prefix_only_while_its_bytes_stay() -> None:
    def call(name: str) -> dict[str, Any]:
        return {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}

    def result(name: str) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": name, "content": "ok"}

    asked: dict[str, Any] = {"role": "user", "content": "go"}
    both = {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]}
    only_a = {**both, "tool_calls": [call("a")]}
    done: dict[str, Any] = {"role": "assistant", "content": "done"}
    # Call b is pending in the second request and an orphan in the third, where its message is a shorter copy.
    row = analyze([asked, both, result("a"), done, asked, done, asked, done], 10_000)
    first = rolecore.History([asked]).tokens
    second = rolecore.History([asked, both, result("a")]).tokens
    third = rolecore.History([asked, only_a, result("a"), done, asked]).tokens
    fourth = rolecore.History([asked, only_a, result("a"), done, asked, done, asked]).tokens
    assert row.tokens_sent == first + second + third + fourth
    assert row.prefix_tokens == first + first + third


def test_chats_do_not_share_a_prefix() -> None:
    c = cost()
    analysis = Analysis([100 * c], "o200k_base", 1)
    analysis.add(chat(1))
    analysis.add(chat(1))
    assert analysis.rows[0].tokens_sent == 2 * c
    assert analysis.rows[0].prefix_tokens == 0
    assert (analysis.chats, analysis.messages) == (2, 4)


def test_analyze_as_json_holds_all_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    c = cost()
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [chat(4), {"messages": chat(2)}, chat(9)]), "utf-8")
    budgets = f"{7 * c},{3 * c}"
    assert main(["analyze", str(path), "--json", "--budgets", budgets, "--limit", "2", "--keep-last", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["chats"], found["messages"], found["tokenizer"]) == (2, 12, "o200k_base")
    assert [row["budget_tokens"] for row in found["budgets"]] == [3 * c, 7 * c]
    assert [row["chats_over"] for row in found["budgets"]] == [1, 0]
    assert [row["tokens_in"] for row in found["budgets"]] == [20 * c, 20 * c]
    assert found["budgets"][1]["saved_share"] == 0


@pytest.mark.parametrize("key", [None, "messages"])
def test_analyze_of_a_json_file_takes_every_chat(
    key: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chats = [chat(3) if key is None else {key: chat(3)}, chat(2) if key is None else {key: chat(2)}]
    path = tmp_path / "chats.json"
    path.write_text(json.dumps(chats), "utf-8")
    assert main(["analyze", str(path), "--budgets", str(2 * cost())]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: 2 chats, 10 messages, 5 requests\n")
    assert "refused: " in err


def test_newest_first_never_starts_inside_a_tool_group() -> None:
    newest = NewestFirst(10)
    roles = ["system", "user", "assistant", "tool", "tool", "assistant", "user"]
    windows = []
    for role in roles:
        newest.append(role, 2)
        windows.append(newest.window())
    assert windows == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 2, 3, 4, 5], [0, 5, 6]]
    assert newest.tokens == 6


def test_newest_first_with_a_message_over_the_budget_keeps_only_instructions() -> None:
    newest = NewestFirst(5)
    newest.append("system", 2)
    newest.append("user", 9)
    assert (newest.window(), newest.tokens) == ([0], 2)
    newest.append("user", 3)
    assert (newest.window(), newest.tokens) == ([0, 2], 5)
