"""Matches by meaning: what an embedder is asked for, what it changes, and all the ways that one can fail."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chats import Message, call, chat

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable

QUERY = "What did the physician prescribe?"
ANSWER = "well the doctor told me to rest a bit and so i do"
HINTS = ("physician", "doctor")
SECRET = "hunter2"  # noqa: S105 - a text that no error may show


class Embedder:
    """Two directions: what is about a doctor, and all the rest. Keeps what it was asked."""

    def __init__(self, hints: tuple[str, ...] = HINTS) -> None:
        self.hints = hints
        self.asked: list[list[str]] = []

    def embed(self, texts: list[str]) -> Any:
        self.asked.append(texts)
        return np.array([[1, 0] if any(hint in text for hint in self.hints) else [0, 1] for text in texts], np.float32)


class Returns:
    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def embed(self, texts: list[str]) -> Any:
        return self.make(len(texts))


def talk(n: int = 40) -> list[Message]:
    """Facts and small talk, and among that one answer that shares no word with the query."""
    facts = [f"I paid {i * 7} euros to Anna on {i} May in Oslo." for i in range(n)]
    said = [fact if i % 2 == 0 else ANSWER.replace("doctor", "girl") for i, fact in enumerate(facts)]
    said[n // 2] = ANSWER
    return [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(said)]


def fit(history: rolecore.History, embedder: Any, **options: Any) -> rolecore.Window:
    return history.fit(40, keep_last=0, **{"query": QUERY, **options}, embedder=embedder)


@pytest.mark.parametrize("unit", ["message", "sentence"])
def test_fit_with_embedder_keeps_a_paraphrase(unit: str) -> None:
    history = rolecore.History(talk())
    assert 20 not in fit(history, None, unit=unit).sources
    assert 20 in fit(history, Embedder(), unit=unit).sources
    assert 20 in rolecore.fit(talk(), 40, query=QUERY, keep_last=0, unit=unit, embedder=Embedder()).sources


def test_fit_with_embedder_keeps_what_is_meant_beside_words_that_match() -> None:
    # "prescribe" is only spoken of; what it means stands elsewhere, in one fact of many.
    messages = talk()
    messages[4] = {"role": "user", "content": "Laws often prescribe the wrong thing."}
    messages[20] = {"role": "user", "content": "I paid 140 euros to Anna on 20 May in Oslo."}
    history = rolecore.History(messages)
    plain = history.fit(160, query=QUERY, keep_last=0).sources
    sharper = history.fit(160, query=QUERY, keep_last=0, embedder=Embedder(("physician", "on 20 May"))).sources
    assert 4 in plain
    assert 20 not in plain
    assert {4, 20} <= set(sharper)


def test_fit_embeds_each_message_once() -> None:
    messages = talk()
    history = rolecore.History(messages[:30])
    embedder = Embedder()
    fit(history, embedder)
    fit(history, embedder)
    for message in messages[30:]:
        history.append(message)
    window = fit(history, embedder)
    fit(history, embedder, query="May in Oslo")
    told = [message["content"] for message in messages]
    assert embedder.asked == [[*told[:30], QUERY], [QUERY], [*told[30:], QUERY], ["May in Oslo"]]
    assert window.sources == fit(rolecore.History(messages), Embedder()).sources


def test_fit_embeds_only_messages_with_text() -> None:
    history = rolecore.History(talk())
    history.append({"role": "assistant", "content": None, "tool_calls": [call("a")]})
    history.append({"role": "tool", "tool_call_id": "a", "content": " "})
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two \ud800"}]
    history.append({"role": "user", "content": parts})
    embedder = Embedder()
    fit(history, embedder)
    assert embedder.asked[0][39:] == [talk()[39]["content"], "one\ntwo \ufffd", QUERY]
    fit(history, embedder)
    assert embedder.asked[1] == [QUERY]


def test_fit_does_not_call_embedder_when_nothing_is_asked_or_left_out() -> None:
    history = rolecore.History(talk())
    embedder = Embedder()
    for query in (None, "", " "):
        assert fit(history, embedder, query=query).sources == fit(history, None, query=query).sources
    assert history.fit(history.tokens, query=QUERY, embedder=embedder).dropped == []
    assert history.fit(retain_ratio=1.0, query=QUERY, embedder=embedder).dropped == []
    assert rolecore.History().fit(10, query=QUERY, embedder=embedder).messages == []
    assert embedder.asked == []


def test_fit_another_embedder_object_starts_anew() -> None:
    history = rolecore.History(talk())
    first, second = Embedder(), Embedder()
    for embedder in (first, second, first):
        assert 20 in fit(history, embedder).sources
    assert [len(asked) for asked in first.asked] == [41, 41]
    assert [len(asked) for asked in second.asked] == [41]
    wide = Returns(lambda n: np.eye(n, 7, dtype=np.float32))
    fit(history, wide)
    wide.make = lambda n: np.eye(n, 8, dtype=np.float32)
    with pytest.raises(rolecore.ArgumentError, match=r"rows of 8 numbers, and of 7 before; make a new embedder"):
        fit(history, wide)


def test_fit_brings_rows_to_unit_length() -> None:
    class Long(Embedder):
        def embed(self, texts: list[str]) -> Any:
            rows = super().embed(texts).astype(np.float64)
            return (rows * np.arange(1, len(texts) + 1)[:, None]).tolist()

    assert fit(rolecore.History(talk()), Long()).sources == fit(rolecore.History(talk()), Embedder()).sources


def test_fit_when_all_means_the_same_is_as_without() -> None:
    history = rolecore.History(talk())
    plain = fit(history, None).sources
    assert fit(history, Returns(lambda n: np.zeros((n, 3), np.float32))).sources == plain
    assert fit(history, Returns(lambda n: np.ones((n, 3), np.float32))).sources == plain


@pytest.mark.parametrize("embedder", [3, "embed", object(), [SECRET]])
def test_fit_embedder_without_embed_raises(embedder: Any) -> None:
    for query in (QUERY, None):
        with pytest.raises(
            rolecore.ArgumentError, match=r"embedder is of type \w+; it must be an object with a method"
        ):
            fit(rolecore.History(talk()), embedder, query=query)


def test_fit_embed_that_is_no_method_raises() -> None:
    class Odd:
        embed = SECRET

    with pytest.raises(rolecore.ArgumentError, match=r"embedder\.embed is of type str; it must be a method"):
        fit(rolecore.History(talk()), Odd())


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda n: np.zeros((n - 1, 4), np.float32), r"shape \(40, 4\); it must be float32, shape \(41, dim\)"),
        (lambda n: np.zeros((n, 0), np.float32), r"shape \(41, 0\)"),
        (lambda n: np.zeros(n, np.float32), "an array of 1 dimensions"),
        (lambda n: np.zeros((n, 2, 2), np.float32), "an array of 3 dimensions"),
        (lambda n: np.full((n, 4), np.nan, np.float32), "not finite, in row 0"),
        (lambda n: np.vstack([np.zeros((n - 1, 2)), [[0, np.inf]]]).astype(np.float32), "not finite, in row 40"),
        (lambda n: np.full((n, 4), 1e300), "no array of numbers|not finite"),
        (lambda n: np.zeros((n, 4), np.complex64), "of dtype complex64"),
        (lambda n: [[SECRET]] * n, "of type list, of dtype str"),
        (lambda _: None, "what is None, of dtype object"),
        (lambda _: SECRET, "of type str, of dtype str"),
        (lambda _: [[1.0], [2.0, 3.0]], "of type list and no array of numbers"),
    ],
)
def test_fit_embedder_with_bad_rows_raises(make: Callable[[int], Any], what: str) -> None:
    history = rolecore.History([*talk()[1:], {"role": "user", "content": SECRET}])
    with pytest.raises(rolecore.ArgumentError, match=what) as caught:
        fit(history, Returns(make))
    error: BaseException | None = caught.value
    assert str(error).startswith("embedder.embed returned ")
    while error:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__
    assert fit(history, Embedder()).sources


@pytest.mark.parametrize("error", [OSError("no route"), KeyboardInterrupt(), ValueError("of its own")])
def test_fit_passes_on_what_embed_raises(error: BaseException) -> None:
    class Failing(Embedder):
        fails = True

        def embed(self, texts: list[str]) -> Any:
            rows = super().embed(texts)
            if self.fails:
                raise error
            return rows

    history = rolecore.History(talk())
    embedder = Failing()
    with pytest.raises(type(error)) as caught:
        fit(history, embedder)
    assert caught.value is error
    embedder.fails = False
    history.append({"role": "user", "content": "Well?"})
    assert 20 in fit(history, embedder).sources
    assert [len(asked) for asked in embedder.asked] == [41, 42]


def test_fit_embedder_may_use_the_history() -> None:
    class Reentrant(Embedder):
        def embed(self, texts: list[str]) -> Any:
            if len(history) == 40:
                history.append({"role": "user", "content": "the doctor again"})
                assert 20 in fit(history, self).sources
            return super().embed(texts)

    history = rolecore.History(talk())
    embedder = Reentrant()
    fit(history, embedder)
    assert 20 in fit(history, embedder).sources
    assert embedder.asked[-1] == [QUERY]  # both calls' rows are kept, each once


def test_fit_from_threads_with_embedders_gives_the_same_windows() -> None:
    history = rolecore.History(talk())
    embedders = [Embedder(), Embedder()]
    expected = fit(rolecore.History(talk()), Embedder()).sources
    found: list[list[Any]] = []
    threads = [
        threading.Thread(target=lambda one=one: found.extend(fit(history, one).sources for _ in range(50)))
        for one in embedders * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 200


def test_history_with_an_embedder_that_holds_it_is_collected() -> None:
    class Holding(Embedder):
        history: rolecore.History

    embedder = Holding()
    embedder.history = rolecore.History(talk())
    fit(embedder.history, embedder)
    gone = weakref.ref(embedder)
    del embedder
    gc.collect()
    assert gone() is None


def test_fit_summary_is_told_the_meaning_too() -> None:
    history = rolecore.History([*talk(), {"role": "user", "content": "And? " + "word " * 60}])
    options: dict[str, Any] = {"query": QUERY, "keep_last": 1, "summary": "extractive", "embedder": Embedder()}
    window = history.fit(160, **options)
    assert ANSWER in " ".join(message["content"] for message in window.messages)


def test_fit_with_embedder_on_tools_stays_within_the_budget() -> None:
    for unit in ("message", "sentence"):
        window = rolecore.fit(
            chat(), 300, query=QUERY, unit=unit, shrink_tool_outputs=True, keep_last=1, embedder=Embedder()
        )
        assert window.tokens <= 300
