"""A history in a file: what comes back, what is refused, and what a failure leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chats import call, chat, parts
from token_files import tiny_file
from token_files import write as write_json

import rolecore
from rolecore import CodecError, History, TokenizerError
from rolecore.codec import encode_snapshot, open_snapshot

if TYPE_CHECKING:
    from chats import Message

ODD: list[Message] = [
    {"role": "system", "content": "你好 🙂", "name": "Ana", "x_id": [1, {"b": None}]},
    {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b") | {"x": 1}], "refusal": "no"},
    {"role": "tool", "tool_call_id": "a", "content": ""},
    {"role": "tool", "tool_call_id": "b", "content": "42"},
    {"role": "user", "content": parts("look")},
]


def odd() -> History:
    history = History(ODD, tokenizer="cl100k_base")
    history.append({"role": "user", "content": "stays"}, pin=True)
    return history


@pytest.mark.parametrize("as_path", [str, Path])
def test_loaded_history_is_the_saved_one(tmp_path: Path, as_path: type) -> None:
    history = odd()
    path = as_path(tmp_path / "会话.rcss")
    history.save(path)
    loaded = History.load(path)
    assert loaded.to_messages() == history.to_messages()
    assert loaded.tokens == history.tokens
    # Pins, counts and the tokenizer too.
    assert Path(path).read_bytes() == encode_snapshot(history) == encode_snapshot(loaded)


def test_empty_history_comes_back(tmp_path: Path) -> None:
    History().save(tmp_path / "empty")
    assert len(History.load(tmp_path / "empty")) == 0


def test_what_is_saved_beside_the_history_is_in_the_file(tmp_path: Path) -> None:
    beside: dict[str, Any] = {"session_id": "s-1", "role": "planner", "summary": "short", "payload": b"\0\xff"}
    odd().save(tmp_path / "session", vectors=np.ones((2, 3)), **beside)
    snapshot = open_snapshot((tmp_path / "session").read_bytes())
    assert {name: getattr(snapshot, name) for name in beside} == beside
    assert snapshot.vectors is not None
    assert snapshot.vectors.shape == (2, 3)
    assert History.load(tmp_path / "session").to_messages() == odd().to_messages()


def test_load_counts_with_the_tokenizer_it_is_given(tmp_path: Path) -> None:
    odd().save(tmp_path / "session")
    loaded = History.load(tmp_path / "session", tokenizer="o200k_base")
    assert loaded.tokens == History(odd().to_messages()).tokens != odd().tokens


def test_history_counted_by_a_tokenizer_file_is_loaded_with_it(tmp_path: Path) -> None:
    tokenizer = write_json(tmp_path / "tokenizer.json", tiny_file())
    history = History(chat(2), tokenizer=tokenizer)
    history.save(tmp_path / "session")
    with pytest.raises(TokenizerError, match=r"counted by \".*tokenizer\.json\", .*; pass tokenizer="):
        History.load(tmp_path / "session")
    assert History.load(tmp_path / "session", tokenizer=tokenizer).tokens == history.tokens


@pytest.mark.parametrize("suffix", ["", ".json"])
def test_file_that_a_snapshot_names_is_never_opened(tmp_path: Path, suffix: str) -> None:
    tokenizer = write_json(tmp_path / f"tokenizer{suffix}", tiny_file())
    History(chat(2), tokenizer=tokenizer).save(tmp_path / "session")
    tokenizer.unlink()
    # Opened, it would wait for a writer for ever.
    os.mkfifo(tokenizer)
    with pytest.raises(TokenizerError):
        History.load(tmp_path / "session")
    with pytest.raises(TokenizerError):
        open_snapshot((tmp_path / "session").read_bytes()).to_history()


def test_file_that_is_not_there_is_a_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        History.load(tmp_path / "nothing")
    assert caught.value.filename == str(tmp_path / "nothing")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        History.load(tmp_path)
    assert caught.value.filename == str(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(CodecError, match=f"{path} cannot be loaded: it is no regular file"):
            History.load(path)


def test_file_too_large_for_a_snapshot_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(CodecError, match="it has 3221225472 bytes, a snapshot has 8 to 2147483647"):
        History.load(tmp_path / "sparse")


def test_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    odd().save(tmp_path / "session")
    whole = (tmp_path / "session").read_bytes()
    no_text = whole.replace("你好".encode(), b"\xff" * 6)
    for content in (b"", b"x" * 100, whole[:40], whole[:-8], no_text):
        (tmp_path / "damaged").write_bytes(content)
        with pytest.raises(CodecError, match=f"{tmp_path / 'damaged'} cannot be loaded: .*; "):
            History.load(tmp_path / "damaged")
    # What is JSON is checked by no verify.
    assert b'"x_id"' in whole
    (tmp_path / "damaged").write_bytes(whole.replace(b'"x_id"', b"'x_id'"))
    with pytest.raises(CodecError, match=f"{tmp_path / 'damaged'} cannot be loaded: a turn's extra is not the JSON"):
        History.load(tmp_path / "damaged")


@pytest.mark.parametrize("path", [None, 7, 1.5, ["session"]])
def test_path_of_another_kind_is_refused(path: Any) -> None:
    for use in (History.load, History().save):
        with pytest.raises(rolecore.ArgumentError, match=r"path is .*; it must be a str or a path"):
            use(path)


def test_history_that_no_snapshot_can_hold_leaves_the_file(tmp_path: Path) -> None:
    odd().save(tmp_path / "session")
    with pytest.raises(CodecError, match="message 0: content has a lone surrogate"):
        History([{"role": "user", "content": "\ud800"}]).save(tmp_path / "session")
    assert History.load(tmp_path / "session").to_messages() == odd().to_messages()


def test_save_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        odd().save(tmp_path / "no folder" / "session")
    (tmp_path / "session").mkdir()
    with pytest.raises(OSError):  # noqa: PT011  which one depends on the file system
        odd().save(tmp_path / "session")
    assert os.listdir(tmp_path) == ["session"]  # noqa: PTH208  the names alone


# A file that may grow to 64 kB only: the system ends the write in its midst, and the process too where it is told so.
CUT_SHORT = """
import resource, signal, sys
import rolecore
history = rolecore.History.load(sys.argv[1])
history.extend({"role": "user", "content": str(n) * 100} for n in range(1000))
signal.signal(signal.SIGXFSZ, getattr(signal, sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))
history.save(sys.argv[1])
"""


@pytest.mark.parametrize("then", ["SIG_DFL", "SIG_IGN"])
def test_save_that_is_cut_short_leaves_the_old_file(tmp_path: Path, then: str) -> None:
    path = tmp_path / "session"
    odd().save(path)
    done = subprocess.run([sys.executable, "-c", CUT_SHORT, str(path), then], capture_output=True, check=False)
    assert History.load(path).to_messages() == odd().to_messages()
    if then == "SIG_DFL":
        assert done.returncode == -signal.SIGXFSZ
        return
    assert b"OSError: [Errno 27] File too large" in done.stderr
    assert os.listdir(tmp_path) == ["session"]  # noqa: PTH208  the names alone


# Says so after each save, and saves on.
SAVE_ON = """
import sys
import rolecore
history = rolecore.History.load(sys.argv[1])
while True:
    history.append({"role": "user", "content": "more " * 5000})
    history.save(sys.argv[1])
    print(len(history), flush=True)
"""


def test_process_killed_while_it_saves_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "session"
    odd().save(path)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", SAVE_ON, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(20)][-1]
            process.kill()
        loaded = History.load(path)
        assert len(loaded) >= told
        assert loaded.to_messages()[:6] == odd().to_messages()
