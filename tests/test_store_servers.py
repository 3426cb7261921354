"""What the stores in Redis and PostgreSQL have in common: the contract, several processes, errors without secrets."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import pytest
from server_faults import proxied, through
from servers import (
    HOST,
    NEEDS_POSTGRES,
    NEEDS_REDIS,
    PASSWORD,
    POSTGRES_URL,
    REDIS_URL,
    PostgresServer,
    RedisServer,
    free_port,
    running,
    until_is,
)
from stalling_proxy import Fault

import rolecore
from rolecore.stores import wire
from rolecore.testing import SessionStoreContract, message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

redis_only = [pytest.mark.redis, pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)]
postgres_only = [pytest.mark.postgres, pytest.mark.skipif(not POSTGRES_URL, reason=NEEDS_POSTGRES)]
each = pytest.mark.parametrize(
    "url",
    [
        pytest.param(REDIS_URL, id="redis", marks=redis_only),
        pytest.param(POSTGRES_URL, id="postgres", marks=postgres_only),
    ],
)
each_server = pytest.mark.parametrize(
    "kind",
    [
        pytest.param(RedisServer, id="redis", marks=redis_only),
        pytest.param(PostgresServer, id="postgres", marks=postgres_only),
    ],
)
WRITER = """
import asyncio, sys, rolecore

async def main(url, tenant, name):
    async with rolecore.open_store(url) as store:
        async def write(task):
            for number in range(10):
                while True:
                    try:
                        version = (await store.load("s", tenant=tenant)).version
                    except rolecore.SessionNotFound:
                        version = 0
                    try:
                        await store.append("s", [{"by": [name, task, number]}], tenant=tenant, expected_version=version)
                        break
                    except rolecore.SessionConflict:
                        continue
        await asyncio.gather(*map(write, range(3)))

