"""Roles against a plain model of sets, at random; after each step the events alone give the same roles."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from test_roles import Clock, facts

from rolecore.errors import ArgumentError, PolicyDenied
from rolecore.roles import events as role_events
from rolecore.roles.role import TAKE_TURN, Principal, Role, replay

NAMES = ("a", "b", "c", "d", "e")
SENSITIVE = {"a": {"pay"}, "b": {"pay", "sign"}, "c": set(), "d": {"read"}, "e": set()}
USERS = ("ann", "bob", "cat", "dan")

names = st.sampled_from(NAMES)
permissions = st.sampled_from(("pay", "sign", "read", TAKE_TURN))
sessions = st.sampled_from(("s", "t"))
people = st.builds(Principal, st.sampled_from(USERS), st.booleans())
crowds = st.lists(st.sampled_from(USERS), max_size=3)


class Model:
    """What one role is, in sets."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.own = {TAKE_TURN}
        self.parents: set[str] = set()
        self.members: set[str] | None = None
        self.ends: dict[tuple[str, str], float] = {}
        self.waiting: dict[int, tuple[str, str | None, set[str]]] = {}
        self.n_asked = 0

    def ask(self, who: Principal, permission: str | None, users: set[str]) -> None:
        if not any((permission, users) == asked[1:] for asked in self.waiting.values()):
            self.n_asked += 1
            self.waiting[self.n_asked] = (who.user_id, permission, users)


