"""Messages in JSONB, which refuses some texts and changes some numbers and the order of keys."""

from __future__ import annotations

import json
import re
from typing import Any

# One escape sequence of JSON text, pairs of surrogates first.
_ESCAPE = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.")
_LONE = re.compile("[\ud800-\udfff]")
_MAY_BE_REFUSED = re.compile(r"\\u(?:0000|d[89a-f])")


def for_jsonb(text: str) -> tuple[str, str | None]:
    r"""Return a message's JSON as JSONB takes it, and its own text where JSONB would not give it back, else None.

    NUL and lone surrogates, which JSONB refuses, are U+FFFD in the first, so that the rest can be read and queried.
    JSONB sorts keys by their length, has one kind of number, in decimals, and no -0.0.

    Args:
        text: one of `stores.wire.encode`'s.

    Example:
        >>> from rolecore.stores import postgres_json
        >>> postgres_json.for_jsonb('{"role":"user","content":"Hello!"}')
        ('{"role":"user","content":"Hello!"}', None)
        >>> postgres_json.for_jsonb(r'{"role":"user","content":"a\u0000b"}')
        ('{"role":"user","content":"a\\ufffdb"}', '{"role":"user","content":"a\\u0000b"}')
    """
    if text.startswith("x"):
        raw = bytes.fromhex(text[1:]).decode("utf-8", "surrogatepass")
        return _ESCAPE.sub(_allowed, _LONE.sub("\ufffd", raw)), text
    if _MAY_BE_REFUSED.search(text):
        shown = _ESCAPE.sub(_allowed, text)
        if shown != text:
            return shown, text
    return text, None if _comes_back(text) else text


def _allowed(escape: re.Match[str]) -> str:
    sequence = escape[0]
    is_refused = len(sequence) == len(r"\u0000") and (sequence == r"\u0000" or sequence[2:4] in _SURROGATES)
    return r"\ufffd" if is_refused else sequence


_SURROGATES = frozenset({"d8", "d9", "da", "db", "dc", "dd", "de", "df"})


def _comes_back(text: str) -> bool:
    """Whether JSONB returns the same keys in the same order, and each float with the same digits."""
    is_same = True

    def see_keys(pairs: list[tuple[str, Any]]) -> None:
        nonlocal is_same
        keys = [key.encode() for key, _ in pairs]
        is_same = is_same and keys == sorted(keys, key=lambda key: (len(key), key))

    def see_float(digits: str) -> None:
        nonlocal is_same
        is_same = is_same and "e" not in digits and digits != "-0.0"

    json.loads(text, object_pairs_hook=see_keys, parse_float=see_float)
    return is_same
