"""Roles: what they may do, who may use them, and that their events are all there is to them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

import rolecore
from rolecore.roles import events as role_events
from rolecore.roles.arguments import MAX_USERS
from rolecore.roles.decisions import MAX_ANCESTORS, MAX_PENDING
from rolecore.roles.role import TAKE_TURN, Role, replay

if TYPE_CHECKING:
    from collections.abc import Callable

ANN = rolecore.Principal("ann")
BOB = rolecore.Principal("bob", is_admin=True)
EVE = rolecore.Principal("eve", is_admin=True)


class Clock:
    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def facts(role: Role) -> dict[str, Any]:
    """Return all that makes a role's state."""
    state = role.state
    names = ("created", "version", "permissions", "members", "lent", "pending", "n_requests", "prune_at", "effective")
    return {name: getattr(state, name) for name in names} | {"parents": list(state.parents)}


def again(events: list[role_events.RoleEvent]) -> dict[str, Role]:
    """Return the roles that events make, by way of what a log holds."""
    return replay([role_events.decode(role_events.encode(event)) for event in events])


def test_new_role_may_take_turns_of_anybody() -> None:
    role = Role("clerk")
    assert role.permissions == {TAKE_TURN}
    assert role.is_open
    assert role.members == set()
    role.check_turn(user_id=None, session_id="s")


def test_role_reads_as_it_was_made() -> None:
    role = Role(
        "faq",
        description="Answers.",
        examples=["When?", "Where?"],
        sensitive_words=["lawyer"],
        instructions="Be brief.",
        standalone=True,
    )
    assert (role.name, role.description, role.examples) == ("faq", "Answers.", ("When?", "Where?"))
    assert (role.sensitive_words, role.instructions, role.standalone) == (("lawyer",), "Be brief.", True)
    assert role.agent is None
    with pytest.raises(AttributeError):
        role.description = "other"  # type: ignore[misc]


def test_grant_and_revoke_are_events_once_each() -> None:
    clock = Clock()
    role = Role("clerk", clock=clock)
    assert role.grant_permission("read", by=ANN) is None
    clock.now += 1
    assert role.grant_permission("read", by=ANN) is None
    assert role.allows("read")
    assert role.revoke_permission("read", by=BOB)
    assert not role.revoke_permission("read", by=BOB)
    assert not role.allows("read")
    assert role.events[1:] == (
        role_events.RolePermissionGranted(role="clerk", sequence=2, at=1e6, by="ann", permission="read"),
        role_events.RolePermissionRevoked(role="clerk", sequence=3, at=1e6 + 1, by="bob", permission="read"),
    )


def test_check_turn_without_the_permission_is_denied_unless_the_session_has_it() -> None:
    role = Role("clerk")
    role.revoke_permission(TAKE_TURN, by=ANN)
    with pytest.raises(rolecore.PolicyDenied, match="role 'clerk' lacks the permission 'turn'"):
        role.check_turn(user_id="ann", session_id="s")
    role.grant_for_session(TAKE_TURN, session_id="s", seconds=5, by=ANN)
    role.check_turn(user_id="ann", session_id="s")
    with pytest.raises(PermissionError):
        role.check_turn(user_id="ann", session_id="other")


def test_check_turn_of_a_role_with_members_is_for_them_only() -> None:
    role = Role("clerk")
    role.assign_to_users(["ann"], by=BOB)
    role.check_turn(user_id="ann", session_id="s")
    for other in ("secret-user", None, ""):
        with pytest.raises(rolecore.PolicyDenied, match="not one of them") as caught:
            role.check_turn(user_id=other, session_id="s")
        assert "secret" not in str(caught.value)


def test_role_whose_last_member_is_removed_stays_closed() -> None:
    role = Role("clerk")
    role.assign_to_users(["ann"], by=BOB)
    role.remove_users(["ann"], by=BOB)
    assert not role.is_open
    with pytest.raises(rolecore.PolicyDenied):
        role.check_turn(user_id="ann", session_id="s")


