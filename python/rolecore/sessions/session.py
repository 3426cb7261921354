"""One session of a role: its state, and its context in memory, as a History while it is used, as a snapshot while not.

Nothing here waits, runs a timer or reads a clock: the actor and the supervisor do.
"""

from __future__ import annotations

import math
import uuid
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from rolecore import deadlines
from rolecore.errors import ArgumentError, CodecError, MessageError, SessionError, SessionExpired
from rolecore.stores import rules, wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rolecore._core import History
    from rolecore.sessions.actor import RoleActor

MISSED_BEATS = 3  # in a row, until nobody is taken to hold the session any more


class SessionState(StrEnum):
    """Where a session stands. INIT: no message yet; ACTIVE: in use; PAUSED: idle; EXPIRED: nobody holds it any more."""

    INIT = "init"
    ACTIVE = "active"
    PAUSED = "paused"
    EXPIRED = "expired"


class Event(StrEnum):
    """What happens to a session: a message comes, it was idle too long or has to make room, a heartbeat, its lapse."""

    MESSAGE = "message"
    IDLE = "idle"
    HEARTBEAT = "heartbeat"
    LAPSE = "lapse"


# Where each event leads from each state; None: SessionExpired, so that whoever holds on learns of it.
TRANSITIONS: dict[tuple[SessionState, Event], SessionState | None] = {
    (SessionState.INIT, Event.MESSAGE): SessionState.ACTIVE,
    (SessionState.INIT, Event.IDLE): SessionState.INIT,
    (SessionState.INIT, Event.HEARTBEAT): SessionState.INIT,
    (SessionState.INIT, Event.LAPSE): SessionState.EXPIRED,
    (SessionState.ACTIVE, Event.MESSAGE): SessionState.ACTIVE,
    (SessionState.ACTIVE, Event.IDLE): SessionState.PAUSED,
    (SessionState.ACTIVE, Event.HEARTBEAT): SessionState.ACTIVE,
    (SessionState.ACTIVE, Event.LAPSE): SessionState.EXPIRED,
    (SessionState.PAUSED, Event.MESSAGE): SessionState.ACTIVE,
    (SessionState.PAUSED, Event.IDLE): SessionState.PAUSED,
    (SessionState.PAUSED, Event.HEARTBEAT): SessionState.PAUSED,
    (SessionState.PAUSED, Event.LAPSE): SessionState.EXPIRED,
    (SessionState.EXPIRED, Event.MESSAGE): None,
    (SessionState.EXPIRED, Event.IDLE): SessionState.EXPIRED,
    (SessionState.EXPIRED, Event.HEARTBEAT): None,
    (SessionState.EXPIRED, Event.LAPSE): SessionState.EXPIRED,
}


def expired() -> SessionExpired:
    """Return the error for a session that is used after it expired."""
    return SessionExpired(
        "the session has expired; its turns are in the store: start it anew under the same session_id"
    )


