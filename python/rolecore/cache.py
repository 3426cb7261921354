"""Answers found again when the same is asked in other words: a cache of questions over a `VectorCache`."""

from __future__ import annotations

import asyncio
import sys
import threading
import unicodedata
from concurrent.futures import Future
from contextlib import suppress
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from rolecore._core import VectorCache, nearest, settle
from rolecore._core import gate as default_gate
from rolecore.arguments import read_texts, unit_rows
from rolecore.errors import ArgumentError, CacheError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from rolecore._core import Hit
    from rolecore.types import Embedder

# Questions above the threshold that are shown to the gate, best first: what comes after four refusals is further off.
_MOST_CANDIDATES = 4
# Rows of a first search; more are asked for while rows without an answer take the places.
_FIRST_ROWS = 8

# How a flight ends: with an answer, with an error, or with None where another is to take over. The error is the
# future's result, not its exception: on the way into an event loop those of concurrent.futures become others, and
# StopIteration is lost, with all who wait for it.
_Outcome: TypeAlias = str | Exception | None


class Explanation(NamedTuple):
    """How a question was looked up.

    Attributes:
        stage: "exact": the same text has an answer; "semantic": a question near it that the gate let pass has one;
            "refused": there are such questions, and the gate refused them; "miss": there are none.
        answer: what `get` returns.
        key: the matched question, or the nearest one that was refused; None for a miss.
        score: its cosine; 1.0 for the same text; None for a miss.
    """

    stage: str
    answer: str | None
    key: str | None
    score: float | None


