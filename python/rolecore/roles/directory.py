"""A tenant's roles in a store: changed by one process at a time, seen by all, told to subscribers."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import time
from contextlib import aclosing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from rolecore import deadlines
from rolecore.errors import ArgumentError, RoleNotFound, SessionConflict, StoreError
from rolecore.roles.arguments import read_function, read_name
from rolecore.roles.log import START, Place, RoleLog
from rolecore.roles.role import Role, note, read_agent
from rolecore.roles.state import not_found
from rolecore.roles.subscriber import RoleSubscriber

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from rolecore.adapters.agent import AIAgent
    from rolecore.roles.events import RoleEvent
    from rolecore.roles.state import RoleState
    from rolecore.stores.protocol import SessionStore

T = TypeVar("T")

MAX_EVENTS = 1_000  # of one change
_log = logging.getLogger("rolecore.roles")


class RoleDraft:
    """The roles as one change would make them: what `RoleDirectory.change` hands to its function."""

    def __init__(self, states: Mapping[str, RoleState], clock: Callable[[], float]) -> None:
        """Copy a state when it is asked for: what is decided here may come to nothing."""
        self.events: list[RoleEvent] = []
        self._clock = clock
        self._known = states
        self._states: dict[str, RoleState] = {}
        self._roles: dict[str, Role] = {}
        self._is_over = False

    def __getitem__(self, name: str) -> Role:
        """Return a role, to be changed; raises RoleNotFound, or ArgumentError when the change is over."""
        self._begin()
        if name not in self._states:
            if name not in self._known:
                raise not_found(name)
            relatives = list(self._known[name].relatives())
            self._states.update((state.name, state.copy()) for state in relatives)
            for state in relatives:
                for parent in state.parents:
                    self._states[state.name].inherit(self._states[parent])
        if name not in self._roles:
            self._roles[name] = Role.of(self._states[name], clock=self._clock, news=self.events)
        return self._roles[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is such a role."""
        return name in self._states or name in self._known

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter({**self._known, **self._states})

    def create(self, name: str, **options: Any) -> Role:  # noqa: ANN401  as Role takes them
        """Return a new role.

        Args:
            name: one that no role has.
            options: as `Role` takes them, without `agent` and `clock`, which are the directory's.

        Raises:
            ArgumentError: the name is taken or the change is over; what `Role` raises.
        """
        self._begin()
        if "agent" in options:
            msg = "agent is not for the log; name it in RoleDirectory(agents=...), or set it on the role there"
            raise ArgumentError(msg)
        created = Role(name, clock=self._clock, **options).state.created
        if name in self:
            msg = f"there is a role {name!r} already; take another name, or the role that is there"
            raise ArgumentError(msg)
        note(created, self._states)
        self.events.append(created)
        return self[name]

    def close(self) -> None:
        """Refuse further changes, which would be lost."""
        self._is_over = True
        for role in self._roles.values():
            role.seal()

    def _begin(self) -> None:
        if self._is_over:
            msg = "the change is over; make another with RoleDirectory.change"
            raise ArgumentError(msg)


