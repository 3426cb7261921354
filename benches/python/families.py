"""Writes a tokenizer.json of each known kind from a rank file: the same merges, the pre-tokenisers of other models.

None of these is a model's own file. They are for comparing readers of the format, which must agree on any vocabulary.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{TAIL}"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
QWEN35 = (
    rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ADDED = {"<|endoftext|>": True, "<|im_start|>": True, "<think>": False, "</think>": False}


def byte_letters() -> list[str]:
    """Return GPT-2's letter for each byte."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


def read_ranks(path: Path) -> dict[bytes, int]:
    """Return the rank of each token of a `.tiktoken` file."""
    lines = (line.split() for line in path.read_bytes().splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def pair_of(token: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """Return the two tokens whose merge makes this one: what is left when only lower ranks may merge."""
    parts = [token[i : i + 1] for i in range(len(token))]
    limit = ranks[token]
    while len(parts) > 2:
        candidates = [(ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1)]
        rank, i = min(candidates)
        assert rank < limit, "no token is made of others only"
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0], parts[1]


def split(pattern: str) -> dict[str, Any]:
    """Return a step that cuts at a pattern."""
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def byte_level(*, use_regex: bool) -> dict[str, Any]:
    """Return the step that writes bytes as letters, and with `use_regex` cuts as GPT-2 does."""
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def sequence(*patterns: str) -> dict[str, Any]:
    """Return the steps that cut at some patterns in turn."""
    return {"type": "Sequence", "pretokenizers": [*map(split, patterns), byte_level(use_regex=False)]}


# Of each family: the steps, the normaliser, whether a whole piece that is a token is taken without merging.
FAMILIES: dict[str, tuple[dict[str, Any], str | None, bool]] = {
    "llama3": (sequence(LLAMA3), None, True),
    "qwen2": (sequence(QWEN2), "NFC", False),
    "qwen3.5": (sequence(QWEN35), "NFC", False),
    "deepseek": (sequence(r"\p{N}{1,3}", r"[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK), None, False),
    "gpt2": (byte_level(use_regex=True), None, False),
}


def write(folder: Path, name: str, rank_file: Path) -> Iterator[Path]:
    """Write a file of each family with the merges of `rank_file` into `folder`; yield their paths."""
    letters = byte_letters()
    ranks = read_ranks(rank_file)

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [[*map(spelled, pair_of(token, ranks))] for token in sorted(ranks, key=ranks.__getitem__) if token[1:]]
    vocab = {spelled(token): rank for token, rank in ranks.items()}
    added = [
        {"id": len(vocab) + i, "content": content, "special": is_special, "normalized": False}
        | dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
        for i, (content, is_special) in enumerate(ADDED.items())
    ]
    for family, (steps, normalizer, ignore_merges) in FAMILIES.items():
        model = {"type": "BPE", "vocab": vocab, "merges": merges, "ignore_merges": ignore_merges}
        nulls = dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"))
        file = {
            "version": "1.0",
            "added_tokens": added,
            "normalizer": {"type": normalizer} if normalizer else None,
            "pre_tokenizer": steps,
            "post_processor": None,
            "decoder": byte_level(use_regex=True),
            "model": {**nulls, "fuse_unk": False, "byte_fallback": False, **model},
        }
        path = folder / f"{name}-{family}.json"
        path.write_text(json.dumps(file), encoding="utf-8")
        yield path
