"""The log of a tenant's roles in any store: changes in the order they were made, and how far each subscriber has come.

A change is one message, whole or absent: `{"events": [...]}`. Changes lie in segments, each a session of the store, so
that who has read most of them loads the newest only. The log's tenant is one that no chat has: nobody who may choose a
session's id can write to it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rolecore import role_events
from rolecore.errors import SessionNotFound, StoreError
from rolecore.stores import rules

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from rolecore.stores.protocol import SessionStore

SEGMENT = 64  # changes; what is loaded to see whether there is anything new
_TENANT = "rolecore.roles:"
_SEGMENT_ID = "segment-"
_N_SLOTS = 2


class RoleLog:
    """The changes of a tenant's roles. A position counts them: after n changes it is n.

    Args:
        store: any.
        tenant: whose roles.

    Raises:
        ArgumentError: `tenant` is none.
    """

    def __init__(self, store: SessionStore, tenant: str) -> None:
        """Ask nothing yet."""
        rules.check_tenant(tenant)
        self._tenant = _TENANT + tenant
        rules.check_tenant(self._tenant)
        self._store = store

    async def check(self) -> None:
        """Raise unless no segment is missing between the first and the last.

        Raises:
            StoreError: one is.
        """
        found = [
            session_id
            for session_id in await self._store.list(tenant=self._tenant)
            if session_id.startswith(_SEGMENT_ID)
        ]
        if found != [_segment_id(number) for number in range(len(found))]:
            msg = "the log of roles lacks a segment between others; restore it from a backup"
            raise StoreError(msg)

    async def read(self, position: int) -> AsyncGenerator[tuple[int, list[role_events.RoleEvent]]]:
        """Yield the changes from a position on: the position after each, and its events.

        Raises:
            StoreError: the log is shorter than that, or damaged.
            CodecError: an event is none, or a newer rolecore's.

        Cost: loads the segments from the position's on, one at a time.
        """
        while True:
            number, offset = divmod(position, SEGMENT)
            changes = await self._load(_segment_id(number))
            if not offset <= len(changes) <= SEGMENT:
                msg = f"segment {number} of the log of roles has {len(changes)} changes, not {offset} to {SEGMENT}"
                raise StoreError(msg)
            for change in changes[offset:]:
                events = change.get("events")
                if type(events) is not list or set(change) != {"events"}:
                    msg = f"change {position} in the log of roles is damaged; restore it from a backup"
                    raise StoreError(msg)
                position += 1
                yield position, [role_events.decode(event) for event in events]
            if len(changes) < SEGMENT:
                return

    async def append(self, position: int, events: Sequence[role_events.RoleEvent]) -> None:
        """Append a change, all of it or nothing.

        Args:
            position: how many changes its decision knew.
            events: what was decided.

        Raises:
            SessionConflict: there are more by now.
            StoreError, DeadlineExceeded: it may have been done or not.
        """
        number, offset = divmod(position, SEGMENT)
        change = {"events": [role_events.encode(event) for event in events]}
        await self._store.append(_segment_id(number), [change], tenant=self._tenant, expected_version=offset)

    async def read_cursor(self, name: str) -> int:
        """Return the position up to which a subscriber has noted that it has handled the changes; 0 at first."""
        slots = [await self._load(_cursor_id(name, slot)) for slot in range(_N_SLOTS)]
        return max((int(note["position"]) for notes in slots for note in notes), default=0)

    async def note_cursor(self, name: str, before: int, position: int) -> None:
        """Note how far a subscriber has come.

        A store only ever appends, so the notes go to one of two sessions in turn: one is emptied while the other has
        the newest, and a crash at any moment loses none.

        Args:
            name: the subscriber's.
            before: what was noted last.
            position: what it is now.
        """
        slot = position // SEGMENT % _N_SLOTS
        if before // SEGMENT % _N_SLOTS != slot:
            with suppress(SessionNotFound):
                await self._store.delete(_cursor_id(name, slot), tenant=self._tenant)
        await self._store.append(_cursor_id(name, slot), [{"position": position}], tenant=self._tenant)

    def check_name(self, name: str) -> None:
        """Raise unless a subscriber can have this name.

        Raises:
            ArgumentError: it cannot.
        """
        rules.check_ids(self._tenant, _cursor_id(name, 0))

    async def _load(self, session_id: str) -> list[dict[str, Any]]:
        try:
            return (await self._store.load(session_id, tenant=self._tenant)).messages
        except SessionNotFound:
            return []


def _segment_id(number: int) -> str:
    return f"{_SEGMENT_ID}{number:09d}"


def _cursor_id(name: str, slot: int) -> str:
    return f"cursor-{slot}-{name}"
