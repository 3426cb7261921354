"""An embedder that runs a local ONNX file with the tokenizer that lies beside it."""

from __future__ import annotations

import hashlib
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rolecore.arguments import read_count, read_texts, unit_rows
from rolecore.errors import AdapterError, ArgumentError, MissingExtraError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

_MODEL_FILES = ("model.onnx", "onnx/model.onnx")
_POOLINGS = ("cls", "mean")
# File, key: where models say how many tokens they take. Some write 10^30 for "any number".
_LENGTH_KEYS = (
    ("sentence_bert_config.json", "max_seq_length"),
    ("tokenizer_config.json", "model_max_length"),
    ("config.json", "max_position_embeddings"),
)
_NO_LIMIT = 1 << 20
_DEFAULT_MAX_TOKENS = 512


class OnnxEmbedder:
    """Embeds texts with a model in a folder of this machine; nothing is downloaded.

    The folder holds `model.onnx` or `onnx/model.onnx`, and `tokenizer.json`, as those of sentence models on model hubs
    do. It runs on the CPU, may be shared by threads, and gives the GIL away while it computes. Needs the extra
    `rolecore[onnx]`.

    Args:
        folder: where the model is. Take it from where you would take code.
        pooling: which row a text gets: "cls", that of its first token, or "mean", the mean of all. None: what
            `1_Pooling/config.json` says, "mean" without one. Models whose folder lacks that file may want "cls", as
            bge's do. Of no meaning for a model that pools itself.
        batch_size: texts that run at once, of similar length; more of them need more memory.

    Raises:
        ArgumentError: a file is missing or damaged, the model wants other inputs than a sentence model's, or an
            argument is out of its range.
        MissingExtraError: onnxruntime or tokenizers is not installed.

    Cost: the files are read, and hashed for `model_id`.

    Example:
        >>> embedder = rolecore.OnnxEmbedder("models/bge-small-zh-v1.5", pooling="cls")  # doctest: +SKIP
        >>> embedder.embed(["怎么申请退款"]).shape  # doctest: +SKIP
        (1, 512)
    """

    def __init__(self, folder: str | os.PathLike[str], *, pooling: str | None = None, batch_size: int = 32) -> None:
        """Load the model and run it once, which shows that it works and how long its rows are."""
        if pooling is not None and pooling not in _POOLINGS:
            msg = f"pooling is {pooling!r}; it must be 'cls', 'mean' or None"
            raise ArgumentError(msg)
        try:
            root = Path(folder)
        except TypeError:
            msg = f"folder is of type {type(folder).__name__}; it must be a path"
            raise ArgumentError(msg) from None
        model = next((root / name for name in _MODEL_FILES if (root / name).is_file()), None)
        if model is None or not (root / "tokenizer.json").is_file():
            lacking = " and ".join(_MODEL_FILES) if model is None else "tokenizer.json"
            msg = f"{root} lacks {lacking}; give a sentence model's folder"
            raise ArgumentError(msg)
        self._folder = root
        self._batch_size = read_count(batch_size, "batch_size")
        self._pooling = pooling or _read_pooling(root)
        self._max_tokens = _read_max_tokens(root)
        self._tokenizer = _load_tokenizer(root / "tokenizer.json", self._max_tokens)
        self._session = _load_model(model)
        self._inputs = {
            put.name: "int32" if put.type == "tensor(int32)" else "int64" for put in self._session.get_inputs()
        }
        unknown = self._inputs.keys() - {"input_ids", "attention_mask", "token_type_ids"}
        if unknown:
            msg = (
                f"{model} wants {sorted(unknown)}; a sentence model takes input_ids, attention_mask and token_type_ids"
            )
            raise ArgumentError(msg)
        outputs = [output.name for output in self._session.get_outputs()]
        self._output = "sentence_embedding" if "sentence_embedding" in outputs else outputs[0]
        self._dim = int(self._run([self._tokenizer.encode("a")]).shape[1])
        self._model_id = f"onnx:{root.resolve().name}:{self._digest(model)}"

    @property
    def dim(self) -> int:
        """Numbers of a row."""
        return self._dim

    @property
    def model_id(self) -> str:
        """The folder's name and a hash of what the rows depend on: the files, the pooling and `max_tokens`."""
        return self._model_id

    @property
    def pooling(self) -> str:
        """How the tokens' rows become a text's."""
        return self._pooling

    @property
    def max_tokens(self) -> int:
        """Tokens of a text that are read; what comes after them is ignored."""
        return self._max_tokens

    def embed(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """Return a unit row a text: a new array, float32, shape (n, dim).

        Args:
            texts: an iterable of strings, not one string; lone surrogates are read as U+FFFD.

        Raises:
            ArgumentError: `texts` is a string or no iterable, or an item is not a string.
            AdapterError: the model fails, or gives numbers that are not finite or nothing but zeros.

        Cost: the model's, in batches of texts of similar length.
        """
        import numpy as np

        encoded = self._tokenizer.encode_batch(read_texts(texts))
        rows = np.empty((len(encoded), self._dim), np.float32)
        # By length, so that little is padding.
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i].ids))
        for start in range(0, len(order), self._batch_size):
            batch = order[start : start + self._batch_size]
            found = self._run([encoded[i] for i in batch])
            rows[batch] = unit_rows(found, name="what the model gave", error=AdapterError, n=len(batch), dim=self._dim)
        return rows

    def _run(self, encoded: list[Any]) -> NDArray[np.float32]:
        """Return the pooled rows of one batch, of any length."""
        import numpy as np

        n_tokens = max(1, *(len(one.ids) for one in encoded))
        feed = {name: np.zeros((len(encoded), n_tokens), dtype) for name, dtype in self._inputs.items()}
        mask = np.zeros((len(encoded), n_tokens), np.float32)
        for i, one in enumerate(encoded):
            n = len(one.ids)
            mask[i, :n] = 1
            for name, values in (("input_ids", one.ids), ("token_type_ids", one.type_ids), ("attention_mask", 1)):
                if name in feed:
                    feed[name][i, :n] = values
        try:
            (found,) = self._session.run([self._output], feed)
        except Exception as error:  # noqa: BLE001  onnxruntime's errors have no base of their own
            # Not its own words, which may hold what it was given.
            what = f"{len(encoded)} texts of up to {n_tokens} tokens: {type(error).__name__}"
            msg = f"{self._folder.name} failed on {what}"
            raise AdapterError(msg) from None
        rows: NDArray[np.float32] = found
        if rows.ndim == 3 and self._pooling == "cls":  # noqa: PLR2004  texts, tokens, numbers
            rows = rows[:, 0]
        elif rows.ndim == 3:  # noqa: PLR2004
            rows = np.einsum("ntd,nt->nd", rows, mask) / np.maximum(mask.sum(axis=1, keepdims=True), 1)
        if rows.ndim != 2:  # noqa: PLR2004  texts, numbers
            msg = f"{self._output} has {rows.ndim} dimensions; a sentence model gives texts, tokens, numbers"
            raise ArgumentError(msg)
        return rows

    def _digest(self, model: Path) -> str:
        digest = hashlib.sha256(f"{self._pooling} {self._max_tokens}".encode())
        # Large models keep their weights in files beside them, model.onnx_data or model.onnx.data.
        for path in [*sorted(model.parent.glob(model.name + "*")), self._folder / "tokenizer.json"]:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        """Show what it is made of."""
        return f"OnnxEmbedder({str(self._folder)!r}, pooling={self._pooling!r}, batch_size={self._batch_size})"


