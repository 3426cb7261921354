"""What may be decided about a role: each decision is an event, and only events change the state."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from rolecore import deadlines
from rolecore.errors import ArgumentError, PolicyDenied
from rolecore.roles import events as role_events
from rolecore.roles.arguments import Principal, read_name, read_now, read_principal, read_users
from rolecore.stores import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rolecore.roles.state import RoleState

E = TypeVar("E", bound=role_events.RoleEvent)

MAX_PENDING = 20_000  # permissions and users that wait for an admin, of a role
MAX_ANCESTORS = 100  # roles that one inherits from, in all
_SHOWN_NAMES = 8  # of a long way
_NO_ROLES: Mapping[str, RoleState] = MappingProxyType({})


class RoleDecisions:
    """The part of `Role` that changes it. Of one thread at a time.

    Attributes:
        state: what the events have made of the role, to be read only.
    """

    __slots__ = ("__weakref__", "_clock", "_is_sealed", "_news", "_shared", "state")

    def __init__(
        self,
        state: RoleState,
        *,
        clock: Callable[[], float],
        news: list[role_events.RoleEvent] | None = None,
    ) -> None:
        """Go on with a state.

        Args:
            state: as events made it.
            clock: returns seconds since 1970, UTC.
            news: where events go, shared by roles that may inherit from each other; None: a list of its own, and it may
                inherit from any other such role.
        """
        self.state = state
        self._clock = clock
        self._shared = news
        self._is_sealed = False
        self._news: list[role_events.RoleEvent] = [] if news is None else news

    @property
    def name(self) -> str:
        """What identifies it."""
        return self.state.created.role

    def take_events(self) -> list[role_events.RoleEvent]:
        """Return what has happened here since the last call, and let go of it.

        Raises:
            ArgumentError: the role is a directory's, whose log has its events.
        """
        if self._shared is not None:
            msg = f"role {self.name!r} is a directory's, whose log has its events; use RoleDirectory.subscribe"
            raise ArgumentError(msg)
        news, self._news = self._news, []
        return news

    @property
    def events(self) -> tuple[role_events.RoleEvent, ...]:
        """What has happened here, but for what `take_events` has returned."""
        return tuple(self._news)

    def seal(self) -> None:
        """Refuse all further changes."""
        self._is_sealed = True

    def grant_permission(self, permission: str, *, by: Principal) -> role_events.ApprovalRequested | None:
        """Give the role a permission; one it has is left alone.

        What is sensitive to the role, or to one that inherits from it, only an admin grants.

        Args:
            permission: 1 to 256 characters.
            by: who grants it.

        Returns:
            None when it is granted; when only an admin may, the request that waits for `approve`.

        Raises:
            ArgumentError: an argument is of a wrong kind, or the role refuses changes.
            PolicyDenied: an admin would be asked, and too many requests wait.
        """
        self._begin(by)
        read_name(permission, "permission")
        if permission in self.state.permissions:
            return None
        if not by.is_admin and permission in self._sensitive():
            return self._ask(by, permission, ())
        self._record(role_events.RolePermissionGranted, by, permission=permission)
        return None

    def revoke_permission(self, permission: str, *, by: Principal) -> bool:
        """Take a permission of its own from the role, and return whether it had it; one that it inherits stays.

        Raises:
            ArgumentError: an argument is of a wrong kind, or the role refuses changes.
        """
        self._begin(by)
        if read_name(permission, "permission") not in self.state.permissions:
            return False
        self._record(role_events.RolePermissionRevoked, by, permission=permission)
        return True

    def grant_for_session(self, permission: str, *, session_id: str, seconds: float, by: Principal) -> float:
        """Give the role a permission in one session for a while; a second time sets a new end. No role inherits it.

        Args:
            permission: 1 to 256 characters.
            session_id: as stores take it.
            seconds: more than 0, by the role's clock.
            by: who grants it.

        Returns:
            When it ends, in seconds since 1970, UTC.

        Raises:
            ArgumentError: an argument is of a wrong kind or out of its range, or the role refuses changes.
            PolicyDenied: only an admin may grant it.
        """
        self._begin(by)
        read_name(permission, "permission")
        rules.check_ids("", session_id)
        ends_at = read_now(self._clock) + deadlines.read_seconds(seconds)
        if not read_now(self._clock) < ends_at < math.inf:
            msg = f"seconds is {seconds}; it must be more than 0, and end at a finite time"
            raise ArgumentError(msg)
        if not by.is_admin and permission in self._sensitive():
            msg = f"permission {permission!r} is sensitive; an admin grants it in a session"
            raise PolicyDenied(msg)
        self._record(
            role_events.SessionPermissionGranted, by, permission=permission, session_id=session_id, ends_at=ends_at
        )
        return ends_at

    def end_for_session(self, permission: str, *, session_id: str, by: Principal) -> bool:
        """Take back what `grant_for_session` gave, and return whether it was still there.

        Raises:
            ArgumentError: an argument is of a wrong kind, or the role refuses changes.
        """
        self._begin(by)
        rules.check_ids("", session_id)
        ends_at = self.state.lent.get((session_id, read_name(permission, "permission")))
        if ends_at is None:
            return False
        self._record(role_events.SessionPermissionEnded, by, permission=permission, session_id=session_id)
        return self._clock() < ends_at

    def inherit_from(self, parent: RoleDecisions, *, by: Principal) -> None:
        """Let the role have what another has, now and later; nothing if it does. Members stay each role's own.

        Args:
            parent: the other.
            by: an admin, as what the other gets later comes too.

        Raises:
            ArgumentError: they would inherit from each other, or a role from more than 100; an argument is of a
                wrong kind; the role refuses changes.
            PolicyDenied: `by` is no admin.
        """
        self._begin(by)
        if not isinstance(parent, RoleDecisions) or parent._shared is not self._shared:
            msg = f"parent is of type {type(parent).__name__}; it must be a Role from where this role is from"
            raise ArgumentError(msg)
        if not by.is_admin:
            msg = f"role {self.name!r} would inherit all that {parent.name!r} ever has; an admin lets it"
            raise PolicyDenied(msg)
        known = self.state.parents.get(parent.name)
        if known is parent.state:
            return
        if known is not None:
            msg = f"role {self.name!r} inherits from another role of the name {parent.name!r}; give one another name"
            raise ArgumentError(msg)
        way = _way(parent.state, self.name)
        if way:
            names = [self.name, *way]
            if len(names) > _SHOWN_NAMES:
                names[_SHOWN_NAMES - 2 : -2] = ["..."]
            msg = f"roles would inherit from each other: {' -> '.join(names)}; leave one of these out"
            raise ArgumentError(msg)
        above = {state.name for state in parent.state.ancestors()}
        for heir in self.state.heirs():
            n_above = len(above.union(state.name for state in heir.ancestors())) - 1
            if n_above > MAX_ANCESTORS:
                msg = (
                    f"role {heir.name!r} would inherit from {n_above} roles, it may from {MAX_ANCESTORS}; flatten some"
                )
                raise ArgumentError(msg)
        self._record(role_events.RoleInheritanceAdded, by, {parent.name: parent.state}, parent=parent.name)

    def stop_inheriting(self, parent: str, *, by: Principal) -> bool:
        """End what `inherit_from` began, and return whether it had.

        Args:
            parent: the other's name.
            by: who ends it.

        Raises:
            ArgumentError: an argument is of a wrong kind, or the role refuses changes.
        """
        self._begin(by)
        if read_name(parent, "parent") not in self.state.parents:
            return False
        self._record(role_events.RoleInheritanceRemoved, by, parent=parent)
        return True

    def assign_to_users(self, users: Iterable[str], *, by: Principal) -> role_events.ApprovalRequested | None:
        """Make users members, all at once, with one event; those who are members already stay so.

        From then on only members may use the role.

        Args:
            users: user ids of 1 to 256 characters, up to 10,000.
            by: who assigns them: an admin where the role has a sensitive permission.

        Returns:
            None when all are members; when only an admin may, the request that waits for `approve`.

        Raises:
            ArgumentError: an argument is of a wrong kind or out of its range, or the role refuses changes.
            PolicyDenied: an admin would be asked, and too many requests wait.
        """
        self._begin(by)
        members = self.state.members or set()
        new = tuple(user for user in read_users(users) if user not in members)
        if not new:
            return None
        if not by.is_admin and self._sensitive() & self.state.effective:
            return self._ask(by, None, new)
        self._record(role_events.RoleUsersAssigned, by, users=new)
        return None

    def remove_users(self, users: Iterable[str], *, by: Principal) -> None:
        """Let users be members no more, all at once, with one event. The role stays closed to others.

        Raises:
            ArgumentError: an argument is of a wrong kind or out of its range, or the role refuses changes.
        """
        self._begin(by)
        members = self.state.members or set()
        gone = tuple(user for user in read_users(users) if user in members)
        if gone:
            self._record(role_events.RoleUsersRemoved, by, users=gone)

    def approve(self, request_id: int, *, by: Principal) -> None:
        """Grant what a request asks for.

        Args:
            request_id: of one of `requests`.
            by: an admin, who neither submitted it nor would become a member by it.

        Raises:
            ArgumentError: there is no such request, or it is decided; or as `grant_permission`.
            PolicyDenied: `by` must not decide on it.
        """
        request = self._find_request(request_id, by)
        self._record(role_events.ApprovalGranted, by, request_id=request_id)
        members = self.state.members or set()
        new = tuple(user for user in request.users if user not in members)
        if new:
            self._record(role_events.RoleUsersAssigned, by, users=new)
        if request.permission is not None and request.permission not in self.state.permissions:
            self._record(role_events.RolePermissionGranted, by, permission=request.permission)

    def reject(self, request_id: int, *, by: Principal) -> None:
        """Turn a request down; arguments and errors as with `approve`."""
        self._find_request(request_id, by)
        self._record(role_events.ApprovalRejected, by, request_id=request_id)

    def _begin(self, by: Principal) -> None:
        read_principal(by)
        if self._is_sealed:
            msg = f"role {self.name!r} is shown as its log has it; change it inside RoleDirectory.change"
            raise ArgumentError(msg)

    def _record(
        self,
        kind: Callable[..., E],
        by: Principal,
        roles: Mapping[str, RoleState] = _NO_ROLES,
        **facts: Any,  # noqa: ANN401  the event's own
    ) -> E:
        at = read_now(self._clock)
        event = kind(role=self.name, sequence=self.state.version + 1, at=at, by=by.user_id, **facts)
        self.state.apply(event, roles)
        self._news.append(event)
        return event

    def _sensitive(self) -> set[str]:
        """Return what is sensitive to the role or to one that inherits from it."""
        return set().union(*(heir.created.sensitive_permissions for heir in self.state.heirs()))

    def _ask(self, by: Principal, permission: str | None, users: tuple[str, ...]) -> role_events.ApprovalRequested:
        for request in self.state.pending.values():
            if request.permission == permission and set(request.users) == set(users):
                return request
        n_waiting = sum(len(request.users) or 1 for request in self.state.pending.values()) + (len(users) or 1)
        if n_waiting > MAX_PENDING:
            msg = (
                f"{n_waiting} permissions and users of role {self.name!r} would wait, {MAX_PENDING} may; decide on some"
            )
            raise PolicyDenied(msg)
        request_id = self.state.n_requests + 1
        return self._record(
            role_events.ApprovalRequested, by, request_id=request_id, permission=permission, users=users
        )

    def _find_request(self, request_id: int, by: Principal) -> role_events.ApprovalRequested:
        self._begin(by)
        request = self.state.pending.get(request_id) if type(request_id) is int else None
        if request is None:
            what = "is decided" if type(request_id) is int and 0 < request_id <= self.state.n_requests else "is none"
            msg = f"request_id {what} of role {self.name!r}; those that wait are in its requests"
            raise ArgumentError(msg)
        if not by.is_admin or by.user_id == request.by or by.user_id in request.users:
            msg = f"request {request_id} of role {self.name!r} needs an admin who neither submitted it nor gains by it"
            raise PolicyDenied(msg)
        return request


def _way(start: RoleState, name: str) -> list[str]:
    """Return the names from a role up to the one of a name; [] if it does not inherit from it."""
    ways = {start.name: [start.name]}
    ahead = [start]
    while ahead:
        state = ahead.pop()
        if state.name == name:
            return ways[name]
        for parent in state.parents.values():
            if parent.name not in ways:
                ways[parent.name] = [*ways[state.name], parent.name]
                ahead.append(parent)
    return []
