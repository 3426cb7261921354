"""Every exception rolecore raises, in one tree.

Each class also inherits the builtin a stranger would catch. Messages say what, the value, the limit and the way out,
and never hold a user's text or a key. The Rust core raises these very classes.
"""

from __future__ import annotations


class RolecoreError(Exception):
    """Base of everything rolecore raises on purpose."""


class ArgumentError(RolecoreError, ValueError):
    """An argument is out of its range or of the wrong kind."""


class BudgetError(RolecoreError, ValueError):
    """What must stay in a window does not fit its budget.

    Attributes:
        needed: smallest budget in tokens for which the same call succeeds.
        budget: the budget in tokens that was given.
    """

    def __init__(self, message: str, needed: int, budget: int) -> None:
        """Keep the numbers beside the message."""
        super().__init__(message)
        self.needed = needed
        self.budget = budget

    def __reduce__(self) -> tuple[type[BudgetError], tuple[str, int, int]]:
        """Pickle with the numbers, so that they survive a process pool."""
        return type(self), (str(self), self.needed, self.budget)


class MessageError(RolecoreError, ValueError):
    """A message is not of the form a chat API takes.

    Attributes:
        index: index of the message, None when no single one is to blame.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        """Keep the index beside the message."""
        super().__init__(message)
        self.index = index

    def __reduce__(self) -> tuple[type[MessageError], tuple[str, int | None]]:
        """Pickle with the index, so that it survives a process pool."""
        return type(self), (str(self), self.index)


class TokenizerError(RolecoreError, ValueError):
    """A tokenizer is unknown, damaged, or of a kind that cannot be counted exactly."""


class CacheError(RolecoreError, ValueError):
    """A vector, key or value is not one a cache takes, or a snapshot of a cache is damaged."""


class CodecError(RolecoreError, ValueError):
    """Bytes are no snapshot, a damaged or a newer one, or a session is not one that a snapshot can hold."""


class MissingExtraError(RolecoreError, ImportError):
    """An optional package is needed; the message names the pip extra that brings it."""


class AdapterError(RolecoreError):
    """A model, or the service that runs one, gave no usable answer."""


class APIConnectionError(AdapterError, ConnectionError):
    """A service could not be reached, broke off, or was silent for too long."""


class APIStatusError(AdapterError):
    """A service answered with an HTTP status that is no success.

    Attributes:
        status: the HTTP status, as 401 or 503.
        retry_after_s: seconds after which the service says to try again; None when it says nothing.
    """

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        """Keep the numbers beside the message."""
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[APIStatusError], tuple[str, int, float | None]]:
        """Pickle with the numbers, so that they survive a process pool."""
        return type(self), (str(self), self.status, self.retry_after_s)


class RateLimitError(APIStatusError):
    """A service wants fewer requests, or more money: HTTP status 429. Our own limits say the same before it does."""


class CircuitOpen(AdapterError):  # noqa: N818  says what is
    """A service has failed too often in a row; nothing was sent, so that it can recover.

    Attributes:
        retry_after_s: seconds until one call is let through to see; None while one is on its way.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        """Keep the number beside the message."""
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[type[CircuitOpen], tuple[str, float | None]]:
        """Pickle with the number, so that it survives a process pool."""
        return type(self), (str(self), self.retry_after_s)


class PolicyDenied(RolecoreError, PermissionError):  # noqa: N818  says what is
    """A role, or who asks for it, lacks the permission; nothing was done."""


class RoleNotFound(RolecoreError, LookupError):  # noqa: N818  says what is
    """No role of that name is known here."""


class DeadlineExceeded(RolecoreError, TimeoutError):  # noqa: N818  as gRPC names it
    """The time that `rolecore.deadline` allows is over; what had been sent by then may have been done or not."""


class StoreError(RolecoreError):
    """A store is closed, damaged, out of reach, or cannot do what it is asked."""


class SessionNotFound(StoreError, LookupError):  # noqa: N818  says what is, as LookupError's readers expect
    """The tenant has no session of that id."""


class SessionConflict(StoreError):  # noqa: N818  says what is
    """A session is not at the version that the writer expected: another has written to it.

    Attributes:
        expected: the version that was expected.
        actual: the version it has, 0 for a session that does not exist.
    """

    def __init__(self, message: str, expected: int, actual: int) -> None:
        """Keep the numbers beside the message."""
        super().__init__(message)
        self.expected = expected
        self.actual = actual

    def __reduce__(self) -> tuple[type[SessionConflict], tuple[str, int, int]]:
        """Pickle with the numbers, so that they survive a process pool."""
        return type(self), (str(self), self.expected, self.actual)


class QuotaError(StoreError):
    """A tenant's sessions would take more bytes than a store allows each tenant.

    Attributes:
        needed: bytes they would take.
        quota: bytes that are allowed.
    """

    def __init__(self, message: str, needed: int, quota: int) -> None:
        """Keep the numbers beside the message."""
        super().__init__(message)
        self.needed = needed
        self.quota = quota

    def __reduce__(self) -> tuple[type[QuotaError], tuple[str, int, int]]:
        """Pickle with the numbers, so that they survive a process pool."""
        return type(self), (str(self), self.needed, self.quota)


class SessionError(RolecoreError):
    """A role session or its actor cannot do what it is asked; what was acknowledged is in the store."""


class SessionExpired(SessionError):  # noqa: N818  says what is
    """The session has expired: whoever held it was silent too long. Its turns are in the store; start or revive it."""


class MailboxFull(SessionError):  # noqa: N818  says what is
    """A session's mailbox has no room and rejects; the message was not taken and nothing was done with it."""


class MessageDropped(SessionError):  # noqa: N818  says what is
    """A newer message took the place of this one in a full mailbox; nothing was done with it."""


class ActorStopped(SessionError):  # noqa: N818  says what is
    """A session's actor was stopped: a message not begun was left alone, one begun may have been stored or not."""