class Roles(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.roles = {name: Role(name, sensitive_permissions=SENSITIVE[name], clock=self.clock) for name in NAMES}
        self.models = {name: Model(name) for name in NAMES}
        self.log: list[role_events.RoleEvent] = []

    def line(self, name: str) -> set[str]:
        """Return a role and all it inherits from, by closing the set under "has as a parent"."""
        found = {name}
        while new := {parent for each in found for parent in self.models[each].parents} - found:
            found |= new
        return found

    def effective(self, name: str) -> set[str]:
        return {permission for each in self.line(name) for permission in self.models[each].own}

    def is_sensitive(self, name: str, permission: str) -> bool:
        return any(permission in SENSITIVE[heir] for heir in NAMES if name in self.line(heir))

    @rule(name=names, permission=permissions, who=people)
    def grant(self, name: str, permission: str, who: Principal) -> None:
        model, role = self.models[name], self.roles[name]
        request = role.grant_permission(permission, by=who)
        if permission in model.own:
            assert request is None
        elif self.is_sensitive(name, permission) and not who.is_admin:
            model.ask(who, permission, set())
            assert request is not None
        else:
            model.own.add(permission)
            assert request is None

    @rule(name=names, permission=permissions, who=people)
    def revoke(self, name: str, permission: str, who: Principal) -> None:
        own = self.models[name].own
        assert self.roles[name].revoke_permission(permission, by=who) == (permission in own)
        own.discard(permission)

    @rule(child=names, parent=names, who=people)
    def inherit(self, child: str, parent: str, who: Principal) -> None:
        if not who.is_admin:
            with pytest.raises(PolicyDenied):
                self.roles[child].inherit_from(self.roles[parent], by=who)
        elif child in self.line(parent):
            with pytest.raises(ArgumentError, match=f"{child} -> .*{parent}|{child} -> {child}"):
                self.roles[child].inherit_from(self.roles[parent], by=who)
        else:
            self.roles[child].inherit_from(self.roles[parent], by=who)
            self.models[child].parents.add(parent)

    @rule(child=names, parent=names, who=people)
    def disinherit(self, child: str, parent: str, who: Principal) -> None:
        parents = self.models[child].parents
        assert self.roles[child].stop_inheriting(parent, by=who) == (parent in parents)
        parents.discard(parent)

    @rule(name=names, users=crowds, who=people)
    def assign(self, name: str, users: list[str], who: Principal) -> None:
        model = self.models[name]
        n_events = self.roles[name].version
        self.roles[name].assign_to_users(users, by=who)
        new = set(users) - (model.members or set())
        if not new:
            assert self.roles[name].version == n_events
        elif not who.is_admin and any(self.is_sensitive(name, permission) for permission in self.effective(name)):
            model.ask(who, None, new)
        else:
            model.members = (model.members or set()) | new
            assert self.roles[name].version == n_events + 1

    @rule(name=names, users=crowds, who=people)
    def remove(self, name: str, users: list[str], who: Principal) -> None:
        model = self.models[name]
        self.roles[name].remove_users(users, by=who)
        if model.members:
            model.members -= set(users)

    @rule(name=names, request_id=st.integers(1, 4), who=people, is_yes=st.booleans())
    def decide(self, name: str, request_id: int, who: Principal, is_yes: bool) -> None:  # noqa: FBT001  a rule's
        self.decide_on(name, request_id, who, is_yes=is_yes)

    @rule(pick=st.integers(0, 1000), user=st.sampled_from(USERS), is_yes=st.booleans())
    def decide_on_one_that_waits(self, pick: int, user: str, is_yes: bool) -> None:  # noqa: FBT001  a rule's
        waiting = [(name, request_id) for name in NAMES for request_id in self.models[name].waiting]
        if waiting:
            self.decide_on(*waiting[pick % len(waiting)], Principal(user, is_admin=True), is_yes=is_yes)

    def decide_on(self, name: str, request_id: int, who: Principal, *, is_yes: bool) -> None:
        model, role = self.models[name], self.roles[name]
        call = role.approve if is_yes else role.reject
        asked = model.waiting.get(request_id)
        if asked is None:
            with pytest.raises(ArgumentError):
                call(request_id, by=who)
            return
        submitter, permission, users = asked
        if not who.is_admin or who.user_id == submitter or who.user_id in users:
            with pytest.raises(PolicyDenied):
                call(request_id, by=who)
            return
        call(request_id, by=who)
        del model.waiting[request_id]
        if is_yes and permission is not None:
            model.own.add(permission)
        if is_yes and users - (model.members or set()):
            model.members = (model.members or set()) | users

    @rule(name=names, permission=permissions, session=sessions, seconds=st.sampled_from((1, 5, 100)), who=people)
    def lend(self, name: str, permission: str, session: str, seconds: int, who: Principal) -> None:
        grant = self.roles[name].grant_for_session
        if self.is_sensitive(name, permission) and not who.is_admin:
            with pytest.raises(PolicyDenied):
                grant(permission, session_id=session, seconds=seconds, by=who)
        else:
            grant(permission, session_id=session, seconds=seconds, by=who)
            self.models[name].ends[session, permission] = self.clock.now + seconds

    @rule(name=names, permission=permissions, session=sessions, who=people)
    def take_back(self, name: str, permission: str, session: str, who: Principal) -> None:
        ends_at = self.models[name].ends.pop((session, permission), 0)
        ended = self.roles[name].end_for_session(permission, session_id=session, by=who)
        assert ended == (ends_at > self.clock.now)

    @rule(seconds=st.sampled_from((0.5, 1, 5, -2)))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def roles_are_as_the_model(self) -> None:
        for name, role in self.roles.items():
            model, effective = self.models[name], self.effective(name)
            assert role.permissions == effective
            assert set(role.parents) == model.parents
            assert (None if role.is_open else role.members) == model.members
            asked = {item.request_id: (item.by, item.permission, set(item.users)) for item in role.requests}
            assert asked == model.waiting
            for permission in ("pay", "sign", "read", TAKE_TURN):
                for session in ("s", "t"):
                    is_lent = self.clock.now < model.ends.get((session, permission), 0)
                    assert role.allows(permission, session=session) == (permission in effective or is_lent)

    @invariant()
    def events_alone_give_the_same_roles(self) -> None:
        for role in self.roles.values():
            self.log += role.take_events()
        text = json.dumps([role_events.encode(event) for event in self.log])
        decoded = [role_events.decode(plain) for plain in json.loads(text)]
        assert decoded == self.log
        by_role = sorted(self.log, key=lambda event: event.role)
        for events in (self.log, decoded, by_role):
            roles = replay(events, clock=self.clock)
            assert {name: facts(role) for name, role in roles.items()} == {
                name: facts(role) for name, role in self.roles.items()
            }


Roles.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestRoles = pytest.mark.timeout(120)(Roles.TestCase)
