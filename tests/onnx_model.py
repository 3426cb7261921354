"""Folders with tiny sentence models, made here: an ONNX file is a protobuf message, and a few fields are enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FLOAT, INT32, INT64 = 1, 6, 7  # of TensorProto.DataType
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "big", "world", "!", "你", "好", "世", "界", "##s"]
TABLE = np.random.default_rng(7).normal(size=(len(WORDS), 5)).astype(np.float32)
TYPES = np.full((2, 5), 0.25, np.float32)


def varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def tensor(name: str, array: NDArray[Any]) -> bytes:
    kind = {"float32": FLOAT, "int64": INT64}[array.dtype.name]
    dims = b"".join(field(1, n) for n in array.shape)
    return dims + field(2, kind) + field(8, name) + field(9, array.tobytes())


def value(name: str, kind: int, *dims: int | str) -> bytes:
    shape = b"".join(field(1, field(1, n) if isinstance(n, int) else field(2, n)) for n in dims)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def node(kind: str, inputs: Sequence[str], output: str, **attributes: int) -> bytes:
    told = b"".join(field(5, field(1, name) + field(3, n) + field(20, 2)) for name, n in attributes.items())
    return b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, kind) + told


def model(
    *,
    table: NDArray[np.float32] = TABLE,
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    kind: int = INT64,
    pools_itself: bool = False,
) -> bytes:
    """Give tokens the rows of `table`, plus TYPES[0] if it takes token_type_ids; its own pooling is the sum."""
    nodes = [node("Gather", ["table", "input_ids"], "words")]
    tensors = [
        tensor("table", table),
        tensor("types", TYPES),
        tensor("axis", np.array([1])),
        tensor("last", np.array([2])),
    ]
    if "token_type_ids" in inputs:
        nodes += [
            node("Gather", ["types", "token_type_ids"], "typed"),
            node("Add", ["words", "typed"], "last_hidden_state"),
        ]
    else:
        nodes += [node("Identity", ["words"], "last_hidden_state")]
    outputs = [value("last_hidden_state", FLOAT, "n", "t", table.shape[1])]
    if pools_itself:
        nodes += [
            node("Cast", ["attention_mask"], "real", to=FLOAT),
            node("Unsqueeze", ["real", "last"], "column"),
            node("Mul", ["last_hidden_state", "column"], "kept"),
            node("ReduceSum", ["kept", "axis"], "sentence_embedding", keepdims=0),
        ]
        outputs.append(value("sentence_embedding", FLOAT, "n", table.shape[1]))
    graph = b"".join(field(1, one) for one in nodes) + field(2, "tiny") + b"".join(field(5, one) for one in tensors)
    graph += b"".join(field(11, value(name, kind, "n", "t")) for name in inputs) + b"".join(
        field(12, one) for one in outputs
    )
    return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13))


def tokenizer() -> dict[str, Any]:
    """What BERT's tokenizer.json says, with few words."""
    special = [
        {
            "id": i,
            "content": WORDS[i],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i in range(4)
    ]
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    around.append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    ids = {name: {"id": name, "ids": [WORDS.index(name)], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0",
        # As files on model hubs have it; the embedder goes by the model's own length and pads by itself.
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {
            "strategy": {"Fixed": 9},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": around, "pair": around, "special_tokens": ids},
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: i for i, word in enumerate(WORDS)},
        },
    }


def write(root: Path, *, pooling: str | None = None, model_name: str = "model.onnx", **options: Any) -> Path:
    """Write a model's folder; `pooling` as "cls_token" or "mean_tokens" in 1_Pooling/config.json."""
    path = root / model_name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model(**options))
    (root / "tokenizer.json").write_text(json.dumps(tokenizer()), encoding="utf-8")
    if pooling:
        (root / "1_Pooling").mkdir()
        told = {"word_embedding_dimension": 5, "pooling_mode_cls_token": False, f"pooling_mode_{pooling}": True}
        (root / "1_Pooling" / "config.json").write_text(json.dumps(told), encoding="utf-8")
    return root
