"""The ONNX embedder on tiny models made here: pooling, padding, batches, inputs, and all that a folder can lack."""

from __future__ import annotations

import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx_model import INT32, TABLE, TYPES, WORDS, tokenizer, write

import rolecore

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytest.importorskip("onnxruntime")
tokenizers = pytest.importorskip("tokenizers")

SECRET = "hunter2"  # noqa: S105 - a text that no error may show
# Texts of many lengths, and the tokens they have.
SAID = {
    "Hello big world!": ["hello", "big", "world", "!"],
    "你好，世界": ["你", "好", "[UNK]", "世", "界"],
    "worlds": ["world", "##s"],
    "": [],
    "HELLO": ["hello"],
    "big \ud800": ["big"],  # BERT drops U+FFFD
}


def expected(pooling: str, *, plus: NDArray[np.float32] | float = 0.0, max_words: int = 99) -> NDArray[np.float32]:
    """Compute the rows of SAID one by one."""
    rows = []
    for words in SAID.values():
        tokens = TABLE[[WORDS.index(word) for word in ["[CLS]", *words[:max_words], "[SEP]"]]] + plus
        row = tokens[0] if pooling == "cls" else tokens.mean(axis=0)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


def close(found: NDArray[np.float32], rows: NDArray[np.float32]) -> bool:
    return found.dtype == np.float32 and found.shape == rows.shape and bool(np.allclose(found, rows, atol=1e-6))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
@pytest.mark.parametrize(("told", "pooling"), [("cls_token", "cls"), ("mean_tokens", "mean"), (None, "mean")])
def test_embed_pools_as_the_folder_says_in_any_batches(
    tmp_path: Path, told: str | None, pooling: str, batch_size: int
) -> None:
    embedder = rolecore.OnnxEmbedder(write(tmp_path, pooling=told), batch_size=batch_size)
    assert close(embedder.embed(SAID), expected(pooling))
    assert embedder.pooling == pooling
    assert embedder.dim == 5
    assert embedder.embed([]).shape == (0, 5)


def test_embed_pooling_given_wins(tmp_path: Path) -> None:
    write(tmp_path, pooling="mean_tokens")
    assert close(rolecore.OnnxEmbedder(str(tmp_path), pooling="cls").embed(SAID), expected("cls"))


def test_embed_feeds_what_the_model_wants(tmp_path: Path) -> None:
    typed = write(tmp_path / "a", inputs=("input_ids", "token_type_ids", "attention_mask"), kind=INT32)
    assert close(rolecore.OnnxEmbedder(typed).embed(SAID), expected("mean", plus=TYPES[0]))
    bare = write(tmp_path / "b", inputs=("input_ids",), model_name="onnx/model.onnx")
    assert close(rolecore.OnnxEmbedder(bare).embed(SAID), expected("mean"))


def test_embed_model_that_pools_itself_is_taken_at_its_word(tmp_path: Path) -> None:
    # It sums by the attention mask: the mean's direction, whatever the pooling.
    embedder = rolecore.OnnxEmbedder(write(tmp_path, pools_itself=True), pooling="cls")
    assert close(embedder.embed(SAID), expected("mean"))


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("config.json", {"max_position_embeddings": 4}),
        ("tokenizer_config.json", {"model_max_length": 4}),
        ("sentence_bert_config.json", {"max_seq_length": 4}),
    ],
)
def test_embed_long_text_is_read_as_far_as_the_model_reads(tmp_path: Path, file: str, told: dict[str, int]) -> None:
    write(tmp_path)
    assert rolecore.OnnxEmbedder(tmp_path).max_tokens == 512
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 1e30}', encoding="utf-8")
    assert rolecore.OnnxEmbedder(tmp_path).max_tokens == 512
    (tmp_path / file).write_text(json.dumps(told), encoding="utf-8")
    embedder = rolecore.OnnxEmbedder(tmp_path)
    assert embedder.max_tokens == 4
    assert close(embedder.embed(SAID), expected("mean", max_words=2))


def test_model_id_names_all_that_rows_depend_on(tmp_path: Path) -> None:
    one = rolecore.OnnxEmbedder(write(tmp_path / "a" / "bge"))
    assert one.model_id == rolecore.OnnxEmbedder(write(tmp_path / "b" / "bge"), batch_size=1).model_id
    assert one.model_id.startswith("onnx:bge:")
    others = {
        one.model_id,
        rolecore.OnnxEmbedder(tmp_path / "a" / "bge", pooling="cls").model_id,
        rolecore.OnnxEmbedder(write(tmp_path / "c" / "bge", table=TABLE[::-1].copy())).model_id,
        rolecore.OnnxEmbedder(write(tmp_path / "bge2")).model_id,
    }
    (tmp_path / "b" / "bge" / "model.onnx_data").write_bytes(b"weights")
    others.add(rolecore.OnnxEmbedder(tmp_path / "b" / "bge").model_id)
    assert len(others) == 5