asyncio.run(main(*sys.argv[1:]))
"""


class Contract(SessionStoreContract):
    url: str
    options: ClassVar[dict[str, Any]] = {}

    def open(self) -> rolecore.SessionStore:
        return rolecore.open_store(self.url, **self.options)


@pytest.mark.redis
@pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)
class TestRedisStore(Contract):
    url = REDIS_URL


@pytest.mark.redis
@pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)
class TestRedisStoreNormalWithQuota(Contract):
    url = REDIS_URL
    options: ClassVar[dict[str, Any]] = {"durability": "normal", "quota_bytes": 1 << 40}


@pytest.mark.postgres
@pytest.mark.skipif(not POSTGRES_URL, reason=NEEDS_POSTGRES)
class TestPostgresStore(Contract):
    url = POSTGRES_URL


@pytest.mark.postgres
@pytest.mark.skipif(not POSTGRES_URL, reason=NEEDS_POSTGRES)
class TestPostgresStoreNormalWithQuota(Contract):
    url = POSTGRES_URL
    options: ClassVar[dict[str, Any]] = {"durability": "normal", "quota_bytes": 1 << 40}


del Contract  # which no test opens


def run(url: str, test: Callable[[Any, str], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with rolecore.open_store(url, **options) as store:
            await test(store, f"test-{uuid4().hex}")

    asyncio.run(main())


@each
@pytest.mark.timeout(60)
def test_writers_in_several_processes_append_each_turn_once(url: str) -> None:
    tenant = f"processes-{uuid4().hex}"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, url, tenant, str(name)]) for name in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]

    async def test(store: Any, _: str) -> None:
        by = [turn["by"] for turn in (await store.load("s", tenant=tenant)).messages]
        wanted = itertools.product(map(str, range(3)), range(3), range(10))
        assert sorted(by) == [list(turn) for turn in wanted]
        for name in range(3):
            for task in range(3):
                assert [number for *who, number in by if who == [str(name), task]] == list(range(10))

    run(url, test)


@each
def test_session_ends_on_time(url: str) -> None:
    async def test(store: Any, tenant: str) -> None:
        await store.append("s", [message(1)], tenant=tenant)
        await store.append("t", [message(2)], tenant=tenant)
        await store.expire("s", 0.2, tenant=tenant)
        assert await store.append("s", [message(3)], tenant=tenant) == 2
        # By the server's own clock.
        await until_is(lambda: store.list(tenant=tenant), lambda ids: ids != ["s", "t"])
        assert await store.list(tenant=tenant) == ["t"]
        assert await store.usage(tenant=tenant) == len(wire.encode([message(2)])[0])
        with pytest.raises(rolecore.SessionNotFound):
            await store.load("s", tenant=tenant)
        for call in (store.delete("s", tenant=tenant), store.expire("s", 5, tenant=tenant)):
            with pytest.raises(rolecore.SessionNotFound):
                await call
        with pytest.raises(rolecore.SessionConflict):
            await store.append("s", [message(4)], tenant=tenant, expected_version=2)
        assert await store.append("s", [message(4)], tenant=tenant, expected_version=0) == 1
        assert (await store.load("s", tenant=tenant)).messages == [message(4)]

    run(url, test)


@each
def test_ended_session_nobody_listed_starts_anew(url: str) -> None:
    async def test(store: Any, tenant: str) -> None:
        for seconds in (0.0, 1e-6, 1e-3):
            await store.append("s", [message(1)], tenant=tenant, expected_version=0)
            await store.expire("s", seconds, tenant=tenant)
            while True:
                try:
                    assert await store.append("s", [message(2)], tenant=tenant, expected_version=0) == 1
                    break
                except rolecore.SessionConflict:
                    continue
            assert (await store.load("s", tenant=tenant)).messages == [message(2)]
            await store.expire("s", 1e300, tenant=tenant)
            await store.delete("s", tenant=tenant)
        assert await store.usage(tenant=tenant) == 0

    run(url, test)


@each
def test_append_over_quota_appends_nothing(url: str) -> None:
    size = len(wire.encode([message("x")])[0])

    async def test(store: Any, tenant: str) -> None:
        other = f"{tenant}-other"
        for session_id, name in (("s", tenant), ("s", other), ("t", tenant)):
            await store.append(session_id, [message("x")], tenant=name)
        with pytest.raises(rolecore.QuotaError, match="quota_bytes is") as caught:
            await store.append("s", [message("x"), message("x")], tenant=tenant)
        assert (caught.value.needed, caught.value.quota) == (4 * size, 3 * size)
        with pytest.raises(rolecore.QuotaError):
            await store.append("new", [message("x" * 999)], tenant=tenant)
        assert await store.list(tenant=tenant) == ["s", "t"]
        calls = (store.append("s", [message("x")], tenant=tenant) for _ in range(10))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, rolecore.QuotaError) for result in results) == 9
        await store.expire("t", 0, tenant=tenant)
        assert await store.append("s", [message("x")], tenant=tenant) == 3

    run(url, test, quota_bytes=3 * size)


@each
def test_append_whose_reply_was_lost_is_not_doubled_when_others_came_between(url: str) -> None:
    async def test(direct: Any, tenant: str) -> None:
        async with proxied(url) as proxy, rolecore.open_store(through(url, proxy.port)) as store:
            await store.append("s", [message("first")], tenant=tenant)
            proxy.set(Fault("reset", 0, times=3))
            task = asyncio.create_task(store.append("s", [message("mine")], tenant=tenant))
            # The retries wait between two attempts; the other comes in as soon as the first was done.
            await until_is(lambda: direct.load("s", tenant=tenant), lambda record: record.version == 2)
            await direct.append("s", [message("other")], tenant=tenant)
            assert await task == 2
            texts = [turn["content"] for turn in (await direct.load("s", tenant=tenant)).messages]
            assert texts == ["first", "mine", "other"]

    run(url, test)


@each_server
@pytest.mark.timeout(60)
def test_store_goes_on_after_its_server_was_started_anew(kind: type[Any]) -> None:
    with running(kind) as server:

        async def test(store: Any, tenant: str) -> None:
            calls = (store.append(f"s{i}", [message(i)], tenant=tenant) for i in range(30))
            await asyncio.gather(*calls)
            server.kill()
            with rolecore.deadline(0.3), pytest.raises((rolecore.StoreError, rolecore.DeadlineExceeded)):
                await store.append("s0", [message("down")], tenant=tenant)
            server.start()
            assert len(await store.list(tenant=tenant)) == 30
            assert await store.append("s0", [message("up")], tenant=tenant, expected_version=1) == 2

        run(server.url, test)


@each
def test_server_that_is_not_there_raises_with_what_to_do(url: str) -> None:
    port = free_port()
    raised = pytest.raises(rolecore.StoreError, match=r"cannot be reached; it was not done")
    with rolecore.deadline(0.3), raised as caught:
        run(through(url, port), lambda store, _: store.list())
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert HOST not in str(caught.value)


@each
def test_deadline_limits_the_wait_for_a_connection(url: str) -> None:
    async def test(_: Any, tenant: str) -> None:
        async with proxied(url) as proxy, rolecore.open_store(through(url, proxy.port)) as store:
            proxy.set(Fault("stall", times=sys.maxsize))
            with rolecore.deadline(0.2):
                calls = (store.append(f"s{i}", [message(i)], tenant=tenant) for i in range(40))
                results = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(result) for result in results} == {rolecore.DeadlineExceeded}
            proxy.set(None)
            assert await store.append("s", [message("after")], tenant=tenant) == 1

    run(url, test)


@each
def test_slow_network_changes_nothing(url: str) -> None:
    async def test(_: Any, tenant: str) -> None:
        async with proxied(url, seed=3) as proxy, rolecore.open_store(through(url, proxy.port)) as store:
            drips = [Fault("drip", of="reply", times=sys.maxsize), Fault("drip", of="request", times=sys.maxsize)]
            for fault in (*drips, Fault("delay", 5, seconds=0.05)):
                proxy.set(fault)
                await store.append("s", [message(fault.kind)], tenant=tenant)
                assert proxy.n_met > 0
            loaded = await store.load("s", tenant=tenant)
            assert loaded.messages == [message("drip"), message("drip"), message("delay")]

    run(url, test)


@each
def test_durability_and_quota_are_shown_and_the_url_is_not(url: str) -> None:
    store = rolecore.open_store(url, durability="normal", quota_bytes=7)
    assert re.fullmatch(r"\w+Store\(durability='normal', quota_bytes=7\)", repr(store))


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("redis://h", "redis.asyncio.connection", "redis"), ("postgresql://h", "psycopg", "postgres")],
)
def test_store_without_its_package_names_the_extra(
    url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(rolecore.MissingExtraError, match=rf"pip install 'rolecore\[{extra}\]'"):
        rolecore.open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis:///1",
        "redis://u:secret@h:port/0",
        "redis://u:secret@h:99999/0",
        "redis://u:secret@h/zero",
        "redis://u:secret@h/0/1",
        "redis://u:secret@h/0?socket_timeout=1",
        "redis://u:secret@h/0?secret=secret",
        "redis://u:secret@[h/0",
        "rediss://u:sec/ret@h/0",
    ],
)
def test_redis_url_of_another_form_is_refused_without_showing_it(url: str) -> None:
    pytest.importorskip("redis")
    with pytest.raises(rolecore.ArgumentError, match="redis://") as caught:
        rolecore.open_store(url)
    assert "secret" not in "".join(traceback.format_exception_only(caught.value))


@pytest.mark.parametrize(
    "url", ["postgresql://u:secret@h/db?secret=secret", "postgresql://u:secret@h:1/%zz", "postgresql://[::1:secret/db"]
)
def test_postgres_url_of_another_form_is_refused_without_showing_it(url: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(rolecore.ArgumentError, match="postgresql://") as caught:
        rolecore.open_store(url)
    assert "secret" not in "".join(traceback.format_exception(caught.value))


@each
def test_store_in_another_loop_is_an_error_that_says_so(url: str) -> None:
    async def test(store: Any, tenant: str) -> None:
        with pytest.raises(rolecore.StoreError, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(store.append("s", [message(1)], tenant=tenant)))
        assert await store.append("s", [message(2)], tenant=tenant, expected_version=0) == 1

    run(url, test)


@each
def test_longest_deadline_is_as_good_as_none(url: str) -> None:
    async def work() -> int:
        async with rolecore.open_store(url, durability="normal") as store:
            with rolecore.deadline(sys.float_info.max):
                return await store.append("s", [message(1)], tenant=uuid4().hex)

    assert asyncio.run(work()) == 1
