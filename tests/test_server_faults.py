"""Stores on servers when the connection breaks, the server falls silent, and either side is killed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from server_faults import OPERATIONS, frozen_overruns, kills, overruns, quantile, resets
from servers import NEEDS_POSTGRES, NEEDS_REDIS, POSTGRES_URL, REDIS_URL, PostgresServer, RedisServer, running

if TYPE_CHECKING:
    from pathlib import Path

SEED = 8
MUST_S = 0.05
REDIS = pytest.param(
    REDIS_URL, RedisServer, id="redis", marks=[pytest.mark.redis, pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)]
)
POSTGRES = pytest.param(
    POSTGRES_URL,
    PostgresServer,
    id="postgres",
    marks=[pytest.mark.postgres, pytest.mark.skipif(not POSTGRES_URL, reason=NEEDS_POSTGRES)],
)
# Bytes between two faults where each costs time; `make bench-stores` takes every one.
STEPS = {"redis": 7, "postgresql": 29}


def step(url: str) -> int:
    return STEPS[url.partition("://")[0]]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("of", ["reply", "request"])
@pytest.mark.parametrize("kind", ["reset", "truncate"])
@pytest.mark.parametrize(("url", "_kind"), [REDIS, POSTGRES])
@pytest.mark.timeout(120)
def test_connection_broken_once_after_any_byte_is_made_good_by_the_store(
    url: str, _kind: type, kind: Any, of: Any, operation: str
) -> None:
    seen = asyncio.run(resets(url, operation, kind=kind, of=of, step=step(url)))
    assert seen.wrong == []
    assert seen.n_met > 0
    assert set(seen.outcomes) == {"done"}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("url", "_kind"), [REDIS, POSTGRES])
@pytest.mark.timeout(120)
def test_connection_broken_each_time_raises_and_leaves_the_store_whole(url: str, _kind: type, operation: str) -> None:
    for of in ("reply", "request"):
        seen = asyncio.run(resets(url, operation, kind="reset", of=of, times=1000, step=2 * step(url), timeout_s=0.12))
        assert seen.wrong == []
        assert seen.n_met > 0
        assert set(seen.outcomes) <= {"done", "StoreError", "DeadlineExceeded"}
        assert seen.outcomes["done"] == 1


@pytest.mark.parametrize(("url", "_kind"), [REDIS, POSTGRES])
@pytest.mark.timeout(120)
def test_deadline_holds_when_the_server_falls_silent_after_any_byte(url: str, _kind: type) -> None:
    late = []
    for operation in OPERATIONS:
        seen = asyncio.run(overruns(url, operation, timeout_s=0.02, step=step(url)))
        assert seen
        late += seen
    # Without what a busy machine makes any timer late.
    assert quantile([call.call_s - call.timer_s for call in late], 0.99) < MUST_S


@pytest.mark.parametrize(("_url", "kind"), [REDIS, POSTGRES])
@pytest.mark.timeout(120)
def test_deadline_holds_when_the_server_is_stopped(_url: str, kind: type[Any]) -> None:
    with running(kind) as server:
        late = asyncio.run(frozen_overruns(server, 3, 0.02))
    assert len(late) == 3 * len(OPERATIONS)
    # Without what a busy machine makes any timer late.
    assert quantile([call.call_s - call.timer_s for call in late], 0.99) < MUST_S


@pytest.mark.slow
@pytest.mark.parametrize(("_url", "kind"), [REDIS, POSTGRES])
@pytest.mark.timeout(300)
def test_kills_lose_double_and_disorder_no_acknowledged_turn(_url: str, kind: type[Any], tmp_path: Path) -> None:
    with running(kind) as server:
        found = kills(server, tmp_path, writer=3, server_too=2, seed=SEED)
    assert found.n_acknowledged > 0
    assert (found.lost, found.doubled, found.out_of_order) == (0, 0, 0), found
