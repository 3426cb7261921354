"""An embedder that remembers: vectors of a history and of questions in one `VectorCache`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rolecore._core import put_new
from rolecore.arguments import read_texts
from rolecore.cache import check_pair, key_of, normal_text, unit_rows_of
from rolecore.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from rolecore._core import VectorCache
    from rolecore.memory import MemoryProbe
    from rolecore.types import Embedder

# Usage of memory above which it is short. Source: as of `compute_retain_ratio`.
USAGE_LIMIT = 0.85


class CachedEmbedder:
    """An embedder that remembers its vectors in a `VectorCache`: what it has embedded is not embedded again.

    Made for `History.fit(embedder=...)` and next to a `SemanticCache` over the same cache: a turn that was a question
    before, or a question that was a turn, has its vector already. The cache's limits hold for all: at capacity a new
    text evicts what was used the longest ago. Texts are compared as in `SemanticCache`; answers stay as they are.

    Args:
        embedder: makes the vectors that are not known.
        cache: where they are kept; its dim is the embedder's.
        tenant: whose vectors.
        probe: with one, memory is looked at: while more than 85 % is in use, nothing but the summary (see
            `embed_summary`) is kept, and what is asked for leaves the cache, unless it has an answer.

    Raises:
        ArgumentError: an argument is of a wrong kind.

    Safe to share between threads.

    Example:
        >>> import rolecore
        >>> embedder = rolecore.HashingEmbedder()
        >>> remembers = rolecore.CachedEmbedder(embedder, rolecore.VectorCache(embedder.dim, capacity=1000))
        >>> history = rolecore.History([{"role": "user", "content": "The ferry leaves at six."}] * 9)
        >>> window = history.fit(30, query="When does the ferry leave?", keep_last=1, embedder=remembers)
    """

    def __init__(
        self, embedder: Embedder, cache: VectorCache, *, tenant: str = "", probe: MemoryProbe | None = None
    ) -> None:
        """Check the arguments; nothing is embedded yet."""
        check_pair(embedder, cache)
        if not isinstance(tenant, str):
            msg = f"tenant is of type {type(tenant).__name__}; it must be a str"
            raise ArgumentError(msg)
        if probe is not None and not callable(getattr(probe, "read", None)):
            msg = f"probe is of type {type(probe).__name__}; it must be a MemoryProbe or None"
            raise ArgumentError(msg)
        self._embedder = embedder
        self._cache = cache
        self._tenant = tenant
        self._probe = probe
        self._summary: str | None = None

    def __repr__(self) -> str:
        """Show the model and the cache."""
        return f"CachedEmbedder(model_id={self.model_id!r}, cache={self._cache!r})"

    @property
    def model_id(self) -> str:
        """The embedder's."""
        return self._embedder.model_id

    @property
    def dim(self) -> int:
        """The embedder's."""
        return self._embedder.dim

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return a unit row for each text; those that are not known are embedded in one call, each once.

        Returns:
            A new array, float32, shape (n, dim).

        Raises:
            ArgumentError: a text is no str, the embedder's rows are not what they must be, or the probe cannot read.
            CacheError: a row does not fit the cache: its dim, or its budget beside what is pinned.

        Cost: one look-up a text, one embedding of the others.
        """
        import numpy as np

        keys = [normal_text(text) for text in read_texts(texts)]
        is_short = self._probe is not None and self._probe.read().usage > USAGE_LIMIT
        known: dict[str, NDArray[np.float32]] = {}
        for key in dict.fromkeys(keys):
            entry = self._cache.get(key, tenant=self._tenant, model_id=self.model_id)
            if entry is not None:
                known[key] = entry.vector
                if is_short and entry.value is None and key != self._summary:
                    self._cache.remove(key, tenant=self._tenant, model_id=self.model_id)
        new = [key for key in dict.fromkeys(keys) if key not in known]
        if new:
            known.update(zip(new, unit_rows_of(self._embedder, new), strict=True))
        if not is_short:
            for key in new:
                # Meanwhile another may have put its answer there.
                put_new(self._cache, key, known[key], tenant=self._tenant, model_id=self.model_id)
        return np.array([known[key] for key in keys], np.float32).reshape(len(keys), self.dim)

    def embed_summary(self, text: str) -> NDArray[np.float32]:
        """Return the unit row of a history's summary, and keep it even while memory is short.

        It takes the place of the summary before, whose vector goes unless it has an answer.

        Args:
            text: as `fit(summary=...)` made it.

        Returns:
            A row, float32, shape (dim,).

        Raises:
            ArgumentError: `text` is no str or blank, or the embedder returns no row.
            CacheError: the row does not fit the cache.
        """
        key = key_of(text)
        scope = {"tenant": self._tenant, "model_id": self.model_id}
        entry = self._cache.get(key, **scope)
        row: NDArray[np.float32] = unit_rows_of(self._embedder, [key])[0] if entry is None else entry.vector
        if entry is None:
            put_new(self._cache, key, row, **scope)
        before, self._summary = self._summary, key
        if before is not None:
            self.forget([before])
        return row

    def forget(self, texts: Iterable[str]) -> None:
        """Let the vectors of texts leave the cache, but for the summary's and those that have an answer.

        Raises:
            ArgumentError: a text is no str.
        """
        for key in {normal_text(text) for text in read_texts(texts)} - {self._summary}:
            entry = self._cache.get(key, tenant=self._tenant, model_id=self.model_id)
            if entry is not None and entry.value is None:
                self._cache.remove(key, tenant=self._tenant, model_id=self.model_id)
