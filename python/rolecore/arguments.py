"""Arguments that Python code reads: what is wrong with one is an error that names it, its kind and what it must be."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def read_count(value: Any, name: str, least: int = 1) -> int:  # noqa: ANN401  any argument
    """Return a whole number from `least`.

    Raises:
        ArgumentError: `value` is none.
    """
    wanted = f"it must be an int from {least}"
    try:
        number = operator.index(value)
    except TypeError:
        msg = f"{name} is of type {type(value).__name__}; {wanted}"
        raise ArgumentError(msg) from None
    if number < least or isinstance(value, bool):
        msg = f"{name} is {value}; {wanted}"
        raise ArgumentError(msg)
    return number


def read_message(message: Any) -> dict[str, Any] | list[dict[str, Any]]:  # noqa: ANN401  any argument
    """Return what is sent in one turn: the message, or a list, a new one, of messages that belong together.

    Raises:
        ArgumentError: it is neither, or the list is empty.
    """
    if type(message) is dict:
        return message
    if not isinstance(message, list):
        msg = f"message is of type {type(message).__name__}; it must be a dict or a list of dicts"
        raise ArgumentError(msg)
    if not message:
        msg = "message is an empty list; it must hold one message or more"
        raise ArgumentError(msg)
    for i, item in enumerate(message):
        if type(item) is not dict:
            msg = f"message[{i}] is of type {type(item).__name__}; it must be a dict"
            raise ArgumentError(msg)
    return list(message)


def read_texts(texts: Iterable[str]) -> list[str]:
    """Return the texts as a list, lone surrogates as U+FFFD.

    Raises:
        ArgumentError: `texts` is one string or no iterable, or an item is not a string.
    """
    if isinstance(texts, str):
        msg = "texts is of type str; it must be an iterable of strings"
        raise ArgumentError(msg)
    try:
        items = iter(texts)
    except TypeError:
        msg = f"texts is of type {type(texts).__name__}; it must be an iterable of strings"
        raise ArgumentError(msg) from None
    read = []
    for i, text in enumerate(items):
        if not isinstance(text, str):
            msg = f"texts[{i}] is of type {type(text).__name__}; it must be a str"
            raise ArgumentError(msg)
        read.append(_LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text))
    return read


def unit_rows(
    given: Any,  # noqa: ANN401  any array
    *,
    name: str,
    error: Callable[[str], Exception],
    n: int | None = None,
    dim: int | None = None,
) -> NDArray[np.float32]:
    """Return `given` as unit rows: a new array, float32, shape (n, dim), C-contiguous.

    Args:
        given: an array or nested lists of numbers, shape (n, dim), of any length but 0.
        name: what the error's message calls it; no value of it is ever shown.
        error: makes what is raised of a message.
        n: rows there must be; None for any number of them.
        dim: numbers a row must have; None for any number above 0.
    """
    import numpy as np

    wanted = f"it must be numbers, shape ({'n' if n is None else n}, {'dim' if dim is None else dim})"
    try:
        rows = np.asarray(given)
    except ValueError:
        msg = f"{name} is no array, as with rows of different lengths; {wanted}"
        raise error(msg) from None
    if rows.dtype.kind not in "fiu":
        msg = f"{name} is of dtype {rows.dtype.name}; {wanted}"
        raise error(msg)
    is_table = rows.ndim == 2 and rows.shape[1] > 0  # noqa: PLR2004  rows and columns
    if not is_table or n not in {None, rows.shape[0]} or dim not in {None, rows.shape[1]}:
        msg = f"{name} has shape {rows.shape}; {wanted}"
        raise error(msg)
    rows = rows.astype(np.float64)
    # By the largest number first, whose square may be too large or too small.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    for is_bad, what in ((~np.isfinite(largest), "a number that is not finite"), (largest == 0, "nothing but zeros")):
        if is_bad.any():
            msg = f"{name} has {what} in row {int(is_bad.argmax())}"
            raise error(msg)
    rows /= largest
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.astype(np.float32)
