"""The hashing embedder: against a slow oracle, golden rows, and what is near and what is not in two languages."""

from __future__ import annotations

import hashlib
import itertools
import math
import pickle
import threading
import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore

MASK = (1 << 64) - 1
NEAR = [
    ("How do I reset my password?", "how do i reset my PASSWORD"),
    ("How do I reset my password?", "How do I reset my password??  Thanks"),
    ("What is the capital of France?", "What's the capital of France"),
    ("Please book a table for two", "please book a table for 2"),
    ("The meeting moved to Thursday afternoon.", "The meetings moved to thursday afternoon"),
    ("Translate this sentence into German", "Translate this sentance into german."),
    ("如何重置我的密码？", "如何重置我的密码"),
    ("怎么申请退款？", "怎么申请退款呢"),
    ("北京明天天气怎么样", "北京明天的天气怎么样？"),
    ("请帮我预订一张去上海的火车票", "请帮我订一张去上海的火车票"),
    ("这个产品的保修期是多久", "这款产品的保修期是多久？"),
]
FAR = [
    ("How do I reset my password?", "What is the best way to cook rice?"),
    ("The meeting moved to Thursday afternoon.", "Our dog likes to swim in the lake."),
    ("Translate this sentence into German", "Please book a table for two"),
    ("如何重置我的密码？", "怎么申请退款？"),
    ("北京明天天气怎么样", "这个产品的保修期是多久"),
    ("请帮我预订一张去上海的火车票", "如何学习弹钢琴"),
    ("我喜欢吃苹果", "他昨天去了图书馆"),
    ("How do I reset my password?", "怎么申请退款"),
]
# Characters whose classes and cases Python and Rust agree on whatever Unicode version they know.
LETTERS = st.text("abcXYZ 019'’.,?-#+%éßÄ ＡＢ，。你好天气密码👍👎\n\u0301", max_size=30)


def mix(number: int) -> int:
    number = (number ^ number >> 33) * 0xFF51AFD7ED558CCD & MASK
    number = (number ^ number >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return number ^ number >> 33


def fold(kind: int, values: list[int]) -> int:
    hashed = 0xCBF29CE484222325
    for value in [kind, *values]:
        hashed = (hashed ^ value) * 0x100000001B3 & MASK
    return mix(hashed)


def slow_units(normal: str) -> list[tuple[str, bool]]:
    """Split into words, and characters and symbols that stand alone; the flag tells words."""
    units: list[tuple[str, bool]] = []
    word = ""
    for c in normal + "\n":
        alone = "\u4e00" <= c <= "\u9fff" or c in "#$%&+<=>@" or ord(c) > 0x1F000
        if not alone and (c.isalnum() or (word and unicodedata.combining(c))):
            word += c
        elif alone or c not in "'’":
            units += [(word, True)] if word else []
            units += [(c, False)] if alone else []
            word = ""
    return units


def slow_row(text: str, dim: int) -> list[float]:
    """Write the method down again, with nothing clever in it."""
    normal = "".join(c.lower() for c in unicodedata.normalize("NFKC", text))
    units = slow_units(normal)
    full: Counter[int] = Counter()
    half: Counter[int] = Counter()
    hashes = [fold(1 if is_word else 2, [ord(c) for c in unit]) for unit, is_word in units]
    full.update(hashes)
    for (_, first), (_, second), pair in zip(units, units[1:], itertools.pairwise(hashes), strict=False):
        (half if first or second else full)[fold(3, list(pair))] += 1
    for unit, is_word in units:
        if is_word and len(unit) > 2:
            padded = [ord(c) for c in f" {unit} "]
            full.update(fold(4, padded[i : i + 3]) for i in range(len(unit)))
    row = [0.0] * dim
    for counts, weight in ((full, 1.0), (half, 0.5)):
        for hashed, n in sorted(counts.items()):
            row[(hashed >> 32) * dim >> 32] += (1 if hashed & 1 else -1) * weight * math.sqrt(n)
    if not any(row):
        hashed = fold(5, [ord(c) for c in normal if not c.isspace()])
        row[(hashed >> 32) * dim >> 32] = 1 if hashed & 1 else -1
    length = math.sqrt(sum(x * x for x in row))
    return [x / length for x in row]


def cosine(a: str, b: str) -> float:
    rows = rolecore.HashingEmbedder().embed([a, b])
    return float(rows[0] @ rows[1])


@given(texts=st.lists(LETTERS, max_size=4), dim=st.sampled_from([1, 2, 16, 384]))
def test_embed_any_texts_equals_slow_oracle(texts: list[str], dim: int) -> None:
    rows = rolecore.HashingEmbedder(dim).embed(texts)
    assert rows.shape == (len(texts), dim)
    for row, text in zip(rows, texts, strict=True):
        assert row == pytest.approx(slow_row(text, dim), abs=1e-6)


@given(text=st.text())
def test_embed_any_text_gives_a_unit_row(text: str) -> None:
    rows = rolecore.HashingEmbedder().embed([text])
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows[0].astype(np.float64)) == pytest.approx(1, abs=1e-6)


