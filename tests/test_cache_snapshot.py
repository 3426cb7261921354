"""VectorCache.save and load: what is saved comes back, files are whole, and none does harm."""

from __future__ import annotations

import errno
import gc
import itertools
import os
import random
import struct
import subprocess
import sys
import threading
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from rolecore import CacheError, VectorCache

if TYPE_CHECKING:
    from pathlib import Path

HEADER = 192
KEYS = ["", "k", "汉字 👋", "\ud83d", "\ud83d\udc4b", "\x00", "k" * 10_000]
VALUES = [None, b"", "", b"\x00\xff", "汉字 👋", "\ud800 lone", b"x" * 100_000]


class Clock:
    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def rows(n: int, dim: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def with_right_checksums(data: bytes) -> bytes:
    """Write the checksums anew, as docs/cache.md tells the format."""
    changed = bytearray(data)
    start = HEADER
    for at in range(56, 56 + 5 * 16, 16):
        (length,) = struct.unpack_from("<Q", changed, at)
        end = start + -(-length // 64) * 64
        struct.pack_into("<I", changed, at + 8, zlib.crc32(changed[start:end]))
        start = end
    struct.pack_into("<I", changed, HEADER - 4, zlib.crc32(changed[: HEADER - 4]))
    return bytes(changed)


def keys(cache: VectorCache) -> list[str]:
    return [hit.key for hit in cache.search([1, 0], 1000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.cache"


@pytest.mark.parametrize("policy", ["lru", "s3fifo", "gdsf"])
def test_load_any_text_comes_back_equal(path: Path, policy: str) -> None:
    cache = VectorCache(3, capacity=1000, policy=policy)
    vectors = rows(len(KEYS) * len(VALUES), 3)
    scopes = [("", ""), ("acme", "m"), ("汉\ud800", ""), ("", "bge")]
    entries = [
        (key, value, vector, tenant, model_id)
        for ((key, value), vector) in zip(itertools.product(KEYS, VALUES), vectors, strict=True)
        for tenant, model_id in scopes
    ]
    for key, value, vector, tenant, model_id in entries:
        cache.put(key, vector, value, tenant=tenant, model_id=model_id)
    cache.save(path)
    loaded = VectorCache.load(path)
    assert len(loaded) == len(cache) == len(KEYS) * len(scopes)
    for key in KEYS:
        for tenant, model_id in scopes:
            old = cache.get(key, tenant=tenant, model_id=model_id)
            new = loaded.get(key, tenant=tenant, model_id=model_id)
            assert old is not None
            assert new is not None
            assert (new.key, new.value, type(new.value)) == (key, old.value, type(old.value))
            assert new.vector.tobytes() == old.vector.tobytes()
            assert new.expires_in_s is None
            assert loaded.get(key, tenant=tenant, model_id=model_id) is new
    for query in rows(20, 3, seed=1):
        for tenant, model_id in scopes:
            old_hits = cache.search(query, 50, tenant=tenant, model_id=model_id)
            new_hits = loaded.search(query, 50, tenant=tenant, model_id=model_id)
            assert [(hit.key, hit.value, hit.score) for hit in new_hits] == [
                (hit.key, hit.value, hit.score) for hit in old_hits
            ]


def test_load_ties_are_still_the_oldest_entrys(path: Path) -> None:
    cache = VectorCache(2, capacity=1000)
    for key in "cab":
        cache.put(key, [1, 0])
    cache.get("c")
    cache.save(path)
    loaded = VectorCache.load(path)
    loaded.put("d", [1, 0])
    assert keys(loaded) == ["c", "a", "b", "d"]


def test_load_evicts_in_the_order_the_saved_cache_would(path: Path) -> None:
    cache = VectorCache(2, capacity=50)
    for i in range(50):
        cache.put(str(i), [1, i], pinned=i % 10 == 0)
    draw = random.Random(3)  # noqa: S311  no secrets here
    for _ in range(60):
        cache.get(str(draw.randrange(50)))
    cache.save(path)
    loaded = VectorCache.load(path)
    assert loaded.stats()["pinned"] == 5
    for i in range(45):
        for each in (cache, loaded):
            each.put(f"new {i}", [1, -i])
        assert keys(loaded) == keys(cache)
    with pytest.raises(CacheError, match="5 entries are pinned and capacity is 5"):
        VectorCache.load(path, capacity=5).put("one more", [1, 0])


def test_load_stats_start_anew_and_settings_stay(path: Path) -> None:
    clock = Clock()
    cache = VectorCache(2, capacity=3, max_bytes=10**6, time_to_live_s=50, policy="s3fifo", clock=clock)
    for i in range(5):
        cache.put(str(i), [1, i])
    cache.get("4")
    cache.save(path)
    loaded = VectorCache.load(path, clock=clock)
    stats = loaded.stats()
    assert stats.pop("bytes") == loaded.memory()["total"] > 0
    assert {name for name, count in stats.items() if count} == {"rows", "spaces"}
    assert stats["rows"] == 3
    loaded.put("new", [1, 9])
    assert len(loaded) == 3
    clock.now = 50.5
    assert len(loaded) == 0
    assert repr(loaded) == "VectorCache(dim=2, rows=0)"


def test_load_deadline_is_where_it_was(path: Path) -> None:
    clock = Clock(1000)
    cache = VectorCache(2, capacity=9, clock=clock)
    cache.put("brief", [1, 0], time_to_live_s=60)
    cache.put("gone", [1, 1], time_to_live_s=10)
    cache.put("lasting", [1, 2])
    clock.now += 20
    cache.save(path)
    later = Clock(5)  # as after a reboot
    loaded = VectorCache.load(path, clock=later)
    assert sorted(keys(loaded)) == ["brief", "lasting"]
    left = loaded.get("brief").expires_in_s  # type: ignore[union-attr]
    assert left is not None
    assert 0 < left <= 40
    later.now += 40
    assert keys(loaded) == ["lasting"]


def test_load_narrower_limits_evict_and_wider_ones_do_not(path: Path) -> None:
    cache = VectorCache(2, capacity=100, time_to_live_s=1000)
    for i in range(100):
        cache.put(str(i), [1, i], "value")
    cache.save(path)
    assert sorted(keys(VectorCache.load(path, capacity=3))) == ["97", "98", "99"]
    small = VectorCache.load(path, max_bytes=20_000)
    assert 10 < len(small) < 100
    assert small.memory()["total"] <= 20_000
    wide = VectorCache.load(path, capacity=101, time_to_live_s=2000)
    wide.put("more", [0, 1])
    assert len(wide) == 101
    assert wide.get("more").expires_in_s > 1900  # type: ignore[union-attr, operator]
    assert wide.get("99").expires_in_s <= 1000  # type: ignore[union-attr, operator]
    assert len(VectorCache.load(path, max_bytes=1)) == 0


def test_memory_of_loaded_vectors_is_mapped(path: Path) -> None:
    cache = VectorCache(16, capacity=1000)
    for i, vector in enumerate(rows(100, 16)):
        cache.put(str(i), vector)
    assert cache.memory()["mapped"] == 0
    cache.save(path)
    loaded = VectorCache.load(path)
    memory = loaded.memory()
    assert (memory["rows"], memory["mapped"]) == (0, 100 * 16 * 4)
    parts = ("rows", "mapped", "codes", "keys", "values", "nodes", "tables")
    assert memory["total"] == sum(memory[part] for part in parts) == loaded.stats()["bytes"]
    loaded.put("0", [1.0] * 16)
    assert loaded.memory()["mapped"] == 99 * 16 * 4
    assert loaded.memory()["rows"] > 0
    loaded.clear()
    assert loaded.memory()["total"] == 0


def test_view_outlives_the_loaded_cache_and_the_file(path: Path) -> None:
    cache = VectorCache(4, capacity=2)
    cache.put("a", [1, 2, 2, 0])
    cache.save(path)
    loaded = VectorCache.load(path)
    view = loaded.get("a").vector  # type: ignore[union-attr]
    path.unlink()
    loaded.clear()
    assert loaded.memory()["viewed"] > 0
    del cache, loaded
    gc.collect()
    assert view.tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 0])
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 5
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True


def test_save_over_the_file_a_cache_was_loaded_from_disturbs_nothing(path: Path) -> None:
    cache = VectorCache(8, capacity=100)
    for i, vector in enumerate(rows(100, 8)):
        cache.put(str(i), vector)
    cache.save(path)
    loaded = VectorCache.load(path)
    before = [(hit.key, hit.score) for hit in loaded.search([1.0] * 8, 100)]
    other = VectorCache(8, capacity=1)
    other.put("other", [1.0] * 8)
    other.save(path)
    assert [(hit.key, hit.score) for hit in loaded.search([1.0] * 8, 100)] == before
    loaded.save(path)
    again = VectorCache.load(path)
    assert [(hit.key, hit.score) for hit in again.search([1.0] * 8, 100)] == before


def test_save_replaces_a_symbolic_link_and_keeps_to_the_umask(path: Path) -> None:
    target = path.with_name("target")
    target.write_bytes(b"mine")
    path.symlink_to(target)
    cache = VectorCache(2, capacity=1)
    old = os.umask(0o027)
    try:
        cache.save(str(path))
    finally:
        os.umask(old)
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert target.read_bytes() == b"mine"
    assert sorted(os.listdir(path.parent)) == ["answers.cache", "target"]


def test_save_where_it_cannot_write_is_an_os_error(path: Path) -> None:
    cache = VectorCache(2, capacity=1)
    with pytest.raises(FileNotFoundError) as caught:
        cache.save(path / "deeper")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == str(path / "deeper")
    path.write_bytes(b"old")
    with pytest.raises(NotADirectoryError):
        cache.save(path / "deeper")
    folder = path.with_name("folder")
    folder.mkdir()
    with pytest.raises(IsADirectoryError):
        cache.save(folder)
    assert sorted(os.listdir(path.parent)) == ["answers.cache", "folder"]
    assert path.read_bytes() == b"old"


# The largest file a process may write stands for a full disk.
FULL = """
import resource, sys, rolecore
cache = rolecore.VectorCache(2, capacity=10_000)
for i in range(10_000):
    cache.put(str(i), [1, i], "value" * 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    cache.save(sys.argv[1])
except OSError as error:
    print(type(error).__name__, error.errno)
"""


def test_save_that_runs_out_of_space_leaves_the_old_file(path: Path) -> None:
    cache = VectorCache(2, capacity=1)
    cache.put("old", [1, 0])
    cache.save(path)
    run = subprocess.run([sys.executable, "-c", FULL, str(path)], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["OSError", str(errno.EFBIG)]
    assert os.listdir(path.parent) == ["answers.cache"]
    assert keys(VectorCache.load(path)) == ["old"]


KILLED = """
import sys, rolecore
cache = rolecore.VectorCache(2, capacity=2_000)
for i in range(2_000):
    cache.put(str(i), [1, i], "value" * 20)
while True:
    cache.save(sys.argv[1])
    print("saved", flush=True)
"""


@pytest.mark.parametrize("n_saves", [1, 2, 3, 5, 8])
def test_save_that_is_killed_leaves_a_whole_file(path: Path, n_saves: int) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(n_saves):
            assert process.stdout.readline() == b"saved\n"
        process.kill()
    assert len(VectorCache.load(path)) == 2000


def test_save_while_others_write_is_of_one_moment(path: Path) -> None:
    cache = VectorCache(2, capacity=200)
    done = threading.Event()

    def write() -> None:
        for i in itertools.count():
            # In this order, so that of a pair the first is never missing.
            cache.put(f"first {i % 50}", [1, i], str(i))
            cache.put(f"second {i % 50}", [1, i], str(i))
            if done.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(30):
            cache.save(path)
            loaded = VectorCache.load(path)
            ages = [int(loaded.get(f"first {k}").value) for k in range(50) if loaded.get(f"first {k}")]  # type: ignore[union-attr, arg-type]
            seconds = [int(loaded.get(f"second {k}").value) for k in range(50) if loaded.get(f"second {k}")]  # type: ignore[union-attr, arg-type]
            # The newest 50 of each, one after another, the second at most one behind.
            for numbers in (ages, seconds):
                assert (
                    sorted(numbers) == list(range(max(numbers) - len(numbers) + 1, max(numbers) + 1))
                    if numbers
                    else True
                )
            assert max(ages, default=0) - max(seconds, default=0) in {0, 1}
    finally:
        done.set()
        writer.join()


def test_load_missing_file_is_file_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        VectorCache.load(path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOENT, str(path))
    with pytest.raises(IsADirectoryError):
        VectorCache.load(path.parent)
    with pytest.raises(CacheError, match="no regular file"):
        VectorCache.load("/dev/null")


def test_load_damaged_file_is_a_cache_error_that_says_where(path: Path) -> None:
    cache = VectorCache(2, capacity=9)
    cache.put("secret key", [3, 4], "secret value", tenant="secret tenant")
    cache.save(path)
    whole = path.read_bytes()
    assert with_right_checksums(whole) == whole
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CacheError, match="answers.cache cannot be loaded") as caught:
            VectorCache.load(path)
        assert "secret" not in str(caught.value)
        path.write_bytes(whole[:at])
        with pytest.raises(CacheError, match="answers.cache cannot be loaded"):
            VectorCache.load(path)
    path.write_bytes(whole + b"\0" * 64)
    with pytest.raises(CacheError, match="bytes, by its header"):
        VectorCache.load(path)


@pytest.mark.parametrize(
    ("at", "fields", "match"),
    [
        (8, struct.pack("<I", 2), "format is of version 2, this release reads 1"),
        (12, struct.pack("<I", 2**31), "setting that no cache has"),
        (HEADER, struct.pack("<f", float("nan")), "entry 0: its vector is not of finite numbers and length 1"),
        (HEADER, struct.pack("<f", 0.61), "entry 0: its vector"),
        (HEADER + 128 + 24, struct.pack("<Q", 2**63), "entry 0: its key"),
        (HEADER + 128 + 32, struct.pack("<Q", 2**40), "entry 0: its value"),
        (HEADER + 192, b"\xff", "entry 0: its key is no text"),
    ],
)
def test_load_nonsense_behind_right_checksums_is_a_cache_error(path: Path, at: int, fields: bytes, match: str) -> None:
    cache = VectorCache(2, capacity=9)
    cache.put("key", [3, 4], "value")
    cache.save(path)
    whole = path.read_bytes()
    path.write_bytes(with_right_checksums(whole[:at] + fields + whole[at + len(fields) :]))
    with pytest.raises(CacheError, match=match):
        VectorCache.load(path)


def test_load_small_file_that_claims_gigabytes_takes_no_memory(path: Path) -> None:
    header = bytearray(HEADER)
    struct.pack_into("<8sIIQQQQII", header, 0, b"\x89rcache\n", 1, 65_536, 2**40, 2**60, 2**64 - 1, 0, 0, 0)
    for section in range(5):
        struct.pack_into("<Q", header, 56 + 16 * section, 2**40)
    struct.pack_into("<I", header, HEADER - 4, zlib.crc32(header[: HEADER - 4]))
    path.write_bytes(header)
    with pytest.raises(CacheError, match="it has 192 bytes, by its header 5497558139072"):
        VectorCache.load(path)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda path: VectorCache.load(5), "path is of type int; it must be a str or a path"),
        (lambda path: VectorCache(2, capacity=1).save(None), "path is None"),
        (lambda path: VectorCache.load(path, capacity=0), "capacity is 0"),
        (lambda path: VectorCache.load(path, max_bytes="1"), "max_bytes is of type str"),
        (lambda path: VectorCache.load(path, time_to_live_s=-1), "time_to_live_s is -1"),
        (lambda path: VectorCache.load(path, clock=3), "clock is of type int"),
    ],
)
def test_bad_argument_is_a_cache_error(path: Path, call: Any, match: str) -> None:
    with pytest.raises(CacheError, match=match):
        call(path)
