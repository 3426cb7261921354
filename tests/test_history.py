"""History and fit through Python: what they promise, and every bad input."""

from __future__ import annotations

import gc
import json
import math
import pickle
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from chats import Message, call, chat, parts

import rolecore

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_fit_under_budget_returns_same_objects() -> None:
    messages = chat()
    window = rolecore.fit(messages, 10_000)
    assert all(a is b for a, b in zip(window.messages, messages, strict=True))
    assert window.dropped == []
    assert window.reused_prefix_tokens == window.tokens


def test_fit_pinned_message_survives_whole() -> None:
    history = rolecore.History()
    messages = chat()
    for i, message in enumerate(messages):
        history.append(message, pin=i == 7)
    window = history.fit(200, keep_last=1)
    assert 7 in window.sources
    assert window.messages[window.sources.index(7)] is messages[7]


def test_fit_query_keeps_what_it_asks_for() -> None:
    messages = chat()
    messages[9] = {"role": "user", "content": "The ferry to Bergen leaves at six."}
    messages[11] = {"role": "user", "content": "去北京的火车六点出发。"}
    for query, index in [("When does the ferry leave?", 9), ("火车什么时候出发？", 11)]:
        assert index in rolecore.fit(messages, 160, query=query, keep_last=0).sources


def test_fit_parallel_calls_stay_or_go_together() -> None:
    # The mixed orphan that breaks other summarisers: one of two parallel calls lost its result.
    messages: list[Message] = [
        {"role": "user", "content": "compare both"},
        {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]},
        {"role": "tool", "tool_call_id": "a", "content": "first"},
        {"role": "user", "content": "and?"},
    ]
    window = rolecore.fit(messages, 1000)
    assert [c["id"] for c in window.messages[1]["tool_calls"]] == ["a"]
    assert len(messages[1]["tool_calls"]) == 2  # the caller's own is untouched
    assert window.report().calls_removed == [(1, 1)]
    with pytest.raises(rolecore.MessageError, match="message 1: some of its tool calls have no result") as caught:
        rolecore.fit(messages, 1000, on_orphans="raise")
    assert caught.value.index == 1


def test_fit_pending_call_is_never_dropped() -> None:
    messages = [*chat(), {"role": "assistant", "content": None, "tool_calls": [call("a")]}]
    window = rolecore.fit(messages, 60, keep_last=0)
    assert window.messages[-1] is messages[-1]


def test_fit_start_with_user_drops_leading_answers() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Hi"},
    ]
    assert rolecore.fit(messages, 100, start_with_user=True).sources == [0, 2]
    freed = [
        {"role": "user", "content": "w " * 10},
        {"role": "assistant", "content": "I paid 42 euros in Oslo on Monday q1 "},
        {"role": "user", "content": "and the invoice 77 for Paris 2024 z"},
        {"role": "assistant", "content": "k"},
    ]
    assert rolecore.fit(freed, 35, keep_last=0, start_with_user=True).tokens == 35  # what was freed is spent
    with pytest.raises(rolecore.MessageError, match="no user message"):
        rolecore.fit(messages[1:2], 100, start_with_user=True)


def test_fit_both_budgets_takes_the_smaller() -> None:
    history = rolecore.History(chat())
    half = math.floor(history.tokens * 0.5)
    assert history.fit(retain_ratio=0.5).report().budget_tokens == half
    assert history.fit(200, retain_ratio=0.5).report().budget_tokens == 200
    assert history.fit(10_000, retain_ratio=0.5).report().budget_tokens == half


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "neither budget_tokens nor retain_ratio"),
        ({"budget_tokens": -1}, "budget_tokens is -1"),
        ({"budget_tokens": "4096"}, "budget_tokens is of type str"),
        ({"budget_tokens": 10.5}, "budget_tokens is of type float"),
        ({"budget_tokens": True}, "budget_tokens is of type bool"),
        ({"retain_ratio": math.nan}, "retain_ratio is NaN"),
        ({"retain_ratio": 1.5}, "retain_ratio is 1.5"),
        ({"retain_ratio": -0.1}, "retain_ratio is -0.1"),
        ({"retain_ratio": "0.5"}, "retain_ratio is of type str"),
        ({"budget_tokens": 100, "keep_last": -1}, "keep_last is -1"),
        ({"budget_tokens": 100, "keep_last": "3"}, "keep_last is of type str"),
        ({"budget_tokens": 100, "unit": "word"}, 'unit is "word"'),
        ({"budget_tokens": 100, "on_orphans": "keep"}, 'on_orphans is "keep"'),
    ],
)
def test_fit_bad_argument_raises_argument_error(options: dict[str, Any], says: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=says):
        rolecore.History(chat()).fit(**options)


