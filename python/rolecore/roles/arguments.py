"""What roles are told, checked: who does something, names, texts, users and times. No message shows a user's id."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_NAME = 256  # characters of a role's, a permission's and a user's name
MAX_USERS = 10_000  # of one call: they make one event


@dataclass(frozen=True, slots=True)
class Principal:
    """Who does something.

    Args:
        user_id: 1 to 256 characters; shown in no message.
        is_admin: may grant what is sensitive, and decide on what others ask for.

    Raises:
        ArgumentError: `user_id` is no name, or `is_admin` no bool.
    """

    user_id: str = field(repr=False)
    is_admin: bool = False

    def __post_init__(self) -> None:
        """Check both."""
        read_name(self.user_id, "user_id")
        read_flag(self.is_admin, "is_admin")  # "false" would be taken for true


def read_function(value: Any, what: str, takes: str) -> None:  # noqa: ANN401  any argument
    """Raise ArgumentError unless `value` can be called.

    Args:
        value: what was given.
        what: its name, for the message.
        takes: what it is called with, for the message.
    """
    if not callable(value):
        msg = f"{what} is of type {type(value).__name__}; it must be a function that takes {takes}"
        raise ArgumentError(msg)


def read_name(value: Any, what: str) -> str:  # noqa: ANN401  any argument
    """Return a name: a str of 1 to `MAX_NAME` printable characters, not all of them spaces.

    Raises:
        ArgumentError: it is none.
    """
    wanted = f"it must be a str of 1 to {MAX_NAME} characters"
    if type(value) is not str:
        msg = f"{what} is of type {type(value).__name__}; {wanted}"
        raise ArgumentError(msg)
    if not 1 <= len(value) <= MAX_NAME:
        msg = f"{what} has {len(value)} characters; {wanted}"
        raise ArgumentError(msg)
    if not value.isprintable() or value.isspace():
        msg = f"{what} is blank, or holds a control character or half a surrogate pair; leave that out"
        raise ArgumentError(msg)
    return value


def read_flag(value: Any, what: str) -> bool:  # noqa: ANN401  any argument
    """Return a bool.

    Raises:
        ArgumentError: it is none.
    """
    if type(value) is not bool:
        msg = f"{what} is of type {type(value).__name__}; it must be a bool"
        raise ArgumentError(msg)
    return value


def read_text(value: Any, what: str) -> str:  # noqa: ANN401  any argument
    """Return a str.

    Raises:
        ArgumentError: it is none.
    """
    if type(value) is not str:
        msg = f"{what} is of type {type(value).__name__}; it must be a str"
        raise ArgumentError(msg)
    return value


def read_texts(values: Any, what: str) -> tuple[str, ...]:  # noqa: ANN401  any argument
    """Return an iterable of str as a tuple.

    Raises:
        ArgumentError: it is none, or one str, or one of them is blank.
    """
    texts = tuple(read_text(value, f"{what}[{i}]") for i, value in enumerate(_read_many(values, what)))
    for i, text in enumerate(texts):
        if not text.strip():
            msg = f"{what}[{i}] is blank; leave it out"
            raise ArgumentError(msg)
    return texts


def read_names(values: Any, what: str) -> tuple[str, ...]:  # noqa: ANN401  any argument
    """Return an iterable of names as a tuple, each once.

    Raises:
        ArgumentError: it is none, or one str.
    """
    return tuple(dict.fromkeys(read_name(value, f"{what}[{i}]") for i, value in enumerate(_read_many(values, what))))


def read_users(values: Any) -> tuple[str, ...]:  # noqa: ANN401  any argument
    """Return user ids, each once, up to `MAX_USERS`.

    Raises:
        ArgumentError: they are none, or too many.
    """
    users = read_names(values, "users")
    if len(users) > MAX_USERS:
        msg = f"users has {len(users)} of them, it may have {MAX_USERS}; make several calls"
        raise ArgumentError(msg)
    return users


def read_principal(value: Any) -> Principal:  # noqa: ANN401  any argument
    """Return a `Principal`.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(value, Principal):
        msg = f"by is of type {type(value).__name__}; it must be a Principal"
        raise ArgumentError(msg)
    return value


def read_now(clock: Callable[[], float]) -> float:
    """Return what a clock says.

    Raises:
        ArgumentError: it is no finite number.
    """
    now = clock()
    if not isinstance(now, (int, float)) or not math.isfinite(now):
        msg = (
            f"clock returned {now if isinstance(now, float) else f'a {type(now).__name__}'}; it must be finite seconds"
        )
        raise ArgumentError(msg)
    return float(now)


def _read_many(values: Any, what: str) -> Iterator[Any]:  # noqa: ANN401  any argument
    try:
        # A string is iterable too, and never meant.
        source: Iterator[Any] | None = None if isinstance(values, (str, bytes)) else iter(values)
    except TypeError:
        source = None
    if source is None:
        msg = f"{what} is of type {type(values).__name__}; it must be an iterable of strings"
        raise ArgumentError(msg)
    return source