class RoleSession:
    """A session that a role is held with.

    What it holds in memory is only ever what the store has. Use it in one event loop at a time.

    Args:
        role_id: the role, 1 character or more.
        session_id: as stores take it; None: a fresh random one.
        tenant: whose session.
        timeout_s: seconds without a message after which it is PAUSED: the context stays, as a snapshot.
        heartbeat_s: seconds within which a `heartbeat`, or a message, is awaited each time; after three missed in a row
            it is EXPIRED, though not while a message is handled. None: it never is.

    Raises:
        ArgumentError: an argument is of a wrong kind or out of its range.

    Attributes:
        role_id, session_id, tenant, timeout_s, heartbeat_s: as given.
        state: a `SessionState`.
        last_active: when the last message came or was answered, in seconds since 1970, UTC; None before the first.
        version: how many messages it has.
        nbytes: about how many bytes they take in memory as a snapshot, exactly so while they are one.
        last_role: name of the role that answered last; None before the first answer here.
        actor: what `run_turn` sends its messages to.
        vectors: what a handler keeps beside the messages to be fast, as rows of an embedder; dropped by a pause.

    Example:
        >>> session = rolecore.RoleSession("support", timeout_s=60)
        >>> session.state
        <SessionState.INIT: 'init'>
    """

    __slots__ = (
        "_base",
        "_history",
        "_is_current",
        "_missed",
        "_tail",
        "actor",
        "counted_bytes",
        "due_at",
        "heartbeat_s",
        "last_active",
        "last_role",
        "nbytes",
        "next_beat",
        "role_id",
        "session_id",
        "state",
        "tenant",
        "timeout_s",
        "used_at",
        "vectors",
        "version",
    )

    def __init__(
        self,
        role_id: str,
        *,
        session_id: str | None = None,
        tenant: str = "",
        timeout_s: float = 300.0,
        heartbeat_s: float | None = None,
    ) -> None:
        """Start in INIT."""
        if not isinstance(role_id, str) or not role_id:
            msg = f"role_id is {'empty' if role_id == '' else f'of type {type(role_id).__name__}'}; it must be a str"
            raise ArgumentError(msg)
        # Nobody else can have written to a session of a fresh id; of another's, the store is asked first.
        self._is_current = session_id is None
        self.session_id = uuid.uuid4().hex if session_id is None else session_id
        rules.check_ids(tenant, self.session_id)
        self.role_id = role_id
        self.tenant = tenant
        self.timeout_s = _read_period(timeout_s, "timeout_s")
        self.heartbeat_s = None if heartbeat_s is None else _read_period(heartbeat_s, "heartbeat_s")
        self.state = SessionState.INIT
        self.last_active: float | None = None
        self.version = 0
        self.nbytes = 0
        self.last_role: str | None = None
        self.actor: RoleActor | None = None
        self.vectors: Any = None
        # The messages are those of `_history`, or where there is none those of `_base`, a snapshot or, when that
        # cannot hold them, a store's texts, and then `_tail`.
        self._base: bytes | list[str] | None = None
        self._tail: list[dict[str, Any]] | None = None
        self._history: History | None = None
        self._missed = 0
        # The supervisor's: when it was last used, when the next heartbeat is due and when it is to be looked at, by the
        # loop's time, and how many of its bytes are counted.
        self.used_at = 0.0
        self.next_beat = math.inf
        self.due_at = math.inf
        self.counted_bytes = 0

    def __repr__(self) -> str:
        """Show the state and the size; ids are the user's."""
        return f"RoleSession(state={self.state.name}, version={self.version}, nbytes={self.nbytes})"

    @property
    def is_expired(self) -> bool:
        """Whether it is EXPIRED."""
        return self.state is SessionState.EXPIRED

    @property
    def is_loaded(self) -> bool:
        """Whether the messages are in memory; if not, they are only in the store, until the next message comes."""
        return self._is_current

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages so far, as a new list.

        Raises:
            SessionError: they are not loaded.

        Cost: O(bytes) while they are a snapshot, 0.3 ms for 400 kB; no token is counted.
        """
        self._check_loaded()
        base = self._read_base() if self._history is None else self._history.to_messages()
        return [*base, *(self._tail or ())]

    @property
    def history(self) -> History:
        """The messages as a History, for windows. Don't append to it: the actor does, when the store has the turn.

        Made when it is first asked for while the session is ACTIVE, and kept until a pause; made each time otherwise.

        Raises:
            SessionError: the messages are not loaded.
            MessageError: a message is not of the form a chat API takes.

        Cost: the first time that of `Snapshot.to_history`, then nothing.
        """
        history, unread = self.open_history()
        if unread:
            history.extend(unread)
            unread.clear()
        return history

    def open_history(self) -> tuple[History, list[dict[str, Any]]]:
        """Return `history` as far as it was made, and the messages that it lacks.

        Whoever appends them to it takes them out of the list.

        Raises:
            SessionError, MessageError: as `history`.
        """
        self._check_loaded()
        if self._history is None:
            history = self._make_history()
            if self.state is not SessionState.ACTIVE:
                return history, []
            self._history, self._base, self._tail = history, None, None
        if self._tail is None:
            self._tail = []
        return self._history, self._tail

    def heartbeat(self) -> None:
        """Say that the session is still held.

        Raises:
            SessionExpired: too late.
        """
        self._move(Event.HEARTBEAT)
        self._missed = -1  # the time in which it came does not count

    def touch(self, loop_time: float, wall_time: float) -> None:
        """Note that a message has come, or was answered: a heartbeat too.

        Args:
            loop_time: seconds by the event loop.
            wall_time: seconds since 1970, UTC.

        Raises:
            SessionExpired: no message may come any more.
        """
        self._move(Event.MESSAGE)
        self._missed = -1
        self.used_at = loop_time
        self.last_active = wall_time

    def pause(self) -> None:
        """Keep the context as a snapshot and let go of all else; nothing if it is not ACTIVE."""
        was = self.state
        self._move(Event.IDLE)
        if was is not SessionState.ACTIVE:
            return
        self.vectors = None
        if self._history is None and self._tail is None:
            return
        from rolecore._core import encode_snapshot, open_snapshot

        if self._tail is not None and isinstance(self._base, bytes) and open_snapshot(self._base).to_dict()["pinned"]:
            self._history = self._make_history()  # only a History keeps pins
        source: History | list[dict[str, Any]]
        try:
            source = self.messages if self._history is None else self.history
        except MessageError:  # the store has what no history takes all the same
            source = self.messages
        try:
            self._base = encode_snapshot(source)
        except CodecError:  # a lone surrogate, or a number that JSON does not give back
            self._base = wire.encode(self.messages)
        self._history = self._tail = None
        self.nbytes = len(self._base) if isinstance(self._base, bytes) else sum(map(len, self._base))

    def expire(self) -> None:
        """End the session and let go of all it holds in memory."""
        self._move(Event.LAPSE)
        self.unload()

    def miss(self) -> bool:
        """Note that the time for a heartbeat has passed, and return whether too many in a row were missed."""
        self._missed += 1
        return self._missed >= MISSED_BEATS

    def unload(self) -> None:
        """Let go of the messages in memory: they are loaded from the store when the next message comes."""
        self._is_current = False
        self._base = self._tail = self._history = self.vectors = None
        self.nbytes = 0

    def replace(self, messages: list[dict[str, Any]]) -> None:
        """Hold these messages, which are all that the store has."""
        self.unload()
        self._is_current = True
        self.version = 0
        self.extend(messages)

    def extend(self, messages: Iterable[dict[str, Any]]) -> None:
        """Add messages which the store now has after those that are loaded."""
        new = list(messages)
        if self._tail is None:
            self._tail = []
        self._tail += new  # a history reads them when it is used
        self.version += len(new)
        for message in new:
            self.nbytes += _size(message)

    def _move(self, event: Event) -> None:
        state = TRANSITIONS[self.state, event]
        if state is None:
            raise expired()
        self.state = state

    def _check_loaded(self) -> None:
        if not self._is_current:
            msg = "the messages are not loaded; send the session a message, or load them from the store"
            raise SessionError(msg)

    def _make_history(self) -> History:
        from rolecore._core import History, open_snapshot

        base = self._base
        history = open_snapshot(base).to_history() if isinstance(base, bytes) else History(self._read_base())
        history.extend(self._tail or ())
        return history

    def _read_base(self) -> list[dict[str, Any]]:
        if self._base is None:
            return []
        if isinstance(self._base, list):
            return wire.decode(self._base)
        from rolecore._core import open_snapshot

        messages: list[dict[str, Any]] = open_snapshot(self._base).to_dict()["messages"]
        return messages


def _read_period(value: Any, name: str) -> float:  # noqa: ANN401  any argument
    seconds = deadlines.read_seconds(value, name)
    if seconds == 0:
        msg = f"{name} is 0; it must be more, in seconds"
        raise ArgumentError(msg)
    return seconds


def _size(message: dict[str, Any]) -> int:
    """Return about how many bytes a message takes: what it takes in a snapshot, without encoding it."""
    n_bytes = 50
    for value in message.values():
        n_bytes += len(value) if isinstance(value, str) else len(repr(value))
    return n_bytes
