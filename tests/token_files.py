"""A tiny tokenizer.json, and odd texts to count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(max_size=80) | st.lists(
    st.sampled_from(
        ["你好", "e\u0301", "👨‍👩‍👧", "'s", "'LL", " ", "   ", "\n", "\r\n", "hello", "HTTPServer", "12345", "\x00"]
    )
).map("".join)


def byte_letters() -> list[str]:
    """Return GPT-2's letter for each byte."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def tiny_file(**model: Any) -> dict[str, Any]:
    vocab = {letter: byte for byte, letter in enumerate(byte_letters())} | {"ab": 256, "abc": 257}
    return {
        "added_tokens": [
            {"id": 300, "content": "<think>", "special": False, "normalized": False},
            {"id": 301, "content": "<|im_start|>", "special": True, "normalized": False},
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["a b", "ab c"], **model},
    }


def write(path: Path, file: dict[str, Any]) -> Path:
    path.write_text(json.dumps(file), encoding="utf-8")
    return path
