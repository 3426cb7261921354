"""A cache in a file: what comes back, what is refused, and what a failure leaves."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from wire.cache_entry_generated import CacheEntry

from rolecore import CacheError, VectorCache

if TYPE_CHECKING:
    from pathlib import Path

DIM = 24
ROWS = np.random.default_rng(5).standard_normal((300, DIM)).astype(np.float32)


class Clock:
    """Seconds that only go when told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def filled(n: int = 300, **settings: Any) -> VectorCache:
    cache = VectorCache(DIM, **{"capacity": 1000, **settings})
    for i, row in enumerate(ROWS[:n]):
        cache.put(f"key {i}", row, [None, f"answer {i}", b"\x00\xff"][i % 3], tenant=f"t{i % 2}")
    return cache


@pytest.mark.parametrize("policy", ["lru", "s3fifo", "gdsf"])
def test_snapshot_loaded_answers_as_the_saved_cache(tmp_path: Path, policy: str) -> None:
    cache = filled(policy=policy)
    cache.save(tmp_path / "cache")
    loaded = VectorCache.load(str(tmp_path / "cache"))
    assert len(loaded) == len(cache)
    for i, query in enumerate(ROWS[:40] + 0.3 * ROWS[40:80]):
        tenant = f"t{i % 2}"
        expected = [(hit.key, hit.score, hit.value) for hit in cache.search(query, 5, tenant=tenant)]
        assert [(hit.key, hit.score, hit.value) for hit in loaded.search(query, 5, tenant=tenant)] == expected
        hit = loaded.lookup(query, 0.5, tenant=tenant)
        assert (hit is None) == (expected[0][1] < 0.5)
        entry = loaded.get(f"key {i}", tenant=tenant)
        assert entry is not None
        assert entry.value == [None, f"answer {i}", b"\x00\xff"][i % 3]
        assert loaded.get(f"key {i}", tenant="other") is None


def test_snapshot_of_odd_keys_keeps_them(tmp_path: Path) -> None:
    keys = ["", "中文", "a\x00b", "\ud800 alone", "x" * 10_000]
    cache = VectorCache(2, capacity=10)
    for i, key in enumerate(keys):
        cache.put(key, [1, i], key, tenant=key, model_id="模型")
    cache.save(tmp_path / "cache")
    loaded = VectorCache.load(tmp_path / "cache")
    for key in keys:
        entry = loaded.get(key, tenant=key, model_id="模型")
        assert entry is not None
        assert (entry.key, entry.value) == (key, key)


