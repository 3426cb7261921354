"""What events make of a role. Nothing here decides: an event has happened, and the same events give the same state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakSet

from rolecore.errors import ArgumentError, RoleNotFound
from rolecore.roles import events
from rolecore.roles.arguments import MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Self

TAKE_TURN = "turn"
_FEW_GRANTS = 64


def not_found(name: str) -> RoleNotFound:
    """Return the error for a role that nobody made."""
    return RoleNotFound(f"there is no role {name[:MAX_NAME]!r} here; create it, or look at the names there are")


@dataclass(slots=True, eq=False, weakref_slot=True)
class RoleState:
    """The state of one role, linked with those it inherits from.

    Attributes:
        created: the event that began it, with all that never changes.
        version: how many events made it.
        permissions: of its own.
        members: None until users are assigned for the first time: anybody may use the role.
        lent: for a session and a permission, when it ends, in seconds since 1970. Some are over.
        pending: requests that nobody has decided on, by id.
        n_requests: ids that were given out.
        prune_at: at so many grants in sessions those that are over are let go of.
        parents: those it inherits from, by name.
        effective: permissions of its own and inherited.
    """

    created: events.RoleCreated
    version: int = 1
    permissions: set[str] = field(default_factory=lambda: {TAKE_TURN})
    members: set[str] | None = None
    lent: dict[tuple[str, str], float] = field(default_factory=dict)
    pending: dict[int, events.ApprovalRequested] = field(default_factory=dict)
    n_requests: int = 0
    prune_at: int = _FEW_GRANTS
    parents: dict[str, RoleState] = field(default_factory=dict)
    effective: frozenset[str] = frozenset({TAKE_TURN})
    _children: WeakSet[RoleState] = field(default_factory=WeakSet)

    @property
    def name(self) -> str:
        """The role's."""
        return self.created.role

    def ancestors(self) -> Iterator[RoleState]:
        """Yield it and all that it inherits from, each once."""
        return _reach(self, lambda state: state.parents.values())

    def heirs(self) -> Iterator[RoleState]:
        """Yield it and all that inherit from it, each once."""
        return _reach(self, lambda state: state._children)  # noqa: SLF001  its own kind

    def relatives(self) -> Iterator[RoleState]:
        """Yield it and all that are linked with it in any way, each once."""
        return _reach(self, lambda state: (*state.parents.values(), *state._children))  # noqa: SLF001  its own kind

    def copy(self) -> Self:
        """Return a state of its own with no parents yet: `inherit` links it among other copies."""
        return type(self)(
            self.created,
            self.version,
            set(self.permissions),
            None if self.members is None else set(self.members),
            dict(self.lent),
            dict(self.pending),
            self.n_requests,
            self.prune_at,
            effective=self.effective,
        )

    def inherit(self, parent: RoleState) -> None:
        """Link with a parent; `refresh` makes it count."""
        self.parents[parent.name] = parent
        parent._children.add(self)

    def refresh(self) -> None:
        """Count anew what it and its heirs may do."""
        for heir in self.heirs():
            heir.effective = frozenset().union(*(state.permissions for state in heir.ancestors()))

    def apply(self, event: events.RoleEvent, roles: Mapping[str, RoleState]) -> None:
        """Note what has happened.

        Args:
            event: the role's next.
            roles: others by name, where a parent is looked up.

        Raises:
            ArgumentError: the event is another role's, not the next, or of no kind that is known; nothing was noted.
            RoleNotFound: the parent is not among the roles.
        """
        if event.role != self.name or event.sequence != self.version + 1:
            msg = f"event {event.sequence} of a role comes where event {self.version + 1} of role {self.name!r} is due"
            raise ArgumentError(msg)
        self._note(event, roles)
        self.version = event.sequence

    def _note(self, event: events.RoleEvent, roles: Mapping[str, RoleState]) -> None:  # noqa: C901, PLR0912  one each
        match event:
            case events.RolePermissionGranted():
                self.permissions.add(event.permission)
                self.refresh()
            case events.RolePermissionRevoked():
                self.permissions.discard(event.permission)
                self.refresh()
            case events.RoleInheritanceAdded():
                if event.parent not in roles:
                    raise not_found(event.parent)
                self.inherit(roles[event.parent])
                self.refresh()
            case events.RoleInheritanceRemoved():
                parent = self.parents.pop(event.parent, None)
                if parent is not None:
                    parent._children.discard(self)  # noqa: SLF001  its own kind
                self.refresh()
            case events.SessionPermissionGranted():
                self.lent[event.session_id, event.permission] = event.ends_at
                self._prune(event.at)
            case events.SessionPermissionEnded():
                self.lent.pop((event.session_id, event.permission), None)
            case events.RoleUsersAssigned():
                self.members = (self.members or set()).union(event.users)
            case events.RoleUsersRemoved():
                self.members = (self.members or set()).difference(event.users)
            case events.ApprovalRequested():
                self.pending[event.request_id] = event
                self.n_requests = event.request_id
            case events.ApprovalGranted() | events.ApprovalRejected():
                self.pending.pop(event.request_id, None)
            case _:
                msg = f"an event is of type {type(event).__name__}; it must be one of roles.events, RoleCreated first"
                raise ArgumentError(msg)

    def _prune(self, now: float) -> None:
        """Let go of grants that are over, seldom enough that each grant pays for a few of those looked at."""
        if len(self.lent) >= self.prune_at:
            self.lent = {key: ends_at for key, ends_at in self.lent.items() if ends_at > now}
            self.prune_at = max(_FEW_GRANTS, 2 * len(self.lent))


def _reach(start: RoleState, step: Callable[[RoleState], Iterable[RoleState]]) -> Iterator[RoleState]:
    seen = {id(start)}
    ahead = [start]
    while ahead:
        state = ahead.pop()
        yield state
        for other in step(state):
            if id(other) not in seen:
                seen.add(id(other))
                ahead.append(other)