def _load(package: str) -> Any:  # noqa: ANN401  a module without types
    try:
        return import_module(package)
    except ImportError as error:
        msg = f"OnnxEmbedder needs {package}; pip install 'rolecore[onnx]'"
        raise MissingExtraError(msg) from error


def _load_tokenizer(path: Path, max_tokens: int) -> Any:  # noqa: ANN401
    tokenizers = _load("tokenizers")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        msg = f"{path} is no tokenizer that can be read: {error}"
        raise ArgumentError(msg) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _load_model(path: Path) -> Any:  # noqa: ANN401
    onnxruntime = _load("onnxruntime")
    options = onnxruntime.SessionOptions()
    # Errors come as exceptions; without this they are printed, too.
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        msg = f"{path} is no model that onnxruntime {onnxruntime.__version__} can run: {error}"
        raise ArgumentError(msg) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"{path} is no JSON: {error}"
        raise ArgumentError(msg) from error
    return read if isinstance(read, dict) else {}


def _read_pooling(root: Path) -> str:
    config = _read_json(root / "1_Pooling" / "config.json")
    modes = sorted(key for key, value in config.items() if key.startswith("pooling_mode_") and value is True)
    known = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
    if not modes:
        return "mean"
    if len(modes) > 1 or modes[0] not in known:
        msg = f"{root} pools by {', '.join(modes)}; only cls and mean are known"
        raise ArgumentError(msg)
    return known[modes[0]]


def _read_max_tokens(root: Path) -> int:
    said = (_read_json(root / file).get(key) for file, key in _LENGTH_KEYS)
    limits = (int(n) for n in said if isinstance(n, int | float) and 1 <= n < _NO_LIMIT)
    return min(limits, default=_DEFAULT_MAX_TOKENS)
