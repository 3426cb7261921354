"""Roles told what cannot be: typed errors that name the value and the limit, and nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from test_roles import BOB, facts

import rolecore
from rolecore.roles.role import MAX_TEXT, Role

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"name": ""}, "name has 0 characters; it must be a str of 1 to 256"),
        ({"name": LONG}, "name has 1000000 characters"),
        ({"name": None}, "name is of type NoneType"),
        ({"name": "clerk\nboss"}, "name is blank, or holds a control character"),
        ({"name": "\ud800"}, "name is blank, or holds a control character"),
        ({"name": "  "}, "name is blank"),
        ({"sensitive_words": ["lawyer", ""]}, r"sensitive_words\[1\] is blank"),
        ({"examples": [" \t"]}, r"examples\[0\] is blank"),
        ({"description": LONG + "x"}, f"texts have 1000001 characters, they may have {MAX_TEXT}"),
        ({"examples": [LONG, "x"]}, "texts have 1000001"),
        ({"examples": "When?"}, "examples is of type str"),
        ({"examples": ["When?", 3]}, r"examples\[1\] is of type int"),
        ({"examples": None}, "examples is of type NoneType"),
        ({"sensitive_words": [b"x"]}, r"sensitive_words\[0\] is of type bytes"),
        ({"sensitive_permissions": [""]}, r"sensitive_permissions\[0\] has 0 characters"),
        ({"instructions": None}, "instructions is of type NoneType"),
        ({"standalone": 1}, "standalone is of type int"),
        ({"agent": "gpt"}, "agent is of type str"),
        ({"by": "ann"}, "by is of type str"),
        ({"clock": lambda: float("inf")}, "clock returned inf"),
        ({"clock": lambda: None}, "clock returned a NoneType"),
    ],
)
def test_role_of_bad_arguments_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=match) as caught:
        Role(**{"name": "clerk"} | options)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda role: role.grant_permission("", by=BOB), "permission has 0 characters"),
        (lambda role: role.grant_permission(LONG, by=BOB), "permission has 1000000 characters"),
        (lambda role: role.grant_permission(None, by=BOB), "permission is of type NoneType"),
        (lambda role: role.grant_permission("x", by=None), "by is of type NoneType"),
        (lambda role: role.revoke_permission(3, by=BOB), "permission is of type int"),
        (lambda role: role.allows(["x"]), "permission is of type list"),
        (lambda role: role.grant_for_session("x", session_id="", seconds=1, by=BOB), "session_id is empty"),
        (lambda role: role.grant_for_session("x", session_id=LONG, seconds=1, by=BOB), "session_id is 1000000 bytes"),
        (lambda role: role.grant_for_session("x", session_id="s", seconds=0, by=BOB), "seconds is 0"),
        (lambda role: role.grant_for_session("x", session_id="s", seconds=-1, by=BOB), "seconds is -1"),
        (lambda role: role.grant_for_session("x", session_id="s", seconds=float("nan"), by=BOB), "seconds is nan"),
        (lambda role: role.grant_for_session("x", session_id="s", seconds=1e-300, by=BOB), "seconds is 1e-300"),
        (lambda role: role.grant_for_session("x", session_id="s", seconds=True, by=BOB), "seconds is of type bool"),
        (lambda role: role.assign_to_users("ann", by=BOB), "users is of type str"),
        (lambda role: role.assign_to_users(["ann", ""], by=BOB), r"users\[1\] has 0 characters"),
        (lambda role: role.assign_to_users([LONG], by=BOB), r"users\[0\] has 1000000 characters"),
        (lambda role: role.assign_to_users(map(str, range(10_001)), by=BOB), "users has 10001 of them, it may have"),
        (lambda role: role.remove_users(None, by=BOB), "users is of type NoneType"),
        (lambda role: role.stop_inheriting(role, by=BOB), "parent is of type Role"),
    ],
)
def test_bad_argument_of_a_change_is_refused_and_changes_nothing(call: Callable[[Any], Any], match: str) -> None:
    role = Role("clerk")
    before = facts(role)
    with pytest.raises(rolecore.ArgumentError, match=match) as caught:
        call(role)
    assert len(str(caught.value)) < 200
    assert facts(role) == before


@pytest.mark.parametrize(("user_id", "is_admin"), [("", False), (LONG, False), (3, False), ("ann", 1), ("ann", "no")])
def test_principal_of_bad_arguments_is_refused(user_id: Any, is_admin: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"user_id|is_admin"):
        rolecore.Principal(user_id, is_admin)
