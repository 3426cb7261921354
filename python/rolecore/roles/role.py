"""Roles: agents with a job, what each may do, and who may use it. Nothing here waits, reads or writes.

A change is decided, becomes an event, and only the event changes the state: `replay` of the events gives the same role.
"""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rolecore.adapters.agent import AIAgent
from rolecore.errors import ArgumentError, PolicyDenied
from rolecore.roles import events as role_events
from rolecore.roles.arguments import (
    Principal,
    read_flag,
    read_name,
    read_names,
    read_now,
    read_principal,
    read_text,
    read_texts,
)
from rolecore.roles.decisions import RoleDecisions
from rolecore.roles.state import TAKE_TURN, RoleState, not_found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import NoReturn, Self

__all__ = ["MAX_TEXT", "TAKE_TURN", "Principal", "Role", "note", "replay"]

MAX_TEXT = 1_000_000  # characters of all of a role's texts together
MAX_PENDING = 1_000  # requests of a role that nobody has decided on
_SHOWN_NAMES = 8  # of a long way


class Role(RoleDecisions):
    """An agent with a job: what it may do, who may use it, and what a router tells it by.

    A new role has the permission `TAKE_TURN` and is open to all until users are assigned. Which permissions are
    sensitive it says itself. Changes come from one thread at a time; `allows` may be asked from any.

    Args:
        name: 1 to 256 characters; it identifies the role.
        description: what it is for.
        examples: what is asked of it.
        agent: what answers; None for a role that answers nothing.
        sensitive_words: those that lead to this role wherever they are said.
        sensitive_permissions: those that only an admin grants; when others do, an admin is asked.
        instructions: the system prompt; "" for none.
        standalone: its questions stand alone, as with an FAQ: the agent is not told what was said before, and an answer
            may be reused in any session of the tenant.
        by: who makes it; None: the program.
        clock: returns seconds since 1970, UTC.

    Raises:
        ArgumentError: an argument is of a wrong kind, or too long.

    Attributes:
        state: what the events have made of it, to be read only.
        agent: as given.

    Example:
        >>> role = rolecore.Role("clerk", sensitive_permissions=["refund"])
        >>> clerk, boss = rolecore.Principal("ann"), rolecore.Principal("bob", is_admin=True)
        >>> request = role.grant_permission("refund", by=clerk)
        >>> role.allows("refund")
        False
        >>> role.approve(request.request_id, by=boss)
        >>> role.allows("refund")
        True
    """

    __slots__ = ("agent",)

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        examples: Iterable[str] = (),
        agent: AIAgent | None = None,
        sensitive_words: Iterable[str] = (),
        sensitive_permissions: Iterable[str] = (),
        instructions: str = "",
        standalone: bool = False,
        by: Principal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with the event that it was created."""
        texts = [read_texts(examples, "examples"), read_texts(sensitive_words, "sensitive_words")]
        texts.append((read_text(description, "description"), read_text(instructions, "instructions")))
        n_characters = sum(len(text) for of_kind in texts for text in of_kind)
        if n_characters > MAX_TEXT:
            msg = f"the role's texts have {n_characters} characters, they may have {MAX_TEXT}; shorten them"
            raise ArgumentError(msg)
        created = role_events.RoleCreated(
            role=read_name(name, "name"),
            sequence=1,
            at=read_now(clock),
            by="" if by is None else read_principal(by).user_id,
            sensitive_permissions=read_names(sensitive_permissions, "sensitive_permissions"),
            standalone=read_flag(standalone, "standalone"),
            description=description,
            examples=texts[0],
            sensitive_words=texts[1],
            instructions=instructions,
        )
        super().__init__(RoleState(created), clock=clock)
        self.agent = read_agent(agent)
        self._news.append(created)

    @classmethod
    def of(
        cls,
        state: RoleState,
        *,
        agent: AIAgent | None = None,
        clock: Callable[[], float] = time.time,
        news: list[role_events.RoleEvent] | None = None,
    ) -> Self:
        """Return the role of a state, which it goes on with.

        Args:
            state: as events made it.
            agent: what answers.
            clock: returns seconds since 1970, UTC.
            news: as `RoleDecisions` takes it.
        """
        role = cls.__new__(cls)
        RoleDecisions.__init__(role, state, clock=clock, news=news)
        role.agent = read_agent(agent)
        return role

    def __repr__(self) -> str:
        """Show the name and sizes; members are the user's."""
        return f"Role({self.name!r}, permissions={len(self.permissions)}, version={self.version})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a copy would go its own way, in no log."""
        msg = "a Role must not be pickled, as a copy would be in no log; send its events, and replay them there"
        raise TypeError(msg)

    @property
    def description(self) -> str:
        """What it is for."""
        return self.state.created.description

    @property
    def examples(self) -> tuple[str, ...]:
        """What is asked of it."""
        return self.state.created.examples

    @property
    def sensitive_words(self) -> tuple[str, ...]:
        """Those that lead to this role wherever they are said."""
        return self.state.created.sensitive_words

    @property
    def instructions(self) -> str:
        """The system prompt; "" for none."""
        return self.state.created.instructions

    @property
    def standalone(self) -> bool:
        """Whether an answer may be reused whatever was said before."""
        return self.state.created.standalone

    @property
    def version(self) -> int:
        """How many events made it."""
        return self.state.version

    @property
    def permissions(self) -> frozenset[str]:
        """Those of its own and inherited, without what is granted in a session."""
        return self.state.effective

    @property
    def parents(self) -> tuple[str, ...]:
        """Names of the roles it inherits from, in the order they were added."""
        return tuple(self.state.parents)

    @property
    def members(self) -> frozenset[str]:
        """Users that were assigned. While `is_open` there are none, and anybody may use it."""
        return frozenset(self.state.members or ())

    @property
    def is_open(self) -> bool:
        """Whether users were never assigned. Once they were, it stays closed, also when the last is removed."""
        return self.state.members is None

    @property
    def requests(self) -> tuple[role_events.ApprovalRequested, ...]:
        """Those that nobody has decided on, oldest first."""
        return tuple(self.state.pending.values())

    def allows(self, permission: str, *, session: str | None = None) -> bool:
        """Return whether the role has a permission, of its own, inherited, or granted in this session.

        Args:
            permission: which.
            session: the session's id; None: in none.

        Raises:
            ArgumentError: `permission` is no str.

        Cost: O(1), less than a microsecond.
        """
        state = self.state
        if not isinstance(permission, str):
            msg = f"permission is of type {type(permission).__name__}; it must be a str"
            raise ArgumentError(msg)
        if permission in state.effective:
            return True
        ends_at = state.lent.get((session, permission)) if session is not None else None
        return ends_at is not None and self._clock() < ends_at

    def check_turn(self, *, user_id: str | None, session_id: str) -> None:
        """Raise unless this user may have the role take a turn in this session.

        Raises:
            PolicyDenied: the role lacks `TAKE_TURN`, or it has members and the user is not one of them.
        """
        if not self.allows(TAKE_TURN, session=session_id):
            msg = f"role {self.name!r} lacks the permission {TAKE_TURN!r}, in this session too; grant it"
            raise PolicyDenied(msg)
        members = self.state.members
        if members is not None and user_id not in members:
            msg = f"role {self.name!r} has members and the user is not one of them; assign_to_users adds users"
            raise PolicyDenied(msg)


