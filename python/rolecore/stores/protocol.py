"""What a store is: the record it returns, the calls it answers, and what else it may be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

# Inside the protocol `list` is the method.
Ids: TypeAlias = list[str]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session as a store holds it.

    Attributes:
        messages: in the order they were appended; a copy, the reader's own.
        version: how many messages it holds, 1 or more.
        created_at: when it was first appended to, in seconds since 1970, UTC.
        updated_at: when it was last appended to, never before `created_at`.
    """

    messages: list[dict[str, Any]]
    version: int
    created_at: float
    updated_at: float


class SessionStore(Protocol):
    """Keeps sessions: lists of messages that only ever grow, by tenant and id.

    Any object with these calls will do; `rolecore.testing.SessionStoreContract` checks one. All keep to
    `rolecore.deadline` and raise DeadlineExceeded, ArgumentError for arguments that break the rules below, and
    StoreError when the store is closed, damaged or out of reach. Safe to share between tasks.

    Ids: `session_id` is any text from 1 to 512 bytes in UTF-8, `tenant` any from 0, both without NUL. No id, however
    made, reaches a session of another id or tenant.

    For those who write a store:
        - `stores.rules` checks ids and versions and words the errors, `stores.wire` turns messages into text and back.
          All messages are made text before anything is applied.
        - `deadlines.check` comes before anything is applied, `deadlines.within` cancels what waits. When time runs out
          or the call is cancelled after something was sent, the append is whole or absent.
        - A retry must not append twice. Each call of `append` makes one fresh token, `uuid.uuid4().hex`, before its
          first attempt, and writes it in the same transaction as the messages. After a lost reply the retry looks for
          the token before it compares versions, and if it is there returns the version of that append. Keep the token
          with the appended batch, not only as the session's last one: another writer may come in between. A retried
          `delete` that finds nothing has succeeded.
    """

    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        """Append all of the messages, in one step, or none; makes the session when it is absent.

        When it returns, they are as durable as the store was opened to be. They are copied: what the caller does to
        them later changes nothing. After DeadlineExceeded they may be there or not; with an `expected_version` the
        call can simply be made again, and a SessionConflict then says that they, or another's, are there.

        Args:
            session_id: whose messages.
            messages: one or more; each a dict of dicts, lists, strings, numbers, True, False and None, nested at most
                128 deep. Any text is kept, NUL and lone surrogates too.
            tenant: whose session.
            expected_version: append only to a session of this version; 0: only if there is none.

        Returns:
            The new version: how many messages the session now holds.

        Raises:
            MessageError: a message is not as said; `.index` is its place in `messages`.
            SessionConflict: the session is at another version.
            QuotaError: the tenant's sessions would take too many bytes.
        """

    async def load(self, session_id: str, *, tenant: str = "") -> SessionRecord:
        """Return a session.

        Raises:
            SessionNotFound: there is none.
        """

    async def list(self, *, tenant: str = "") -> Ids:
        """Return the ids of the tenant's sessions, sorted by code points."""

    async def delete(self, session_id: str, *, tenant: str = "") -> None:
        """Remove a session with all its messages.

        Raises:
            SessionNotFound: there is none.
        """

    async def close(self) -> None:
        """Let go of what the store holds open; a second time does nothing.

        All other calls raise StoreError from then on.
        """

    async def __aenter__(self) -> Self:
        """Connect, unless it already is."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""


@runtime_checkable
class SupportsTTL(Protocol):
    """A store whose sessions can end by themselves."""

    async def expire(self, session_id: str, seconds: float | None, *, tenant: str = "") -> None:
        """Let a session end so many seconds from now, by the store's wall clock; then it is absent.

        Appending does not put the end off: call this again for that.

        Args:
            session_id: which one.
            seconds: 0 or more; None: never.
            tenant: whose session.

        Raises:
            SessionNotFound: there is none.
        """


@runtime_checkable
class SupportsQuota(Protocol):
    """A store that counts what each tenant's sessions take and keeps them under `open_store(quota_bytes=...)`."""

    async def usage(self, *, tenant: str = "") -> int:
        """Return the bytes that the tenant's sessions take: of each message the length of `stores.wire`'s text."""
