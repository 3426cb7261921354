"""Memory readings on made-up trees of /proc and /sys/fs/cgroup, and on this machine."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rolecore

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
MEMINFO = "MemTotal:       8388608 kB\nMemFree:          524288 kB\nMemAvailable:    6291456 kB\n"
MACHINE = (2048 * MIB, 8192 * MIB, "meminfo")
PSI = "some avg10=2.50 avg60=1.00 avg300=0.10 total=12\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1\n"
V1_UNLIMITED = "9223372036854771712\n"
V2_MOUNT = "30 23 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
KINDS = ("auto", "cgroup", "meminfo")


def grow(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write a tree of files."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def v2_group(path: str, limit: str, used: int, inactive: int = 0) -> dict[str, str | bytes]:
    """Make the files of a v2 cgroup."""
    return {
        f"sys/fs/cgroup{path}/memory.max": f"{limit}\n",
        f"sys/fs/cgroup{path}/memory.current": f"{used}\n",
        f"sys/fs/cgroup{path}/memory.stat": f"anon 1\ninactive_anon 7\ninactive_file {inactive}\nactive_file 3\n",
    }


def v1_group(
    path: str, limit: str, used: int, inactive: int = 0, hierarchical: str = V1_UNLIMITED
) -> dict[str, str | bytes]:
    """Make the files of a v1 cgroup."""
    stat = f"inactive_file 1\nhierarchical_memory_limit {hierarchical.strip()}\ntotal_inactive_file {inactive}\n"
    return {
        f"sys/fs/cgroup/memory{path}/memory.limit_in_bytes": f"{limit.strip()}\n",
        f"sys/fs/cgroup/memory{path}/memory.usage_in_bytes": f"{used}\n",
        f"sys/fs/cgroup/memory{path}/memory.stat": stat,
        f"sys/fs/cgroup/memory{path}/memory.use_hierarchy": "1\n",
    }


def summary(reading: rolecore.Memory) -> tuple[int, int, str]:
    """Leave out what most trees don't set."""
    return reading.used_bytes, reading.limit_bytes, reading.source


def test_probe_of_meminfo_only_reads_the_machine(tmp_path: Path) -> None:
    status = "Name:\tpython\nVmPeak:\t  999 kB\nVmRSS:\t    2048 kB\n"
    root = grow(tmp_path, {"proc/meminfo": MEMINFO, "proc/pressure/memory": PSI, "proc/self/status": status})
    expected = rolecore.Memory(2048 * MIB, 8192 * MIB, 2 * MIB, 0.025, "meminfo")
    assert rolecore.MemoryProbe(root=root).read() == expected
    assert rolecore.MemoryProbe("meminfo", str(root)).read() == expected
    assert expected.usage == 0.25


def test_probe_of_nested_v2_limits_takes_the_tightest_with_its_use(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/kube/pod1/app\n",
            "proc/self/mountinfo": V2_MOUNT,
            **v2_group("/kube/pod1/app", str(900 * MIB), 100 * MIB),
            **v2_group("/kube/pod1", str(512 * MIB), 300 * MIB, inactive=50 * MIB),
            **v2_group("/kube", str(4096 * MIB), 2000 * MIB),
            "sys/fs/cgroup/kube/pod1/app/memory.pressure": PSI,
            "proc/pressure/memory": "some avg10=99.00 avg60=0 avg300=0 total=0\n",
        },
    )
    for kind in ("auto", "cgroup"):
        reading = rolecore.MemoryProbe(kind, root).read()
        assert summary(reading) == (250 * MIB, 512 * MIB, "cgroup2:/kube/pod1")
        assert reading.pressure == 0.025


