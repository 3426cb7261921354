"""Batch files: what is appended is there, in place, whatever ends the process that appends."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rolecore import ArgumentError, CodecError
from rolecore.codec import BatchWriter, Snapshot, encode_snapshot, open_batch

if TYPE_CHECKING:
    from pathlib import Path


def session(name: str, size: int = 10) -> bytes:
    return encode_snapshot([{"role": "user", "content": "x" * size}], session_id=name)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions.batch"


def write(path: Path, *names: str) -> None:
    with BatchWriter(path) as writer:
        for name in names:
            writer.append(session(name))


def names(path: Path) -> list[str]:
    return [snapshot.session_id for snapshot in open_batch(path)]


def test_what_is_appended_is_read_in_place(path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    with BatchWriter(path) as writer:
        assert (len(writer), bool(writer)) == (0, True)
        assert [writer.append(session("a")), writer.append(encode_snapshot([], session_id="b", vectors=rows))] == [0, 1]
        writer.flush()
        assert writer.append(memoryview(bytearray(session("c")))) == 2
        assert len(writer) == 3
    batch = open_batch(str(path))
    batch.verify()
    assert (len(batch), batch.nbytes, batch.n_torn_bytes) == (3, path.stat().st_size, 0)
    assert repr(batch) == f"Batch(3 snapshots, {batch.nbytes} bytes)"
    assert batch[0].turns[0].text == "x" * 10
    vectors = batch[1].vectors
    assert vectors is not None
    assert vectors.ctypes.data % 16 == 0
    assert not vectors.flags.owndata
    np.testing.assert_array_equal(vectors, rows)
    write(path, "d")
    assert names(path) == ["a", "b", "c", "d"]
    assert len(batch) == 3


def test_batch_is_a_sequence(path: Path) -> None:
    write(path, *"abcde")
    batch = open_batch(path)
    assert isinstance(batch, Sequence)
    for index in range(-5, 5):
        assert batch[index].session_id == "abcde"[index]
    for which in (slice(None), slice(1, None, 2), slice(None, None, -1), slice(9, 12), slice(-2, None)):
        assert [snapshot.session_id for snapshot in batch[which]] == list("abcde"[which])
    for index in (5, -6, 2**70, -(2**70)):
        with pytest.raises(IndexError, match="out of range"):
            batch[index]
    with pytest.raises(TypeError):
        batch["a"]


def test_snapshots_outlive_batch_and_file(path: Path) -> None:
    write(path, "a", "b")
    snapshot: Snapshot = open_batch(path)[1]
    path.unlink()
    assert snapshot.session_id == "b"
    snapshot.verify()


@pytest.mark.parametrize("exception", [None, KeyError])
def test_leaving_the_context_keeps_what_was_appended(path: Path, exception: type[Exception] | None) -> None:
    def leave() -> None:
        with BatchWriter(path) as writer:
            writer.append(session("a"))
            if exception is not None:
                raise exception

    if exception is None:
        leave()
    else:
        with pytest.raises(exception):
            leave()
    assert names(path) == ["a"]
    # It was flushed, too: the file ends with an index, which has the file's mark near its end.
    assert path.read_bytes()[-8:-4] == path.read_bytes()[12:16]


def test_closed_writer_refuses_all_but_closing(path: Path) -> None:
    writer = BatchWriter(path)
    writer.close()
    writer.close()
    for refused in (lambda: writer.append(session("a")), writer.flush, lambda: len(writer)):
        with pytest.raises(ArgumentError, match="the writer is closed; open the file with another"):
            refused()
    write(path, "a")


def test_second_writer_is_refused_until_the_first_is_closed(path: Path) -> None:
    with BatchWriter(path) as writer:
        writer.append(session("a"))
        with pytest.raises(OSError, match="another writer has it open; close that one first"):
            BatchWriter(path)
        code = f"import rolecore.codec; rolecore.codec.BatchWriter({str(path)!r})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "another writer has it open" in done.stderr
    write(path, "b")
    assert names(path) == ["a", "b"]


def test_forked_process_cannot_append(path: Path) -> None:
    code = f"""
