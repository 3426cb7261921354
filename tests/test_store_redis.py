"""What only the store in Redis has: settings it insists on, its keys, and Redis's refusals."""

from __future__ import annotations

import asyncio
import re
import traceback
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from servers import NEEDS_REDIS, REDIS_URL, RedisServer, free_port, running, until_is

import rolecore
from rolecore.stores import redis as store_redis
from rolecore.stores import rules
from rolecore.testing import message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [pytest.mark.redis, pytest.mark.skipif(not REDIS_URL, reason=NEEDS_REDIS)]


def run(url: str, test: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with rolecore.open_store(url, **options) as store:
            await test(store)

    asyncio.run(main())


async def nothing(_: Any) -> None:
    pass


async def append(store: Any) -> None:
    await store.append("s", [message("x" * 100_000)])


async def say(url: str, *command: Any) -> Any:
    """Send one command of redis-py's own."""
    from redis.asyncio import Redis

    client: Any = Redis.from_url(url)
    try:
        return await client.execute_command(*command)
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--appendfsync", "everysec"], "has appendfsync everysec, it must have appendfsync always"),
        (["--appendonly", "no"], "has appendonly no, it must have appendonly yes"),
        (["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"], "has maxmemory-policy allkeys-lru"),
        (["--rename-command", "CONFIG", ""], "does not let its settings be read by CONFIG GET"),
    ],
)
def test_full_durability_that_the_server_does_not_give_is_refused(options: list[str], match: str) -> None:
    with running(RedisServer, *options) as server:
        with pytest.raises(rolecore.StoreError, match=match) as caught:
            run(server.url, nothing)
        assert "durability='normal'" in str(caught.value)
        run(server.url, append, durability="normal")


def test_full_durability_with_a_memory_limit_that_evicts_nothing_is_given() -> None:
    with running(RedisServer, "--maxmemory", "100mb", "--maxmemory-policy", "noeviction") as server:
        run(server.url, append)


def test_full_memory_is_an_error_and_appends_nothing() -> None:
    with running(RedisServer, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:

        async def test(store: Any) -> None:
            async def fill() -> None:
                for _ in range(1000):
                    seen["version"] = await store.append("s", [message("x" * 100_000)])

            seen: dict[str, int] = {}
            with pytest.raises(rolecore.StoreError, match="memory is full; raise its maxmemory"):
                await fill()
            assert 0 < seen["version"] == (await store.load("s")).version

        run(server.url, test)


def test_disk_that_cannot_be_saved_to_is_an_error() -> None:
    # A folder where the file should go.
    with running(RedisServer, "--save", "3600 1000000", "--dbfilename", "taken") as server:
        (server.folder / "taken").mkdir()

        async def test(store: Any) -> None:
            await store.append("s", [message(1)])
            await say(server.url, "BGSAVE")
            await until_is(
                lambda: say(server.url, "INFO", "persistence"), lambda info: info["rdb_last_bgsave_status"] != "ok"
            )
            with pytest.raises(rolecore.StoreError, match="cannot save to its disk"):
                await store.append("s", [message(2)])
            assert (await store.load("s")).version == 1

        run(server.url, test)


def test_replica_takes_no_writes() -> None:
    refused = pytest.raises(rolecore.StoreError, match="the server is a replica")
    with running(RedisServer, "--replicaof", "127.0.0.1", str(free_port())) as server, refused:
        run(server.url, append)


@pytest.mark.parametrize(
    ("credentials", "durability"), [("", "full"), ("", "normal"), (":wrong-one@", "full"), ("me:wrong-one@", "normal")]
)
def test_wrong_password_is_an_error_without_it(credentials: str, durability: str) -> None:
    with running(RedisServer, "--requirepass", "s3cret-right") as server:
        with pytest.raises(rolecore.StoreError, match="it wants a password, or another one") as caught:
            run(server.url.replace("//", f"//{credentials}"), nothing, durability=durability)
        assert "wrong-one" not in "".join(traceback.format_exception(caught.value))
        run(server.url.replace("//", "//:s3cret-right@"), append)


def test_user_without_rights_is_told_which() -> None:
    async def test() -> None:
        await say(REDIS_URL, "ACL", "SETUSER", "reader", "on", ">pass", "~other:*", "+@read", "+config|get", "+select")
        try:
            url = REDIS_URL.replace("//", "//reader:pass@")
            async with rolecore.open_store(url) as store:
                with pytest.raises(rolecore.StoreError, match="lacks a right; it needs @connection"):
                    await store.load("s")
        finally:
            await say(REDIS_URL, "ACL", "DELUSER", "reader")

    asyncio.run(test())


def test_scripts_that_the_server_forgot_are_sent_again() -> None:
    async def test(store: Any) -> None:
        tenant = uuid4().hex
        await store.append("s", [message(1)], tenant=tenant)
        await say(REDIS_URL, "SCRIPT", "FLUSH")
        assert await store.append("s", [message(2)], tenant=tenant) == 2

    run(REDIS_URL, test)


def test_foreign_and_damaged_keys_are_errors() -> None:
    async def test(store: Any) -> None:
        tenant = uuid4().hex
        key, ids, _ = store_redis._keys(tenant, "s")
        await say(REDIS_URL, "SET", key, "mine")
        for call in (store.load("s", tenant=tenant), store.append("s", [message(1)], tenant=tenant)):
            with pytest.raises(rolecore.StoreError, match="hold what no store wrote"):
                await call
        await say(REDIS_URL, "DEL", key)
        await store.append("s", [message(1), message(2)], tenant=tenant)
        await say(REDIS_URL, "HDEL", key, "1")
        with pytest.raises(rolecore.StoreError, match="is damaged"):
            await store.load("s", tenant=tenant)
        await store.delete("s", tenant=tenant)
        assert await say(REDIS_URL, "EXISTS", key, ids) == 0

    run(REDIS_URL, test)


def test_keys_of_a_tenant_lie_in_one_slot_and_none_are_left_behind() -> None:
    async def test(store: Any) -> None:
        tenant = f"{{a}}{uuid4().hex}"
        for session_id in ("s", "}{", ":ids", "ids", ":ends"):
            await store.append(session_id, [message(1)], tenant=tenant)
            await store.expire(session_id, 60, tenant=tenant)
        prefix = store_redis._base(tenant)
        keys = await say(REDIS_URL, "KEYS", f"{prefix}*")
        assert len(keys) == 5 + 2
        # What a cluster hashes: from the first brace to the next closing one, when there is something between.
        assert {re.match(rb"[^{]*{([^}]+)}", key)[1] for key in keys} == {rules.key_prefix(tenant).encode()}  # type: ignore[index]
        for session_id in await store.list(tenant=tenant):
            await store.delete(session_id, tenant=tenant)
        assert await say(REDIS_URL, "KEYS", f"{prefix}*") == []

    run(REDIS_URL, test)
