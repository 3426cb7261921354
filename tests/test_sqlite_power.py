"""SQLite stores when the power goes, when the writer is killed, and when the disk fails: short runs of what
`make bench-stores` does at length. The power cuts and the failures need a C compiler.
"""

from __future__ import annotations

import asyncio
import errno
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import disk_faults
import disk_trace
import power
import pytest
import store_talk

if TYPE_CHECKING:
    from pathlib import Path

needs_compiler = pytest.mark.skipif(
    disk_trace.compiler() is None,
    reason="needs Linux and a C compiler, as cc; on Debian: apt-get install gcc libc6-dev",
)


@needs_compiler
@pytest.mark.timeout(120)
def test_power_cut_at_any_sync_takes_no_acknowledged_turn() -> None:
    outcome = power.Outcome()
    for seed in (1, 2):
        power.cut_power("full", seed, outcome, sessions=8, batches=25)
    assert outcome.damage == []
    assert outcome.most_lost == 0
    assert outcome.images > 150


@needs_compiler
@pytest.mark.timeout(120)
def test_power_cut_of_a_normal_store_takes_the_newest_turns_and_nothing_else() -> None:
    outcome = power.Outcome()
    power.cut_power("normal", 1, outcome, sessions=8, batches=25)
    assert outcome.damage == []
    # The control: were nothing lost here, the test above could not fail either.
    assert outcome.most_lost > 0


@needs_compiler
@pytest.mark.timeout(120)
@pytest.mark.parametrize("faults", [1, 3])
def test_power_cut_after_syncs_that_failed_takes_no_acknowledged_turn(faults: int) -> None:
    outcome = power.Outcome()
    for seed in range(1, 20):
        power.cut_power("full", seed, outcome, sessions=8, batches=25, faults=faults)
        # Two at least, and on until an append has met one: by how batches fall, it may be a sync that none waits for.
        if seed > 1 and outcome.failures > 0:
            break
    assert outcome.failures > 0
    assert outcome.damage == []
    assert outcome.most_lost == 0


FAULTS = {
    "sync": disk_faults.Fault(disk_faults.SYNC, errno.EIO, 1, is_short=False),
    "syncs": disk_faults.Fault(disk_faults.SYNC, errno.EIO, disk_faults.FOR_EVER, is_short=False),
    "full": disk_faults.Fault(disk_faults.WRITE, errno.ENOSPC, disk_faults.FOR_EVER, is_short=False),
    "half": disk_faults.Fault(disk_faults.WRITE, errno.ENOSPC, 1, is_short=True),
    "write": disk_faults.Fault(disk_faults.WRITE, errno.EIO, 1, is_short=False),
    "truncate": disk_faults.Fault(disk_faults.TRUNCATE, errno.EIO, 1, is_short=False),
    "unlink": disk_faults.Fault(disk_faults.UNLINK, errno.EIO, 1, is_short=False),
    "open": disk_faults.Fault(disk_faults.OPEN, errno.EMFILE, 1, is_short=False),
    "read": disk_faults.Fault(disk_faults.READ, errno.EIO, 1, is_short=False),
}


@needs_compiler
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FAULTS)
def test_failing_disk_is_an_error_and_takes_no_acknowledged_turn(name: str, tmp_path: Path) -> None:
    # At some places; the bench takes all. There are many more writes than syncs.
    every = 31 if name in {"full", "half", "write", "read"} else 5
    n_places, n_failed = power.let_fail(FAULTS[name], tmp_path, every=every)
    assert n_places >= 4
    if name not in {"truncate", "unlink"}:  # nobody waits for what these are for
        assert n_failed > 0


@pytest.mark.timeout(120)
def test_killed_writer_takes_no_acknowledged_turn(tmp_path: Path) -> None:
    dice = random.Random(5)  # noqa: S311  repeatable
    for run in range(10):
        power.kill_writer(tmp_path / f"{run}.db", "full", dice)


def test_check_of_a_database_finds_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    url = f"sqlite:///{path}"
    command = [sys.executable, power.TALK, url, "full", "1", "12", "3"]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    assert store_talk.examine(path, said) == (0, [])
    assert store_talk.examine(path, said + b"appended 3 99\n").n_lost > 80
    assert store_talk.examine(path, said + b"appended 77 1\n").n_lost == 1
    assert store_talk.examine(path, said + b"deleted 3 0\n").n_lost == 1
    asyncio.run(store_talk.append_to(url, "s5", [store_talk.turn(5, 0)]))
    assert "session 5: doubled, out of order or not as it was" in store_talk.examine(path, said).damage