def test_assign_is_one_event_with_the_new_ones_only() -> None:
    role = Role("clerk")
    role.assign_to_users(["ann", "bob"], by=BOB)
    assert role.assign_to_users(iter(["bob", "cat", "cat", "dan"]), by=ANN) is None
    role.assign_to_users(["ann", "dan"], by=ANN)
    role.assign_to_users([], by=ANN)
    role.remove_users(["nobody"], by=ANN)
    assigned = [event.users for event in role.events if isinstance(event, role_events.RoleUsersAssigned)]
    assert assigned == [("ann", "bob"), ("cat", "dan")]
    assert role.members == {"ann", "bob", "cat", "dan"}
    assert role.version == 3


def test_sensitive_permission_waits_for_an_admin() -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    request = role.grant_permission("refund", by=ANN)
    assert request is not None
    assert role.requests == (request,)
    assert not role.allows("refund")
    assert role.grant_permission("refund", by=ANN) == request, "asked for once"
    role.approve(request.request_id, by=BOB)
    assert role.allows("refund")
    assert not role.requests
    assert isinstance(role.events[-1], role_events.RolePermissionGranted)
    assert role.events[-1].by == "bob"


def test_admin_grants_a_sensitive_permission_at_once() -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    assert role.grant_permission("refund", by=BOB) is None
    assert role.allows("refund")


def test_rejected_request_grants_nothing_and_may_be_made_again() -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    first = role.grant_permission("refund", by=ANN)
    assert first is not None
    role.reject(first.request_id, by=BOB)
    assert not role.allows("refund")
    second = role.grant_permission("refund", by=ANN)
    assert second is not None
    assert second.request_id == 2


@pytest.mark.parametrize("decide", [Role.approve, Role.reject])
def test_request_is_decided_once(decide: Callable[..., None]) -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    request = role.grant_permission("refund", by=ANN)
    assert request is not None
    decide(role, request.request_id, by=BOB)
    before = facts(role)
    for late in (Role.approve, Role.reject):
        with pytest.raises(rolecore.ArgumentError, match="request_id is decided"):
            late(role, request.request_id, by=EVE)
    assert facts(role) == before


@pytest.mark.parametrize("decide", [Role.approve, Role.reject])
def test_request_is_not_decided_by_who_submitted_it_or_is_no_admin(decide: Callable[..., None]) -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    request = role.grant_permission("refund", by=ANN)
    assert request is not None
    for by in (ANN, rolecore.Principal("ann", is_admin=True), rolecore.Principal("cat")):
        with pytest.raises(rolecore.PolicyDenied, match="an admin who neither submitted it nor gains") as caught:
            decide(role, request.request_id, by=by)
        assert by.user_id not in str(caught.value).split()
    assert role.requests == (request,)


def test_users_of_a_role_with_a_sensitive_permission_wait_for_an_admin_who_is_none_of_them() -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    role.grant_permission("refund", by=BOB)
    request = role.assign_to_users(["ann", "bob"], by=ANN)
    assert request is not None
    assert role.is_open
    with pytest.raises(rolecore.PolicyDenied, match="nor gains"):
        role.approve(request.request_id, by=BOB)
    role.approve(request.request_id, by=EVE)
    assert role.members == {"ann", "bob"}


def test_permissions_and_users_that_wait_are_bounded() -> None:
    role = Role("clerk", sensitive_permissions=["refund", "sign"])
    role.grant_permission("refund", by=BOB)
    for i in range(0, MAX_PENDING, MAX_USERS):
        role.assign_to_users(map(str, range(i, i + MAX_USERS)), by=ANN)
    with pytest.raises(rolecore.PolicyDenied, match="20001 permissions and users of role 'clerk' would wait"):
        role.assign_to_users(["x"], by=ANN)
    with pytest.raises(rolecore.PolicyDenied, match="20000 may; decide on some"):
        role.grant_permission("sign", by=ANN)
    role.reject(1, by=BOB)
    assert role.grant_permission("sign", by=ANN) is not None


@pytest.mark.parametrize("request_id", [0, -1, 2, True, "1", None, 1.0, 10**30])
def test_request_that_is_none_is_refused(request_id: Any) -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    role.grant_permission("refund", by=ANN)
    with pytest.raises(rolecore.ArgumentError, match="request_id is none"):
        role.approve(request_id, by=BOB)


