"""One turn of a session, from the message to the stored answer: the order of all steps is here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import quote

from rolecore import deadlines
from rolecore._core import History
from rolecore._core import gate as default_gate
from rolecore.adapters.agent import Completion
from rolecore.arguments import read_message
from rolecore.cache import SemanticCache
from rolecore.context import ContextBudget, Lookup, Request
from rolecore.context_keys import USER_ID
from rolecore.errors import AdapterError, ArgumentError, CacheError, MessageError, RoleNotFound
from rolecore.router import Router
from rolecore.sessions.actor import RoleActor
from rolecore.sessions.session import RoleSession
from rolecore.stores import rules
from rolecore.turn_result import Turn, TurnResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rolecore.adapters.agent import Message
    from rolecore.decision import Decision
    from rolecore.roles.role import Role
    from rolecore.stores.protocol import SessionStore

_log = logging.getLogger("rolecore.turn")
# An event loop wakes a step up to its clock's resolution before the deadline: then it is over, too.
_SOON_S = 1e-3
# Roles of messages that only agents and `Role.instructions` make.
_OURS = frozenset({"system", "developer", "assistant"})


async def run_turn(
    message: str | Message | list[Message],
    *,
    session: RoleSession,
    router: Router,
    store: SessionStore,
    cache: SemanticCache | None = None,
    context: ContextBudget | None = None,
    tenant: str = "",
    timeout_s: float | None = None,
) -> TurnResult:
    """Return the answer to a message in a session, once the store has both.

    The order: deadline, permission, the session's mailbox, the router, the window, the cache, the agent, the cache
    again, the store, the trace record. Turns of one session, wherever in the process they come from, are taken one at
    a time and in order. Any error means that nothing was acknowledged, and before the store is asked that nothing was
    kept; see `RoleActor` for what the store may have after an error of its own.

    Args:
        message: a text of the user's, or an OpenAI-style message: kept, not copied, don't change it afterwards. Or a
            list of messages: the results of all tool calls that wait, in any order, and at most one message after them.
        session: whose turn. One that a `Supervisor` holds is sent to instead: give that a `TurnHandler`.
        router: picks the role, among those it has; the session's is one of them.
        store: where the turn is appended.
        cache: answers to questions asked before; None: no answer is reused. What is reused, and what never, is told
            in docs/turns.md.
        context: what goes to a model; None: that of a process, for a model that takes 8,192 tokens.
        tenant: "" or the session's.
        timeout_s: seconds for all of it, within the outer deadline's; None: only those.

    Raises:
        PolicyDenied, RoleNotFound: the role may not take the turn, or is unknown; nothing was done.
        DeadlineExceeded: time is over.
        AdapterError: the agent gave no usable answer. BudgetError: what must go needs more than the model takes.
        MessageError: a message is of no form that a chat API takes, or no request can be made with it, as with results
            that leave a call waiting.
        ArgumentError: an argument is not what it must be, or the role has no agent.
        SessionError, StoreError: as `RoleActor.send`.

    Example:
        >>> import asyncio
        >>> class Echo(rolecore.AIAgent):
        ...     async def ainvoke(self, input, context=()):
        ...         return f"You said: {input}"
        >>> role = rolecore.Role("support", examples=["I need help"], agent=Echo())
        >>> router = rolecore.Router([role], embedder=rolecore.HashingEmbedder())
        >>> async def main():
        ...     async with rolecore.open_store("memory://") as store:
        ...         session = rolecore.RoleSession("support")
        ...         return await rolecore.run_turn("hello", session=session, router=router, store=store)
        >>> asyncio.run(main()).text
        'You said: hello'
    """
    handler = TurnHandler(router, cache=cache, context=context)
    given = {"role": "user", "content": message} if isinstance(message, str) else read_message(message)
    _check(isinstance(session, RoleSession), "session", session, "a RoleSession")
    if tenant not in ("", session.tenant):
        msg = "tenant is another one than the session's; leave it out, or take a session of that tenant"
        raise ArgumentError(msg)
    running = _Running(handler)
    with deadlines.deadline(timeout_s):
        token = _running.set(running)
        try:
            deadlines.check("turn")
            handler.check(session)
            _check(callable(getattr(store, "append", None)), "store", store, "a SessionStore, as of open_store(url)")
            result: TurnResult = await RoleActor.of(session, _handle, store).send(given)
        except Exception as error:
            if not running.is_begun:  # else the handler has left a record, or will
                Turn(session, given, running.started_at).trace(error)
            raise
        finally:
            _running.reset(token)
        return result


class TurnHandler:
    """The steps of a turn between the session's mailbox and the store: a handler for a `Supervisor`.

    Args:
        router, cache, context: as in `run_turn`.

    Raises:
        ArgumentError: the router is no Router, the cache no SemanticCache, or the context no ContextBudget.

    Example:
        >>> import asyncio
        >>> class Echo(rolecore.AIAgent):
        ...     async def ainvoke(self, input, context=()):
        ...         return f"You said: {input}"
        >>> role = rolecore.Role("support", examples=["I need help"], agent=Echo())
        >>> handler = rolecore.TurnHandler(rolecore.Router([role], embedder=rolecore.HashingEmbedder()))
        >>> async def main():
        ...     async with rolecore.open_store("memory://") as db, rolecore.Supervisor(handler, store=db) as roles:
        ...         session = roles.start("support")
        ...         return await roles.send(session.session_id, {"role": "user", "content": "hello"})
        >>> asyncio.run(main()).text
        'You said: hello'
    """

    __slots__ = ("_cache", "_context", "_router")

    def __init__(
        self, router: Router, *, cache: SemanticCache | None = None, context: ContextBudget | None = None
    ) -> None:
        """Check the arguments."""
        _check(isinstance(router, Router), "router", router, "a Router")
        _check(cache is None or isinstance(cache, SemanticCache), "cache", cache, "a SemanticCache or None")
        _check(context is None or isinstance(context, ContextBudget), "context", context, "a ContextBudget or None")
        self._router = router
        self._cache = cache
        self._context = _default_context() if context is None else context

    def check(self, session: RoleSession) -> None:
        """Raise unless the session's role may take a turn in it.

        Raises:
            RoleNotFound: the router has no such role. PolicyDenied: as `Role.check_turn`.
        """
        role = self._router.roles.get(session.role_id)
        if role is None:
            msg = "the router has no role of the session's role_id; give it one, or start the session with another"
            raise RoleNotFound(msg)
        role.check_turn(user_id=USER_ID.get(), session_id=session.session_id)

    async def __call__(self, session: RoleSession, message: Message | list[Message]) -> TurnResult:
        """Return the answer; the actor stores it. See `run_turn`."""
        return await self.answer(session, message, perf_counter())

    async def answer(self, session: RoleSession, message: Message | list[Message], started_at: float) -> TurnResult:
        """Return the answer to a message, and leave a trace record where there is none.

        Args:
            session: whose turn; its messages are loaded.
            message: OpenAI-style, or a list as in `run_turn`.
            started_at: when the turn began, by `time.perf_counter`.
        """
        turn = Turn(session, message, started_at)
        turn.mark("wait")
        try:
            self.check(session)  # again: it may have been taken away while the message waited
            _check_roles(turn.messages)
            role = await self._route(turn)
            turn.mark("route")
            request = await self._plan(turn, role)
            turn.mark("context")
            if request.found is None:
                role, request, completion = await self._ask(turn, role, request)
                turn.mark("agent")
                self._keep(turn, request, completion)
                turn.mark("keep")
            else:
                turn.cache = request.found[0]
                completion = Completion({"role": "assistant", "content": request.found[1]})
        except BaseException as error:
            turn.trace(error)
            raise
        return TurnResult(turn, role, request, completion)

    async def _route(self, turn: Turn) -> Role:
        """Pick the role by what is asked; where nothing is, or tools' results come, the last one goes on."""
        router, session = self._router, turn.session
        last_role = session.last_role if session.last_role in router.roles else session.role_id
        query = turn.question or turn.text
        if turn.messages[0].get("role") == "tool" or not query.strip():
            role = router.roles[last_role or session.role_id]
        else:
            vector = await _embed(router, query) if router.needs_vector(query) else None
            turn.decision = router.route(query, vector=vector, last_role=last_role)
            role = turn.decision.role
        turn.role = role
        role.check_turn(user_id=USER_ID.get(), session_id=session.session_id)
        return role

    async def _plan(self, turn: Turn, role: Role) -> Request:
        """Choose what goes to the agent, unless the cache has the answer to the same question, or to one near it."""
        cache, decision = self._cache, turn.decision
        if cache is None or decision is None or not _may_reuse(turn, role, decision):
            return self._fit(turn, role)
        turn.cache = "miss"
        turn.scope = _scope(turn.session.tenant, role.name)
        model_id = cache.embedder.model_id
        if cache.gate is not default_gate or model_id != self._router.embedder.model_id:
            return await _look_up(cache, turn) or self._fit(turn, role)
        turn.vector = decision.vector
        return self._fit(
            turn, role, Lookup(cache.cache, turn.question, turn.vector, cache.threshold, turn.scope, model_id)
        )

    def _fit(self, turn: Turn, role: Role, lookup: Lookup | None = None) -> Request:
        if role.agent is None:
            msg = f"role {role.name!r} has no agent; give it one: Role(..., agent=...)"
            raise ArgumentError(msg)
        session, context = turn.session, self._context
        if _is_alone(turn, role):
            history, unread, embedder = _no_history(), None, None
        else:
            history, unread = session.open_history()
            if session.vectors is None:
                session.vectors = context.new_embedder(session.tenant)
            embedder = session.vectors
        fit = partial(
            context.fit,
            history,
            turn.messages,
            instructions=role.instructions,
            query=turn.text,
            embedder=embedder,
            unread=unread,
        )
        try:
            return fit(lookup=lookup)
        except CacheError as error:
            if lookup is None:
                raise
            _note(error)
            turn.vector = None
            return fit()

    async def _ask(self, turn: Turn, role: Role, request: Request) -> tuple[Role, Request, Completion]:
        """Ask the role's agent, and where the router hedges, the second role's too."""

        async def send(asked: Role) -> tuple[Role, Request, Completion]:
            if asked is role:
                return role, request, await _complete(role, turn.input, request.messages)
            asked.check_turn(user_id=USER_ID.get(), session_id=turn.session.session_id)
            other = self._fit(turn, asked)
            return asked, other, await _complete(asked, turn.input, other.messages)

        if turn.decision is None:
            with self._router.call(role):
                return await send(role)
        answer = await self._router.hedged(turn.decision, send)
        if answer[0] is not role:
            turn.role = answer[0]
            turn.vector = None  # it was looked up among another role's answers
        return answer

    def _keep(self, turn: Turn, request: Request, completion: Completion) -> None:
        """Keep an answer that may be used again."""
        cache, vector = self._cache, turn.vector
        if cache is None or vector is None or not _is_whole(completion):
            return
        usage = completion.usage
        try:
            cache.cache.put(
                turn.question,
                vector,
                completion.text,
                tenant=turn.scope,
                model_id=cache.embedder.model_id,
                cost=request.tokens if usage is None else usage.input_tokens + usage.output_tokens,
            )
        except CacheError as error:  # the answer was paid for
            _note(error)


