"""Counting: known answers of tiktoken, odd input, a tokenizer.json written here, every refusal by name."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_files import TEXTS, tiny_file, write

import rolecore

if TYPE_CHECKING:
    from pathlib import Path

# Ids of tiktoken 0.14.0, `encode_ordinary`.
KNOWN = {
    "o200k_base": [
        ("hello world", [24912, 2375]),
        ("I'll don't WE'VE it'\u017f", [67504, 4128, 26919, 6, 19511, 480, 6, 70067]),
        ("上下文窗口必须在预算之内。", [176919, 4883, 165707, 82654, 2178, 130436, 10708, 9227, 788]),
        ("a   b\n\n  c \t\r\n", [64, 256, 287, 279, 220, 274, 220, 7709]),
        (
            "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 ok",
            [28823, 101, 2524, 28823, 102, 2524, 28823, 100, 2524, 28823, 99, 4763],
        ),
        ("<|endoftext|>", [27, 91, 419, 1440, 919, 91, 29]),
        ("\x00\x00", [156344]),
        ("x = 1  \n  ", [87, 314, 220, 16, 4066, 256]),
    ],
    "cl100k_base": [
        ("hello world", [15339, 1917]),
        ("I'll don't WE'VE it'\u017f", [40, 3358, 1541, 956, 20255, 6, 4592, 433, 6, 129, 123]),
        (
            "上下文窗口必须在预算之内。",
            [17905, 17297, 17161, 91739, 245, 40526, 59614, 14167, 119, 19000, 99941, 70203, 55030, 32943, 1811],
        ),
        ("a   b\n\n  c \t\r\n", [64, 256, 293, 271, 220, 272, 220, 4574]),
        ("<|endoftext|>", [27, 91, 8862, 728, 428, 91, 29]),
        ("\x00\x00", [188, 188]),
        ("x = 1  \n  ", [87, 284, 220, 16, 2355, 256]),
    ],
}


@pytest.fixture(scope="module")
def o200k() -> rolecore.Tokenizer:
    return rolecore.tokenizer("o200k_base")


@pytest.mark.parametrize(
    ("name", "text", "ids"), [(name, text, ids) for name, cases in KNOWN.items() for text, ids in cases]
)
def test_encode_known_text_gives_ids_of_tiktoken(name: str, text: str, ids: list[int]) -> None:
    tok = rolecore.tokenizer(name)
    assert tok.encode(text) == ids
    assert tok.count(text) == len(ids)
    assert tok.count_batch([text, "", text]) == [len(ids), 0, len(ids)]
    assert tok.decode(ids) == text


def test_tokenizer_model_name_is_its_encoding() -> None:
    names = {
        "gpt-4o-mini": "o200k_base",
        "gpt-5.1": "o200k_base",
        "gpt-4-0613": "cl100k_base",
        "gpt-oss-20b": "o200k_harmony",
    }
    assert {name: rolecore.tokenizer(name).name for name in names} == names


def test_tokenizer_unknown_name_lists_known_ones_and_way_out() -> None:
    with pytest.raises(
        rolecore.TokenizerError, match=r'"claude".*o200k_base, cl100k_base, o200k_harmony.*tokenizer\.json'
    ):
        rolecore.tokenizer("claude")


def kind(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


@pytest.mark.parametrize("bad", [None, 3, b"gpt-4o", ["gpt-4o"]])
def test_tokenizer_no_name_no_path_is_refused(bad: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match=f"name_or_path is {kind(bad)}; it must be"):
        rolecore.tokenizer(bad)


def test_tokenizer_missing_file_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "tokenizer.json", str(tmp_path / "tokenizer.json"), tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="No such file"):
            rolecore.tokenizer(path)


@pytest.mark.parametrize("bad", [None, 3, b"x", ["x"]])
def test_methods_without_string_name_its_type(o200k: rolecore.Tokenizer, bad: Any) -> None:
    for call in (
        o200k.count,
        o200k.encode,
        lambda text: o200k.truncate(text, 1),
        lambda text: o200k.count_batch([text]),
    ):
        with pytest.raises(rolecore.ArgumentError, match=f"is {kind(bad)}; it must be a str"):
            call(bad)


@pytest.mark.parametrize("bad", ["hello", None, 3])
def test_count_batch_without_iterable_of_strings_is_refused(o200k: rolecore.Tokenizer, bad: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match="it must be an iterable of strings"):
        o200k.count_batch(bad)


def test_count_batch_takes_any_iterable(o200k: rolecore.Tokenizer) -> None:
    assert o200k.count_batch(iter(["hello", "hello world"])) == [1, 2]
    assert o200k.count_batch(()) == []


def test_count_batch_failing_iterable_raises_its_own_error(o200k: rolecore.Tokenizer) -> None:
    with pytest.raises(ZeroDivisionError):
        o200k.count_batch(str(1 // n) for n in (1, 0))


def test_count_lone_surrogates_as_replacement(o200k: rolecore.Tokenizer) -> None:
    for text in ("a\ud800b", "\udfff", "\ud83d\ude00", "é\udc80" * 20, "\ud7ff\ud800"):
        replaced = "".join("\ufffd" if 0xD800 <= ord(c) < 0xE000 else c for c in text)
        assert o200k.encode(text) == o200k.encode(replaced)
        assert o200k.count(text) == o200k.count(replaced)


def test_truncate_lone_surrogates_gives_true_prefix_and_suffix(o200k: rolecore.Tokenizer) -> None:
    text = "one \ud800 two é\udfff three 你好 \ud83d four"
    for limit in range(o200k.count(text) + 2):
        head, tail = o200k.truncate(text, limit), o200k.truncate(text, limit, side="tail")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert max(o200k.count(head), o200k.count(tail)) <= limit


def test_truncate_cuts_at_token_ends(o200k: rolecore.Tokenizer) -> None:
    text = "The quick brown fox jumps over the lazy dog"
    assert o200k.truncate(text, 3) == "The quick brown"
    assert o200k.truncate(text, 3, side="tail") == " the lazy dog"
    assert o200k.truncate(text, 9) == text
    assert o200k.truncate(text, 10**30) == text
    assert o200k.truncate(text, 0) == ""


@pytest.mark.parametrize(
    ("limit", "side", "named"),
    [
        (-1, "head", "max_tokens is -1"),
        (-(10**30), "head", "max_tokens is below"),
        ("3", "head", "of type str"),
        (1.5, "head", "float"),
    ],
)
def test_truncate_bad_limit_is_refused(o200k: rolecore.Tokenizer, limit: Any, side: str, named: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=named):
        o200k.truncate("text", limit, side=side)


def test_truncate_bad_side_is_refused(o200k: rolecore.Tokenizer) -> None:
    with pytest.raises(rolecore.ArgumentError, match='"middle"; it must be "head" or "tail"'):
        o200k.truncate("text", 1, side="middle")
    with pytest.raises(TypeError):
        o200k.truncate("text", 1, "tail")  # type: ignore[call-arg]


@pytest.mark.parametrize("bad", [[-1], [2**32], ["a"], 3, None, [200_019], [10**6]])
def test_decode_bad_ids_are_refused(o200k: rolecore.Tokenizer, bad: Any) -> None:
    with pytest.raises((rolecore.ArgumentError, rolecore.TokenizerError)):
        o200k.decode(bad)


def test_decode_of_a_length_that_lies_is_an_error(o200k: rolecore.Tokenizer) -> None:
    class Long(list[int]):
        def __len__(self) -> int:
            return 2**62

    assert o200k.decode(Long([24912, 2375])) == "hello world"
    assert o200k.decode(iter([24912, 2375])) == "hello world"
    for ids in (range(10**13), range(2**62)):
        with pytest.raises(rolecore.TokenizerError, match="token 199998 is not in the vocabulary"):
            o200k.decode(ids)


def test_iterables_that_fail_raise_their_own_error(o200k: rolecore.Tokenizer) -> None:
    class Failing:
        def __iter__(self) -> Any:
            raise ZeroDivisionError

        def __index__(self) -> int:
            raise ZeroDivisionError

    for call in (
        lambda: o200k.decode(Failing()),
        lambda: o200k.decode([Failing()]),  # type: ignore[list-item]
        lambda: o200k.count_batch(Failing()),
        lambda: o200k.count("a", allowed_special=Failing()),
    ):
        with pytest.raises(ZeroDivisionError):
            call()


def test_decode_part_of_character_gives_replacement(o200k: rolecore.Tokenizer) -> None:
    assert "\ufffd" in o200k.decode(o200k.encode("\U0001f9d9")[:1])
    assert rolecore.tokenizer("o200k_harmony").decode([200006, 199999]) == "<|start|><|endoftext|>"


@pytest.mark.parametrize(("text", "n"), [(" ", 7813), ("a", 125_000), ("\n", 62_500), ("\x00", 500_000)])
def test_count_million_equal_characters_ends_soon(o200k: rolecore.Tokenizer, text: str, n: int) -> None:
    assert o200k.count(text * 10**6) == n


@pytest.mark.slow
def test_count_hundred_megabytes_is_linear_and_keeps_nothing(o200k: rolecore.Tokenizer) -> None:
    assert o200k.count("hello " * 16_000_000) == 16_000_001
    assert o200k.count("a" * 10**8) == 12_500_000
    assert o200k.count_until("hello " * 16_000_000, 10) is None


@given(text=TEXTS, limit=st.integers(0, 30))
def test_count_encode_decode_and_truncate_agree(text: str, limit: int) -> None:
    for name in KNOWN:
        tok = rolecore.tokenizer(name)
        ids = tok.encode(text)
        assert tok.count(text) == len(ids)
        assert tok.decode(ids) == text
        head, tail = tok.truncate(text, limit), tok.truncate(text, limit, side="tail")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert max(tok.count(head), tok.count(tail)) <= limit
        assert len(ids) > limit or head == tail == text


def test_count_from_many_threads_is_the_same(o200k: rolecore.Tokenizer) -> None:
    text = "The quick brown fox 你好 " * 1000
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(o200k.count(text))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [o200k.count(text)] * 8


def test_tokenizer_copies_and_pickles(
    o200k: rolecore.Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert copy.copy(o200k) is o200k
    assert copy.deepcopy(o200k) is o200k
    assert pickle.loads(pickle.dumps(o200k)).name == "o200k_base"
    assert repr(o200k) == 'rolecore.tokenizer("o200k_base")'
    write(tmp_path / "tiny.json", tiny_file())
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps(rolecore.tokenizer("tiny.json"))
    monkeypatch.chdir("/")
    assert pickle.loads(pickled).encode("abc") == [257]


def test_tokenizer_json_file_counts_by_its_own_merges(tmp_path: Path) -> None:
    path = write(tmp_path / "tokenizer.json", tiny_file())
    for tok in (rolecore.tokenizer(path), rolecore.tokenizer(str(path))):
        assert tok.encode("abc ab<think>é<|im_start|>")[:6] == [257, 32, 256, 300, 0xC3, 0xA9]
        assert tok.decode([257, 301]) == "abc<|im_start|>"
        assert tok.name == str(path)
        assert tok.reply_tokens == 3


def test_tokenizer_file_without_json_suffix_is_read_when_it_exists(tmp_path: Path) -> None:
    path = write(tmp_path / "vocabulary", tiny_file())
    assert rolecore.tokenizer(str(path)).encode("abc") == [257]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": {"type": "Unigram"}}, "model type Unigram"),
        ({"model": {"type": "BPE", "dropout": 0.1}}, "dropout"),
        ({"model": {"type": "BPE", "byte_fallback": True}}, "byte_fallback"),
        ({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}, "unk_token"),
        ({"normalizer": {"type": "NFKC"}}, "normalizer NFKC"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "add_prefix_space"),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer Whitespace"),
        (
            {
                "pre_tokenizer": {
                    "type": "Split",
                    "pattern": {"Regex": r"\p{L}++"},
                    "behavior": "Isolated",
                    "invert": False,
                }
            },
            r"possessive quantifier `\+\+`",
        ),
        (
            {
                "pre_tokenizer": {
                    "type": "Split",
                    "pattern": {"Regex": r"(?<!a)b"},
                    "behavior": "Isolated",
                    "invert": False,
                }
            },
            "look-around",
        ),
        ({"added_tokens": [{"id": 1, "content": "x", "special": False, "rstrip": True}]}, "rstrip"),
    ],
)
def test_tokenizer_json_that_would_miscount_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    path = write(tmp_path / "tokenizer.json", tiny_file() | change)
    with pytest.raises(rolecore.TokenizerError, match=f"cannot be counted exactly.*{named}"):
        rolecore.tokenizer(path)


def test_tokenizer_json_cut_short_says_where(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(tiny_file())[:500], encoding="utf-8")
    with pytest.raises(rolecore.TokenizerError, match=r"not a whole tokenizer\.json.*line 1 column 500"):
        rolecore.tokenizer(path)
    path.write_bytes(b"")
    with pytest.raises(rolecore.TokenizerError, match="not a whole"):
        rolecore.tokenizer(path)


def test_count_until_gives_the_count_up_to_its_limit(o200k: rolecore.Tokenizer) -> None:
    text = "The quick brown fox 你好 " * 50
    n = o200k.count(text)
    assert o200k.count_until(text, n) == n
    assert o200k.count_until(text, 10**30) == n
    assert o200k.count_until(text, n - 1) is None
    assert o200k.count_until("", 0) == 0
    assert o200k.count_until("a", 0) is None
    with pytest.raises(rolecore.ArgumentError, match="limit is -1"):
        o200k.count_until(text, -1)
    with pytest.raises(rolecore.ArgumentError, match="text is None; it must be a str"):
        o200k.count_until(None, 1)  # type: ignore[arg-type]


def test_count_batch_by_threads_is_the_same(o200k: rolecore.Tokenizer) -> None:
    texts = ["word, 你好 " * (i * i % 90) for i in range(200)]
    for threads in (1, 2, 7, 10**30):
        assert o200k.count_batch(texts, threads=threads) == [o200k.count(text) for text in texts]
    for bad, shown in ((0, "0"), (-1, "-1"), (True, "of type bool"), (1.5, "of type float")):
        with pytest.raises(rolecore.ArgumentError, match=f"threads is {shown}; it must be an int from 1"):
            o200k.count_batch(texts, threads=bad)  # type: ignore[arg-type]


def test_count_many_vocabularies_in_many_threads_do_not_mix(tmp_path: Path) -> None:
    """The merged parts that are remembered are those of one vocabulary each."""
    files = [tiny_file(merges=merges) for merges in (["a b", "ab c"], ["a b"], [])]
    toks = [rolecore.tokenizer(write(tmp_path / f"{i}.json", file)) for i, file in enumerate(files)]
    toks += [rolecore.tokenizer(name) for name in KNOWN]
    texts = ["abcab xabcabcabz", "bcabc", "zqxjkv" * 3, "abc" * 40]
    expected = [[len(tok.encode(text)) for text in texts] for tok in toks]
    wrong: list[object] = []

    def count() -> None:
        for _ in range(100):
            for tok, counts in zip(toks, expected, strict=True):
                wrong.extend(n for text, n in zip(texts, counts, strict=True) if tok.count(text) != n)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