def test_inherited_permissions_are_seen_at_once_and_stay_when_revoked_below() -> None:
    base, clerk = Role("base"), Role("clerk")
    clerk.grant_permission("read", by=ANN)
    clerk.inherit_from(base, by=BOB)
    base.grant_permission("read", by=ANN)
    base.grant_permission("print", by=ANN)
    assert clerk.allows("print")
    assert clerk.revoke_permission("read", by=ANN)
    assert clerk.allows("read"), "by inheritance"
    base.revoke_permission("read", by=ANN)
    assert not clerk.allows("read")
    assert clerk.stop_inheriting("base", by=ANN)
    assert not clerk.stop_inheriting("base", by=ANN)
    assert not clerk.allows("print")
    base.grant_permission("late", by=ANN)
    assert not clerk.allows("late")


def test_diamond_of_roles_is_fine() -> None:
    top, left, right, bottom = (Role(name) for name in ("top", "left", "right", "bottom"))
    for child, parent in ((left, top), (right, top), (bottom, left), (bottom, right), (bottom, right)):
        child.inherit_from(parent, by=BOB)
    top.grant_permission("read", by=ANN)
    assert bottom.allows("read")
    bottom.stop_inheriting("left", by=BOB)
    assert bottom.allows("read")
    assert bottom.parents == ("right",)