class _Running:
    """The turn that is run: its handler, when it was asked for, and whether the mailbox has given it to the handler."""

    __slots__ = ("handler", "is_begun", "started_at")

    def __init__(self, handler: TurnHandler) -> None:
        self.handler = handler
        self.started_at = perf_counter()
        self.is_begun = False


_running: ContextVar[_Running] = ContextVar("rolecore.turn")  # it reaches the actor in the sender's context


async def _handle(session: RoleSession, message: Message | list[Message]) -> TurnResult:
    running = _running.get()
    running.is_begun = True
    return await running.handler.answer(session, message, running.started_at)


@cache
def _default_context() -> ContextBudget:
    return ContextBudget()


@cache
def _no_history() -> History:
    return History()


@lru_cache(1024)
def _scope(tenant: str, role: str) -> str:
    """Return the cache's tenant for one of ours and a role, never the same for two."""
    return rules.key_prefix(tenant) + quote(role, safe="")


def _check_roles(messages: list[Message]) -> None:
    """Raise where a message would speak for the agent or instruct it: a gateway may pass on what a user made up."""
    for i, message in enumerate(messages):
        if message.get("role") in _OURS:
            msg = f"message {i} is of a role that no turn begins with; send user's and tool's, give a Role instructions"
            raise MessageError(msg, i)