class SemanticCache:
    """Answers to questions, found again when the same is asked in other words.

    A question is looked for by its text, then, by its vector, among the questions of the same tenant and model that
    are at least `threshold` near; of those the gate lets pass what asks the same. The text is compared as a whole, in
    Unicode's normal form NFC and with white space trimmed and collapsed. A text whose vector the cache holds is not
    embedded again, and no call embeds more than once.

    Limits, eviction and time to live are those of `cache`, which may be shared with other SemanticCaches and with
    `CachedEmbedder`s; rows without an answer never hide one.

    Args:
        embedder: makes the vectors; its `model_id` keeps models apart.
        cache: where questions, vectors and answers are kept; its dim is the embedder's.
        threshold: least score of two questions that may share an answer, -1..1: see `Hit.score`.
        gate: `gate(text, cached_text) -> bool`, whether two questions that near ask the same. The default is
            `rolecore.gate`; `lambda text, cached_text: True` trusts vectors alone.

    Raises:
        ArgumentError: an argument is of a wrong kind or out of its range.

    Attributes:
        embedder, cache, threshold, gate: as given.

    Safe to share between threads and event loops.

    Example:
        >>> import rolecore
        >>> embedder = rolecore.HashingEmbedder()
        >>> answers = rolecore.SemanticCache(embedder, rolecore.VectorCache(embedder.dim, capacity=1000))
        >>> answers.put("How do I reset my password?", "Under Settings.")
        >>> answers.get("how do I reset my password")
        'Under Settings.'
    """

    def __init__(
        self,
        embedder: Embedder,
        cache: VectorCache,
        *,
        threshold: float = 0.9,
        gate: Callable[[str, str], bool] = default_gate,
    ) -> None:
        """Check the arguments; nothing is embedded yet."""
        check_pair(embedder, cache)
        self.threshold = _check_number(threshold, "threshold", least=-1, most=1, wanted="a cosine, -1 to 1")
        if not callable(gate) or iscoroutinefunction(gate):
            kind = "a coroutine function" if callable(gate) else f"of type {type(gate).__name__}"
            msg = f"gate is {kind}; it must be callable as gate(text, cached_text) for a bool"
            raise ArgumentError(msg)
        self.embedder = embedder
        self.cache = cache
        self.gate = gate
        # What is being computed.
        self._flights: dict[tuple[str, str], Future[_Outcome]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show the threshold and the cache."""
        return f"SemanticCache(threshold={self.threshold}, cache={self.cache!r})"

    def get(self, text: str, *, tenant: str = "") -> str | None:
        """Return the answer to a question that asks the same, None if there is none.

        Args:
            text: the question.
            tenant: whose answers; other tenants' are never seen.

        Raises:
            ArgumentError: `text` is no str or blank, or the embedder returns no row.
            CacheError: the embedder's rows are not of the cache's dim.

        Cost: that of `VectorCache.get`; if the text is not there, one embedding and one or two searches.
        """
        return self.explain(text, tenant=tenant).answer

    def explain(self, text: str, *, tenant: str = "") -> Explanation:
        """Return what `get` returns and how it was found; see there for arguments, errors and cost."""
        key = key_of(text)
        found, vector = self._exact(key, tenant)
        return found or self._nearest(key, tenant, self._embed(key) if vector is None else vector)

    def put(self, text: str, answer: str, *, tenant: str = "", cost: float = 1.0) -> None:
        """Keep the answer to a question, in place of what was there.

        Args:
            text: the question.
            answer: its answer.
            tenant: whose it is.
            cost: what a hit saves, as in `VectorCache.put`.

        Raises:
            ArgumentError: an argument is not what it must be, `text` is blank, or the embedder returns no row.
            CacheError: the answer does not fit the cache's budget; what was there stays.

        Cost: one embedding unless the text's vector is known, and that of `VectorCache.put`.
        """
        key = key_of(text)
        _check_answer(answer, "answer")
        _check_cost(cost)
        entry = self.cache.get(key, tenant=tenant, model_id=self.embedder.model_id)
        vector = self._embed(key) if entry is None else entry.vector
        self._put(key, tenant, vector, answer, cost)

    async def get_or_compute(
        self, text: str, fn: Callable[[], str | Awaitable[str]], *, tenant: str = "", cost: float = 1.0
    ) -> str:
        """Return the cached answer, or the one `fn` computes, which is then kept.

        However many tasks and threads ask the same text at once, in any event loops, `fn` runs once: one of them
        computes and the others wait. If it raises, they all raise what it raised. If it is cancelled, another takes
        over. Embedding runs in a thread, `fn` in the caller's event loop.

        Args:
            text: the question.
            fn: called without arguments for a str or an awaitable of one. It must not ask for the same text itself.
            tenant: whose answers.
            cost: what a hit on what `fn` computes saves, as in `VectorCache.put`.

        Returns:
            The answer; also when it does not fit the cache, where it is not kept.

        Raises:
            ArgumentError: `fn` is not callable or gives no str, `cost` is no cost; and as `get`.

        Cost: as `get` for a hit; nothing is embedded twice.
        """
        key = key_of(text)
        _check_fn(fn)
        _check_cost(cost)
        while True:
            found, _ = self._exact(key, tenant)
            if found and found.answer is not None:
                return found.answer
            flight, is_leader = self._join(key, tenant)
            if is_leader:
                with _Landing(self, (tenant, key), flight) as landing:
                    nearest, vector = await self.find_in_thread(key, tenant)
                    if nearest.answer is None:
                        made = fn()
                        answer = await made if isawaitable(made) else made
                        landing.answer = self._keep(key, tenant, vector, answer, cost)
                    else:
                        landing.answer = nearest.answer
                return landing.answer
            answer_of_leader = _answer_of(await asyncio.wrap_future(flight))
            if answer_of_leader is not None:
                return answer_of_leader

    def get_or_compute_in_thread(self, text: str, fn: Callable[[], str], *, tenant: str = "", cost: float = 1.0) -> str:
        """Return the cached answer, or the one `fn` computes: `get_or_compute` for threads.

        It shares the waiting with `get_or_compute`, and blocks, so no event loop may run in the thread that calls it.

        Args:
            text: the question.
            fn: called without arguments for a str. It must not ask for the same text itself.
            tenant: whose answers.
            cost: what a hit on what `fn` computes saves, as in `VectorCache.put`.

        Returns:
            The answer; also when it does not fit the cache, where it is not kept.

        Raises:
            ArgumentError: `fn` is not callable or gives no str, `cost` is no cost; and as `get`.

        Cost: as `get` for a hit; nothing is embedded twice.
        """
        key = key_of(text)
        _check_fn(fn)
        _check_cost(cost)
        while True:
            found, _ = self._exact(key, tenant)
            if found and found.answer is not None:
                return found.answer
            flight, is_leader = self._join(key, tenant)
            if is_leader:
                with _Landing(self, (tenant, key), flight) as landing:
                    nearest, vector = self._find(key, tenant)
                    answer = nearest.answer
                    landing.answer = self._keep(key, tenant, vector, fn(), cost) if answer is None else answer
                return landing.answer
            answer_of_leader = _answer_of(flight.result())
            if answer_of_leader is not None:
                return answer_of_leader

    def _exact(self, key: str, tenant: str) -> tuple[Explanation | None, NDArray[np.float32] | None]:
        """Look the text itself up: its answer if it has one, its vector if that is known."""
        entry = self.cache.get(key, tenant=tenant, model_id=self.embedder.model_id)
        if entry is None:
            return None, None
        if isinstance(entry.value, str):
            return Explanation("exact", entry.value, key, 1.0), entry.vector
        return None, entry.vector

    async def find_in_thread(self, key: str, tenant: str) -> tuple[Explanation, NDArray[np.float32]]:
        """Return how a text in normal form is looked up, as `explain`, and its vector, without holding the loop up."""
        # Its errors come as results, for the reason that `_Outcome` has.

        def find() -> tuple[Explanation, NDArray[np.float32]] | Exception:
            try:
                return self._find(key, tenant)
            except Exception as error:  # noqa: BLE001  raised below
                return error

        found = await asyncio.to_thread(find)
        if isinstance(found, Exception):
            raise found
        return found

    def _find(self, key: str, tenant: str) -> tuple[Explanation, NDArray[np.float32]]:
        found, vector = self._exact(key, tenant)
        if vector is None:
            vector = self._embed(key)
        return found or self._nearest(key, tenant, vector), vector

    def _nearest(self, key: str, tenant: str, vector: NDArray[np.float32]) -> Explanation:
        """Look for a question near this one that the gate lets pass, and count what came of it."""
        refused: Hit | None = None
        for row in self._candidates(tenant, vector):
            if self._passes(key, row.key):
                settle(self.cache, row)
                return Explanation("semantic", str(row.value), row.key, row.score)
            refused = refused or row
        settle(self.cache, None, is_refused=refused is not None)
        if refused is None:
            return Explanation("miss", None, None, None)
        return Explanation("refused", None, refused.key, refused.score)

    def _candidates(self, tenant: str, vector: NDArray[np.float32]) -> Iterator[Hit]:
        """Find questions near enough that have an answer, nearest first."""
        scope = {"tenant": tenant, "model_id": self.embedder.model_id}
        best = nearest(self.cache, vector, self.threshold, **scope)
        if best is None:
            return
        if isinstance(best.value, str):
            yield best
        # The nearest has no answer, or one to another question: what stands behind it?
        n_rows = _FIRST_ROWS
        while True:
            rows = self.cache.search(vector, n_rows, **scope)
            near = [row for row in rows if row.score >= self.threshold]
            candidates = [row for row in near if isinstance(row.value, str)][:_MOST_CANDIDATES]
            if len(candidates) == _MOST_CANDIDATES or len(near) < n_rows:
                break
            n_rows *= 4
        yield from (row for row in candidates if row.key != best.key)

    def _passes(self, key: str, cached_key: str) -> bool:
        passed: object = self.gate(key, cached_key)
        # It would count as a yes.
        if isawaitable(passed):
            _close(passed)
            msg = f"what gate returned is of type {type(passed).__name__}; it must be a bool"
            raise ArgumentError(msg)
        return bool(passed)

    def _embed(self, key: str) -> NDArray[np.float32]:
        row: NDArray[np.float32] = unit_rows_of(self.embedder, [key])[0]
        return row

    def _put(self, key: str, tenant: str, vector: NDArray[np.float32], answer: str, cost: float) -> None:
        self.cache.put(key, vector, answer, tenant=tenant, model_id=self.embedder.model_id, cost=cost)

    def _keep(self, key: str, tenant: str, vector: NDArray[np.float32], answer: object, cost: float) -> str:
        kept = _check_answer(answer, "what fn returned")
        # An answer that was computed is not lost because it does not fit.
        with suppress(CacheError):
            self._put(key, tenant, vector, kept, cost)
        return kept

    def _join(self, key: str, tenant: str) -> tuple[Future[_Outcome], bool]:
        """Return the future of who computes this text already, or a new one and True."""
        with self._lock:
            known = self._flights.get((tenant, key))
            if known is not None:
                return known, False
            flight: Future[_Outcome] = Future()
            # So that a waiter's own cancellation cannot cancel it for the others.
            flight.set_running_or_notify_cancel()
            self._flights[tenant, key] = flight
            return flight, True


class _Landing:
    """Ends a flight however its leader ends: with an answer, with an error for all, or for another to take over."""

    def __init__(self, cache: SemanticCache, name: tuple[str, str], flight: Future[_Outcome]) -> None:
        self._cache = cache
        self._name = name
        self._flight = flight
        self.answer = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        with self._cache._lock:  # noqa: SLF001  a part of it
            del self._cache._flights[self._name]  # noqa: SLF001
        if error is None:
            self._flight.set_result(self.answer)
        else:
            # Cancelled or interrupted is no fault of the question.
            self._flight.set_result(error if isinstance(error, Exception) else None)


def _answer_of(outcome: _Outcome) -> str | None:
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def normal_text(text: str) -> str:
    """Return the form texts are compared in: NFC, white space trimmed and collapsed; case and width as they are."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def key_of(text: str) -> str:
    """Return the normal form of a text that is not blank."""
    if not isinstance(text, str):
        msg = f"text is of type {type(text).__name__}; it must be a str"
        raise ArgumentError(msg)
    key = normal_text(text)
    if not key:
        msg = "text is blank; it must have a character that is no white space"
        raise ArgumentError(msg)
    return key


def _check_answer(answer: object, name: str) -> str:
    if not isinstance(answer, str):
        _close(answer)
        way_out = "; get_or_compute awaits what fn returns" if isawaitable(answer) else ""
        msg = f"{name} is of type {type(answer).__name__}; it must be a str{way_out}"
        raise ArgumentError(msg)
    return answer


def _close(given: object) -> None:
    """Close a coroutine that is not run, of which Python would warn."""
    if iscoroutine(given):
        given.close()


def _check_fn(fn: object) -> None:
    if not callable(fn):
        _close(fn)
        msg = f"fn is of type {type(fn).__name__}; it must be callable without arguments for a str"
        raise ArgumentError(msg)


def _check_cost(cost: object) -> None:
    _check_number(cost, "cost", least=0, most=sys.float_info.max, wanted="a finite number from 0")


def _check_number(value: object, name: str, *, least: float, most: float, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown = f"of type {type(value).__name__}"
    elif least <= value <= most:
        return float(value)
    else:
        # Python refuses to write very large numbers out.
        shown = "of more than 64 bits" if isinstance(value, int) and value.bit_length() > 64 else str(value)  # noqa: PLR2004
    msg = f"{name} is {shown}; it must be {wanted}"
    raise ArgumentError(msg)


def check_pair(embedder: Any, cache: Any) -> None:  # noqa: ANN401  any argument
    """Raise an ArgumentError unless the two can work together."""
    embed = getattr(embedder, "embed", None)
    if isinstance(embedder, type) or not callable(embed) or not isinstance(getattr(embedder, "model_id", None), str):
        msg = f"embedder is of type {type(embedder).__name__}; it must have embed(texts) and a str model_id"
        raise ArgumentError(msg)
    if iscoroutinefunction(embed):
        msg = (
            "embedder.embed is a coroutine function; it must return the rows, and is run in a thread where a loop waits"
        )
        raise ArgumentError(msg)
    if not isinstance(cache, VectorCache):
        msg = f"cache is of type {type(cache).__name__}; it must be a VectorCache"
        raise ArgumentError(msg)


def unit_rows_of(embedder: Embedder, texts: list[str]) -> NDArray[np.float32]:
    """Embed texts, lone surrogates as U+FFFD; an ArgumentError where the rows are none of the embedder's dim."""
    given = embedder.embed(read_texts(texts))
    _close(given)
    # Some know it only now.
    dim = getattr(embedder, "dim", None)
    return unit_rows(given, name="embedder.embed's result", error=ArgumentError, n=len(texts), dim=dim)