class Index:
    """An integer by `__index__` alone, as numpy's are."""

    def __init__(self, value: int | Exception) -> None:
        self.value = value

    def __index__(self) -> int:
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


def test_fit_takes_any_integer_and_passes_on_what_it_raises() -> None:
    history = rolecore.History(chat())
    fit: Any = history.fit
    assert fit(Index(200)).tokens <= 200
    assert fit(200, keep_last=Index(0)).sources == fit(200, keep_last=0).sources
    for name, options in (("budget_tokens", {}), ("keep_last", {"budget_tokens": 10_000})):
        with pytest.raises(LookupError):
            fit(**options, **{name: Index(LookupError())})
        for value in (-1, -(10**5000), Index(-3)):
            with pytest.raises(rolecore.ArgumentError, match=f"{name} is "):
                fit(**options, **{name: value})
        with pytest.raises(rolecore.ArgumentError, match=f"{name} is of type type"):
            fit(**options, **{name: int})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"retain_ratio": 10**400}, "retain_ratio is too large"),
        ({"budget_tokens": 100, "unit": "\ud800"}, "unit is "),
        ({"budget_tokens": 100, "unit": 3}, "unit is of type int"),
        ({"budget_tokens": 100, "on_orphans": None}, "on_orphans is None; it must be a str"),
        ({"budget_tokens": 100, "query": b"x"}, "query is of type bytes"),
        ({"budget_tokens": 100, "start_with_user": "no"}, "start_with_user is of type str"),
    ],
)
def test_fit_argument_of_a_wrong_kind_raises_argument_error(options: dict[str, Any], says: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=says):
        rolecore.History(chat()).fit(**options)


def test_fit_budget_below_what_must_stay_names_the_numbers() -> None:
    history = rolecore.History(chat())
    with pytest.raises(rolecore.BudgetError, match="what must stay needs") as caught:
        history.fit(0)
    assert isinstance(caught.value, ValueError)
    assert caught.value.budget == 0
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.needed, copy.budget) == (caught.value.needed, 0)


def test_fit_empty_history_gives_empty_window() -> None:
    window = rolecore.History().fit(0)
    assert (window.messages, window.tokens, window.dropped) == ([], 0, [])


def test_fit_huge_budget_is_no_limit() -> None:
    assert rolecore.fit(chat(), 10**30).dropped == []


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("hi", "it is of type str; it must be a dict"),
        ({}, "role is missing"),
        ({"role": "wizard", "content": "x"}, 'role is "wizard"; it must be system, developer'),
        ({"role": "User said: my secret", "content": "x"}, "role is a text of 20 bytes"),
        ({"role": 3, "content": "x"}, "role is of type int"),
        ({"role": "user", "content": None}, "content is null or empty"),
        ({"role": "user"}, "content is null or empty"),
        ({"role": "user", "content": 5}, "content is of type int"),
        ({"role": "user", "content": ["x"]}, r"content\[0\] is of type str; it must be a dict"),
        ({"role": "user", "content": [{"type": "text"}]}, r"content\[0\].text is missing"),
        ({"role": "user", "content": [{"type": "image_url"}]}, r"content\[0\].image_url is missing"),
        ({"role": "user", "content": [{"type": "file", "file": object()}]}, r"content\[0\] is not JSON"),
        ({"role": "user", "content": "x", "name": 7}, "name is of type int"),
        ({"role": "user", "content": "x", "tool_calls": [call("a")]}, "only an assistant message may have tool_calls"),
        ({"role": "tool", "content": "x"}, "a tool message needs the tool_call_id"),
        ({"role": "tool", "content": None, "tool_call_id": "a"}, "content is null"),
        ({"role": "assistant", "content": None}, "content is null"),
        ({"role": "assistant", "tool_calls": {}}, "tool_calls is of type dict"),
        ({"role": "assistant", "tool_calls": [{"function": {}}]}, r"tool_calls\[0\].id is missing"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, r"tool_calls\[0\].function is missing"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]},
            r"tool_calls\[0\].function.arguments is of type dict",
        ),
    ],
)
def test_extend_bad_message_raises_and_appends_nothing(message: Any, says: str) -> None:
    history = rolecore.History(chat())
    before = len(history), history.tokens
    with pytest.raises(rolecore.MessageError, match=f"message {len(history) + 1}: {says}") as caught:
        history.extend([{"role": "user", "content": "fine"}, message])
    assert "secret" not in str(caught.value)
    assert caught.value.index == len(history) + 1
    with pytest.raises(rolecore.MessageError):
        history.append(message)
    assert (len(history), history.tokens) == before