def _is_alone(turn: Turn, role: Role) -> bool:
    """Whether nothing that was said before goes to the agent: else an answer may repeat it, and be given to others."""
    return role.standalone and len(turn.messages) == 1 and turn.messages[0].get("role") == "user"


def _may_reuse(turn: Turn, role: Role, decision: Decision) -> bool:
    """Whether the answer depends on nothing but the question and the role, so that another may stand for it."""
    is_alone = turn.session.version == 0 or role.standalone
    return is_alone and turn.question != "" and decision.reason != "sensitive word"


def _is_whole(completion: Completion) -> bool:
    """Whether an answer is a text that came to its end, and nothing but that."""
    said = {key for key, value in completion.message.items() if value}
    return said == {"role", "content"} and bool(completion.text) and completion.finish_reason in {"stop", None}


async def _embed(router: Router, query: str) -> NDArray[np.float32]:
    """Embed a query without holding the loop up: an embedder that is not the core's may take long."""

    def embed() -> NDArray[np.float32] | Exception:
        try:
            return router.embed(query)
        except Exception as error:  # noqa: BLE001  a thread's StopIteration would reach no event loop
            return error

    made = await asyncio.to_thread(embed)
    if isinstance(made, Exception):
        raise made
    return made


async def _look_up(cache: SemanticCache, turn: Turn) -> Request | None:
    """Look an answer up by a gate or an embedder that is not the core's, without holding the loop up."""
    try:
        explained, turn.vector = await cache.find_in_thread(turn.question, turn.scope)
    except Exception as error:  # noqa: BLE001  the caller's embedder and gate: the agent can still answer
        _note(error)
        return None
    if explained.answer is None:
        return None
    whole_tokens = turn.session.history.tokens
    return Request((explained.stage, explained.answer, 0.0), [], 0, whole_tokens, 0, None, 0)


