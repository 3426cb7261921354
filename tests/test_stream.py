"""A count that grows with its text: at each look that of all so far."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_files import TEXTS, tiny_file, write

import rolecore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def o200k() -> rolecore.Tokenizer:
    return rolecore.tokenizer("o200k_base")


@given(parts=st.lists(TEXTS | st.text(max_size=3), max_size=12))
def test_stream_count_is_that_of_the_text_so_far(parts: list[str]) -> None:
    for name in ("o200k_base", "cl100k_base"):
        tok = rolecore.tokenizer(name)
        stream = tok.stream()
        assert stream.tokens == 0
        for i, part in enumerate(parts):
            stream.append(part)
            assert stream.tokens == tok.count("".join(parts[: i + 1]))


def test_stream_of_a_file_counts_tokens_across_parts(tmp_path: Path) -> None:
    tok = rolecore.tokenizer(write(tmp_path / "tokenizer.json", tiny_file()))
    stream = tok.stream()
    for part, n in (("a", 1), ("b", 1), ("c <thi", 6), ("nk>", 3)):
        stream.append(part)
        assert stream.tokens == n


def test_stream_append_of_no_string_is_refused_and_changes_nothing(o200k: rolecore.Tokenizer) -> None:
    stream = o200k.stream()
    stream.append("hello\ud800")
    with pytest.raises(rolecore.ArgumentError, match="part is of type bytes; it must be a str"):
        stream.append(b" world")  # type: ignore[arg-type]
    stream.append(" world")
    assert stream.tokens == o200k.count("hello\ufffd world")


def test_stream_from_many_threads_counts_every_part(o200k: rolecore.Tokenizer) -> None:
    stream = o200k.stream()

    def add() -> None:
        for _ in range(200):
            stream.append(" hello")
            assert stream.tokens > 0

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.tokens == 1600