@pytest.mark.parametrize("messages", [{"role": "user", "content": "x"}, "hi", 5])
def test_extend_no_list_of_dicts_raises_argument_error(messages: object) -> None:
    with pytest.raises(rolecore.ArgumentError, match="it must be an iterable of dicts"):
        rolecore.History().extend(messages)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": ""},
        {"role": "user", "content": "lone \ud800 surrogate and \x00"},
        {"role": "user", "content": parts("see")},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": None, "audio": {"id": "a1"}},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "assistant", "content": "x", "tool_calls": []},
        {"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    ],
)
def test_append_form_the_api_takes_is_kept_untouched(message: Message) -> None:
    history = rolecore.History([message])
    assert history[0] is message
    assert history.fit(10_000).messages[0] is message
    assert history.tokens == rolecore.tokenizer("o200k_base").count_messages([message])


def test_history_index_and_slice_follow_list_rules() -> None:
    messages = chat()
    history = rolecore.History(messages)
    assert history[-1] is messages[-1]
    assert history[2:5] == messages[2:5]
    assert list(history) == messages
    for index in (len(messages), -len(messages) - 1):
        with pytest.raises(IndexError):
            history[index]


def test_history_index_past_any_length_raises_index_error() -> None:
    history = rolecore.History(chat())
    for index in (2**64, -(2**64)):
        with pytest.raises(IndexError):
            history[index]


def test_extend_from_itself_and_from_what_reads_it_appends_at_the_end() -> None:
    history = rolecore.History([{"role": "user", "content": "a"}])
    history.extend(history)
    assert [m["content"] for m in history] == ["a", "a"]

    def echo() -> Iterator[Message]:
        for i in range(3):
            history.append({"role": "user", "content": f"inner {i}"})
            yield {"role": "user", "content": f"outer {history.fit(1000, keep_last=0).tokens}"}

    history.extend(echo())
    words = [m["content"].split()[0] for m in history]
    assert words == ["a", "a", "inner", "inner", "inner", "outer", "outer", "outer"]
    assert history.tokens == rolecore.tokenizer("o200k_base").count_messages(history.to_messages())


def test_extend_when_the_iterable_raises_passes_it_on_and_appends_nothing() -> None:
    def broken() -> Iterator[Message]:
        yield {"role": "user", "content": "a"}
        raise LookupError

    history = rolecore.History()
    with pytest.raises(LookupError):
        history.extend(broken())
    assert len(history) == 0


def test_history_and_window_in_a_cycle_are_collected() -> None:
    class Session:
        def __init__(self) -> None:
            message = {"role": "user", "content": "hi", "session": self}
            self.history = rolecore.History([message])
            self.window = self.history.fit(100)

    gone = weakref.ref(Session())
    gc.collect()
    assert gone() is None


def test_history_collected_while_threads_append_neither_hangs_nor_loses_messages() -> None:
    history = rolecore.History()
    text = "lantern " * 2000  # long enough to be counted without the GIL

    def work() -> None:
        for _ in range(60):
            history.append({"role": "user", "content": text, "history": history})
            history.fit(10**9)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        gc.collect()
    assert len(history) == 240
    assert all(message["history"] is history for message in history)