def test_probe_of_equal_v2_limits_takes_the_outer_one(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/a/b\n", **v2_group("/a/b", "1000", 10), **v2_group("/a", "1000", 900)}
    assert summary(rolecore.MemoryProbe(root=grow(tmp_path, files)).read()) == (900, 1000, "cgroup2:/a")


def test_probe_of_unlimited_v2_reads_the_machine(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a\n", **v2_group("/a", "max", 5 * MIB, inactive=MIB)}
    root = grow(tmp_path, files)
    assert summary(rolecore.MemoryProbe(root=root).read()) == MACHINE
    assert summary(rolecore.MemoryProbe("cgroup", root).read()) == (4 * MIB, 8192 * MIB, "cgroup2:/a")


def test_probe_of_limit_above_physical_memory_takes_physical(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/a\n", **v2_group("/a", str(16384 * MIB), 5 * MIB)}
    root = grow(tmp_path, files)
    assert summary(rolecore.MemoryProbe(root=root).read()) == MACHINE
    assert summary(rolecore.MemoryProbe("cgroup", root).read()) == (5 * MIB, 8192 * MIB, "cgroup2:/a")


def test_probe_of_v2_with_more_inactive_than_used_reads_zero(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/self/cgroup": "0::/\n", **v2_group("", "1000", 10, inactive=20)})
    assert summary(rolecore.MemoryProbe(root=root).read()) == (0, 1000, "cgroup2:/")


def test_probe_of_v2_over_its_limit_reads_usage_above_one(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/self/cgroup": "0::/\n", **v2_group("", "1000", 1500)})
    assert rolecore.MemoryProbe(root=root).read().usage == 1.5


def test_probe_of_v1_takes_the_tightest_with_its_use(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "5:cpu,cpuacct:/other\n4:hugetlb,memory:/docker/x\n1:name=systemd:/\n",
            "proc/self/mountinfo": V1_MOUNT,
            **v1_group("/docker/x", V1_UNLIMITED, 100 * MIB, hierarchical=str(512 * MIB)),
            **v1_group("/docker", str(512 * MIB), 300 * MIB, inactive=100 * MIB),
            **v1_group("", V1_UNLIMITED, 3000 * MIB),
        },
    )
    for kind in ("auto", "cgroup"):
        assert summary(rolecore.MemoryProbe(kind, root).read()) == (200 * MIB, 512 * MIB, "cgroup1:/docker")


def test_probe_of_unlimited_v1_reads_the_machine(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {"proc/meminfo": MEMINFO, "proc/self/cgroup": "4:memory:/a\n", **v1_group("/a", V1_UNLIMITED, 5 * MIB)},
    )
    assert summary(rolecore.MemoryProbe(root=root).read()) == MACHINE
    assert summary(rolecore.MemoryProbe("cgroup", root).read()) == (5 * MIB, 8192 * MIB, "cgroup1:/a")


def test_probe_of_v1_container_without_namespace_reads_below_the_mount_root(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/x/sub\n",
            "proc/self/mountinfo": V1_MOUNT.replace(" / /", " /docker/x /"),
            **v1_group("/sub", V1_UNLIMITED, 10),
            **v1_group("", "1000", 100),
        },
    )
    assert summary(rolecore.MemoryProbe(root=root).read()) == (100, 1000, "cgroup1:/docker/x")


def test_probe_of_hybrid_reads_v1_limits_and_v2_pressure(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/app\n0::/app\n",
            "proc/self/mountinfo": "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
            + V1_MOUNT
            + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n",
            **v1_group("/app", str(100 * MIB), 60 * MIB, inactive=10 * MIB),
            **v1_group("", V1_UNLIMITED, 3000 * MIB),
            "sys/fs/cgroup/unified/app/memory.pressure": PSI,
        },
    )
    reading = rolecore.MemoryProbe(root=root).read()
    assert summary(reading) == (50 * MIB, 100 * MIB, "cgroup1:/app")
    assert reading.pressure == 0.025


def test_probe_of_hybrid_with_memory_in_v2_reads_v2(tmp_path: Path) -> None:
    root = grow(
        tmp_path,
        {
            "proc/self/cgroup": "1:name=systemd:/app\n0::/app\n",
            "proc/self/mountinfo": V2_MOUNT.replace("/sys/fs/cgroup ", "/mnt/my\\040groups "),
            "mnt/my groups/app/memory.max": "1000\n",
            "mnt/my groups/app/memory.current": "10\n",
        },
    )
    assert summary(rolecore.MemoryProbe(root=root).read()) == (10, 1000, "cgroup2:/app")


@pytest.mark.parametrize("path", ["/kubepods/pod1/app", "/../outside", "/gone (deleted)", "relative", ""])
def test_probe_of_path_outside_the_mount_reads_the_mount_root(tmp_path: Path, path: str) -> None:
    root = grow(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": f"0::{path}\n",
            "proc/self/mountinfo": V2_MOUNT,
            **v2_group("", "1000", 10),
            **v2_group("/kubepods", "20", 10),
        },
    )
    assert summary(rolecore.MemoryProbe(root=root).read()) == (10, 1000, "cgroup2:/")


def test_probe_without_proc_self_reads_the_usual_mounts(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/meminfo": MEMINFO, **v2_group("", "1000", 10)})
    reading = rolecore.MemoryProbe(root=root).read()
    assert reading == (10, 1000, None, None, "cgroup2:/")


@pytest.mark.parametrize(
    "text", [b"", b"x", b"some\n", b"some avg10=nan", b"some avg10=x", b"full avg10=1.0\n", b"\xff\x00"]
)
def test_probe_of_bad_pressure_file_reads_no_pressure(tmp_path: Path, text: bytes) -> None:
    root = grow(tmp_path, {"proc/meminfo": MEMINFO, "proc/pressure/memory": text})
    assert rolecore.MemoryProbe(root=root).read().pressure is None


@pytest.mark.parametrize("garbage", [b"", b"lots", b"-5", b"0", b"1e9", b"9" * 40, b"\xff\xfe\x00", b"12 34"])
def test_probe_of_garbage_limit_falls_back_or_names_the_file(tmp_path: Path, garbage: bytes) -> None:
    files: dict[str, str | bytes] = {"proc/meminfo": MEMINFO, **v2_group("", "1000", 10)}
    root = grow(tmp_path, {**files, "sys/fs/cgroup/memory.max": garbage})
    assert summary(rolecore.MemoryProbe(root=root).read()) == MACHINE
    with pytest.raises(rolecore.ArgumentError, match=r"sys/fs/cgroup/memory\.max does not hold .* use kind='auto'"):
        rolecore.MemoryProbe("cgroup", root).read()


def test_probe_of_limit_without_use_falls_back_or_names_the_file(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/meminfo": MEMINFO, "sys/fs/cgroup/memory.max": "1000\n"})
    assert summary(rolecore.MemoryProbe(root=root).read()) == MACHINE
    with pytest.raises(rolecore.ArgumentError, match=r"memory\.current does not hold"):
        rolecore.MemoryProbe("cgroup", root).read()


def test_probe_of_a_directory_in_place_of_a_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "proc" / "meminfo").mkdir(parents=True)
    with pytest.raises(rolecore.ArgumentError, match="proc/meminfo cannot be read"):
        rolecore.MemoryProbe(root=tmp_path).read()


def test_probe_of_bad_meminfo_and_limited_cgroup_reads_the_cgroup(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/meminfo": "garbage", **v2_group("", "1000", 10)})
    assert rolecore.MemoryProbe(root=root).read().source == "cgroup2:/"


def test_probe_of_no_limit_and_no_meminfo_says_both(tmp_path: Path) -> None:
    root = grow(tmp_path, v2_group("", "max", 10))
    with pytest.raises(rolecore.ArgumentError, match=r"cgroup2:/ has no limit, and .*proc/meminfo is not there; set"):
        rolecore.MemoryProbe("cgroup", root).read()


@pytest.mark.parametrize("kind", ["auto", "meminfo"])
def test_probe_without_proc_says_to_pass_the_ratio(tmp_path: Path, kind: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"proc/meminfo is not there; .*pass retain_ratio yourself"):
        rolecore.MemoryProbe(kind, tmp_path).read()


def test_probe_of_cgroup_without_any_names_the_files(tmp_path: Path) -> None:
    root = grow(tmp_path, {"proc/meminfo": MEMINFO})
    with pytest.raises(rolecore.ArgumentError, match=r"memory\.max or .*memory\.limit_in_bytes; use kind='auto'"):
        rolecore.MemoryProbe("cgroup", root).read()


FILES = (
    *("proc/meminfo", "proc/self/cgroup", "proc/self/mountinfo", "proc/self/status", "proc/pressure/memory"),
    *(f"sys/fs/cgroup/{name}" for name in ("memory.max", "memory.current", "memory.stat", "memory.pressure")),
    *(f"sys/fs/cgroup/memory/memory.{name}" for name in ("limit_in_bytes", "usage_in_bytes", "stat", "use_hierarchy")),
)
LINES = st.sampled_from(
    [
        *(b"max\n", b"0\n", b"1000\n", V1_UNLIMITED.encode(), b"9" * 30, b"0::/a/../b\n", b"4:memory:\n", b"::\n"),
        *(V1_MOUNT.encode(), V2_MOUNT.encode(), b"1 2 3 /a - cgroup2\n", b" - cgroup2 x memory\n", b"MemTotal: 5 kB\n"),
        *(b"MemAvailable: 9 kB\n", b"MemTotal: 18446744073709551615 kB\n", b"VmRSS: 18446744073709551615 kB\n"),
        *(b"hierarchical_memory_limit 1\n", b"total_inactive_file 18446744073709551615\n", b"some avg10=-3\n", b"\x00"),
    ]
)


@settings(max_examples=150, deadline=None)
@given(contents=st.lists(st.lists(LINES | st.binary(max_size=20), max_size=4).map(b"".join), min_size=13, max_size=13))
def test_probe_of_hostile_files_gives_a_reading_or_a_typed_error(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    root = grow(tmp_path_factory.mktemp("tree"), dict(zip(FILES, contents, strict=True)))
    for kind in KINDS:
        try:
            reading = rolecore.MemoryProbe(kind, root).read()
        except rolecore.ArgumentError:
            continue
        assert reading.limit_bytes > 0
        assert reading.usage >= 0
        assert reading.pressure is None or 0 <= reading.pressure <= 1


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read on Linux only")
def test_probe_of_this_machine_reads_sound_numbers() -> None:
    reading = rolecore.MemoryProbe().read()
    assert 0 < reading.limit_bytes <= rolecore.MemoryProbe("meminfo").read().limit_bytes
    assert reading.rss_bytes is not None
    assert MIB < reading.rss_bytes < reading.limit_bytes


@pytest.mark.parametrize("kind", ["Auto", "", "cgroup2", None, 3, ["auto"]])
def test_probe_of_unknown_kind_raises_naming_the_kinds(kind: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match="'auto', 'cgroup', 'meminfo', 'gpu'"):
        rolecore.MemoryProbe(kind)


def test_probe_of_root_that_is_no_path_raises() -> None:
    with pytest.raises(rolecore.ArgumentError, match="root is a int, it must be a path"):
        rolecore.MemoryProbe(root=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("root", ["a\0b", "caf\udce9"])
def test_probe_of_root_that_cannot_exist_raises_a_typed_error(root: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match="proc/meminfo"):
        rolecore.MemoryProbe(root=root).read()


def test_probe_and_memory_when_pickled_stay_the_same(tmp_path: Path) -> None:
    probe = rolecore.MemoryProbe("meminfo", grow(tmp_path, {"proc/meminfo": MEMINFO}))
    copy = pickle.loads(pickle.dumps(probe))
    assert repr(copy) == repr(probe) == f"MemoryProbe(kind='meminfo', root={str(tmp_path)!r})"
    reading = probe.read()
    assert pickle.loads(pickle.dumps(reading)) == reading == copy.read()


def test_memory_when_assigned_to_raises() -> None:
    reading = rolecore.Memory(1, 2, None, None, "meminfo")
    with pytest.raises(AttributeError):
        reading.used_bytes = 3  # type: ignore[misc]
    assert repr(reading) == "Memory(used_bytes=1, limit_bytes=2, rss_bytes=None, pressure=None, source='meminfo')"


class FakeNVMLError(Exception):
    """Stands for pynvml.NVMLError."""


def fake_nvml(*, broken: bool) -> Any:
    """Make the four names of pynvml that are used."""

    def init() -> None:
        if broken:
            message = "Driver Not Loaded"
            raise FakeNVMLError(message)

    module: Any = ModuleType("pynvml")
    module.NVMLError = FakeNVMLError
    module.nvmlInit = init
    module.nvmlDeviceGetHandleByIndex = lambda index: index
    module.nvmlDeviceGetMemoryInfo = lambda handle: SimpleNamespace(used=3 * MIB + handle, total=8 * MIB, free=5 * MIB)
    return module


def test_probe_of_gpu_without_the_extra_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    probe = rolecore.MemoryProbe("gpu")
    with pytest.raises(rolecore.MissingExtraError, match=r"rolecore\[gpu\]"):
        probe.read()


def test_probe_of_gpu_reads_nvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(broken=False))
    root = grow(tmp_path, {"proc/self/status": "VmRSS: 4 kB\n"})
    assert rolecore.MemoryProbe("gpu", root).read() == (3 * MIB, 8 * MIB, 4096, None, "gpu:0")


def test_probe_of_gpu_without_a_driver_raises_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(broken=True))
    with pytest.raises(rolecore.ArgumentError, match="Driver Not Loaded"):
        rolecore.MemoryProbe("gpu").read()


def test_memory_module_when_imported_loads_no_third_party_package() -> None:
    code = "import sys, rolecore; rolecore.MemoryProbe; print({'pynvml', 'numpy', 'dataclasses'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
