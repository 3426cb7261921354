"""Question: what does choosing a window cost, against LangChain's `trim_messages` and as histories grow?

Input: made-up chats (conftest.Writer, seed 1), budget 20 % of their tokens. Oracle: before any timing, tiktoken
recounts the window and finds it inside the budget. Peer: langchain-core's trim_messages, strategy "last", with an exact
counter: tiktoken's, and rolecore's own, which is faster, so that the ratio is not the tokenizer's merit. By sentence a
window holds cut messages, which no peer makes: the ratio says what the finer choice costs, the bar is its time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import rolecore

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Interleaved, Writer

MIN_RATIO = 100
MAX_GROWTH = 200
# Of one fit of 1,000 messages by sentence, without and with a query; the aim is 0.5.
MAX_MS_BY_SENTENCE = {False: 2.0, True: 1.5}


@pytest.mark.parametrize("unit", ["message", "sentence"])
@pytest.mark.parametrize("has_query", [False, True], ids=["density", "query"])
def test_fit_1k_turns_against_trim_messages(
    *, interleaved: Interleaved, benchmark: Any, writer: Writer, vocabulary_folder: Path, has_query: bool, unit: str
) -> None:
    trim = pytest.importorskip("langchain_core.messages", reason="needs the peers: make bench")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(vocabulary_folder)
    import tiktoken

    chat = writer.chat(1000)
    query = writer.text(40) if has_query else None
    history = rolecore.History(chat)
    budget = history.tokens // 5
    encoding = tiktoken.get_encoding("o200k_base")
    ours = rolecore.tokenizer("o200k_base")
    peers_chat = trim.convert_to_messages(chat)

    def by_tiktoken(messages: list[Any]) -> int:
        return sum(4 + len(encoding.encode_ordinary(message.content)) for message in messages)

    def by_rolecore(messages: list[Any]) -> int:
        return sum(4 + count for count in ours.count_batch([message.content for message in messages]))

    def fit() -> list[dict[str, Any]]:
        return history.fit(budget, query=query, unit=unit).messages

    recount = sum(4 + len(encoding.encode_ordinary(message["content"])) for message in fit())
    assert recount <= budget
    options = {"max_tokens": budget, "strategy": "last", "include_system": True}
    ratios = [
        interleaved(
            f"fit/1k/{unit}/{'query' if has_query else 'density'} : trim_messages, {name}",
            fit,
            lambda counter=counter: trim.trim_messages(peers_chat, token_counter=counter, **options),
            candidate_calls=20,
            rounds=7,
        )
        for name, counter in (("tiktoken", by_tiktoken), ("rolecore counts", by_rolecore))
    ]
    interleaved.same(f"fit/1k/{unit}", fit, calls=20)
    benchmark(fit)
    if unit == "message":
        assert min(ratio.median for ratio in ratios) >= MIN_RATIO
    else:
        assert min(ratio.candidate_us for ratio in ratios) / 1000 <= MAX_MS_BY_SENTENCE[has_query]


@pytest.mark.parametrize("has_query", [False, True], ids=["density", "query"])
def test_fit_grows_with_the_history_not_faster(*, interleaved: Interleaved, writer: Writer, has_query: bool) -> None:
    query = writer.text(40) if has_query else None
    small, large = (rolecore.History(writer.chat(n)) for n in (1_000, 100_000))
    growth = interleaved(
        f"fit/100k : fit/1k, {'query' if has_query else 'density'}",
        lambda: small.fit(small.tokens // 5, query=query).messages,
        lambda: large.fit(large.tokens // 5, query=query).messages,
        candidate_calls=50,
        rounds=9,
    )
    assert growth.median <= MAX_GROWTH