async def _complete(role: Role, asked: str | Message, messages: list[Message]) -> Completion:
    """Return an agent's answer, if it is one that a history and a store can take."""
    assert role.agent is not None  # noqa: S101  no request is made without one
    try:
        completion = await role.agent.acomplete(asked, messages)
    except asyncio.CancelledError:
        left = deadlines.remaining()
        if left is not None and left < _SOON_S:  # the router has to learn why
            what = "agent"
            raise deadlines.exceeded(what) from None
        raise
    message = completion.message if isinstance(completion, Completion) else None
    if type(message) is not dict or message.get("role") != "assistant":
        msg = "the agent returned no Completion with an assistant's message; see AIAgent.acomplete"
        raise AdapterError(msg)
    if len(message) > 2 or not isinstance(message.get("content"), str):  # noqa: PLR2004  more than role and content
        try:
            History([message])
        except MessageError as error:
            msg = f"the agent's message is of no form that a chat API takes: {error}"
            raise AdapterError(msg) from error
    usage = completion.usage
    if usage is not None and not all(type(count) is int and count >= 0 for count in usage):
        return completion._replace(usage=None)  # nobody has counted
    return completion


def _check(is_right: bool, name: str, given: object, wanted: str) -> None:  # noqa: FBT001  what is checked
    if not is_right:
        msg = f"{name} is of type {type(given).__name__}; it must be {wanted}"
        raise ArgumentError(msg)


def _note(error: Exception) -> None:
    _log.warning("no answer is reused in this turn, as the cache raised %s", type(error).__name__)