class RoleDirectory:
    """The roles of a tenant, kept in a store as the log of their changes.

    Any number of processes may have one over the same store. A change is decided on all that is in the log, and of two
    that are made at once one is decided anew after the other; all see the same changes in the same order. Use it with
    `async with`, in one event loop: it reads the log then, and again every `poll_s`.

    Args:
        store: any store.
        tenant: whose roles.
        agents: what answers for a role, by its name; no log holds agents. `role.agent` may be set later too.
        poll_s: seconds between two looks for what other processes have changed.
        clock: returns seconds since 1970, UTC.

    Raises:
        ArgumentError: an argument is of a wrong kind or out of its range.

    Attributes:
        position: how many changes it has seen.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     async with rolecore.open_store("memory://") as store, rolecore.RoleDirectory(store) as roles:
        ...         boss = rolecore.Principal("bob", is_admin=True)
        ...         await roles.change(lambda draft: draft.create("clerk").grant_permission("read", by=boss))
        ...         return roles["clerk"].allows("read")
        >>> asyncio.run(main())
        True
    """

    def __init__(
        self,
        store: SessionStore,
        *,
        tenant: str = "",
        agents: Mapping[str, AIAgent] = MappingProxyType({}),
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Read nothing yet."""
        self.position = 0
        self._place = START
        self._log = RoleLog(store, tenant)
        self._agents = {name: read_agent(agent) for name, agent in agents.items()}
        self._poll_s = deadlines.read_seconds(poll_s, "poll_s")
        if not self._poll_s:
            msg = "poll_s is 0; it must be more, in seconds"
            raise ArgumentError(msg)
        self._clock = clock
        self._lock = asyncio.Lock()
        self._states: dict[str, RoleState] = {}
        self._roles: dict[str, Role] = {}
        self._subscribers: dict[str, RoleSubscriber] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    def __repr__(self) -> str:
        """Show how much there is."""
        return f"RoleDirectory(roles={len(self._roles)}, position={self.position})"

    def __getitem__(self, name: str) -> Role:
        """Return a role as the log has it, always the same object; raises RoleNotFound."""
        if name not in self._roles:
            raise not_found(name)
        return self._roles[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is such a role."""
        return name in self._roles

    def __iter__(self) -> Iterator[str]:
        """Yield the names, in the order in which the roles were created."""
        return iter(tuple(self._roles))

    def __len__(self) -> int:
        """How many roles there are."""
        return len(self._roles)

    @property
    def roles(self) -> list[Role]:
        """All roles, in the order in which they were created, as a new list."""
        return list(self._roles.values())

    async def change(self, decide: Callable[[RoleDraft], T]) -> T:
        """Return what a function returns that changes roles, when the store has what it changed, all in one step.

        The roles here change then, not before. If the function raises, nothing is changed. After a StoreError or
        DeadlineExceeded it may have been or not; make the call again, as what is done already is not done twice.

        Args:
            decide: is given a `RoleDraft`, and may be called several times: it only changes roles, and does not wait.

        Raises:
            ArgumentError: `decide` is no function or async, or changes too much.
            StoreError: the log is damaged, or the store cannot be reached.
            CodecError: the log has events of a newer rolecore.
            DeadlineExceeded: the deadline is over. What `decide` raises.

        Cost: one load of the newest segment, a copy of the roles that are looked at and of those linked with them, one
            append.
        """
        read_function(decide, "decide", "a RoleDraft")
        async with deadlines.within("change of roles"), self._lock:
            while True:
                await self._catch_up()
                draft = RoleDraft(self._states, self._clock)
                try:
                    result = decide(draft)
                finally:
                    draft.close()
                if inspect.isawaitable(result):
                    if inspect.iscoroutine(result):
                        result.close()
                    msg = "decide is async; it must be a plain function, as it may be called several times"
                    raise ArgumentError(msg)
                if len(draft.events) > MAX_EVENTS:
                    msg = f"the change has {len(draft.events)} events, it may have {MAX_EVENTS}; make several"
                    raise ArgumentError(msg)
                if draft.events:
                    try:
                        place = await self._log.append(self._place, draft.events)
                    except SessionConflict:
                        continue
                    self._note(place, draft.events)
                return result

    async def catch_up(self) -> int:
        """Read what others have changed, and return how many changes that was.

        Raises:
            StoreError, CodecError, DeadlineExceeded: as `change`; what was read before is noted.
        """
        async with deadlines.within("reading the log of roles"), self._lock:
            return await self._catch_up()

    def subscribe(self, name: str, handler: Callable[[RoleEvent], Awaitable[None] | None]) -> RoleSubscriber:
        """Hand every event there ever was and will be to a handler, in order, each at least once.

        The store keeps how far it has come, by its name; let one process at a time have a name. What the handler
        raises has it try the same event again, after a while; others are not held up meanwhile.

        Args:
            name: of the subscriber, 1 to 256 characters.
            handler: called with one event at a time; may be async.

        Raises:
            ArgumentError: the name is none, or taken here, or the handler cannot be called.
            StoreError: the directory is not entered, or closed.
        """
        self._log.check_name(read_name(name, "name"))
        read_function(handler, "handler", "an event")
        if not self._is_open:
            msg = "the directory is not open; use it with `async with`"
            raise StoreError(msg)
        if name in self._subscribers:
            msg = f"there is a subscriber {name!r} already; take another name"
            raise ArgumentError(msg)
        subscriber = self._subscribers[name] = RoleSubscriber(self._log, name, handler)
        self._start(subscriber.run())
        return subscriber

    async def __aenter__(self) -> Self:
        """Read the log, and look for more from now on; raises what `catch_up` does."""
        async with deadlines.within("reading the log of roles"):
            await self._log.check()
        await self.catch_up()
        self._is_open = True
        self._start(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Look for no more, and stop the subscribers; what one is handling it is handed again another time."""
        self._is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._subscribers.clear()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # In a context of its own: no deadline or tenant of whoever happens to start it.
        self._tasks.append(asyncio.get_running_loop().create_task(work, context=contextvars.Context()))

    async def _follow(self) -> None:
        is_well = True
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.catch_up()
                is_well = True
            except Exception as error:  # noqa: BLE001  a store may be anybody's
                if is_well:
                    _log.warning("roles are as they were: %s; trying on", type(error).__name__)
                is_well = False

    async def _catch_up(self) -> int:
        before = self.position
        async with aclosing(self._log.read(self._place)) as changes:
            async for place, events in changes:
                self._note(place, events)
        return self.position - before

    def _note(self, place: Place, events: list[RoleEvent]) -> None:
        for event in events:
            try:
                note(event, self._states)
            except (ArgumentError, RoleNotFound) as error:
                msg = f"change {self.position} in the log of roles does not follow from those before; restore the log"
                raise StoreError(msg) from error
            if event.role not in self._roles:
                state, agent = self._states[event.role], self._agents.get(event.role)
                role = self._roles[event.role] = Role.of(state, agent=agent, clock=self._clock, news=[])
                role.seal()
        self._place = place
        self.position += 1
        for subscriber in self._subscribers.values():
            subscriber.wake()
