"""`rolecore inspect`: sizes that add up to the file's, no word of what was said, one sentence for what is damaged."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chats import call, chat, parts

import rolecore
from rolecore import terminal
from rolecore.cli import main
from rolecore.codec import BatchWriter, encode_snapshot

if TYPE_CHECKING:
    from pathlib import Path

WORDS = "the-users-own-words"


def session(path: Path, **beside: Any) -> Path:
    history = rolecore.History(
        [
            {"role": "system", "content": WORDS, "name": WORDS, WORDS: 1},
            {"role": "assistant", "content": None, "refusal": WORDS, "tool_calls": [call("a"), call("b") | {WORDS: 1}]},
            {"role": "tool", "tool_call_id": "a", "content": f"{WORDS} 你好"},
            {"role": "user", "content": parts(WORDS)},
        ]
    )
    history.append({"role": "user", "content": WORDS}, pin=True)
    history.save(path, **{"session_id": "s-1", "role": "planner", "summary": WORDS, **beside})
    return path


def lines(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[tuple[int, int, str]]:
    """Depth, bytes and label of each line."""
    assert main(["inspect", str(path), *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert WORDS not in out
    found = [re.fullmatch(r" *(-?[\d,]+)  ((?:  )*)(\S.*)", line) for line in out.splitlines()]
    return [(len(row[2]) // 2, int(row[1].replace(",", "")), row[3]) for row in found if row is not None]


def test_tree_shows_sizes_that_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = session(tmp_path / "s", vectors=np.ones((3, 4)), payload=b"x" * 1000)
    shown = lines(path, capsys)
    told = rolecore.codec.open_snapshot(path.read_bytes()).turns
    tokens = [turn.tokens for turn in told]
    extra = len(told[0].extra or "")
    size = path.stat().st_size
    assert shown[0] == (0, size, "snapshot, version 1, nothing damaged")
    assert sum(n_bytes for depth, n_bytes, _ in shown if depth == 1) == size
    assert (1, 3, 'session_id "s-1"') in shown
    assert (1, 7, 'role "planner"') in shown
    assert (1, 10, 'tokenizer "o200k_base"') in shown
    assert (1, len(WORDS), "summary") in shown
    assert (1, 48, "vectors: float32, shape (3, 4), aligned to 16") in shown
    assert (1, 1000, "payload") in shown
    assert shown[-1][2] == "tables, offsets, padding"
    n_turn_bytes = sum(n_bytes for depth, n_bytes, _ in shown if depth == 2)
    assert (1, n_turn_bytes, f"turns: 5, {sum(tokens)} tokens, 1 pinned") in shown
    turns = [(n_bytes, label) for depth, n_bytes, label in shown if depth == 2]
    assert turns[0] == (38 + extra, f"0 system, {tokens[0]} tokens: text 19, name 19, extra {extra}")
    assert turns[2] == (27, f"2 tool, {tokens[2]} tokens: text 26, tool_call_id 1")
    assert turns[4] == (19, f"4 user, {tokens[4]} tokens, pinned: text 19")
    calls = [(n_bytes, label) for depth, n_bytes, label in shown if depth == 3]
    assert calls == [
        (21, 'call "find" "a": id 1, name 4, arguments 16'),
        (21 + extra, f'call "find" "b": id 1, name 4, arguments 16, extra {extra}'),
    ]


def test_empty_session_is_tables_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s").write_bytes(rolecore.codec.encode_snapshot([]))
    size = (tmp_path / "s").stat().st_size
    assert [row[:2] for row in lines(tmp_path / "s", capsys)] == [(0, size), (1, size)]


@pytest.mark.parametrize(
    ("options", "shown"), [([], 10), (["--turns", "3"], 3), (["--turns", "0"], 0), (["--all"], 61)]
)
def test_long_session_is_shortened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], shown: int
) -> None:
    rolecore.History(chat(30)).save(tmp_path / "s")
    told = lines(tmp_path / "s", capsys, *options)
    turns = [row for row in told if row[0] == 2]
    indices = [int(label.split()[0]) for _, _, label in turns if not label.startswith("...")]
    assert indices == [*range((shown + 1) // 2), *range(61 - shown // 2, 61)]
    left_out = [label for _, _, label in turns if label.startswith("...")]
    assert [label.split(",")[0] for label in left_out] == ([f"... {61 - shown}"] if shown < 61 else [])
    assert sum(n_bytes for _, n_bytes, _ in turns) == next(row[1] for row in told if row[2].startswith("turns: 61"))


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = session(tmp_path / "s", vectors=np.ones((3, 4)))
    assert main(["inspect", str(path), "--json"]) == 0
    out = capsys.readouterr().out
    assert WORDS not in out
    told = json.loads(out)
    assert told["bytes"] == path.stat().st_size
    assert told["turns"]["all"]["bytes"] + sum(told["sizes"].values()) + told["rest_bytes"] == told["bytes"]
    assert told["vectors"] == {"dtype": "float32", "shape": [3, 4], "alignment": 16}
    assert [turn["role"] for turn in told["turns"]["shown"]] == ["system", "assistant", "tool", "user", "user"]
    assert [called["id"] for called in told["turns"]["shown"][1]["tool_calls"]] == ["a", "b"]


def test_names_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session(tmp_path / "s", session_id="\x1b]0;title\x07\u202e\r\n\u2028灯[red]", role="x" * 500)
    shown = lines(tmp_path / "s", capsys)
    assert 'session_id "\\x1b]0;title\\x07\\u202e\\r\\n\\u2028灯[red]"' in [label for _, _, label in shown]
    assert f'role "{"x" * 60}..."' in [label for _, _, label in shown]
    with BatchWriter(tmp_path / "b") as writer:
        writer.append(encode_snapshot([], session_id="\x1b]0;title\x07", role="x" * 500))
    assert lines(tmp_path / "b", capsys)[2][2] == f'0 session_id "\\x1b]0;title\\x07", role "{"x" * 60}...", 0 turns'


def test_stream_that_knows_no_such_letter_gets_escapes(tmp_path: Path) -> None:
    session(tmp_path / "s", session_id="灯")
    done = subprocess.run(
        [sys.executable, "-m", "rolecore", "inspect", str(tmp_path / "s")],
        env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b'session_id "\\u706f"' in done.stdout


def test_tree_on_a_terminal_is_drawn_by_rich(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(terminal, "is_rich", lambda _stream: True)
    assert main(["inspect", str(session(tmp_path / "s", session_id="[red]\x1b[31m"))]) == 0
    out = stream.getvalue()
    assert "├── " in out
    assert 'session_id "[red]\\x1b[31m"' in out


def refusal(path: Path | str, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["inspect", str(path), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"rolecore: {path}: ")
    assert err.count("\n") == 1
    assert WORDS not in err
    return err


def test_what_is_damaged_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = session(tmp_path / "s").read_bytes()
    damaged = tmp_path / "damaged"
    damaged.write_bytes(whole.replace("你好".encode(), b"\xff" * 6))
    assert re.search(
        r"turns\[2\]\.text at byte \d+: it is not UTF-8; the snapshot is damaged", refusal(damaged, capsys)
    )
    damaged.write_bytes(b"")
    assert "the buffer has 0 bytes" in refusal(damaged, capsys)
    damaged.write_bytes(b"x" * 100)
    assert "no snapshot" in refusal(damaged, capsys)
    for n in range(8, len(whole), 7):
        damaged.write_bytes(whole[:n])
        refusal(damaged, capsys)


def test_what_is_no_file_is_refused_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "it is no regular file" in refusal(tmp_path / "fifo", capsys)
    assert "cannot be read: is a directory" in refusal(tmp_path, capsys)
    assert "cannot be read: no such file" in refusal(tmp_path / "absent", capsys)
    assert "cannot be read: file name too long" in refusal("x" * 5000, capsys)


def batch(path: Path, n_snapshots: int) -> Path:
    """Snapshot n has n turns."""
    with BatchWriter(path) as writer:
        for n in range(n_snapshots):
            turns = [{"role": "user", "content": WORDS}] * n
            writer.append(encode_snapshot(turns, session_id=f"s-{n}", role="planner" if n else "", payload=b"x" * n))
    return path


def test_batch_is_a_tree_of_snapshots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = batch(tmp_path / "b", 3)
    sizes = [snapshot.nbytes for snapshot in rolecore.codec.open_batch(path)]
    size = path.stat().st_size
    assert lines(path, capsys) == [
        (0, size, "batch of snapshots, nothing damaged"),
        (1, sum(sizes), "snapshots: 3, 3 turns"),
        (2, sizes[0], '0 session_id "s-0", 0 turns'),
        (2, sizes[1], '1 session_id "s-1", role "planner", 1 turns'),
        (2, sizes[2], '2 session_id "s-2", role "planner", 2 turns'),
        (1, size - sum(sizes), "headers, indexes, padding"),
    ]


def test_torn_end_of_a_batch_is_told_and_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = batch(tmp_path / "b", 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b"snap" * 5)
    shown = lines(path, capsys)
    assert shown[0][:2] == (0, len(whole) + 20)
    assert (1, 20, "torn at the end, ignored: a crash left it, or it is being written") in shown
    assert sum(n_bytes for depth, n_bytes, _ in shown if depth == 1) == len(whole) + 20
    # Cut short as it was made.
    for n in range(1, 32):
        path.write_bytes(whole[:n])
        assert [row[:2] for row in lines(path, capsys)] == [(0, n), (1, n), (1, 0)]


@pytest.mark.parametrize(
    ("options", "shown"), [([], 10), (["--turns", "3"], 3), (["--turns", "0"], 0), (["--all"], 25)]
)
def test_long_batch_is_shortened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], shown: int
) -> None:
    told = lines(batch(tmp_path / "b", 25), capsys, *options)
    snapshots = [row for row in told if row[0] == 2]
    indices = [int(label.split()[0]) for _, _, label in snapshots if not label.startswith("...")]
    assert indices == [*range((shown + 1) // 2), *range(25 - shown // 2, 25)]
    n_turns = sum(set(range(25)).difference(indices))
    left_out = [label for _, _, label in snapshots if label.startswith("...")]
    assert left_out == ([f"... {25 - shown}, {n_turns} turns: --all shows them"] if shown < 25 else [])
    assert (1, sum(n_bytes for _, n_bytes, _ in snapshots), "snapshots: 25, 300 turns") in told


def test_json_of_a_batch_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = batch(tmp_path / "b", 4)
    with path.open("ab") as file:
        file.write(b"torn")
    assert main(["inspect", str(path), "--json", "--turns", "2"]) == 0
    out = capsys.readouterr().out
    assert WORDS not in out
    told = json.loads(out)
    sizes = [snapshot.nbytes for snapshot in rolecore.codec.open_batch(path)]
    assert told == {
        "bytes": path.stat().st_size,
        "snapshots": {
            "all": {"count": 4, "turns": 6, "bytes": sum(sizes)},
            "left_out": {"count": 2, "turns": 3, "bytes": sizes[1] + sizes[2]},
            "shown": [
                {"index": 0, "session_id": "s-0", "role": "", "turns": 0, "bytes": sizes[0]},
                {"index": 3, "session_id": "s-3", "role": "planner", "turns": 3, "bytes": sizes[3]},
            ],
        },
        "torn_bytes": 4,
        "rest_bytes": path.stat().st_size - 4 - sum(sizes),
    }


@pytest.mark.parametrize("options", [[], ["--json"], ["--turns", "1"]])
def test_snapshot_of_a_batch_is_shown_as_a_file_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    alone = session(tmp_path / "s", vectors=np.ones((3, 4)), payload=b"x" * 1000)
    path = batch(tmp_path / "b", 2)
    with BatchWriter(path) as writer:
        writer.append(alone.read_bytes())
    assert main(["inspect", str(alone), *options]) == 0
    shown = capsys.readouterr()
    assert main(["inspect", str(path), "--snapshot", "2", *options]) == 0
    assert capsys.readouterr() == shown


def test_snapshot_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = batch(tmp_path / "b", 3)
    assert "it has no snapshot 3; pass --snapshot 0 to 2" in refusal(path, capsys, "--snapshot", "3")
    assert "no snapshot 0: it is empty" in refusal(batch(tmp_path / "empty", 0), capsys, "--snapshot", "0")
    assert "it is no batch file; leave out --snapshot" in refusal(session(tmp_path / "s"), capsys, "--snapshot", "0")
    assert main(["inspect", str(path), "--snapshot", "-1"]) == 2
    assert "'-1' is not a whole number from 0" in capsys.readouterr().err


def test_damaged_batch_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = batch(tmp_path / "b", 2)
    whole = path.read_bytes()
    at = whole.index(WORDS.encode())
    path.write_bytes(whole[:at] + b"T" + whole[at + 1 :])
    for options in ([], ["--json"], ["--snapshot", "0"]):
        told = refusal(path, capsys, *options)
        assert re.search(r"the batch file at byte \d+: the content of its chunk is damaged", told)
    path.write_bytes(whole[:8] + b"\x09" + whole[9:])
    told = refusal(path, capsys)
    assert "its version is 9, this release reads up to 1; upgrade rolecore" in told
    assert told.count(str(path)) == 1


def test_views_tell_what_a_turn_has(tmp_path: Path) -> None:
    turns = rolecore.codec.open_snapshot(session(tmp_path / "s").read_bytes()).turns
    assert json.loads(turns[0].extra or "") == {WORDS: 1}
    assert turns[0].tool_calls is None
    assert json.loads(turns[3].parts or "") == parts(WORDS)
    calls = turns[1].tool_calls
    assert calls is not None
    first, second = calls
    assert (first.id, first.name, first.arguments, first.is_custom) == ("a", "find", '{"q": "lantern"}', False)
    assert first.extra is None
    assert second.extra == turns[0].extra
    assert second.sizes() == {"id": 1, "name": 4, "arguments": 16, "extra": len(turns[0].extra or "")}
