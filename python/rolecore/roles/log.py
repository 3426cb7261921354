"""The log of a tenant's roles in any store: changes in the order they were made, and how far each subscriber has come.

A change is one message, whole or absent: `{"events": [...], "is_last": false}`. Changes lie in segments, each a session
of the store, so that who has read most of them loads the newest only. A segment's last change says that it is, and the
segment never grows again. The log's tenant is one that no chat has: nobody who may choose a session's id can write to
it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from rolecore.errors import SessionNotFound, StoreError
from rolecore.roles import events as role_events
from rolecore.stores import rules

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from rolecore.stores.protocol import SessionStore

SEGMENT = 64  # changes; what is loaded to see whether there is anything new
BIG_CHANGE = 16_384  # characters of JSON; one of that size ends its segment, so that few load it again
_TENANT = "rolecore.roles:"
_SEGMENT_ID = "segment-"
_N_SLOTS = 2


class Place(NamedTuple):
    """Where a change begins, or the next one will.

    Attributes:
        segment: which one, from 0.
        offset: changes of the segment before it.
    """

    segment: int
    offset: int


START = Place(0, 0)


class RoleLog:
    """The changes of a tenant's roles.

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

    async def read(self, place: Place) -> AsyncGenerator[tuple[Place, list[role_events.RoleEvent]]]:
        """Yield the changes from a place on: the place after each, and its events.

        Raises:
            StoreError: the log is shorter than that, or damaged.
            CodecError: an event is none, or a newer rolecore's.

        Cost: loads the segments from the place's on, one at a time.
        """
        segment, offset = place
        while True:
            changes = await self._load(_segment_id(segment))
            if len(changes) < offset:
                msg = f"segment {segment} of the log of roles has {len(changes)} changes, it had {offset}; restore it"
                raise StoreError(msg)
            is_last = False
            for change in changes[offset:]:
                events = change.get("events")
                if is_last or type(events) is not list or type(change.get("is_last")) is not bool:
                    msg = f"change {offset} in segment {segment} of the log of roles is damaged; restore it"
                    raise StoreError(msg)
                decoded = [role_events.decode(event) for event in events]
                is_last = change["is_last"]
                offset += 1
                yield _after(segment, offset, is_last=is_last), decoded
            if not is_last:
                return
            segment, offset = _after(segment, offset, is_last=True)

    async def append(self, place: Place, events: Sequence[role_events.RoleEvent]) -> Place:
        """Append a change, all of it or nothing, and return the place after it.

        Args:
            place: the log's end, as its decision knew it.
            events: what was decided.

        Raises:
            SessionConflict: the log has grown.
            StoreError, DeadlineExceeded: it may have been done or not.
        """
        segment, offset = place
        encoded = [role_events.encode(event) for event in events]
        is_last = offset + 1 >= SEGMENT or len(json.dumps(encoded)) >= BIG_CHANGE
        change = {"events": encoded, "is_last": is_last}
        await self._store.append(_segment_id(segment), [change], tenant=self._tenant, expected_version=offset)
        return _after(segment, offset + 1, is_last=is_last)

    async def read_cursor(self, name: str) -> Place:
        """Return the place up to which a subscriber has noted that it has handled the changes; the start at first.

        Raises:
            StoreError: the notes are damaged.
        """
        notes = [note for slot in range(_N_SLOTS) for note in await self._load(_cursor_id(name, slot))]
        places = [(note.get("segment"), note.get("offset")) for note in notes]
        if not all(type(number) is int for place in places for number in place):
            msg = "what a subscriber has noted is damaged; take another name for it, it begins anew then"
            raise StoreError(msg)
        return Place(*max(places, default=START))

    async def note_cursor(self, name: str, before: Place, place: Place) -> None:
        """Note how far a subscriber has come.

        A store only ever appends, so the notes go to one of two sessions in turn: one is emptied while the other has
        the newest, and a crash at any moment loses none.

        Args:
            name: the subscriber's.
            before: what was noted last.
            place: what it is now.
        """
        slot = place.segment % _N_SLOTS
        if before.segment % _N_SLOTS != slot:
            with suppress(SessionNotFound):
                await self._store.delete(_cursor_id(name, slot), tenant=self._tenant)
        await self._store.append(_cursor_id(name, slot), [place._asdict()], tenant=self._tenant)

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


def _after(segment: int, offset: int, *, is_last: bool) -> Place:
    return Place(segment + 1, 0) if is_last else Place(segment, offset)


def _segment_id(number: int) -> str:
    return f"{_SEGMENT_ID}{number:09d}"


def _cursor_id(name: str, slot: int) -> str:
    return f"cursor-{slot}-{name}"