def test_embed_golden_rows_stay_the_same_bits() -> None:
    # A change here is a change of rows that users have stored: raise VERSION in rust/core/src/hashing.rs with it.
    texts = [text for pair in NEAR + FAR for text in pair] + [
        "",
        " ",
        "?!",
        "👍",
        "Ａ１ é 12.5% C# C++",
        "don't don’t",
        "नमस्ते",
    ]
    rows = rolecore.HashingEmbedder(64).embed(texts)
    digest = hashlib.sha256(rows.astype("<f4").tobytes()).hexdigest()
    assert rolecore.HashingEmbedder(64).model_id == "rolecore-hashing-v1-64"
    assert digest == "b7820e55fcad10d3954d304badae947a3ca2363c8896d7b594911af7fea0178f"


@pytest.mark.parametrize(("a", "b"), NEAR)
def test_embed_near_duplicates_score_high(a: str, b: str) -> None:
    assert cosine(a, b) > 0.8


@pytest.mark.parametrize(("a", "b"), FAR)
def test_embed_unrelated_texts_score_low(a: str, b: str) -> None:
    assert cosine(a, b) < 0.25


def test_embed_texts_that_say_nothing_are_like_their_own_kind_only() -> None:
    rows = rolecore.HashingEmbedder().embed(["", " \n", "...", "?!", "hello"])
    likeness = rows @ rows.T
    assert likeness[0, 1] == 1
    assert np.count_nonzero(likeness > 0.5) == 5 + 2


def test_embed_lone_surrogate_is_taken_as_replacement_character() -> None:
    rows = rolecore.HashingEmbedder().embed(["a\ud800b", "a\ufffdb", "\udfff", "\ufffd"])
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[2], rows[3])


def test_embed_takes_any_iterable_and_gives_a_new_array() -> None:
    embedder = rolecore.HashingEmbedder(dim=8)
    rows = embedder.embed(text for text in ("one", "two"))
    assert rows.flags.c_contiguous
    assert rows.flags.writeable
    rows[:] = 0
    assert np.abs(embedder.embed(("one", "two"))).sum() > 0
    assert embedder.embed([]).shape == (0, 8)


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        ("one", "texts is of type str; it must be an iterable of strings"),
        (None, "texts is None; it must be an iterable"),
        (["one", b"two"], r"texts\[1\] is of type bytes; it must be a str"),
    ],
)
def test_embed_what_are_no_texts_raises(texts: Any, what: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=what):
        rolecore.HashingEmbedder().embed(texts)


@pytest.mark.parametrize("dim", [0, -1, 65_537, 1 << 70, 1.5, "8", None, True])
def test_embedder_of_bad_dim_raises(dim: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match="dim is "):
        rolecore.HashingEmbedder(dim)


def test_embedder_when_pickled_gives_the_same_rows() -> None:
    embedder = rolecore.HashingEmbedder(77)
    copy = pickle.loads(pickle.dumps(embedder))
    assert repr(copy) == repr(embedder) == "HashingEmbedder(dim=77)"
    assert copy.model_id == embedder.model_id
    assert np.array_equal(copy.embed(["x"]), embedder.embed(["x"]))


def test_embed_from_threads_gives_the_same_rows() -> None:
    embedder = rolecore.HashingEmbedder()
    texts = [f"sentence number {i} 第{i}句" for i in range(500)]
    expected = embedder.embed(texts)
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(np.array_equal(embedder.embed(texts), expected))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_fit_takes_a_hashing_embedder() -> None:
    said = [{"role": "user", "content": f"I paid {i} euros to Anna."} for i in range(30)]
    said[9] = {"role": "user", "content": "The dentist's appointment is moved."}
    window = rolecore.fit(said, 40, query="dentists appointments", keep_last=0, embedder=rolecore.HashingEmbedder())
    assert 9 in window.sources