import os
from rolecore.codec import BatchWriter, encode_snapshot
with BatchWriter({str(path)!r}) as writer:
    writer.append(encode_snapshot([], session_id="parent"))
    if os.fork() == 0:
        try:
            writer.append(encode_snapshot([], session_id="child"))
        except ValueError as error:
            print(error, flush=True)
        writer.close()
        os._exit(0)
    os.wait()
    writer.append(encode_snapshot([], session_id="after"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "the writer was opened in process" in done.stdout
    assert names(path) == ["parent", "after"]
    open_batch(path).verify()


def test_lock_is_the_parents_whatever_a_forked_process_does(path: Path) -> None:
    code = f"""
import os
from rolecore.codec import BatchWriter
writer = BatchWriter({str(path)!r})
ended, end = os.pipe()
if os.fork() == 0:
    os.close(end)
    os.read(ended, 1)
    os._exit(0)
if os.fork() == 0:
    writer.close()
    del writer
    os._exit(0)
os.wait()
try:
    BatchWriter({str(path)!r})
except OSError as error:
    print(error)
writer.close()
BatchWriter({str(path)!r}).close()
print("opened again")
os.close(end)
os.wait()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "another writer has it open" in first
    assert second == "opened again"


ENDLESS = """
import sys
from rolecore.codec import BatchWriter, encode_snapshot
writer = BatchWriter(sys.argv[1])
flushes = int(sys.argv[2])
for n in range(10**9):
    place = writer.append(encode_snapshot([{"role": "user", "content": "x" * (n * 37 % 5000)}], session_id=str(n)))
    assert place == n
    if n % flushes == flushes - 1:
        writer.flush()
    print(n, flush=True)
"""


@pytest.mark.parametrize("flushes", [3, 50, 10**9])
def test_killed_writer_loses_nothing_it_had_appended(path: Path, flushes: int) -> None:
    command = [sys.executable, "-c", ENDLESS, str(path), str(flushes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        # Readers do not wait for it.
        assert len(open_batch(path)) >= 200
        process.send_signal(signal.SIGKILL)
        # What it said it had appended, a line it had no time to end aside.
        n_said = 200 + process.stdout.read().count("\n")
    batch = open_batch(path)
    batch.verify()
    assert len(batch) >= n_said
    assert [snapshot.session_id for snapshot in batch] == [str(n) for n in range(len(batch))]
    n_snapshots = len(batch)
    with BatchWriter(path) as writer:
        assert writer.append(session("after")) == n_snapshots
    batch = open_batch(path)
    batch.verify()
    assert (batch[-1].session_id, len(batch), batch.n_torn_bytes) == ("after", n_snapshots + 1, 0)


@settings(max_examples=10)
@given(cut=st.integers(1, 2000))
def test_torn_end_is_counted_and_cut_off(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "sessions"
    write(path, "a", "b")
    n_flushed = path.stat().st_size
    writer = BatchWriter(path)
    writer.append(session("c", 1900))
    n_whole = path.stat().st_size
    # As a crash would leave it: no close, and less of the file.
    os.truncate(path, max(n_flushed, n_whole - cut))
    del writer
    batch = open_batch(path)
    assert (len(batch), batch.nbytes) == (2, n_flushed)
    assert batch.n_torn_bytes == path.stat().st_size - n_flushed
    batch.verify()
    write(path, "d")
    assert names(path) == ["a", "b", "d"]
    assert open_batch(path).n_torn_bytes == 0


def test_full_disk_leaves_nothing_half_and_the_writer_usable(path: Path) -> None:
    # In a process of its own: a limit on the size of files is the full disk.
    code = f"""
import resource
from rolecore.codec import BatchWriter, encode_snapshot, open_batch
path = {str(path)!r}
small, large = (encode_snapshot([], session_id="s", payload=bytes(size)) for size in (10, 100_000))
writer = BatchWriter(path)
writer.append(small)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    writer.append(large)
except OSError as error:
    print(error.strerror, error.filename == path)
batch = open_batch(path)
assert (len(batch), batch.n_torn_bytes) == (1, 0)
assert writer.append(small) == 1
writer.flush()
for n in range(10**6):
    try:
        writer.append(small)
    except OSError:
        break
try:
    writer.close()
except OSError as error:
    print("no room for the index")
batch = open_batch(path)
batch.verify()
assert (len(batch), batch.n_torn_bytes) == (2 + n, 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
with BatchWriter(path) as writer:
    assert writer.append(large) == 2 + n
open_batch(path).verify()
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["File too large True", "no room for the index"]


def test_threads_append_to_one_writer(path: Path) -> None:
    placed: dict[int, str] = {}
    with BatchWriter(path) as writer:

        def append(thread: int) -> None:
            for n in range(100):
                name = f"{thread}/{n}"
                placed[writer.append(session(name, n * 31))] = name
                if n % 40 == 39:
                    writer.flush()

        threads = [threading.Thread(target=append, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    open_batch(path).verify()
    assert names(path) == [placed[n] for n in range(400)]


def test_damage_is_found_by_verify_or_when_it_is_read(path: Path) -> None:
    write(path, "a", "b")
    whole = path.read_bytes()
    second = whole.index(b"snap", whole.index(b"snap") + 4)
    for at in range(32, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        batch = open_batch(path)
        if batch.n_torn_bytes:
            # The index: both are found without it.
            assert [snapshot.session_id for snapshot in batch] == ["a", "b"]
            continue
        with pytest.raises(CodecError):
            batch.verify()
    path.write_bytes(whole[: second + 9] + b"\xff" + whole[second + 10 :])
    batch = open_batch(path)
    assert batch[0].session_id == "a"
    with pytest.raises(CodecError, match=rf"snapshot 1 at byte {second}: .* damaged"):
        batch[1]


def test_path_of_something_else_is_refused(path: Path) -> None:
    for opener in (open_batch, BatchWriter):
        with pytest.raises(IsADirectoryError):
            opener(path.parent)
        with pytest.raises(ArgumentError, match="path is of type int; it must be a str or a path"):
            opener(1)  # type: ignore[arg-type]
        path.write_bytes(session("a"))
        with pytest.raises(CodecError, match="it is no batch file"):
            opener(path)
        assert path.read_bytes() == session("a")
        with pytest.raises(FileNotFoundError):
            opener(path.parent / "none" / "sessions")
    with pytest.raises(FileNotFoundError) as caught:
        open_batch(path.parent / "none")
    assert caught.value.filename == str(path.parent / "none")
    os.mkfifo(path.parent / "pipe")
    for opener in (open_batch, BatchWriter):
        with pytest.raises(CodecError, match="no regular file"):
            opener(path.parent / "pipe")


def test_writer_takes_snapshots_only(path: Path) -> None:
    with BatchWriter(path) as writer:
        with pytest.raises(CodecError, match="no snapshot"):
            writer.append(b"no snapshot at all")
        with pytest.raises(ArgumentError, match="buffer is None; it must be contiguous bytes"):
            writer.append(None)  # type: ignore[arg-type]
    assert len(open_batch(path)) == 0
