"""What fills the slots of the sentences: names, numbers, dates, codes, paths; made up or common knowledge.

slots.txt has a list a line, or one a language. `half` cuts a list by hash, so that the held-out sentences are filled
with words that the others never see.
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def half(text: str) -> int:
    """Return 0 for what the gate is made with, 1 for what is held out."""
    return hashlib.sha256(text.encode()).digest()[0] & 1


def read_lists() -> dict[str, tuple[list[str], list[str]]]:
    """Return what may fill each slot, in English and in Chinese."""
    lists: dict[str, tuple[list[str], list[str]]] = {}
    for line in Path(__file__).with_name("slots.txt").read_text(encoding="utf-8").splitlines():
        name, _, words = line.partition(": ")
        name, _, language = name.partition(" ")
        both = lists.setdefault(name, ([], []))
        for code, own in zip(("en", "zh"), both, strict=True):
            own.extend(words.split("|") if language in {"", code} else [])
    return lists


LISTS = read_lists()


def fillings(kind: str, *, is_chinese: bool, part: int) -> list[str]:
    """Return what fills a slot of `kind` in the sentences of one half; the whole list where a half has under three."""
    every = LISTS[kind][is_chinese]
    own = [word for word in every if half(word) == part]
    return own if len(own) > 2 else every