def replay(
    events: Iterable[role_events.RoleEvent],
    *,
    agents: Mapping[str, AIAgent] = MappingProxyType({}),
    clock: Callable[[], float] = time.time,
) -> dict[str, Role]:
    """Return the roles that these events tell of, by name, exactly as they were; they can be changed further.

    Args:
        events: each role's own in their order, roles mixed as it comes.
        agents: what answers, by role, as no event holds it.
        clock: returns seconds since 1970, UTC.

    Raises:
        ArgumentError: a role's events have a gap, repeat, or do not begin with `RoleCreated`.
        RoleNotFound: a role inherits from one that no event created.
    """
    states: dict[str, RoleState] = {}
    for event in sorted(events, key=lambda event: not isinstance(event, role_events.RoleCreated)):
        note(event, states)
    return {name: Role.of(state, agent=agents.get(name), clock=clock) for name, state in states.items()}


def read_agent(agent: Any) -> AIAgent | None:  # noqa: ANN401  any argument
    """Return an agent, or None.

    Raises:
        ArgumentError: it is neither.
    """
    if agent is not None and not isinstance(agent, AIAgent):
        msg = f"agent is of type {type(agent).__name__}; it must be an AIAgent, or None"
        raise ArgumentError(msg)
    return agent


def note(event: role_events.RoleEvent, states: dict[str, RoleState]) -> None:
    """Note what has happened among roles; errors as with `replay`, and then nothing was noted."""
    if isinstance(event, role_events.RoleCreated) and event.role not in states and event.sequence == 1:
        states[event.role] = RoleState(event)
    elif event.role in states:
        states[event.role].apply(event, states)
    else:
        raise not_found(event.role)
