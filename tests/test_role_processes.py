"""Roles in real stores: several processes change them at once; subscribers are killed between handling and noting."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from servers import NEEDS_POSTGRES, NEEDS_REDIS, POSTGRES_URL, REDIS_URL, until
from test_roles import facts

import rolecore
from rolecore.roles.events import RolePermissionGranted
from rolecore.roles.log import SEGMENT, START, RoleLog

if TYPE_CHECKING:
    from rolecore.roles.events import RoleEvent

PROCESS = Path(__file__).parent / "role_process.py"
N_WRITERS = 3
N_CHANGES = 30  # each: they fill one segment and begin another

each = pytest.mark.parametrize(
    "server",
    [
        pytest.param("", id="sqlite"),
        pytest.param(
            REDIS_URL, id="redis", marks=[pytest.mark.redis, pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)]
        ),
        pytest.param(
            POSTGRES_URL,
            id="postgres",
            marks=[pytest.mark.postgres, pytest.mark.skipif(not POSTGRES_URL, reason=NEEDS_POSTGRES)],
        ),
    ],
)


def granted_by(name: str, n: int) -> list[str]:
    return [f"{name}-{i}{half}" for i in range(n) for half in "ab"]


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(PROCESS), *map(str, arguments)])


async def read(url: str, tenant: str) -> list[RoleEvent]:
    async with rolecore.open_store(url) as store:
        return [event async for _, events in RoleLog(store, tenant).read(START) for event in events]


@each
@pytest.mark.timeout(120)
def test_processes_at_once_change_roles_in_one_order_and_lose_nothing(server: str, tmp_path: Path) -> None:
    url, tenant = server or f"sqlite:///{tmp_path / 'store.db'}", f"processes-{uuid4().hex}"
    writers = [start("write", url, tenant, name, N_CHANGES) for name in range(N_WRITERS)]
    heard = tmp_path / "heard"
    n_events = 1 + 2 * N_WRITERS * N_CHANGES
    listener = start("hear", url, tenant, heard, n_events, 0)
    assert [process.wait() for process in (*writers, listener)] == [0] * (N_WRITERS + 1)
    events = asyncio.run(read(url, tenant))
    assert [event.sequence for event in events] == list(range(1, n_events + 1))
    assert N_WRITERS * N_CHANGES > SEGMENT
    granted = [event.permission for event in events if isinstance(event, RolePermissionGranted)]
    for name in range(N_WRITERS):
        assert [p for p in granted if p.startswith(f"{name}-")] == granted_by(str(name), N_CHANGES)
    assert [int(line) for line in heard.read_text().split()] == list(range(1, n_events + 1))

    async def compare() -> None:
        async with (
            rolecore.open_store(url) as store,
            rolecore.RoleDirectory(store, tenant=tenant) as one,
            rolecore.RoleDirectory(store, tenant=tenant) as other,
        ):
            assert facts(one["clerk"]) == facts(other["clerk"])
            assert one["clerk"].permissions == {"turn", *granted}

    asyncio.run(compare())


@each
@pytest.mark.timeout(120)
def test_subscriber_killed_before_it_notes_hears_again_and_misses_nothing(server: str, tmp_path: Path) -> None:
    url, tenant = server or f"sqlite:///{tmp_path / 'store.db'}", f"kills-{uuid4().hex}"
    n_events = 1 + 2 * N_CHANGES
    assert start("write", url, tenant, "w", N_CHANGES).wait() == 0
    heard = tmp_path / "heard"
    runs: list[list[int]] = []
    for dies_at in (1, 5, 5, n_events, 0):
        before = len(heard.read_text().split()) if heard.exists() else 0
        killed = start("hear", url, tenant, heard, n_events, dies_at).wait()
        assert killed == (-signal.SIGKILL if dies_at else 0)
        runs.append([int(line) for line in heard.read_text().split()[before:]])
    for sequences in runs:
        assert sequences == list(range(sequences[0], sequences[-1] + 1)), "in order, without gaps"
    for earlier, later in itertools.pairwise(runs):
        assert later[0] <= earlier[-1] + 1, "from where it was, or before"
    assert [sequences[-1] for sequences in runs] == [1, 5, 5, n_events, n_events]
    assert {number for sequences in runs for number in sequences} == set(range(1, n_events + 1))


@each
@pytest.mark.timeout(120)
def test_killed_writer_leaves_whole_changes_and_others_go_on(server: str, tmp_path: Path) -> None:
    url, tenant = server or f"sqlite:///{tmp_path / 'store.db'}", f"writers-{uuid4().hex}"
    n_least = 0
    for name in ("first", "second", "third"):
        n_least += 10
        writer = start("write", url, tenant, name, 100_000)
        until(lambda: len(asyncio.run(read(url, tenant))) > n_least, "a few changes")  # noqa: B023  called here
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
        n_least = len(asyncio.run(read(url, tenant)))
    assert start("write", url, tenant, "last", 5).wait() == 0
    events = asyncio.run(read(url, tenant))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    granted = [event.permission for event in events if isinstance(event, RolePermissionGranted)]
    wanted = []
    for name in ("first", "second", "third", "last"):
        n_halves = sum(permission.startswith(name) for permission in granted)
        assert n_halves >= 10
        wanted += granted_by(name, n_halves // 2)
    assert granted == wanted
