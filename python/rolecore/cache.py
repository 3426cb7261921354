"""Answers found again when the same is asked in other words: a cache of questions over a `VectorCache`."""

from __future__ import annotations

import asyncio
import threading
import unicodedata
from concurrent.futures import Future
from contextlib import suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from rolecore._core import VectorCache
from rolecore._core import gate as default_gate
from rolecore.arguments import unit_rows
from rolecore.errors import ArgumentError, CacheError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import numpy as np
    from numpy.typing import NDArray

    from rolecore.types import Embedder

# Questions above the threshold that are shown to the gate, best first: what comes after four refusals is further off.
_MOST_CANDIDATES = 4
# Rows of a first search; more are asked for while rows without an answer take the places.
_FIRST_ROWS = 8

# How a flight ends: with an answer, with an error, or with None where another is to take over. The error is its future's
# result and not its exception: on the way into an event loop those of concurrent.futures become others, and
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
        threshold: least cosine of two questions that may share an answer, -1..1.
        gate: `gate(text, cached_text) -> bool`, whether two questions that near ask the same. The default is
            `rolecore.gate`; `lambda text, cached_text: True` trusts vectors alone.

    Raises:
        ArgumentError: an argument is of a wrong kind or out of its range.

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
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not -1 <= threshold <= 1:
            shown = threshold if isinstance(threshold, int | float) else f"of type {type(threshold).__name__}"
            msg = f"threshold is {shown}; it must be a cosine, -1 to 1"
            raise ArgumentError(msg)
        if not callable(gate):
            msg = f"gate is of type {type(gate).__name__}; it must be callable as gate(text, cached_text)"
            raise ArgumentError(msg)
        self._embedder = embedder
        self._cache = cache
        self._threshold = threshold
        self._gate = gate
        # What is being computed.
        self._flights: dict[tuple[str, str], Future[_Outcome]] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Show the threshold and the cache."""
        return f"SemanticCache(threshold={self._threshold}, cache={self._cache!r})"

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

    def put(self, text: str, answer: str, *, tenant: str = "") -> None:
        """Keep the answer to a question, in place of what was there.

        Args:
            text: the question.
            answer: its answer.
            tenant: whose it is.

        Raises:
            ArgumentError: an argument is no str, `text` is blank, or the embedder returns no row.
            CacheError: the answer does not fit the cache's budget; what was there stays.

        Cost: one embedding unless the text's vector is known, and that of `VectorCache.put`.
        """
        key = key_of(text)
        _check_answer(answer, "answer")
        entry = self._cache.get(key, tenant=tenant, model_id=self._embedder.model_id)
        vector = self._embed(key) if entry is None else entry.vector
        self._put(key, tenant, vector, answer)

    async def get_or_compute(self, text: str, fn: Callable[[], str | Awaitable[str]], *, tenant: str = "") -> str:
        """Return the cached answer, or the one `fn` computes, which is then kept.

        However many tasks and threads ask the same text at once, in any event loops, `fn` runs once: one of them
        computes and the others wait. If it raises, they all raise what it raised. If it is cancelled, another takes
        over. Embedding runs in a thread, `fn` in the caller's event loop.

        Args:
            text: the question.
            fn: called without arguments for a str or an awaitable of one. It must not ask for the same text itself.
            tenant: whose answers.

        Returns:
            The answer; also when it does not fit the cache, where it is not kept.

        Raises:
            ArgumentError: `fn` gives no str; and as `get`.

        Cost: as `get` for a hit; nothing is embedded twice.
        """
        key = key_of(text)
        while True:
            found, _ = self._exact(key, tenant)
            if found and found.answer is not None:
                return found.answer
            flight, is_leader = self._join(key, tenant)
            if is_leader:
                with _Landing(self, (tenant, key), flight) as landing:
                    nearest, vector = await self._find_in_thread(key, tenant)
                    if nearest.answer is None:
                        made = fn()
                        answer = await made if isawaitable(made) else made
                        landing.answer = self._keep(key, tenant, vector, answer)
                    else:
                        landing.answer = nearest.answer
                return landing.answer
            answer_of_leader = _answer_of(await asyncio.wrap_future(flight))
            if answer_of_leader is not None:
                return answer_of_leader

    def get_or_compute_in_thread(self, text: str, fn: Callable[[], str], *, tenant: str = "") -> str:
        """Return the cached answer, or the one `fn` computes: `get_or_compute` for threads.

        It shares the waiting with `get_or_compute`, and blocks, so no event loop may run in the thread that calls it.

        Args:
            text: the question.
            fn: called without arguments for a str. It must not ask for the same text itself.
            tenant: whose answers.

        Returns:
            The answer; also when it does not fit the cache, where it is not kept.

        Raises:
            ArgumentError: `fn` gives no str; and as `get`.

        Cost: as `get` for a hit; nothing is embedded twice.
        """
        key = key_of(text)
        while True:
            found, _ = self._exact(key, tenant)
            if found and found.answer is not None:
                return found.answer
            flight, is_leader = self._join(key, tenant)
            if is_leader:
                with _Landing(self, (tenant, key), flight) as landing:
                    nearest, vector = self._find(key, tenant)
                    answer = nearest.answer
                    landing.answer = self._keep(key, tenant, vector, fn()) if answer is None else answer
                return landing.answer
            answer_of_leader = _answer_of(flight.result())
            if answer_of_leader is not None:
                return answer_of_leader

    def _exact(self, key: str, tenant: str) -> tuple[Explanation | None, NDArray[np.float32] | None]:
        """Look the text itself up: its answer if it has one, its vector if that is known."""
        entry = self._cache.get(key, tenant=tenant, model_id=self._embedder.model_id)
        if entry is None:
            return None, None
        if isinstance(entry.value, str):
            return Explanation("exact", entry.value, key, 1.0), entry.vector
        return None, entry.vector

    async def _find_in_thread(self, key: str, tenant: str) -> tuple[Explanation, NDArray[np.float32]]:
        """As `_find`; its errors come as results, for the reason that `_Outcome` has."""

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
        """Look for a question near this one that the gate lets pass."""
        scope = {"tenant": tenant, "model_id": self._embedder.model_id}
        best = self._cache.lookup(vector, self._threshold, **scope)
        if best is None:
            return Explanation("miss", None, None, None)
        if isinstance(best.value, str) and self._gate(key, best.key):
            return Explanation("semantic", best.value, best.key, best.score)
        # The nearest has no answer, or one to another question: what stands behind it?
        n_rows = _FIRST_ROWS
        while True:
            rows = self._cache.search(vector, n_rows, **scope)
            near = [row for row in rows if row.score >= self._threshold]
            candidates = [row for row in near if isinstance(row.value, str)][:_MOST_CANDIDATES]
            if len(candidates) == _MOST_CANDIDATES or len(near) < n_rows:
                break
            n_rows *= 4
        for row in candidates:
            if row.key != best.key and self._gate(key, row.key):
                # Counts as a use, which a search does not.
                self._cache.get(row.key, **scope)
                return Explanation("semantic", str(row.value), row.key, row.score)
        if not candidates:
            return Explanation("miss", None, None, None)
        return Explanation("refused", None, candidates[0].key, candidates[0].score)

    def _embed(self, key: str) -> NDArray[np.float32]:
        row: NDArray[np.float32] = unit_rows_of(self._embedder, [key])[0]
        return row

    def _put(self, key: str, tenant: str, vector: NDArray[np.float32], answer: str) -> None:
        self._cache.put(key, vector, answer, tenant=tenant, model_id=self._embedder.model_id)

    def _keep(self, key: str, tenant: str, vector: NDArray[np.float32], answer: object) -> str:
        kept = _check_answer(answer, "what fn returned")
        # An answer that was computed is not lost because it does not fit.
        with suppress(CacheError):
            self._put(key, tenant, vector, kept)
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
        msg = f"{name} is of type {type(answer).__name__}; it must be a str"
        raise ArgumentError(msg)
    return answer


def check_pair(embedder: Any, cache: Any) -> None:  # noqa: ANN401  any argument
    """Raise an ArgumentError unless the two can work together."""
    if not callable(getattr(embedder, "embed", None)) or not isinstance(getattr(embedder, "model_id", None), str):
        msg = f"embedder is of type {type(embedder).__name__}; it must have embed(texts) and a str model_id"
        raise ArgumentError(msg)
    if not isinstance(cache, VectorCache):
        msg = f"cache is of type {type(cache).__name__}; it must be a VectorCache"
        raise ArgumentError(msg)


def unit_rows_of(embedder: Embedder, texts: list[str]) -> NDArray[np.float32]:
    """Embed texts; an ArgumentError where the rows are none."""
    return unit_rows(embedder.embed(texts), name="embedder.embed's result", error=ArgumentError, n=len(texts))
