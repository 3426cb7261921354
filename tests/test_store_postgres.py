"""What only the store in PostgreSQL has: JSONB, its settings, its tables, and PostgreSQL's refusals."""

from __future__ import annotations

import asyncio
import json
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from hypothesis import given
from servers import NEEDS_POSTGRES, POSTGRES_URL, PostgresServer, running, until, until_is
from test_stores import MESSAGES, TEXTS

import rolecore
from rolecore.stores import postgres_schema, wire
from rolecore.stores.postgres_json import for_jsonb
from rolecore.testing import message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

needs_postgres = pytest.mark.skipif(not POSTGRES_URL, reason=NEEDS_POSTGRES)
PAGE = Path(__file__).parents[1] / "docs" / "servers.md"


def run(url: str, test: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with rolecore.open_store(url, **options) as store:
            await test(store)

    asyncio.run(main())


async def nothing(_: Any) -> None:
    pass


def query(sql: str, *values: Any, url: str = POSTGRES_URL) -> list[tuple[Any, ...]]:
    """Run one statement of psycopg's own."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql, values or None)  # type: ignore[arg-type, unused-ignore]
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def fresh() -> Any:
    """Return the URL of a database of its own."""
    name = f"t{uuid4().hex}"
    query(f"CREATE DATABASE {name}")
    yield POSTGRES_URL.replace(urlsplit(POSTGRES_URL).path, f"/{name}")
    query(f"DROP DATABASE {name} WITH (FORCE)")


@given(message=MESSAGES)
def test_text_for_jsonb_holds_nothing_that_it_refuses(message: dict[str, Any]) -> None:
    (text,) = wire.encode([message])
    shown, exact = for_jsonb(text)
    assert exact in {None, text}
    if exact is None:
        assert shown == text
    plain = json.dumps(json.loads(shown), ensure_ascii=False)
    assert "\\u0000" not in re.sub(r"\\\\", "", plain)
    plain.encode()  # no lone surrogate


@given(text=TEXTS)
def test_text_for_jsonb_differs_only_where_it_must(text: str) -> None:
    (text_in_json,) = wire.encode([{"content": text}])
    shown = json.loads(for_jsonb(text_in_json)[0])["content"]
    assert shown == re.sub("[\0\ud800-\udfff]", "\ufffd", text)


@pytest.mark.parametrize(
    "text",
    [
        '{"role":"user","content":"Hello!"}',
        '{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}',
        r'{"content":"\\u0000 and \\ud83d as they are written, \ud83d\ude00"}',
        '{"n":[1,-5,0.1,1.0,-0.5,12345678901234567890,true,null]}',
    ],
)
def test_ordinary_message_is_kept_once(text: str) -> None:
    assert wire.encode(wire.decode([text])) == [text]
    assert for_jsonb(text) == (text, None)


@needs_postgres
@pytest.mark.postgres
class TestPostgres:
    @pytest.mark.timeout(120)
    def test_jsonb_gives_back_what_is_not_kept_beside(self) -> None:
        import psycopg

        with psycopg.connect(POSTGRES_URL, autocommit=True) as connection:

            @given(message=MESSAGES)
            def check(message: dict[str, Any]) -> None:
                (text,) = wire.encode([message])
                shown, exact = for_jsonb(text)
                row = connection.execute("SELECT coalesce(%s, %s::jsonb::text)", (exact, shown)).fetchone()
                assert row is not None
                # repr tells 1 from 1.0, -0.0 from 0.0, and one order of keys from another.
                assert repr(wire.decode([row[0]])) == repr([message])
                connection.execute("SELECT %s::jsonb", (shown,))

            check()

    def test_messages_can_be_queried_as_they_are(self) -> None:
        tenant = uuid4().hex
        messages = [
            {"role": "user", "content": "Where is my parcel?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "a\0b \ud800 中"},
        ]

        async def test(store: Any) -> None:
            await store.append("s", messages, tenant=tenant)
            assert (await store.load("s", tenant=tenant)).messages == messages

        run(POSTGRES_URL, test)
        (block,) = re.findall(r"^```sql\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        rows = [row for row in query(block) if row[0] == tenant]
        assert [(row[1], row[2], row[3]["content"]) for row in rows] == [("s", 3, "a\ufffdb \ufffd 中")]
        plan = query("EXPLAIN " + block, url=f"{POSTGRES_URL}?options=-c%20enable_seqscan%3Doff")
        assert "turns_message" in str(plan)

    def test_fsync_off_is_refused_for_full_durability(self) -> None:
        with running(PostgresServer, "-c", "fsync=off") as server:
            with pytest.raises(rolecore.StoreError, match=r"fsync off; .*durability='normal'"):
                run(server.url, nothing)
            run(server.url, nothing, durability="normal")

    @pytest.mark.parametrize(("durability", "setting"), [("full", "on"), ("normal", "off")])
    def test_durability_holds_for_each_transaction(self, fresh: str, durability: str, setting: str) -> None:
        query(
            f"ALTER DATABASE {urlsplit(fresh).path[1:]} SET synchronous_commit TO {'off' if setting == 'on' else 'on'}"
        )
        run(fresh, nothing)
        query("CREATE TABLE seen (value text)", url=fresh)
        query(
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$",
            url=fresh,
        )
        query("CREATE TRIGGER look AFTER INSERT ON rolecore.turns FOR EACH ROW EXECUTE FUNCTION look()", url=fresh)

        async def test(store: Any) -> None:
            await store.append("s", [message(1)])

        run(fresh, test, durability=durability)
        assert query("SELECT value FROM seen", url=fresh) == [(setting,)]

    def test_stores_that_make_the_tables_at_once_make_them_once(self, fresh: str) -> None:
        async def test() -> None:
            stores = [rolecore.open_store(fresh) for _ in range(8)]
            await asyncio.gather(*(store.append("s", [message(i)]) for i, store in enumerate(stores)))
            assert (await stores[0].load("s")).version == 8
            await asyncio.gather(*(store.close() for store in stores))

        asyncio.run(test())
        assert query("SELECT version FROM rolecore.schema_version", url=fresh) == [(postgres_schema.VERSION,)]

    def test_store_of_a_newer_version_is_refused(self, fresh: str) -> None:
        run(fresh, nothing)
        query("UPDATE rolecore.schema_version SET version = 2", url=fresh)
        with pytest.raises(rolecore.StoreError, match=r"is of version 2, this rolecore knows 1; install a newer"):
            run(fresh, nothing)

    def test_database_of_another_encoding_is_refused(self) -> None:
        name = f"t{uuid4().hex}"
        query(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        try:
            with pytest.raises(rolecore.StoreError, match="encoded in SQL_ASCII"):
                run(POSTGRES_URL.replace(urlsplit(POSTGRES_URL).path, f"/{name}"), nothing)
        finally:
            query(f"DROP DATABASE {name} WITH (FORCE)")

    def test_damaged_tables_are_errors(self, fresh: str) -> None:
        async def test(store: Any) -> None:
            await store.append("s", [message(1), message(2)])
            query("DELETE FROM rolecore.turns WHERE position = 1", url=fresh)
            with pytest.raises(rolecore.StoreError, match="turns are missing"):
                await store.load("s")
            query("DROP FUNCTION rolecore.append", url=fresh)
            with pytest.raises(rolecore.StoreError, match="are not as a store made them"):
                await store.append("s", [message(3)])

        run(fresh, test)

    def test_wrong_password_user_or_database_is_an_error_without_it(self) -> None:
        parts = urlsplit(POSTGRES_URL)
        at = f"{parts.hostname}:{parts.port}"
        for url in (
            f"postgresql://{parts.username}:wrong-one@{at}/postgres",
            f"postgresql://nobody:wrong-one@{at}/postgres",
            f"postgresql://{parts.username}@{at}/postgres",
        ):
            with pytest.raises(rolecore.StoreError, match="lets nobody in with this URL") as caught:
                run(url, nothing)
            assert "wrong-one" not in "".join(traceback.format_exception(caught.value))
        with pytest.raises(rolecore.StoreError, match="check its user, password, database"):
            run(POSTGRES_URL.replace(parts.path, "/no-such-database"), nothing)

    def test_user_without_rights_and_database_without_writes_are_errors(self, fresh: str) -> None:
        name = urlsplit(fresh).path[1:]
        query(f"CREATE ROLE {name} LOGIN PASSWORD 'pass'")
        parts = urlsplit(fresh)
        try:
            with pytest.raises(rolecore.StoreError, match="lacks a right; grant it CREATE"):
                run(f"postgresql://{name}:pass@{parts.hostname}:{parts.port}/{name}", nothing)
        finally:
            query(f"DROP ROLE {name}")
        run(fresh, nothing)
        query(f"ALTER DATABASE {name} SET default_transaction_read_only TO on")

        async def test(store: Any) -> None:
            with pytest.raises(rolecore.StoreError, match="takes no writes"):
                await store.append("s", [message(1)])

        run(fresh, test)

    def test_deadline_ends_the_wait_for_a_lock_in_the_server_too(self) -> None:
        import psycopg

        tenant = uuid4().hex

        async def test(store: Any) -> None:
            await store.append("s", [message(1)], tenant=tenant)
            with psycopg.connect(POSTGRES_URL) as blocker:
                blocker.execute("SELECT 1 FROM rolecore.sessions WHERE tenant = %s FOR UPDATE", (tenant,))
                with (
                    rolecore.deadline(0.1),
                    pytest.raises(rolecore.DeadlineExceeded, match=r"append: the deadline of 0\.1 s"),
                ):
                    await store.append("s", [message(2)], tenant=tenant)
                waiting = (
                    "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%rolecore.append%'"
                )
                until(lambda: not query(waiting), "end of the wait in the server")
            assert (await store.load("s", tenant=tenant)).version == 1

        run(POSTGRES_URL, test)

    def test_session_that_somebody_ends_in_the_server_is_an_error_or_made_good(self) -> None:
        import psycopg

        tenant = uuid4().hex
        find = "SELECT {}(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%rolecore.append%'"

        async def test(store: Any) -> None:
            await store.append("s", [message(1)], tenant=tenant)
            with psycopg.connect(POSTGRES_URL) as blocker:
                blocker.execute("SELECT 1 FROM rolecore.sessions WHERE tenant = %s FOR UPDATE", (tenant,))
                task = asyncio.create_task(store.append("s", [message(2)], tenant=tenant))
                await until_is(lambda: asyncio.to_thread(query, find.format("pg_cancel_backend")), bool)
                with pytest.raises(
                    rolecore.StoreError, match="somebody cancelled it in the server, and it was not done"
                ):
                    await task
                task = asyncio.create_task(store.append("s", [message(3)], tenant=tenant))
                await until_is(lambda: asyncio.to_thread(query, find.format("pg_terminate_backend")), bool)
            assert await task == 2
            assert (await store.load("s", tenant=tenant)).messages == [message(1), message(3)]

        run(POSTGRES_URL, test)