def test_embed_from_threads_gives_the_same_rows(tmp_path: Path) -> None:
    embedder = rolecore.OnnxEmbedder(write(tmp_path))
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.extend(close(embedder.embed(SAID), expected("mean")) for _ in range(20)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80


def test_repr_shows_what_it_is_made_of(tmp_path: Path) -> None:
    assert (
        repr(rolecore.OnnxEmbedder(write(tmp_path)))
        == f"OnnxEmbedder({str(tmp_path)!r}, pooling='mean', batch_size=32)"
    )


@pytest.mark.parametrize("number", [np.nan, np.inf, 0.0])
def test_embed_model_with_bad_numbers_raises_without_the_text(tmp_path: Path, number: float) -> None:
    table = TABLE.copy()
    table[WORDS.index("big")] = number
    embedder = rolecore.OnnxEmbedder(write(tmp_path, table=table, pools_itself=number != 0.0), pooling="cls")
    if number == 0.0:
        table[WORDS.index("[CLS]")] = 0
        with pytest.raises(rolecore.AdapterError, match="the model gave has nothing but zeros in row 0"):
            rolecore.OnnxEmbedder(write(tmp_path, table=table), pooling="cls").embed([SECRET])
    else:
        with pytest.raises(rolecore.AdapterError, match="not finite in row 0"):
            embedder.embed([f"big {SECRET}"])
    assert embedder.embed(["hello"]).shape == (1, 5)


def test_embed_model_that_fails_raises_without_the_text(tmp_path: Path) -> None:
    # A table too short for the vocabulary.
    embedder = rolecore.OnnxEmbedder(write(tmp_path, table=TABLE[:6]))
    with pytest.raises(rolecore.AdapterError, match=r"failed on 1 texts of up to 4 tokens: \w+") as caught:
        embedder.embed(["big world"])
    assert caught.value.__cause__ is None
    assert "world" not in str(caught.value)


@pytest.mark.parametrize("texts", ["one", None, ["one", 2]])
def test_embed_what_are_no_texts_raises(tmp_path: Path, texts: Any) -> None:
    embedder = rolecore.OnnxEmbedder(write(tmp_path))
    with pytest.raises(rolecore.ArgumentError, match=r"texts(\[1\])? is of type (str|NoneType|int); it must be"):
        embedder.embed(texts)


def test_folder_that_lacks_a_file_raises_naming_it(tmp_path: Path) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"lacks model\.onnx and onnx/model\.onnx"):
        rolecore.OnnxEmbedder(tmp_path)
    (write(tmp_path) / "tokenizer.json").unlink()
    with pytest.raises(rolecore.ArgumentError, match=r"lacks tokenizer\.json"):
        rolecore.OnnxEmbedder(tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("model.onnx", "garbage", r"model\.onnx is no model that onnxruntime"),
        ("tokenizer.json", "{}", r"tokenizer\.json is no tokenizer"),
        ("config.json", "{", r"config\.json is no JSON"),
        (
            "1_Pooling/config.json",
            '{"pooling_mode_max_tokens": true}',
            "pools by pooling_mode_max_tokens; only cls and mean",
        ),
        (
            "1_Pooling/config.json",
            '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}',
            "only cls and mean",
        ),
    ],
)
def test_folder_with_a_bad_file_raises_naming_it(tmp_path: Path, file: str, text: str, what: str) -> None:
    write(tmp_path, pooling="cls_token")
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(rolecore.ArgumentError, match=what):
        rolecore.OnnxEmbedder(tmp_path)


def test_folder_that_is_no_path_raises() -> None:
    with pytest.raises(rolecore.ArgumentError, match="folder is of type int; it must be a path"):
        rolecore.OnnxEmbedder(7)  # type: ignore[arg-type]


def test_model_with_other_inputs_raises_naming_them(tmp_path: Path) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"wants \['pixel_values'\]"):
        rolecore.OnnxEmbedder(write(tmp_path, inputs=("input_ids", "pixel_values")))


@pytest.mark.parametrize("bad", [{"pooling": "max"}, {"batch_size": 0}, {"batch_size": "9"}, {"batch_size": True}])
def test_embedder_of_bad_argument_raises_naming_it(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(rolecore.ArgumentError, match=f"{next(iter(bad))} is .*; it must be"):
        rolecore.OnnxEmbedder(write(tmp_path), **bad)


@pytest.mark.parametrize("package", ["onnxruntime", "tokenizers"])
def test_embedder_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(rolecore.MissingExtraError, match=rf"needs {package}; pip install 'rolecore\[onnx\]'"):
        rolecore.OnnxEmbedder(write(tmp_path))


def test_tokenizer_of_the_tests_reads_as_they_say() -> None:
    tokens = tokenizers.Tokenizer.from_str(json.dumps(tokenizer()))
    tokens.no_padding()
    tokens.no_truncation()
    assert [tokens.encode(text.replace("\ud800", "\ufffd")).tokens[1:-1] for text in SAID] == list(SAID.values())
