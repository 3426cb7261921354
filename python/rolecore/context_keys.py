"""Typed values that flow with a call as its deadline does: whose it is, and which trace it belongs to."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar

from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class ContextKey(Generic[T]):
    """One typed value of the running context. Make keys at a module's top: a context keeps each for good.

    Tasks and `asyncio.to_thread` start with the values of the code that started them; what they set stays theirs.

    Args:
        name: what messages call it.
        kind: class of its values.

    Example:
        >>> with rolecore.TENANT.use("acme"):
        ...     rolecore.TENANT.get()
        'acme'
    """

    __slots__ = ("_kind", "_var", "name")

    def __init__(self, name: str, kind: type[T]) -> None:
        """Start without a value."""
        self.name = name
        self._kind = kind
        self._var: ContextVar[T | None] = ContextVar(f"rolecore.{name}", default=None)

    def __repr__(self) -> str:
        """Show the name and the kind, never the value."""
        return f"ContextKey({self.name!r}, {self._kind.__name__})"

    def get(self) -> T | None:
        """Return the innermost value; None where none is set."""
        return self._var.get()

    def use(self, value: T) -> AbstractContextManager[None]:
        """Set the value inside the `with`.

        Raises:
            ArgumentError: `value` is not of the key's kind.
        """
        if not isinstance(value, self._kind):
            msg = f"{self.name} is of type {type(value).__name__}; it must be a {self._kind.__name__}"
            raise ArgumentError(msg)
        return self._enter(value)

    @contextmanager
    def _enter(self, value: T) -> Iterator[None]:
        token = self._var.set(value)
        try:
            yield
        finally:
            self._var.reset(token)


USER_ID = ContextKey("user_id", str)
TRACE_ID = ContextKey("trace_id", str)
TENANT = ContextKey("tenant", str)
