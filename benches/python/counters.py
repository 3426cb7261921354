"""What counts a text with each library, by the library's name on PyPI, in its fastest form.

All load their vocabulary offline: their own, or the file that litellm carries under the name of tiktoken's cache.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from texts import folder_of, vocabularies

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable

    Counter = Callable[[str], int]

# Under the names of tiktoken's cache.
ENCODING_FILES = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}
# Optional, see requirements-token-peers.txt; the module that tells whether a peer is there.
PEERS = {"toktok-rs": "toktok", "quicktok-v1": "quicktok", "gigatoken": "gigatoken", "fastokens": "fastokens"}


def is_installed(name: str) -> bool:
    """Whether a peer can be measured."""
    return folder_of(PEERS[name]) is not None


def tiktoken_encoding(vocabulary: str) -> Any:
    """Return tiktoken's encoding, without the network."""
    os.environ["TIKTOKEN_CACHE_DIR"] = str(vocabularies())
    import tiktoken

    return tiktoken.get_encoding(vocabulary)


def o200k_file() -> str:
    """Return the path of the published vocabulary."""
    return str(vocabularies() / ENCODING_FILES["o200k_base"])


def counter(name: str, vocabulary: str) -> Counter:
    """Return what counts; the peers but for tiktoken are asked for o200k_base only."""
    if name == "rolecore":
        return rolecore.tokenizer(vocabulary).count
    if name == "tiktoken":
        encode = tiktoken_encoding(vocabulary).encode_ordinary
        return lambda text: len(encode(text))
    return {"toktok-rs": toktok, "quicktok-v1": quicktok, "gigatoken": gigatoken, "fastokens": fastokens}[name]()


def toktok() -> Counter:
    # Its public function takes a list and a number of threads: this is what it calls for each text.
    import toktok

    count: Counter = toktok._encoding("o200k_base").count
    return count


def quicktok() -> Counter:
    import quicktok

    count: Counter = quicktok.get_encoding("o200k_base").count
    return count


def gigatoken() -> Counter:
    import gigatoken

    encode = gigatoken.Tokenizer.from_tiktoken(o200k_file(), pretokenizer="o200k", special_tokens={}).backend.encode
    return lambda text: len(encode(text))


def fastokens() -> Counter:
    # Its segment cache keeps whole texts and stays off, as it is by default: here no text is a part of a longer one.
    from fastokens._native import Tokenizer

    encode = Tokenizer.from_tiktoken(o200k_file(), encoding="o200k_base", special_tokens={}).encode_ordinary
    return lambda text: len(encode(text))
