"""The summary of what a window leaves out: extractive, the caller's own, and all the ways that one can fail."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from chats import Message, chat

import rolecore

TOK = rolecore.tokenizer("o200k_base")


def folded(window: rolecore.Window) -> tuple[int, Message, list[int]]:
    """The place, the message and the sources of the one folded message."""
    at = [i for i, source in enumerate(window.sources) if isinstance(source, list)]
    assert len(at) == 1
    return at[0], window.messages[at[0]], window.sources[at[0]]


def body(message: Message) -> str:
    return str(message["content"]).split("\n", 1)[1]


def test_summary_extractive_stands_after_the_instructions_and_is_counted() -> None:
    messages = chat()
    window = rolecore.fit(messages, 400, summary="extractive")
    at, message, sources = folded(window)
    assert at == 1
    assert message["role"] == "user"
    assert message["content"].startswith(rolecore.CUT_MARK)
    assert window.tokens == TOK.count_messages(window.messages) <= 400
    lines = [line for line in body(message).splitlines() if line not in {"user:", "assistant:"}]
    assert lines
    assert all(any(line in messages[i]["content"] for i in sources) for line in lines)
    kept = {source for source in window.sources if isinstance(source, int)}
    assert not kept & set(sources)
    assert window.dropped == sorted(set(range(len(messages))) - kept - set(sources))
    report = window.report()
    assert (report.summary, report.summary_fallback) == ("extractive", None)
    assert report.to_dict()["summary"] == "extractive"
    assert sum(n for n, _ in report.reasons.values()) == len(messages)
    must_stay = rolecore.fit(messages, 400).report().reasons
    room = 400 - must_stay["instruction"][1] - must_stay["newest turn"][1]
    assert TOK.count_messages([message]) <= room // 4


def test_summary_names_each_speaker_once_in_a_row() -> None:
    said = [("Ana", "The blue lantern hangs in Oslo."), ("Ana", "It cost 42 euros."), ("Bo", "I fly on 3 May.")]
    messages: list[Message] = [{"role": "user", "name": name, "content": text} for name, text in said]
    messages += [{"role": "assistant", "content": "word " * 300}, {"role": "user", "content": "And now?"}]
    window = rolecore.fit(messages, 300, keep_last=1, summary="extractive")
    assert window.sources == [0, 1, 2, 4]  # what is left out has no sentence that fits
    rest = [{"role": "user", "name": "Ana", "content": f"Lantern {i} hangs in hall {i}."} for i in range(40)]
    window = rolecore.fit([*messages[:3], *rest, messages[4]], 200, keep_last=1, summary="extractive")
    lines = body(folded(window)[1]).splitlines()
    names = [line for line in lines if line in {"Ana:", "Bo:"}]
    assert names
    assert all(a != b for a, b in itertools.pairwise(names))


def test_summary_with_a_query_takes_what_it_asks_for() -> None:
    messages = chat(60)
    messages[9] = {"role": "user", "content": "The ferry to Bergen leaves at six."}
    window = rolecore.fit(messages, 500, query="lantern shelf", summary="extractive")
    assert window.tokens <= 500
    folded(window)


def test_summary_of_nothing_is_none() -> None:
    def never(messages: list[Message], *, max_tokens: int) -> str:
        raise AssertionError(messages, max_tokens)

    for summary in ("extractive", never):
        window = rolecore.fit(chat(2), 10_000, summary=summary)
        assert window.sources == list(range(5))
        assert window.report().summary is None
        assert rolecore.fit([], 0, summary=summary).messages == []


def test_summary_callable_gets_the_dropped_messages_and_a_limit() -> None:
    messages = chat()
    calls: list[tuple[list[Message], int]] = []

    def tell(dropped: list[Message], *, max_tokens: int) -> str:
        calls.append((dropped, max_tokens))
        return "They moved lanterns to shelves."

    window = rolecore.fit(messages, 400, summary=tell)
    _, message, sources = folded(window)
    assert len(calls) == 1
    assert all(a is messages[i] for a, i in zip(calls[0][0], sources, strict=True))
    assert body(message) == "They moved lanterns to shelves."
    assert window.dropped == []
    assert window.report().summary == "callable"
    assert "summary" in repr(window.report())
    assert window.tokens == TOK.count_messages(window.messages) <= 400


def test_summary_callable_fills_its_limit_exactly() -> None:
    seen: list[int] = []

    def tell(_: list[Message], *, max_tokens: int) -> str:
        seen.append(max_tokens)
        return " lantern" * max_tokens

    window = rolecore.fit(chat(), 400, summary=tell)
    assert TOK.count(body(folded(window)[1])) >= seen[0] - 1
    assert window.report().summary == "callable"


def test_summary_callable_too_long_is_cut_at_its_end() -> None:
    text = "They moved lanterns, one by one, to the shelves. " * 300
    window = rolecore.fit(chat(), 400, summary=lambda _, max_tokens: text)  # noqa: ARG005  the protocol's name
    said = body(folded(window)[1])
    assert text.startswith(said)
    assert len(said) > 40
    assert window.tokens == TOK.count_messages(window.messages) <= 400


class BrokenError(Exception):
    pass


def raising(_: list[Message], *, max_tokens: int) -> str:
    raise BrokenError(max_tokens)


@pytest.mark.parametrize(
    ("summary", "why"),
    [
        (raising, "raised BrokenError"),
        (lambda _, max_tokens: "", "returned an empty str"),  # noqa: ARG005
        (lambda _, max_tokens: " \n\t", "returned an empty str"),  # noqa: ARG005
        (lambda _, max_tokens: None, "returned what is None, no str"),  # noqa: ARG005
        (lambda _, max_tokens: b"x", "returned what is of type bytes, no str"),  # noqa: ARG005
        (lambda: "takes nothing", "raised TypeError"),
    ],
)
def test_summary_callable_that_fails_is_stood_in_for(summary: Any, why: str) -> None:
    window = rolecore.fit(chat(), 400, summary=summary)
    plain = rolecore.fit(chat(), 400, summary="extractive")
    assert folded(window)[1] == folded(plain)[1]
    report = window.report()
    assert (report.summary, report.summary_fallback) == ("extractive", why)
    assert why in repr(report)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_summary_callable_interrupted_passes_it_on(error: type[BaseException]) -> None:
    def tell(_: list[Message], *, max_tokens: int) -> str:
        raise error(max_tokens)

    with pytest.raises(error):
        rolecore.fit(chat(), 400, summary=tell)


def test_summary_callable_may_use_the_history() -> None:
    history = rolecore.History(chat())

    def tell(dropped: list[Message], *, max_tokens: int) -> str:
        history.append({"role": "user", "content": f"{max_tokens} tokens"})
        return f"{len(dropped)} of {len(history.fit(300).messages)}"

    window = history.fit(400, summary=tell)
    assert window.report().history_messages == len(history) - 1
    assert window.report().summary == "callable"


def test_summary_lone_surrogates_are_sent_as_what_they_are_counted_as() -> None:
    window = rolecore.fit(chat(), 400, summary=lambda _, max_tokens: "a \ud800 b")  # noqa: ARG005
    assert body(folded(window)[1]) == "a \N{REPLACEMENT CHARACTER} b"


def test_summary_leaves_the_needed_budget_as_it_is() -> None:
    history = rolecore.History(chat())
    for keep_last in (0, 1, 3):
        with pytest.raises(rolecore.BudgetError) as plain:
            history.fit(3, keep_last=keep_last)
        with pytest.raises(rolecore.BudgetError) as caught:
            history.fit(3, keep_last=keep_last, summary="extractive")
        assert caught.value.needed == plain.value.needed
        window = history.fit(plain.value.needed, keep_last=keep_last, summary="extractive")
        assert window.tokens == plain.value.needed
        assert window.report().summary is None


@pytest.mark.parametrize(
    ("summary", "says"),
    [
        ("abstractive", 'summary is "abstractive"; it must be "extractive"'),
        (5, 'summary is of type int; it must be None, "extractive" or a callable'),
        (True, "summary is of type bool"),
    ],
)
def test_summary_bad_argument_raises_argument_error(summary: Any, says: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=says):
        rolecore.fit(chat(), 400, summary=summary)


@pytest.mark.parametrize("unit", ["message", "sentence"])
def test_summary_small_empty_and_huge_histories(unit: str) -> None:
    for messages in (
        [{"role": "user", "content": "hi"}],
        [{"role": "user", "content": ""}] * 100,
        [{"role": "user", "content": "lantern " * 1_250_000}, {"role": "user", "content": "hi"}],
    ):
        window = rolecore.fit(messages, 60, summary="extractive", keep_last=1, unit=unit)
        assert window.tokens == TOK.count_messages(window.messages) <= 60
        assert window.report().summary is None