def test_ladder_of_diamonds_costs_no_time() -> None:
    last = top = Role("top")
    for i in range(MAX_ANCESTORS // 3):
        left, right, bottom = (Role(f"{side}{i}") for side in ("left", "right", "bottom"))
        for child, parent in ((left, last), (right, last), (bottom, left), (bottom, right)):
            child.inherit_from(parent, by=BOB)
        last = bottom
    top.grant_permission("read", by=ANN)
    assert last.allows("read")


def test_role_inherits_from_so_many_and_no_more() -> None:
    line = [Role(f"r{i}") for i in range(MAX_ANCESTORS + 2)]
    for child, parent in zip(line[1:-1], line, strict=False):
        child.inherit_from(parent, by=BOB)
    before = [facts(role) for role in line]
    for child, parent in ((line[-1], line[-2]), (line[0], line[-1])):
        with pytest.raises(rolecore.ArgumentError, match="would inherit from 101 roles, it may from 100"):
            child.inherit_from(parent, by=BOB)
    line[1].inherit_from(line[0], by=BOB)
    assert [facts(role) for role in line] == before


def test_cycle_is_refused_naming_the_way_and_nothing_is_half_applied() -> None:
    a, b, c = (Role(name) for name in "abc")
    b.inherit_from(a, by=BOB)
    c.inherit_from(b, by=BOB)
    before = [facts(role) for role in (a, b, c)]
    with pytest.raises(rolecore.ArgumentError, match="a -> c -> b -> a"):
        a.inherit_from(c, by=BOB)
    with pytest.raises(rolecore.ArgumentError, match="a -> a"):
        a.inherit_from(a, by=BOB)
    assert [facts(role) for role in (a, b, c)] == before


def test_long_cycle_is_named_in_part() -> None:
    line = [Role(f"r{i}") for i in range(MAX_ANCESTORS)]
    for child, parent in zip(line[1:], line, strict=False):
        child.inherit_from(parent, by=BOB)
    with pytest.raises(rolecore.ArgumentError, match=r"r0 -> r99 -> .* -> \.\.\. -> r1 -> r0;") as caught:
        line[0].inherit_from(line[-1], by=BOB)
    assert len(str(caught.value)) < 200


def test_inheritance_is_for_admins_as_what_comes_later_comes_too() -> None:
    with pytest.raises(rolecore.PolicyDenied, match="an admin lets it"):
        Role("clerk").inherit_from(Role("boss"), by=ANN)


def test_permission_that_an_heir_calls_sensitive_is_sensitive_above_it() -> None:
    base, clerk = Role("base"), Role("clerk", sensitive_permissions=["refund"])
    clerk.inherit_from(base, by=BOB)
    assert base.grant_permission("refund", by=ANN) is not None
    assert not clerk.allows("refund")


def test_two_parents_of_one_name_are_refused() -> None:
    clerk = Role("clerk")
    clerk.inherit_from(Role("base"), by=BOB)
    with pytest.raises(rolecore.ArgumentError, match="another role of the name 'base'"):
        clerk.inherit_from(Role("base"), by=BOB)
    with pytest.raises(rolecore.ArgumentError, match="parent is of type str"):
        clerk.inherit_from("base", by=BOB)  # type: ignore[arg-type]


def test_permission_in_a_session_ends_by_the_clock() -> None:
    clock = Clock()
    role = Role("clerk", clock=clock)
    assert role.grant_for_session("refund", session_id="s", seconds=10, by=ANN) == clock.now + 10
    assert role.allows("refund", session="s")
    assert not role.allows("refund")
    assert not role.allows("refund", session="t")
    assert "refund" not in role.permissions
    clock.now += 9.999
    assert role.allows("refund", session="s")
    clock.now += 0.001
    assert not role.allows("refund", session="s")
    assert not role.end_for_session("refund", session_id="s", by=ANN), "it was over"


def test_permission_in_a_session_ends_when_it_is_taken_back_or_gets_a_new_end() -> None:
    clock = Clock()
    role = Role("clerk", clock=clock)
    role.grant_for_session("refund", session_id="s", seconds=10, by=ANN)
    assert role.end_for_session("refund", session_id="s", by=ANN)
    assert not role.end_for_session("refund", session_id="s", by=ANN)
    assert not role.allows("refund", session="s")
    role.grant_for_session("refund", session_id="s", seconds=10, by=ANN)
    role.grant_for_session("refund", session_id="s", seconds=1, by=ANN)
    clock.now += 1
    assert not role.allows("refund", session="s")


def test_sensitive_permission_in_a_session_is_an_admins() -> None:
    role = Role("clerk", sensitive_permissions=["refund"])
    with pytest.raises(rolecore.PolicyDenied, match="an admin grants it in a session"):
        role.grant_for_session("refund", session_id="s", seconds=10, by=ANN)
    role.grant_for_session("refund", session_id="s", seconds=10, by=BOB)
    assert role.allows("refund", session="s")


def test_permissions_in_sessions_that_are_over_are_let_go_of() -> None:
    clock = Clock()
    role = Role("clerk", clock=clock)
    for i in range(2000):
        role.grant_for_session("refund", session_id=f"s{i}", seconds=10, by=ANN)
        clock.now += 1
    assert len(role.state.lent) <= 64
    assert facts(again(list(role.events))["clerk"]) == facts(role)


def test_clock_that_returns_no_time_denies_and_decides_nothing() -> None:
    clock = Clock()
    role = Role("clerk", clock=clock)
    role.grant_for_session("refund", session_id="s", seconds=10, by=ANN)
    clock.now = float("nan")
    assert not role.allows("refund", session="s")
    before = facts(role)
    with pytest.raises(rolecore.ArgumentError, match="clock returned nan"):
        role.grant_permission("read", by=ANN)
    assert facts(role) == before


def test_role_is_not_pickled_and_its_error_tells_what_is() -> None:
    role = Role("clerk")
    for held in (role, rolecore.Router([role], embedder=rolecore.HashingEmbedder())):
        with pytest.raises(TypeError, match=r"a Role must not be pickled.* replay"):
            pickle.dumps(held)
    again = replay(pickle.loads(pickle.dumps(role.events)))
    assert again["clerk"].permissions == role.permissions


def test_no_repr_shows_a_user() -> None:
    role = Role("clerk", by=rolecore.Principal("secret-1"))
    role.assign_to_users(["secret-2"], by=rolecore.Principal("secret-3"))
    role.grant_for_session("x", session_id="secret-4", seconds=1, by=BOB)
    assert "secret" not in f"{role!r} {role.events!r} {rolecore.Principal('secret-5')!r}"


def test_events_are_taken_once() -> None:
    role = Role("clerk")
    assert [event.sequence for event in role.take_events()] == [1]
    role.grant_permission("read", by=ANN)
    assert [event.sequence for event in role.take_events()] == [2]
    assert role.events == ()
