"""What happens to roles: the events, and their form as plain JSON dicts.

An event is a fact: it is never changed, and replaying a role's events gives its state. The form has a number; a reader
refuses what a newer rolecore wrote rather than to leave it out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from rolecore.errors import CodecError
from rolecore.roles.arguments import MAX_NAME

FORM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleEvent:
    """What all events have.

    Attributes:
        role: name of the role it happened to.
        sequence: its place among the role's events, from 1, without gaps.
        at: when, in seconds since 1970, UTC, by the clock of whoever did it.
        by: user id of whoever did it; "" for code that nobody asked for, as at the start of a program.
    """

    role: str
    sequence: int
    at: float
    by: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCreated(RoleEvent):
    """A role was made, with what `Role` was given."""

    description: str
    examples: tuple[str, ...]
    sensitive_words: tuple[str, ...]
    sensitive_permissions: tuple[str, ...]
    instructions: str
    standalone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePermissionGranted(RoleEvent):
    """A role got a permission; `by` is who granted or approved it."""

    permission: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePermissionRevoked(RoleEvent):
    """A role lost a permission of its own; it may still inherit it."""

    permission: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPermissionGranted(RoleEvent):
    """A role got a permission in one session, until an instant."""

    permission: str
    session_id: str = field(repr=False)
    ends_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPermissionEnded(RoleEvent):
    """A permission in one session was taken back before its time. Its end by the clock is no event."""

    permission: str
    session_id: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleUsersAssigned(RoleEvent):
    """Users became members, all of one call at once; those who were before are not named."""

    users: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleUsersRemoved(RoleEvent):
    """Users are no members any more."""

    users: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleInheritanceAdded(RoleEvent):
    """A role inherits what another has."""

    parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleInheritanceRemoved(RoleEvent):
    """A role does not inherit from another any more."""

    parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested(RoleEvent):
    """An admin is asked for a permission, or for users to become members.

    Attributes:
        request_id: counts the role's requests from 1.
        permission: None where users are asked for.
        users: who would become members; () where a permission is asked for.
    """

    request_id: int
    permission: str | None
    users: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalGranted(RoleEvent):
    """A request was approved; what it asked for is the next event, unless it was done meanwhile."""

    request_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRejected(RoleEvent):
    """A request was turned down."""

    request_id: int


_KINDS: dict[str, type[RoleEvent]] = {
    kind.__name__: kind
    for kind in (
        RoleCreated,
        RolePermissionGranted,
        RolePermissionRevoked,
        SessionPermissionGranted,
        SessionPermissionEnded,
        RoleUsersAssigned,
        RoleUsersRemoved,
        RoleInheritanceAdded,
        RoleInheritanceRemoved,
        ApprovalRequested,
        ApprovalGranted,
        ApprovalRejected,
    )
}


def encode(event: RoleEvent) -> dict[str, Any]:
    """Return an event as a dict that JSON can hold.

    Example:
        >>> from rolecore.roles import events as role_events
        >>> event = role_events.RolePermissionGranted(role="clerk", sequence=2, at=0.0, by="ann", permission="refund")
        >>> role_events.encode(event)["kind"]
        'RolePermissionGranted'
        >>> role_events.decode(role_events.encode(event)) == event
        True
    """
    plain: dict[str, Any] = {"kind": type(event).__name__, "form": FORM}
    for item in fields(event):
        value = getattr(event, item.name)
        plain[item.name] = list(value) if isinstance(value, tuple) else value
    return plain


def decode(plain: Any) -> RoleEvent:  # noqa: ANN401  what a log holds
    """Return the event that `encode` made this of.

    Raises:
        CodecError: it is none, or a newer rolecore's.
    """
    if not isinstance(plain, dict):
        msg = f"an event is of type {type(plain).__name__}; the log is damaged, restore it from a backup"
        raise CodecError(msg)
    form, name = plain.get("form"), plain.get("kind")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if type(form) is not int or not isinstance(name, str):
        msg = "an event has no form or kind; the log is damaged, restore it from a backup"
        raise CodecError(msg)
    if form > FORM or kind is None:
        msg = (
            f"an event is of kind {name[:MAX_NAME]!r} and form {form}, this rolecore knows forms up to {FORM}; "
            "install the version that wrote it"
        )
        raise CodecError(msg)
    wanted = {item.name: item.type for item in fields(kind)}
    if set(plain) != {*wanted, "kind", "form"} or not all(_fits(plain[key], what) for key, what in wanted.items()):
        msg = f"an event of kind {name} has other fields than {', '.join(wanted)}; the log is damaged"
        raise CodecError(msg)
    facts: dict[str, Any] = {key: tuple(plain[key]) if isinstance(plain[key], list) else plain[key] for key in wanted}
    return kind(**facts)


def _fits(value: Any, wanted: Any) -> bool:  # noqa: ANN401  any value; annotations are text here
    if wanted == "tuple[str, ...]":
        return type(value) is list and all(type(item) is str for item in value)
    if wanted == "float":
        return type(value) is float and math.isfinite(value)
    if wanted == "int":
        return type(value) is int and value > 0
    if wanted == "str | None" and value is None:
        return True
    return type(value) is (bool if wanted == "bool" else str)
