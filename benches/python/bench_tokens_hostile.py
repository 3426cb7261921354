"""Question: is there a text whose counting takes long, or longer than in proportion to its length?

Input: a million times one character, and a million random ones of several alphabets (numpy's default generator, fixed
seeds; every measured text is new). Oracle: tiktoken 0.14.0, or where it panics a count derived here. Figures: CPU and
wall time of the first text; the time of two million characters over that of one million, the best of three texts
each.
"""

from __future__ import annotations

import string
import sys
import time
import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import pytest
from counters import tiktoken_encoding

import rolecore

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Figures

N = 1_000_000
SEEDS = (1, 2, 3, 4, 5)
MAX_MS = 400.0
MAX_GROWTH = 2.2
ALPHABETS = {
    "a": "a",
    "0": "0",
    "^": "^",
    "space": " ",
    "newline": "\n",
    "Han character": "\u4e2d",
    "emoji": "\U0001f600",
    "letters": string.ascii_lowercase,
    "hex": "0123456789abcdef",
    "base64": string.ascii_letters + string.digits + "+/",
    "white space": " \t\n\r\x0b\u00a0\u2003\u3000",
    "unicode soup": "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c)[0] != "C"),
}
# The pattern takes spaces to the end of the text as one piece. In both vocabularies two equal tokens of 1, 2, 4 .. 64
# spaces merge before any other two that can then stand side by side: 2 spaces have a lower rank than 3 and 4, 4 than 6
# and 8, and so on to 128, the longest. So all pieces double, from the left: a million, which is 15,625 times 64,
# becomes 7,812 of 128 and the one of 64 that is left over.
SPACES = 7_812 + 1


def text_of(name: str, n: int, seed: int) -> str:
    """Return `n` characters of an alphabet."""
    alphabet = np.frombuffer(ALPHABETS[name].encode("utf-32-le"), dtype="<u4")
    return np.random.default_rng(seed).choice(alphabet, n).tobytes().decode("utf-32-le")


def expected(name: str, vocabulary: str, text: str) -> int:
    """Return tiktoken's count, or the one derived above."""
    try:
        return len(tiktoken_encoding(vocabulary).encode_ordinary(text))
    except BaseException as error:
        # A panic in Rust is no Exception. Any other, as an interrupt, goes on.
        if type(error).__name__ != "PanicException" or name != "space":
            raise
        return SPACES


@pytest.mark.parametrize("name", ALPHABETS)
@pytest.mark.parametrize("vocabulary", ["o200k_base", "cl100k_base"])
def test_hostile_text(figures: Figures, vocabulary_folder: Path, vocabulary: str, name: str) -> None:
    assert vocabulary_folder
    tokenizer = rolecore.tokenizer(vocabulary)
    count = tokenizer.count
    count("x")
    first = text_of(name, N, SEEDS[0])
    wall, cpu = time.perf_counter(), time.process_time()
    n_tokens = count(first)
    wall_ms, cpu_ms = (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000
    times: dict[int, list[float]] = {1: [], 2: []}
    for seed in SEEDS:
        for factor, took in times.items():
            text = text_of(name, factor * N, 10 * factor + seed)
            # Has Python make the UTF-8 form of the string: new pages, which cost what the system makes of them.
            tokenizer.count_until(text, 0)
            began = time.process_time()
            count(text)
            took.append(time.process_time() - began)
    growth = min(times[2]) / min(times[1])
    note = f"CPU; {wall_ms:.0f} ms wall; twice the text {growth:.2f}x{'' if growth <= MAX_GROWTH else ', MISSED'}"
    row = figures(f"a million/{vocabulary}/{name}", cpu_ms, "ms", bar=MAX_MS, note=note)
    assert n_tokens == expected(name, vocabulary, first)
    assert row.is_met
    assert growth <= MAX_GROWTH