def test_snapshot_read_by_the_official_library_says_what_was_put(tmp_path: Path) -> None:
    cache = VectorCache(2, capacity=10)
    cache.put("\ud800 alone", [1, 0], "中文", tenant="acme", cost=420)
    cache.put("", [0, 1], b"", model_id="模型", pinned=True)
    cache.put("none", [3, 4])
    cache.save(tmp_path / "cache")
    whole = (tmp_path / "cache").read_bytes()
    (n_row_bytes,), (n_entry_bytes,) = struct.unpack_from("<Q", whole, 56), struct.unpack_from("<Q", whole, 72)
    rows = np.frombuffer(whole, "<f4", n_row_bytes // 4, 128).reshape(-1, 2)
    at = 128 + (n_row_bytes + 63) // 64 * 64
    end = at + n_entry_bytes
    said = []
    while at < end:
        (size,) = struct.unpack_from("<I", whole, at)
        buffer = whole[at + 4 : at + 4 + size]
        assert CacheEntry.CacheEntryBufferHasIdentifier(buffer, 0)
        entry = CacheEntry.GetRootAs(buffer)
        key, tenant, model_id = (
            bytes(name(i) for i in range(n)).decode("utf-8", "surrogatepass")
            for name, n in [
                (entry.Key, entry.KeyLength()),
                (entry.Tenant, entry.TenantLength()),
                (entry.ModelId, entry.ModelIdLength()),
            ]
        )
        value = None if entry.ValueIsNone() else bytes(entry.Value(i) for i in range(entry.ValueLength()))
        said.append((key, tenant, model_id, value, entry.ValueIsText(), entry.Cost(), entry.IsPinned(), entry.Age()))
        at += (4 + size + 7) // 8 * 8
    assert said == [
        ("", "", "模型", b"", False, 1.0, True, 1),
        ("\ud800 alone", "acme", "", "中文".encode(), True, 420.0, False, 0),
        ("none", "", "", None, False, 1.0, False, 2),
    ]
    assert rows.tolist() == np.array([[0, 1], [1, 0], [0.6, 0.8]], np.float32).tolist()


def test_snapshot_keeps_who_goes_next_and_who_stays(tmp_path: Path) -> None:
    cache = VectorCache(2, capacity=3)
    for key in "abc":
        cache.put(key, [1, ord(key)], pinned=key == "b")
    cache.get("a")
    cache.save(tmp_path / "cache")
    loaded = VectorCache.load(tmp_path / "cache")
    loaded.put("d", [1, 1])
    assert [key for key in "abcd" if loaded.get(key)] == ["a", "b", "d"]


def test_snapshot_keeps_the_time_that_is_left(tmp_path: Path) -> None:
    clock = Clock()
    cache = VectorCache(2, capacity=3, time_to_live_s=1000, clock=clock)
    cache.put("late", [1, 0])
    cache.put("soon", [0, 1], time_to_live_s=50)
    clock.now_s += 60
    cache.save(tmp_path / "cache")
    other = Clock()
    loaded = VectorCache.load(tmp_path / "cache", clock=other)
    assert len(loaded) == 1
    entry = loaded.get("late")
    assert entry is not None
    assert entry.expires_in_s == pytest.approx(940, abs=30)
    other.now_s += 941
    assert loaded.get("late") is None


def test_snapshot_loaded_with_a_lower_limit_keeps_the_last_used(tmp_path: Path) -> None:
    filled(100).save(tmp_path / "cache")
    loaded = VectorCache.load(tmp_path / "cache", capacity=10)
    assert len(loaded) == 10
    assert all(loaded.get(f"key {i}", tenant=f"t{i % 2}") for i in range(90, 100))


def test_snapshot_rows_outlive_the_file_and_the_cache(tmp_path: Path) -> None:
    filled().save(tmp_path / "cache")
    loaded = VectorCache.load(tmp_path / "cache")
    entry = loaded.get("key 7", tenant="t1")
    assert entry is not None
    vector = entry.vector
    (tmp_path / "cache").unlink()
    assert loaded.lookup(ROWS[8], 0.99, tenant="t0") is not None
    del loaded, entry
    assert vector @ ROWS[7] / np.linalg.norm(ROWS[7]) == pytest.approx(1, abs=1e-6)
    assert not vector.flags.writeable


def test_snapshot_over_an_older_one_leaves_its_readers_alone(tmp_path: Path) -> None:
    filled(50).save(tmp_path / "cache")
    old = VectorCache.load(tmp_path / "cache")
    filled(300).save(tmp_path / "cache")
    assert len(old) == 50
    assert old.lookup(ROWS[4], 0.99, tenant="t0") is not None
    assert len(VectorCache.load(tmp_path / "cache")) == 300
    assert os.listdir(tmp_path) == ["cache"]  # noqa: PTH208  the names alone


def test_snapshot_bytes_of_mapped_rows_are_told_apart(tmp_path: Path) -> None:
    cache = filled()
    cache.save(tmp_path / "cache")
    loaded = VectorCache.load(tmp_path / "cache")
    memory = loaded.memory()
    assert memory["rows"] == 0
    assert memory["mapped"] >= 300 * DIM * 4
    assert memory["total"] == sum(n for part, n in memory.items() if part not in {"total", "viewed"})


@pytest.mark.parametrize("cut", [0, 7, 127, 200, 5000])
def test_snapshot_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    filled().save(tmp_path / "cache")
    whole = (tmp_path / "cache").read_bytes()
    (tmp_path / "cache").write_bytes(whole[:cut])
    with pytest.raises(CacheError):
        VectorCache.load(tmp_path / "cache")


def test_snapshot_damaged_is_refused_wherever_it_is(tmp_path: Path) -> None:
    filled(20).save(tmp_path / "cache")
    whole = (tmp_path / "cache").read_bytes()
    for at in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(CacheError):
            VectorCache.load(tmp_path / "damaged")


def test_snapshot_that_is_not_there_is_a_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        VectorCache.load(tmp_path / "nothing")
    assert caught.value.filename == str(tmp_path / "nothing")


def test_snapshot_into_no_folder_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        filled(3).save(tmp_path / "no folder" / "cache")
    assert list(tmp_path.iterdir()) == []


def test_snapshot_onto_a_folder_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    with pytest.raises(OSError):  # noqa: PT011  which one depends on the file system
        filled(3).save(tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@pytest.mark.parametrize("path", [None, 7, b"cache" * 0, 1.5])
def test_snapshot_path_of_another_kind_is_refused(path: Any) -> None:
    cache = filled(3)
    with pytest.raises((CacheError, OSError)):
        cache.save(path)


@pytest.mark.parametrize("limits", [{"capacity": 0}, {"max_bytes": -1}, {"time_to_live_s": 0}, {"clock": 7}])
def test_snapshot_loaded_with_bad_limits_is_refused(tmp_path: Path, limits: dict[str, Any]) -> None:
    filled(3).save(tmp_path / "cache")
    with pytest.raises(CacheError):
        VectorCache.load(tmp_path / "cache", **limits)
