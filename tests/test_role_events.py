"""Events as plain dicts: each comes back as it was, and what is damaged or newer is refused."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore.roles import events as role_events
from rolecore.roles.role import Role, replay

GRANTED = role_events.RolePermissionGranted(role="clerk", sequence=2, at=0.5, by="ann", permission="read")
CREATED = Role("clerk").events[0]


def test_event_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        GRANTED.permission = "all"  # type: ignore[misc]


def test_event_encodes_to_what_json_holds() -> None:
    plain = role_events.encode(GRANTED)
    assert plain == {
        "kind": "RolePermissionGranted",
        "form": 1,
        "role": "clerk",
        "sequence": 2,
        "at": 0.5,
        "by": "ann",
        "permission": "read",
    }
    assert role_events.decode(json.loads(json.dumps(plain))) == GRANTED


@given(st.data())
@pytest.mark.parametrize("kind", role_events._KINDS.values(), ids=role_events._KINDS)
def test_any_event_comes_back_from_json_as_it_was(kind: Any, data: st.DataObject) -> None:
    finite, counts = st.floats(allow_nan=False, allow_infinity=False), st.integers(1)
    numbers = {"sequence": counts, "at": finite, "ends_at": finite, "request_id": counts}
    given_names = {item.name for item in fields(kind)}
    event = data.draw(st.builds(kind, **{name: numbers[name] for name in numbers.keys() & given_names}))
    assert role_events.decode(json.loads(json.dumps(role_events.encode(event)))) == event


@pytest.mark.parametrize("change", [{"kind": "RoleRetired"}, {"form": 2}, {"form": 2, "kind": "RoleRetired", "x": 1}])
def test_newer_event_is_refused_not_skipped(change: dict[str, Any]) -> None:
    with pytest.raises(rolecore.CodecError, match="install the version that wrote it"):
        role_events.decode(role_events.encode(GRANTED) | change)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": None},
        {"kind": ["RoleCreated"]},
        {"form": None},
        {"form": "1"},
        {"form": True},
        {"extra": 1},
        {"role": 3},
        {"sequence": 0},
        {"sequence": True},
        {"sequence": 2.0},
        {"at": float("nan")},
        {"at": 1},
        {"by": None},
        {"permission": ["read"]},
        {"permission": None},
    ],
)
def test_damaged_event_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(rolecore.CodecError, match="the log is damaged"):
        role_events.decode(role_events.encode(GRANTED) | change)


@pytest.mark.parametrize("plain", [None, [], "RolePermissionGranted", {}, {"kind": "RoleCreated", "form": 1}])
def test_what_is_no_event_is_refused(plain: Any) -> None:
    with pytest.raises(rolecore.CodecError, match="the log is damaged"):
        role_events.decode(plain)


@pytest.mark.parametrize(
    ("events", "match"),
    [
        ([CREATED, CREATED], "event 1 of a role comes where event 2 of role 'clerk' is due"),
        ([CREATED, replace(GRANTED, sequence=3)], "event 3 of a role comes where event 2"),
        ([CREATED, GRANTED, GRANTED], "event 2 of a role comes where event 3"),
        ([GRANTED], "there is no role 'clerk'"),
        ([replace(CREATED, sequence=2)], "there is no role 'clerk'"),
        (
            [CREATED, role_events.RoleInheritanceAdded(role="clerk", sequence=2, at=0.0, by="", parent="base")],
            "there is no role 'base'",
        ),
        ([CREATED, role_events.RoleEvent(role="clerk", sequence=2, at=0.0, by="")], "an event is of type RoleEvent"),
    ],
)
def test_replay_of_what_never_happened_so_is_refused(events: list[role_events.RoleEvent], match: str) -> None:
    with pytest.raises((rolecore.ArgumentError, rolecore.RoleNotFound), match=match):
        replay(events)


def test_replayed_role_goes_on() -> None:
    role = replay([CREATED, GRANTED])["clerk"]
    role.revoke_permission("read", by=rolecore.Principal("ann"))
    assert [event.sequence for event in role.events] == [3]
