"""A real embedder that needs neither network nor model runtime: the mean of the rows of a text's tokens.

The table, 32,000 tokens x 256 in float16, and the tokenizer are those of the package wordllama (MIT). Its own code is
not run: it looks for the tokenizer where pip does not put it.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class StaticEmbedder:
    """Embeds English and Chinese by a table of token rows; tens of thousands of sentences a second.

    Raises:
        ModuleNotFoundError: wordllama is not installed, see requirements-cache-peers.txt.
    """

    def __init__(self) -> None:
        """Read the two files of the installed package."""
        package = find_spec("wordllama")
        if package is None or not package.submodule_search_locations:
            msg = "wordllama is not installed; pip install --no-deps -r benches/python/requirements-cache-peers.txt"
            raise ModuleNotFoundError(msg)
        root = Path(package.submodule_search_locations[0])
        self._tokenizer = Tokenizer.from_file(str(root / "tokenizers" / "l2_supercat_tokenizer_config.json"))
        self._table = read_table(root / "weights" / "l2_supercat_256.safetensors")
        self.dim = self._table.shape[1]
        self.model_id = "wordllama-l2-supercat-256"

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return a unit row a text: float32, shape (n, dim). A text without tokens has the first axis."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        rows = np.zeros((len(encoded), self.dim), np.float32)
        for row, one in zip(rows, encoded, strict=True):
            if one.ids:
                row[:] = self._table[one.ids].mean(axis=0)
        lengths = np.linalg.norm(rows, axis=1)
        rows[lengths == 0, 0] = lengths[lengths == 0] = 1
        rows /= lengths[:, None]
        return rows


def read_table(path: Path) -> NDArray[np.float32]:
    """Return the one tensor of a safetensors file: a length, a header in JSON, then the numbers."""
    raw = path.read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    (tensor,) = (value for key, value in json.loads(raw[8:start]).items() if key != "__metadata__")
    first, last = tensor["data_offsets"]
    return np.frombuffer(raw[start + first : start + last], np.float16).reshape(tensor["shape"]).astype(np.float32)
