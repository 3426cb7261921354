"""What goes to a model: the window in one call, and the budget of a turn, which follows memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, Unpack

from rolecore import deadlines
from rolecore._core import History, RetainController, plan_turn
from rolecore.adapters.agent import text_of
from rolecore.arguments import read_count, read_message
from rolecore.cached_embedder import USAGE_LIMIT, CachedEmbedder
from rolecore.errors import ArgumentError
from rolecore.memory import MemoryProbe

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from rolecore._core import Tokenizer, VectorCache, Window
    from rolecore.memory import Memory, Probe
    from rolecore.types import Embedder


class FitOptions(TypedDict, total=False):
    """The keyword arguments of `History.fit`."""

    retain_ratio: float | None
    query: str | None
    keep_last: int
    unit: str
    shrink_tool_outputs: bool
    summary: str | Callable[..., str] | None
    on_orphans: str
    start_with_user: bool
    embedder: Any


def fit(
    messages: Iterable[dict[str, Any]],
    budget_tokens: int | None = None,
    *,
    tokenizer: str | os.PathLike[str] | Tokenizer = "o200k_base",
    **options: Unpack[FitOptions],
) -> Window:
    """Return the best legal request of at most `budget_tokens` that `messages` make.

    One shot: every message is counted anew. Keep a `History` where the same chat is fitted again.

    Args:
        messages: OpenAI-style dicts.
        budget_tokens: most tokens the window may have; reply priming not included.
        tokenizer: an encoding, a model's name, the path of a tokenizer.json, or a Tokenizer.
        **options: as in `History.fit`.

    Returns:
        A Window. Its whole messages are the caller's own objects.

    Raises:
        MessageError: a message is not of the form a chat API takes.
        BudgetError: what must stay needs more; `.needed` is the smallest budget that works.
        ArgumentError: neither budget nor ratio, or one out of its range.

    Cost: one token count of all text, then that of `History.fit`.

    Example:
        >>> import rolecore
        >>> window = rolecore.fit([{"role": "user", "content": "hello"}], 100)
        >>> window.tokens
        5
    """
    return History(messages, tokenizer=tokenizer).fit(budget_tokens, **options)


class Lookup(NamedTuple):
    """Where an answer may be: the question in normal form, its unit row, and whose entries count."""

    cache: VectorCache
    key: str
    vector: NDArray[np.float32]
    threshold: float
    tenant: str
    model_id: str


class Request(NamedTuple):
    """What goes to a model before the last new message, or the answer that makes it needless.

    Attributes:
        found: ("exact" or "semantic", the answer, what the hit saves), or None.
        messages: the instructions, the window and all new messages but the last, OpenAI-style dicts; none where an
            answer was found.
        tokens: of the messages and the last new one, exact by the history's tokenizer; 0 where an answer was found.
        whole_tokens: of the whole history, the instructions and the new messages.
        dropped: messages of the history of which nothing is kept.
        summary: what stands for messages that were left out while memory was short; None without one.
        budget_tokens: what the request was to have at most.
    """

    found: tuple[str, str, float] | None
    messages: list[dict[str, Any]]
    tokens: int
    whole_tokens: int
    dropped: int
    summary: str | None
    budget_tokens: int


class ContextBudget:
    """How much of a history goes to a model, by what the model takes and by how much memory is left.

    The budget is the retain ratio's share of what the model takes less the reply: with memory to spare up to 0.825 of
    it, from 85 % usage on 0.4, and back in steps. What must stay, the newest turns and the instructions, may have all
    of it. With memory to spare and an embedder, all turns are embedded, and their vectors kept in `vectors`. While
    memory is short nothing is embedded but the summary of what is left out, whose vector alone is kept.

    One for all sessions of a process is enough. Not for threads at once.

    Args:
        context_tokens: what the model takes, prompt and reply.
        reply_tokens: of them kept free for the reply.
        keep_last: newest turns that always go, the new message's counted; 1 or more.
        unit: as in `History.fit`.
        embedder: finds old messages by their meaning: see `History.fit`. None: by their words.
        vectors: where the embedder's vectors are kept; None: nowhere but with each session.
        probe: has `read() -> Memory`; None: a `MemoryProbe`, and all of the budget where it cannot read.
        retain: turns readings into the ratio; None: a `RetainController` of its own.
        probe_period_s: seconds for which a reading counts.
        clock: returns seconds that never run backwards.

    Raises:
        ArgumentError: an argument is of a wrong kind or out of its range.

    Example:
        >>> budget = rolecore.ContextBudget(300, reply_tokens=100)
        >>> history = rolecore.History([{"role": "user", "content": "The ferry leaves at six."}] * 40)
        >>> request = budget.fit(history, {"role": "user", "content": "When does it leave?"})
        >>> request.tokens <= request.budget_tokens <= 0.825 * 200
        True
    """

    __slots__ = (
        "_clock",
        "_embedder",
        "_is_probing",
        "_keep_last",
        "_memory",
        "_most_tokens",
        "_next_reading",
        "_probe",
        "_probe_period_s",
        "_retain",
        "_unit",
        "_vectors",
    )

    def __init__(
        self,
        context_tokens: int = 8192,
        *,
        reply_tokens: int = 1024,
        keep_last: int = 3,
        unit: str = "message",
        embedder: Embedder | None = None,
        vectors: VectorCache | None = None,
        probe: Probe | None = None,
        retain: RetainController | None = None,
        probe_period_s: float = 0.1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check the arguments; nothing is read yet."""
        most = read_count(context_tokens, "context_tokens") - read_count(reply_tokens, "reply_tokens")
        if most < 1:
            msg = f"reply_tokens is {reply_tokens}, context_tokens is {context_tokens}; leave some for the prompt"
            raise ArgumentError(msg)
        if unit not in {"message", "sentence"}:
            msg = f"unit is {unit!r}; it must be 'message' or 'sentence'"
            raise ArgumentError(msg)
        if (embedder is None) > (vectors is None):
            msg = "vectors is given without an embedder; give both, or neither"
            raise ArgumentError(msg)
        self._most_tokens = most
        self._keep_last = read_count(keep_last, "keep_last")
        self._unit = unit
        self._embedder = embedder
        self._vectors = vectors
        if embedder is not None and vectors is not None:
            CachedEmbedder(embedder, vectors)  # refuses what does not go together
        self._probe = probe
        self._is_probing = True
        self._memory: Memory | None = None
        self._next_reading = float("-inf")
        self._probe_period_s = deadlines.read_seconds(probe_period_s, "probe_period_s")
        self._retain = RetainController() if retain is None else retain
        self._clock = clock

    def __repr__(self) -> str:
        """Show what there is for prompts, and the ratio."""
        return f"ContextBudget(most_tokens={self._most_tokens}, ratio={self._retain.ratio})"

    @property
    def ratio(self) -> float | None:
        """The ratio that the last reading led to; None before the first."""
        return self._retain.ratio

    @property
    def is_short(self) -> bool:
        """Whether memory was short at the last reading: more than 85 % in use."""
        return self._memory is not None and self._memory.usage > USAGE_LIMIT

    def new_embedder(self, tenant: str = "") -> _SessionEmbedder | None:
        """Return what embeds the messages of one session, to be given to each `fit` of it; None without an embedder.

        Args:
            tenant: whose vectors.
        """
        if self._embedder is None:
            return None
        return _SessionEmbedder(self._embedder, self._vectors, tenant)

    def fit(
        self,
        history: History,
        message: dict[str, Any] | list[dict[str, Any]],
        *,
        instructions: str = "",
        query: str = "",
        embedder: _SessionEmbedder | None = None,
        unread: list[dict[str, Any]] | None = None,
        lookup: Lookup | None = None,
    ) -> Request:
        """Return what goes to the model before `message`, or the last of them; they are not in the history yet.

        Args:
            history: what was said before.
            message: what is asked now; or a list: the results of all tool calls that wait, in any order, and at most
                one message after them.
            instructions: a system prompt that goes first; "" for none.
            query: what it is about; "" to go by what is worth most.
            embedder: this session's, from `new_embedder`.
            unread: messages that the history lacks; they are appended, and taken out of the list.
            lookup: where to look for an answer first.

        Raises:
            BudgetError: what must stay needs more than the model takes; `.needed` is what it needs.
            MessageError: a message is not of the form a chat API takes, or a tool's result answers no call, or leaves
                others unanswered.
            ArgumentError: `message` is neither, or an empty list; the probe cannot read, or the embedder's rows are not
                what they must be.
            CacheError: the look-up failed; without it, the call can be made again.

        Cost: one call into the core, and at most one reading of memory in `probe_period_s`.
        """
        given = read_message(message)
        reading = self._read()
        if embedder is not None and not self.is_short:
            embedder.renew()
        planned = plan_turn(
            history,
            [] if unread is None else unread,
            given if isinstance(given, list) else [given],
            instructions,
            query,
            self._most_tokens,
            self._keep_last,
            self._unit,
            self._retain,
            None if reading is None else (float(reading.used_bytes), float(reading.limit_bytes)),
            self.is_short,
            None if embedder is None else embedder.rows,
            lookup,
        )
        request = Request._make(planned)
        if embedder is not None and self.is_short and request.found is None:
            embedder.shrink(history, request.summary)
        return request

    def _read(self) -> Memory | None:
        """Return a new reading; None while the last one counts."""
        now = self._clock()
        if now < self._next_reading or not self._is_probing:
            return None
        try:
            self._memory = (self._probe or MemoryProbe()).read()
        except ArgumentError:
            if self._probe is not None:
                raise
            self._is_probing = False  # not Linux
            return None
        self._next_reading = now + self._probe_period_s
        return self._memory


class _SessionEmbedder:
    """What embeds one session's messages: all of them, or while memory is short the summary alone."""

    __slots__ = ("_embedder", "_is_short", "_tenant", "_vectors", "rows")

    def __init__(self, embedder: Embedder, vectors: VectorCache | None, tenant: str) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self._tenant = tenant
        self._is_short = False
        self.rows = self._make()

    def _make(self) -> Embedder:
        if self._vectors is None:
            return self._embedder
        return CachedEmbedder(self._embedder, self._vectors, tenant=self._tenant)

    def shrink(self, history: History, summary: str | None) -> None:
        """Let the messages' vectors go, and keep the summary's."""
        if not isinstance(self.rows, CachedEmbedder):
            return
        if not self._is_short:
            self.rows.forget(filter(None, map(text_of, history.to_messages())))
        self._is_short = True
        if summary is not None:
            self.rows.embed_summary(summary)

    def renew(self) -> None:
        """Start anew if memory was short: a history gives all its messages to another embedder."""
        if self._is_short:
            self._is_short = False
            self.rows = self._make()
