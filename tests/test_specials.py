"""Special tokens: text unless they are allowed, and refused where they cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from token_files import tiny_file, write

import rolecore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def o200k() -> rolecore.Tokenizer:
    return rolecore.tokenizer("o200k_base")


def test_allowed_special_tokens_are_tokens() -> None:
    tok = rolecore.tokenizer("o200k_harmony")
    text = "<|start|>user<|message|>hi<|end|>"
    ids = [200006, 1428, 200008, 3686, 200007]
    for allowed in ("all", {"<|start|>", "<|message|>", "<|end|>"}, ["<|end|>", "<|start|>", "<|message|>"]):
        assert tok.encode(text, allowed_special=allowed) == ids
        assert tok.count(text, allowed_special=allowed) == len(ids)
    assert tok.encode(text, allowed_special=()) == tok.encode(text)
    assert tok.count(text, allowed_special=("<|end|>",)) == tok.count(text[:-7]) + 1


@pytest.mark.parametrize("bad", ["<|end|>", "", 3, None, [3], b"all"])
def test_allowed_special_of_another_kind_is_refused(o200k: rolecore.Tokenizer, bad: Any) -> None:
    with pytest.raises(
        rolecore.ArgumentError, match=r'allowed_special is .*; it must be "all" or an iterable of strings'
    ):
        o200k.count("text", allowed_special=bad)


def test_allowed_special_unknown_to_the_tokenizer_is_refused(o200k: rolecore.Tokenizer) -> None:
    with pytest.raises(rolecore.TokenizerError, match=r'"<\|start\|>" is no special token.*it has 2.*<\|endoftext\|>'):
        o200k.encode("text", allowed_special=["<|start|>"])


def test_allowed_special_of_a_file_are_its_own(tmp_path: Path) -> None:
    tok = rolecore.tokenizer(write(tmp_path / "tokenizer.json", tiny_file()))
    assert tok.encode("ab<|im_start|><think>", allowed_special="all") == [256, 301, 300]
    assert tok.count("ab<|im_start|><think>") > 3
    with pytest.raises(rolecore.TokenizerError, match=r"<think>.* is no special token"):
        tok.count("ab", allowed_special=["<think>"])
    file = tiny_file()
    file["added_tokens"][1]["lstrip"] = True
    bent = rolecore.tokenizer(write(tmp_path / "bent.json", file))
    assert bent.count("ab") == 1
    with pytest.raises(rolecore.TokenizerError, match="special token 301 takes blanks"):
        bent.count("ab", allowed_special="all")
