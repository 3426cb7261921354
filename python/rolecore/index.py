"""What answers for the nearest vectors of a key, and an approximate one for archives by FAISS."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rolecore.arguments import read_count, unit_rows
from rolecore.errors import ArgumentError, CacheError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

# Over FAISS's own defaults, an efSearch of 16 and one list, which miss too much for an answer that is used as it is.
_EF_SEARCH = 64
_N_PROBE = 16


class Match(Protocol):
    """A key that a search found, and how near it is."""

    @property
    def key(self) -> str:
        """The key its vector was put under."""

    @property
    def score(self) -> float:
        """The cosine of the two vectors, -1..1."""


class VectorIndex(Protocol):
    """Vectors by key, found by nearness: `VectorCache` is one, exact and bounded, `FaissIndex` another.

    Code that is written for this takes either. Vectors have `dim` numbers, any length but 0, and are compared by
    cosine.
    """

    def put(self, key: str, vector: ArrayLike, /) -> object:
        """Keep a vector under a key, in place of what was there."""

    def remove(self, key: str, /) -> bool:
        """Take a key out; return whether it was there."""

    def lookup(self, vector: ArrayLike, threshold: float, /) -> Match | None:
        """Return the nearest key if its score reaches `threshold`."""

    def search(self, vector: ArrayLike, top_k: int = 8, /) -> Sequence[Match]:
        """Return the `top_k` nearest keys, best first; fewer when there are no more."""


class Found(NamedTuple):
    """A key that a `FaissIndex` found.

    Attributes:
        key: the key its vector was put under.
        score: the cosine of the two vectors as FAISS computes it, -1..1 and a rounding error.
    """

    key: str
    score: float


class FaissIndex:
    """Vectors by key in an approximate FAISS index: for archives past a million rows.

    Approximate: a search may miss the nearest row, which `VectorCache` never does. Raise `parameters` where that
    matters, and measure on your own rows. Nothing is evicted, and a key that is removed or put again hides its old row,
    which keeps its memory: an archive that changes much is built anew now and then. In memory only. Safe to share
    between threads: one at a time gets in. Needs the extra `rolecore[faiss]`.

    Args:
        dim: numbers of a vector.
        factory: what FAISS's index_factory takes: "HNSW32" (4 x dim + 260 bytes a row, no training), "IVF4096,Flat"
            (needs `train`, faster to fill), "IVF4096,PQ48" (small, and its scores are rough), "Flat" (exact and slow).
        parameters: what FAISS's ParameterSpace takes, as "nprobe=64" or "efSearch=128": more finds more and is slower.
            None: efSearch=64 for HNSW, nprobe=16 for IVF.

    Raises:
        ArgumentError: `dim` is no number from 1, or FAISS does not know the factory or the parameters.
        MissingExtraError: faiss is not installed.

    Source: Malkov and Yashunin, arXiv 1603.09320 (HNSW); https://github.com/facebookresearch/faiss/wiki/The-index-factory.

    Example:
        >>> index = rolecore.FaissIndex(3)  # doctest: +SKIP
        >>> index.put_many(["a", "b"], [[1, 0, 0], [0, 1, 0]])  # doctest: +SKIP
        >>> index.search([3, 1, 0], 1)  # doctest: +SKIP
        [Found(key='a', score=0.9486832618713379)]
    """

    def __init__(self, dim: int, *, factory: str = "HNSW32", parameters: str | None = None) -> None:
        """Make an empty index."""
        self._dim = read_count(dim, "dim")
        for name, words in (("factory", factory), ("parameters", parameters or "")):
            if not isinstance(words, str):
                msg = f"{name} is of type {type(words).__name__}; it must be a str"
                raise ArgumentError(msg)
        self._factory = factory
        try:
            faiss = import_module("faiss")
        except ImportError as error:
            msg = "FaissIndex needs faiss-cpu; pip install 'rolecore[faiss]'"
            raise MissingExtraError(msg) from error
        if parameters is None:
            parameters = (
                f"nprobe={_N_PROBE}" if "IVF" in factory else f"efSearch={_EF_SEARCH}" if "HNSW" in factory else ""
            )
        try:
            self._index: Any = faiss.index_factory(self._dim, factory, faiss.METRIC_INNER_PRODUCT)
            if parameters:
                faiss.ParameterSpace().set_index_parameters(self._index, parameters)
        except RuntimeError as error:
            what = f"dim={dim}, factory={factory!r}, parameters={parameters!r}"
            msg = f"FAISS makes no index of {what}; its wiki lists what its index factory takes"
            raise ArgumentError(msg) from error
        self._lock = threading.Lock()
        # FAISS numbers rows as they come. HNSW cannot remove one, IVF only by a pass over all, so rows are hidden here.
        self._keys: list[str | None] = []
        self._rows: dict[str, int] = {}

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return self._dim

    @property
    def hidden_rows(self) -> int:
        """Rows of keys that were removed or put again: they take memory, and searches step over them."""
        return len(self._keys) - len(self._rows)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._rows)

    def train(self, vectors: ArrayLike) -> None:
        """Let the index learn how its rows are spread, before any is put; HNSW and Flat need none.

        Args:
            vectors: float32, shape (n, dim): a sample of what will be put, from 40 to 256 for each list of an IVF.

        Raises:
            CacheError: the vectors are of another shape or not finite, too few for FAISS, or rows were put already.

        Cost: minutes for many lists.
        """
        rows = unit_rows(vectors, name="vectors", error=CacheError, dim=self._dim)
        with self._lock:
            if self._keys:
                msg = f"the index holds {len(self._keys)} rows; train it before the first is put"
                raise CacheError(msg)
            try:
                self._index.train(rows)
            except RuntimeError as error:
                msg = f"FAISS cannot train {self._factory!r} on {len(rows)} vectors; give more"
                raise CacheError(msg) from error

    def put(self, key: str, vector: ArrayLike) -> None:
        """Keep a vector under a key, in place of what was there; `put_many` is the faster way for many."""
        one: Any = [vector]
        self.put_many([key], one)

    def put_many(self, keys: Iterable[str], vectors: ArrayLike) -> None:
        """Keep each vector under its key, in place of what was there; of a key that comes twice, the last.

        Args:
            keys: strings, one a vector.
            vectors: float32, shape (n, dim), any length but 0.

        Raises:
            CacheError: a key is no string, or the vectors are of another shape, not finite or zeros; nothing is put.
                Or the index needs training first.

        Cost: the index's; three copies of `vectors` are made, so give an archive in parts of some 100,000 rows.
        """
        names = list(keys)
        for i, name in enumerate(names):
            if not isinstance(name, str):
                msg = f"keys[{i}] is of type {type(name).__name__}; it must be a str"
                raise CacheError(msg)
        rows = unit_rows(vectors, name="vectors", error=CacheError, n=len(names), dim=self._dim)
        with self._lock:
            if not self._index.is_trained:
                msg = f"{self._factory!r} needs training; call train with a sample of the vectors first"
                raise CacheError(msg)
            self._index.add(rows)
            for name in names:
                self._hide(name)
                self._rows[name] = len(self._keys)
                self._keys.append(name)

    def remove(self, key: str) -> bool:
        """Take a key out; return whether it was there. Its row stays, hidden.

        Cost: O(1).
        """
        with self._lock:
            return self._hide(key)

    def lookup(self, vector: ArrayLike, threshold: float) -> Found | None:
        """Return the nearest key that was found, if its score reaches `threshold`.

        Raises:
            CacheError: the vector is of another shape, not finite or zeros.
        """
        best = self.search(vector, 1)
        return best[0] if best and best[0].score >= threshold else None

    def search(self, vector: ArrayLike, top_k: int = 8) -> list[Found]:
        """Return the `top_k` nearest keys that were found, best first.

        Raises:
            ArgumentError: `top_k` is no number from 1.
            CacheError: the vector is of another shape, not finite or zeros.

        Cost: the index's, the more the more of the nearest rows are hidden. The GIL is released while FAISS searches.
        """
        row = unit_rows([vector], name="vector", error=CacheError, n=1, dim=self._dim)
        top_k = read_count(top_k, "top_k")
        with self._lock:
            asked = min(top_k, len(self._keys))
            while asked:
                scores, numbers = self._index.search(row, asked)
                pairs = zip(numbers[0].tolist(), scores[0].tolist(), strict=True)
                # FAISS fills up with -1 where it finds no more.
                rows = [(number, score) for number, score in pairs if number >= 0]
                found = [Found(key, score) for number, score in rows if (key := self._keys[number]) is not None]
                if len(found) >= top_k or len(rows) < asked or asked == len(self._keys):
                    return found[:top_k]
                asked = min(4 * asked, len(self._keys))
        return []

    def _hide(self, key: str) -> bool:
        row = self._rows.pop(key, None)
        if row is None:
            return False
        self._keys[row] = None
        return True

    def __repr__(self) -> str:
        """Show what it is and how full."""
        return (
            f"FaissIndex(dim={self._dim}, factory={self._factory!r}, {len(self)} keys, {self.hidden_rows} hidden rows)"
        )
