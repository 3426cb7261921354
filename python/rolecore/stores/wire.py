"""Messages as text and back: what comes out is exactly what went in, types included, or the message is refused."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from rolecore.errors import ArgumentError, MessageError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Far above what tools and their results nest, far below what Python's parser and databases stop at.
MAX_DEPTH = 128

# Two code points that JSON's escapes would join into one character.
_SPLIT_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
# Made once, as `json.dumps` would for each message. What is circular is too deep, and refused before.
_ASCII = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
_RAW = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
_PLAIN = frozenset({str, int, float, bool, type(None)})
_WANTED = "it must be a dict that JSON can hold: dict, list, str, int, float, bool and None themselves, with str keys"


def encode(messages: Iterable[dict[str, Any]]) -> list[str]:
    r"""Return an ASCII text for each message: its JSON, with NUL and lone surrogates as escapes.

    Where a string holds the two halves of a surrogate pair as two code points, which JSON's escapes cannot tell from
    the character, it is "x" and then the JSON without escapes, in hexadecimal UTF-8 that lets surrogates pass.

    Raises:
        ArgumentError: `messages` is no iterable of messages, or there is none.
        MessageError: a message is not a dict that JSON can hold exactly, or nests more than `MAX_DEPTH` deep.
        What `messages` raises while it is read.

    Example:
        >>> from rolecore.stores import wire
        >>> wire.encode([{"role": "user", "content": "\ud83d"}])
        ['{"role":"user","content":"\\ud83d"}']
    """
    try:
        # A dict or a string is iterable too, and never meant.
        source = None if isinstance(messages, (str, bytes, dict)) else iter(messages)
    except TypeError:
        source = None
    if source is None:
        msg = f"messages is of type {type(messages).__name__}; it must be a list of dicts"
        raise ArgumentError(msg)
    items = list(source)
    if not items:
        msg = "messages is empty; append at least one"
        raise ArgumentError(msg)
    return [_encode_one(message, i) for i, message in enumerate(items)]


def decode(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Return the messages that `encode` made these texts of.

    Raises:
        StoreError: a text is not one of its texts: the store is damaged.
    """
    messages = []
    for i, text in enumerate(texts):
        try:
            plain = bytes.fromhex(text[1:]).decode("utf-8", "surrogatepass") if text.startswith("x") else text
            message = json.loads(plain)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:  # a file may hold other than text
            raise _damaged(i) from error
        if type(message) is not dict:
            raise _damaged(i)
        messages.append(message)
    return messages


def _encode_one(message: object, index: int) -> str:
    _check_exact(message, index)
    try:
        text = _ASCII.encode(message)
    except ValueError:
        msg = f"message {index} holds NaN, an infinity or an int of thousands of digits; {_WANTED}"
        raise MessageError(msg, index) from None
    if "\\ud" in text:
        raw = _RAW.encode(message)
        if _SPLIT_PAIR.search(raw):
            return "x" + raw.encode("utf-8", "surrogatepass").hex()
    return text


def _check_exact(message: object, index: int) -> None:
    if type(message) is not dict:
        msg = f"message {index} is of type {type(message).__name__}; {_WANTED}"
        raise MessageError(msg, index)
    ahead: list[tuple[dict[Any, Any] | list[Any], int]] = [(message, 1)]
    while ahead:
        value, depth = ahead.pop()
        if depth > MAX_DEPTH:
            msg = f"message {index} nests more than {MAX_DEPTH} deep; flatten it, or put the inner part in as JSON text"
            raise MessageError(msg, index)
        if type(value) is dict:
            bad = next((type(key) for key in value if type(key) is not str), None)
            if bad is not None:
                msg = f"message {index} holds a key of type {bad.__name__}; {_WANTED}"
                raise MessageError(msg, index)
        for item in value.values() if isinstance(value, dict) else value:
            kind = type(item)
            if kind in _PLAIN:
                continue
            if kind is not dict and kind is not list:
                msg = f"message {index} holds a value of type {kind.__name__}; {_WANTED}"
                raise MessageError(msg, index)
            ahead.append((item, depth + 1))


def _damaged(index: int) -> StoreError:
    return StoreError(f"stored message {index} is damaged; restore the session from a backup, or delete it")