def test_append_part_that_is_no_json_is_named_and_an_interrupt_passes() -> None:
    class Interrupting(dict[str, Any]):
        def items(self) -> Any:
            raise KeyboardInterrupt

    history = rolecore.History()
    with pytest.raises(KeyboardInterrupt):
        history.append({"role": "user", "content": [{"type": "file", "file": Interrupting(a=1)}]})
    cyclic: Message = {"type": "file"}
    cyclic["file"] = cyclic
    deep: Message = {"type": "file"}
    inner = deep
    for _ in range(100_000):
        inner["file"] = {}
        inner = inner["file"]
    for part in (cyclic, deep, {"type": "file", "file": object()}):
        with pytest.raises(rolecore.MessageError, match=r"content\[0\] is not JSON"):
            history.append({"role": "user", "content": [part]})
    assert len(history) == 0


def test_append_ten_megabytes_is_counted_and_dropped() -> None:
    history = rolecore.History([{"role": "user", "content": "lantern " * 1_250_000}, {"role": "user", "content": "hi"}])
    assert history.tokens > 1_000_000
    assert history.fit(100, keep_last=1).sources == [1]


def test_fit_many_messages_stays_inside_budget() -> None:
    messages = [{"role": "user", "content": f"message {i}"} for i in range(100_000)]
    window = rolecore.fit(messages, 10_000)
    assert window.tokens <= 10_000
    assert len(window.messages) + len(window.dropped) == 100_000


def test_history_many_threads_lose_nothing_and_agree() -> None:
    history = rolecore.History()
    windows: list[list[int]] = []

    def work(k: int) -> None:
        for i in range(200):
            history.append({"role": "user", "content": f"thread {k} note {i}"})
            history.fit(100, keep_last=0)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(history) == 1600
    assert len({m["content"] for m in history.to_messages()}) == 1600

    readers = [threading.Thread(target=lambda: windows.append(history.fit(3000).sources)) for _ in range(8)]
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join()
    assert all(window == windows[0] for window in windows)


def test_fit_other_hash_seed_gives_same_window() -> None:
    code = (
        "import json, rolecore\n"
        "m = [{'role': 'user', 'content': f'note {i} on lantern {i % 7} 灯笼'} for i in range(200)]\n"
        "print(json.dumps([rolecore.fit(m, 900).sources, rolecore.fit(m, 900, query='lantern 3').sources]))"
    )
    command = [sys.executable, "-c", code]
    runs = {
        subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("0", "1", "2")
    }
    assert len(runs) == 1
    assert json.loads(runs.pop())[0]


def test_fit_message_changed_after_append_is_named() -> None:
    messages: list[Message] = [{"role": "assistant", "content": "x", "tool_calls": [call("a")]}, *chat(1)]
    history = rolecore.History(messages)
    for calls_now in (5, None):
        messages[0]["tool_calls"] = calls_now
        with pytest.raises(rolecore.MessageError, match="message 0: it was changed after it was appended"):
            history.fit(1000)
    del messages[0]["tool_calls"]
    with pytest.raises(rolecore.MessageError, match="message 0: it was changed after it was appended"):
        history.fit(1000)


def test_window_report_tells_the_counts() -> None:
    messages = [*chat(), {"role": "tool", "tool_call_id": "zz", "content": "lost"}]
    window = rolecore.fit(messages, 300)
    report = window.report()
    assert report.to_dict()["window_tokens"] == window.tokens
    assert report.orphans_dropped == [len(messages) - 1]
    assert report.history_messages == len(messages)
    reasons = report.reasons
    assert sum(messages for messages, _ in reasons.values()) == len(messages)
    assert sum(tokens for _, tokens in reasons.values()) == rolecore.History(messages).tokens
    assert reasons["orphan"][0] == 1
    assert reasons["instruction"][0] == 1
    assert reasons["newest turn"][0] == 6
    assert reasons["over budget"][0] + 1 == len(window.dropped)
    assert report._repr_html_().startswith("<table>")
    assert str(window.tokens) in repr(report)
