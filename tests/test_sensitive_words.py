"""Sensitive words: what is found in a text, against a slow definition by Python's own tables."""

from __future__ import annotations

import unicodedata

import pytest
from alike_roles import Clock, Table
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rolecore import Role, Router

UNSEEN = {"\u200d", "\u200b", "\u00ad", "\ufeff", "\ufe0f", "\x07"}
TEXT = st.text(st.sampled_from([*"aAbBsSßſéＡａ密碼码ガが가각一1_.- \n\u3000\u00a0\u0301", *UNSEEN]), max_size=24)


def router_of(*words: str) -> Router:
    roles = [Role("chat"), Role("law", sensitive_words=words)]
    return Router(roles, embedder=Table({}), fallback="chat", clock=Clock())


def is_unspaced(c: str) -> bool:
    return c != " " and any(name in unicodedata.name(c, "") for name in ("CJK UNIFIED", "HIRAGANA", "KATAKANA"))


def plain(text: str) -> str:
    """Return the text as it is compared, by the docs."""
    kept = [c for c in unicodedata.normalize("NFKD", text) if c not in UNSEEN and not "\u0300" <= c <= "\u036f"]
    words = " ".join(unicodedata.normalize("NFC", "".join(kept).casefold()).split())
    return "".join(
        c
        for i, c in enumerate(words)
        if not (c == " " and 0 < i < len(words) - 1 and is_unspaced(words[i - 1]) and is_unspaced(words[i + 1]))
    )


def stands_in(word: str, text: str) -> bool:
    word, text = plain(word), plain(text)

    def joined(left: str, right: str) -> bool:
        return all(c.isalnum() and not is_unspaced(c) and "HANGUL" not in unicodedata.name(c) for c in (left, right))

    for start in range(len(text) - len(word) + 1):
        end = start + len(word)
        if text[start:end] == word:
            is_cut = start > 0 and joined(text[start - 1], word[0])
            if not is_cut and not (end < len(text) and joined(word[-1], text[end])):
                return True
    return False


@given(word=TEXT.filter(lambda word: plain(word) != ""), before=TEXT, after=TEXT, has_it=st.booleans())
@example(word="ss", before="ß", after="", has_it=False)
@example(word="a b", before="A\u3000\n", after="ｂ", has_it=False)
@settings(max_examples=400, deadline=None)
def test_words_are_found_as_by_the_slow_definition(*, word: str, before: str, after: str, has_it: bool) -> None:
    text = before + (word if has_it else "") + after
    found = router_of(word).route(text).reason == "sensitive word"
    assert found == stands_in(word, text)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("password", "PASS\u200bWORD"),
        ("password", "ｐａｓｓｗｏｒｄ"),
        ("password", "p\u0337a\u0337ssword"),
        ("password", "\U0001d429\U0001d41a\U0001d42c\U0001d42c\U0001d430\U0001d428\U0001d42b\U0001d41d"),  # bold
        ("密码", "密\ufe0f码"),
        ("密码", "我的 密 码 是"),
        ("credit card", "my Credit\u2003\u2009Card."),
        ("c++", "is C++ safe"),
        ("naïve", "NAIVE"),
    ],
)
def test_disguised_word_is_found(word: str, text: str) -> None:
    assert router_of(word).route(text).role.name == "law"


def test_of_two_roles_the_first_gets_the_query() -> None:
    roles = [Role(name, sensitive_words=[word]) for name, word in (("a", "tax"), ("b", "law"))]
    router = Router(roles, embedder=Table({}), clock=Clock())
    assert router.route("the law of tax").role.name == "a"
    assert router.route("the law").role.name == "b"


def test_many_words_in_a_long_text_take_bounded_time() -> None:
    router = router_of(*("a" * n for n in range(1, 40)))
    assert router.route("a" * 300_000).role.name == "chat"
