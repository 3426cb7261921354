"""What rolecore asks of objects that are not its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns texts into unit rows: near rows, near meanings.

    `HashingEmbedder`, `OnnxEmbedder` and `OpenAIEmbedder` are some; any object with these three will do.
    """

    @property
    def dim(self) -> int:
        """Numbers of a row."""

    @property
    def model_id(self) -> str:
        """Names what the rows depend on: rows may be compared if and only if it is the same."""

    def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return a row a text: float32, shape (n, dim), unit length."""
