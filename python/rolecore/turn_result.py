"""A turn in the making, and what it came to: who answered, from where, at what cost and in which time."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from rolecore.adapters.agent import text_of
from rolecore.cache import normal_text
from rolecore.context_keys import TRACE_ID
from rolecore.trace import AgentCall, trace_agent_call

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rolecore.adapters.agent import Completion, Message, Usage
    from rolecore.context import Request
    from rolecore.decision import Decision
    from rolecore.roles.role import Role
    from rolecore.sessions.session import RoleSession

# Longer questions are never reused: a router embeds no more of a text.
_MOST_CHARACTERS = 4096


class Turn:
    """A turn in the making: each step reads what those before it found.

    Attributes:
        session, messages: whose turn, and what is asked.
        input: what the agent is asked: the last message, or a text where it is no more than that.
        text: what the messages say.
        question: its normal form where an answer may be reused, else "".
        role: what the record names: the one that was asked last; None before.
        decision, vector, scope: of the router, the question's row, and whose answers count; set where they are known.
        cache: as in `TurnResult`.
        started_at, steps: when it began, and the seconds of each step that is done.
    """

    __slots__ = (
        "_at",
        "cache",
        "decision",
        "input",
        "messages",
        "question",
        "role",
        "scope",
        "session",
        "started_at",
        "steps",
        "text",
        "vector",
    )

    def __init__(self, session: RoleSession, message: Message | list[Message], started_at: float) -> None:
        """Begin with what is asked."""
        self.session = session
        self.messages = message if isinstance(message, list) else [message]
        *before, last = self.messages
        text = text_of(last)
        self.text = "\n".join([*map(text_of, before), text]) if before else text
        is_plain = len(last) == 2 and last.get("role") == "user" and last.get("content") is text  # noqa: PLR2004
        self.input = text if is_plain else last
        is_question = is_plain and not before and len(text) <= _MOST_CHARACTERS
        self.question = normal_text(text) if is_question else ""
        self.role: Role | None = None
        self.decision: Decision | None = None
        self.vector: NDArray[np.float32] | None = None
        self.scope = ""
        self.cache = "off"
        self.started_at = self._at = started_at
        self.steps: dict[str, float] = {}

    def mark(self, step: str) -> None:
        """Note that a step is done."""
        now = perf_counter()
        self.steps[step] = now - self._at
        self._at = now

    def trace(self, error: BaseException | None, result: TurnResult | None = None) -> None:
        """Leave the trace record of a turn that failed, or of its result."""
        usage = None if result is None else result.usage
        session, agent = self.session, None if self.role is None else self.role.agent
        trace_agent_call(
            AgentCall(
                agent_type="" if agent is None else type(agent).__name__,
                role=session.role_id if self.role is None else self.role.name,
                session_id=session.session_id,
                tenant=session.tenant,
                trace_id=TRACE_ID.get() or "",
                input_tokens=usage.input_tokens if usage is not None else 0 if result is None else result.tokens,
                output_tokens=0 if usage is None else usage.output_tokens,
                tokens_saved=0 if result is None else result.tokens_saved,
                cache=self.cache,
                outcome="ok" if error is None else type(error).__name__,
                steps=self.steps,
                duration_s=perf_counter() - self.started_at,
            )
        )


class TurnResult:
    """A turn that is done.

    Attributes:
        messages: the answer, as it is stored after what was asked: one message.
        role: name of the role that answered.
        decision: why that role; None where there was nothing to decide by, as with a tool's result.
        tokens: of the request, exact by the history's tokenizer; 0 where the cache had the answer.
        dropped: messages of the history of which the request held nothing.
        tokens_saved: of history, instructions and message, those that were not sent.
        cache: "exact" or "semantic" where the cache had the answer, "miss", or "off" where none was asked.
        usage: what the agent says that the call cost; None where it says nothing, or was not asked.
        finish_reason: why the answer ended, where the agent says so.
        steps: seconds by step: "wait", "route", "context" with the look-up, "agent", "keep" and "store".
        duration_s: seconds in all.
    """

    __slots__ = (
        "_turn",
        "cache",
        "decision",
        "dropped",
        "duration_s",
        "finish_reason",
        "messages",
        "role",
        "steps",
        "tokens",
        "tokens_saved",
        "usage",
    )

    def __init__(self, turn: Turn, role: Role, request: Request, completion: Completion) -> None:
        """Take what the steps came to."""
        self.messages: list[Message] = [completion.message]
        self.role = role.name
        self.decision = turn.decision
        self.tokens = request.tokens
        self.dropped = request.dropped
        self.tokens_saved = request.whole_tokens - request.tokens
        self.cache = turn.cache
        self.usage: Usage | None = completion.usage
        self.finish_reason = completion.finish_reason
        self.steps = turn.steps
        self.duration_s = 0.0
        self._turn = turn

    def __repr__(self) -> str:
        """Show the figures; what was said is the user's."""
        return f"TurnResult(role={self.role!r}, tokens={self.tokens}, dropped={self.dropped}, cache={self.cache!r})"

    @property
    def text(self) -> str:
        """What was answered; "" where there are only tool calls."""
        content = self.messages[-1].get("content")
        return content if isinstance(content, str) else ""

    def settle(self, error: BaseException | None) -> None:
        """Learn, once, from the actor that the store has the turn, or why it may not, and leave the trace record."""
        turn = self._turn
        turn.mark("store")
        self.duration_s = perf_counter() - turn.started_at
        if error is None:
            turn.session.last_role = self.role
        turn.trace(error, self)
