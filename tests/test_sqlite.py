"""SQLite stores: the contract, several processes at once, locks and deadlines, and files that are not theirs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rolecore
from rolecore.stores import sqlite_batch, sqlite_file, wire
from rolecore.stores.memory import MemoryStore
from rolecore.stores.sqlite import SqliteStore
from rolecore.testing import SessionStoreContract, message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WORDS = "the-users-own-words"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")


def names(directory: str | Path) -> list[str]:
    return [entry.name for entry in Path(directory).iterdir()]


def run(test: Callable[[SqliteStore], Awaitable[object]], path: str, **options: Any) -> None:
    async def main() -> None:
        async with SqliteStore(path, **options) as store:
            await test(store)

    asyncio.run(main())


class TestSqliteStore(SessionStoreContract):
    @pytest.fixture(autouse=True)
    def _somewhere(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path}/store.db"

    def open(self) -> rolecore.SessionStore:
        return rolecore.open_store(self.url)


class TestNormalSqliteStore(TestSqliteStore):
    def open(self) -> rolecore.SessionStore:
        return rolecore.open_store(self.url, durability="normal")


WRITER = """
import asyncio, sys
import rolecore
from rolecore.testing import message

async def main():
    path, name, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    async with rolecore.open_store(f"sqlite:///{path}") as store:
        print("ready", flush=True)
        sys.stdin.readline()
        won = 0
        async def shared(i):
            await store.append("shared", [message(f"{name}.{i}.{j}") for j in range(1 + i % 3)])
        async def raced(i):
            nonlocal won
            try:
                await store.append("raced", [message(f"{name}.{i}")], expected_version=i)
                won += 1
            except rolecore.SessionConflict:
                pass
        for i in range(n):
            await asyncio.gather(shared(i), raced(i), store.append(name, [message(i)], expected_version=i))
        print(won, flush=True)

asyncio.run(main())
"""


def test_writers_in_several_processes_lose_and_double_nothing(path: str) -> None:
    n, names = 40, ("a", "b", "c")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, path, name, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    won = [int(process.communicate("go\n")[0]) for process in processes]
    assert all(process.returncode == 0 for process in processes)

    async def test(store: SqliteStore) -> None:
        for name in names:
            assert (await store.load(name)).messages == [message(i) for i in range(n)]
        shared = [item["content"] for item in (await store.load("shared")).messages]
        assert len(set(shared)) == len(shared) == len(names) * sum(1 + i % 3 for i in range(n))
        for name in names:
            mine = [text for text in shared if text.startswith(name)]
            assert mine == [f"{name}.{i}.{j}" for i in range(n) for j in range(1 + i % 3)]
        for at, text in enumerate(shared):
            name, i, j = text.split(".")
            assert shared[at - int(j)] == f"{name}.{i}.0"
        raced = (await store.load("raced")).messages
        assert [int(item["content"].split(".")[1]) for item in raced] == list(range(len(raced)))
        assert sum(won) == len(raced)

    run(test, path)


Operation: TypeAlias = tuple[str, str, str, int | None, int]
WRITES = ["append", "delete", "expire", "unexpire"]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["append", "append", *WRITES, "tick", "load", "usage", "list"]),
        st.sampled_from(["s", "t", "u"]),
        st.sampled_from(["", "a"]),
        st.none() | st.integers(0, 3),
        st.integers(1, 3),
    ),
    max_size=30,
)


async def outcome(store: Any, operation: Operation) -> Any:
    what, session_id, tenant, expected, n = operation
    batch = [message([expected, i]) for i in range(n)]
    calls = {
        "append": lambda: store.append(session_id, batch, tenant=tenant, expected_version=expected),
        "delete": lambda: store.delete(session_id, tenant=tenant),
        "expire": lambda: store.expire(session_id, n, tenant=tenant),
        "unexpire": lambda: store.expire(session_id, None, tenant=tenant),
        "usage": lambda: store.usage(tenant=tenant),
        "list": lambda: store.list(tenant=tenant),
        "load": lambda: store.load(session_id, tenant=tenant),
    }
    try:
        return await calls[what]()
    except rolecore.StoreError as error:
        return type(error), str(error)


@settings(max_examples=50)  # each opens a file
@given(operations=OPERATIONS, quota=st.none() | st.integers(100, 400))
def test_sqlite_does_what_memory_does(
    operations: list[Operation], quota: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clock = Clock()

    async def main() -> None:
        path = str(tmp_path_factory.mktemp("model") / "store.db")
        async with (
            SqliteStore(path, durability="normal", quota_bytes=quota, clock=clock) as store,
            MemoryStore(quota_bytes=quota, clock=clock) as model,
        ):
            # Writes next to each other are asked for at once, and are one transaction.
            for is_write, group in itertools.groupby(operations, lambda operation: operation[0] in WRITES):
                together = list(group)
                for calls in [together] if is_write else [[call] for call in together]:
                    if calls[0][0] == "tick":
                        clock.now += calls[0][4] * 0.75
                        continue
                    expected = [await outcome(model, call) for call in calls]
                    assert await asyncio.gather(*(outcome(store, call) for call in calls)) == expected
            for tenant in ("", "a"):
                assert await store.list(tenant=tenant) == await model.list(tenant=tenant)
                assert await store.usage(tenant=tenant) == await model.usage(tenant=tenant)
                for session_id in await model.list(tenant=tenant):
                    loaded = await store.load(session_id, tenant=tenant)
                    assert loaded == await model.load(session_id, tenant=tenant)

    asyncio.run(main())


def test_calls_of_one_turn_of_the_loop_are_one_transaction(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    write = sqlite_batch.Batch.write

    def counted(batch: sqlite_batch.Batch) -> None:
        sizes.append(len(batch._touched))
        write(batch)

    monkeypatch.setattr(sqlite_batch.Batch, "write", counted)

    async def test(store: SqliteStore) -> None:
        async def talk(i: int) -> None:
            for turn in range(3):
                assert await store.append(f"s{i}", [message(turn)]) == turn + 1

        await asyncio.gather(*(talk(i) for i in range(100)))

    run(test, path)
    # The thread is idle when the first come; it may be ready again in the midst of the next: two batches then.
    assert sizes[0] == 100
    assert sum(sizes) == 300
    assert len(sizes) <= 5


def test_refused_calls_of_a_batch_fail_alone(path: str) -> None:
    size = len(wire.encode([message("x")])[0])

    async def test(store: SqliteStore) -> None:
        results = await asyncio.gather(
            store.append("s", [message("x")]),
            store.append("s", [message("x")], expected_version=5),
            store.append("s", [message("x")], expected_version=1),
            store.delete("none"),
            store.append("s", [message("x"), message("x")]),
            store.append("t", [message("x")], tenant="other"),
            return_exceptions=True,
        )
        kinds = [item if isinstance(item, int) else type(item) for item in results]
        errors = (rolecore.SessionConflict, 2, rolecore.SessionNotFound, rolecore.QuotaError, 1)
        assert kinds == [1, *errors]
        assert (await store.load("s")).messages == [message("x")] * 2

    run(test, path, quota_bytes=3 * size)


def hold(path: str, statements: str = "BEGIN IMMEDIATE") -> subprocess.Popen[str]:
    """Start a process that holds a lock until its input ends."""
    code = (
        "import sqlite3, sys; con = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "[con.execute(statement).fetchall() for statement in sys.argv[2].split(';')]; "
        "print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path, statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_deadline_ends_the_wait_for_a_lock_of_another_process(path: str) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])
        process = hold(path)
        for wait_s in (0.01, 0.05, 0.1):
            start = time.monotonic()
            with pytest.raises(rolecore.DeadlineExceeded), rolecore.deadline(wait_s):
                await store.append("s", [message("late")])
            assert time.monotonic() - start < wait_s + 0.5  # the bench has the sharp figure
        # Who reads waits for nobody.
        assert (await store.load("s")).version == 1
        waiting = asyncio.ensure_future(store.append("s", [message(2)]))
        await asyncio.sleep(0)
        process.communicate("")
        assert await waiting == 2
        assert (await store.load("s")).messages == [message(1), message(2)]

    run(test, path)


def test_lock_that_is_never_let_go_is_an_error_that_says_so(path: str) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])
        process = hold(path)
        with pytest.raises(rolecore.StoreError, match=r"locked by another process for 0.05 s; end what holds it"):
            await store.append("s", [message(WORDS)])
        process.communicate("")
        assert await store.append("s", [message(2)]) == 2

    run(test, path, patience_s=0.05)


def test_file_that_another_process_keeps_to_itself_is_an_error_for_all_calls(path: str) -> None:
    run(lambda store: store.append("s", [message(1)]), path)
    process = hold(path, "PRAGMA locking_mode=EXCLUSIVE;BEGIN IMMEDIATE;UPDATE sessions SET version=version;COMMIT")

    async def main() -> None:
        store = SqliteStore(path, patience_s=0.05)
        with pytest.raises(rolecore.StoreError, match="locked by another process"):
            await SqliteStore(path, patience_s=0.05).__aenter__()
        with pytest.raises(rolecore.StoreError, match="locked by another process"):
            await store.load("s")
        with pytest.raises(rolecore.DeadlineExceeded), rolecore.deadline(0.02):
            await store.load("s")
        process.communicate("")
        assert (await store.load("s")).version == 1
        await store.close()

    asyncio.run(main())


def test_cancelled_wait_for_a_lock_appends_nothing(path: str) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])
        process = hold(path)
        waiting = asyncio.ensure_future(store.append("s", [message("cancelled")]))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        process.communicate("")
        assert await store.append("s", [message(2)]) == 2

    run(test, path)


def test_close_answers_what_was_asked_for_and_leaves_neither_threads_nor_files(path: str) -> None:
    files, threads = names("/proc/self/fd"), threading.active_count()

    async def main() -> None:
        for _ in range(3):
            store = SqliteStore(path)
            calls = [asyncio.ensure_future(store.append(f"s{i}", [message(i)])) for i in range(20)]
            await asyncio.sleep(0)
            await store.list()
            await store.close()
            assert all(call.done() and call.exception() is None for call in calls)
            assert threading.active_count() == threads
            with pytest.raises(rolecore.StoreError, match="closed"):
                await store.append("s", [message(1)])

    asyncio.run(main())
    assert len(names("/proc/self/fd")) == len(files)
    assert names(Path(path).parent) == ["store.db"]


def test_loops_in_several_threads_share_a_store(path: str) -> None:
    store = SqliteStore(path)
    errors: list[BaseException] = []

    def talk(name: str) -> None:
        async def main() -> None:
            for turn in range(10):
                assert await store.append(name, [message(turn)]) == turn + 1
                assert (await store.load(name)).version == turn + 1

        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  told by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=talk, args=(f"s{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(store.close())
    assert errors == []


def test_forked_child_is_refused_and_the_parent_goes_on(path: str) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])
        child = os.fork()
        if not child:
            code = 1
            try:
                asyncio.run(store.append("s", [message(2)]))
            except rolecore.StoreError as error:
                code = 0 if "forked" in str(error) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0  # noqa: ASYNC222  it ends at once
        assert await store.append("s", [message(2)]) == 2

    run(test, path)


def refusal(path: str, match: str) -> None:
    """Check that opening is refused, with the path and no user's words in the message, however often it is tried."""

    n_threads = threading.active_count()

    async def main() -> None:
        store = SqliteStore(path)
        calls = (lambda: store.load("s"), lambda: store.append("s", [message(WORDS)]), store.__aenter__)
        for call in calls:
            with pytest.raises(rolecore.StoreError, match=match) as caught:
                await call()
            assert path in str(caught.value)
            assert WORDS not in str(caught.value)
        # Who is refused on entering does not come to leave.
        assert threading.active_count() == n_threads
        with pytest.raises(rolecore.StoreError, match="closed"):
            await store.load("s")

    asyncio.run(main())


def test_store_of_a_newer_version_is_refused_and_left_alone(path: str) -> None:
    run(lambda store: store.append("s", [message(1)]), path)
    with sqlite3.connect(path) as con:
        con.execute("PRAGMA user_version=7")
    con.close()
    before = Path(path).read_bytes()
    refusal(path, r"schema is of version 7, this rolecore knows 1; install a newer one")
    assert Path(path).read_bytes() == before


@pytest.mark.parametrize("statement", ["CREATE TABLE t (x)", "PRAGMA application_id=5", "PRAGMA user_version=1"])
def test_database_of_another_program_is_refused_and_left_alone(path: str, statement: str) -> None:
    with sqlite3.connect(path) as con:
        con.execute(statement)
    con.close()
    before = Path(path).read_bytes()
    refusal(path, "another program's SQLite database and was left as it is")
    assert Path(path).read_bytes() == before


def test_file_that_is_no_database_is_refused_and_left_alone(path: str) -> None:
    Path(path).write_text(WORDS * 100)
    refusal(path, "it is no SQLite database and was left as it is; name another file")
    assert Path(path).read_text() == WORDS * 100


def test_missing_directory_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    refusal(str(tmp_path / "none" / "store.db"), "its directory must exist")
    assert names(tmp_path) == []
    (tmp_path / "none").mkdir()
    run(lambda store: store.append("s", [message(1)]), str(tmp_path / "none" / "store.db"))


def test_directory_in_place_of_the_file_is_an_error(tmp_path: Path) -> None:
    refusal(str(tmp_path), "cannot be opened")


def test_damaged_file_is_an_error_that_shows_no_text(path: str) -> None:
    async def fill(store: SqliteStore) -> None:
        for i in range(50):
            await store.append(f"s{i}", [message(WORDS * 50)])

    run(fill, path)
    whole = Path(path).read_bytes()
    # From the second page on: what the header says stays.
    Path(path).write_bytes(whole[:4096] + bytes(range(256)) * ((len(whole) - 4096) // 256))

    async def test(store: SqliteStore) -> None:
        for call in (store.load("s1"), store.list(), store.append("s1", [message(1)]), store.delete("s1")):
            with pytest.raises(rolecore.StoreError, match="damaged") as caught:
                await call
            assert WORDS not in str(caught.value)

    before = Path(path).read_bytes()
    run(test, path)
    assert Path(path).read_bytes() == before


def size(path: str) -> int:
    return Path(path).stat().st_size


def move(path: str, to: str, *, is_replaced: bool = False) -> None:
    Path(path).rename(to)
    if is_replaced:
        Path(path).touch()


@pytest.mark.parametrize("is_replaced", [False, True])
def test_file_that_is_moved_away_is_an_error_and_nothing_is_written_to_it(path: str, *, is_replaced: bool) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])
        await store.load("s")
        move(path, f"{path}.old", is_replaced=is_replaced)
        for call in (store.append("s", [message(2)]), store.load("s"), store.list()):
            with pytest.raises(rolecore.StoreError, match="moved, removed or replaced since it was opened"):
                await call
        assert names(Path(path).parent).count("store.db") == is_replaced
        if is_replaced:
            assert size(path) == 0
        move(f"{path}.old", path)
        assert await store.append("s", [message(2)]) == 2

    run(test, path)


def test_message_longer_than_sqlite_takes_is_an_error(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "MAX_TEXT_BYTES", 1000)

    async def test(store: SqliteStore) -> None:
        with pytest.raises(rolecore.StoreError, match="over 1000 bytes long"):
            await store.append("s", [message("x" * 1000)])
        assert await store.append("s", [message("x" * 600), message("x" * 600)]) == 2

    run(test, path)


@pytest.mark.parametrize("seconds", [1e14, 1e300])
def test_end_of_a_session_that_is_further_off_than_numbers_go_is_never(path: str, seconds: float) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])
        await store.expire("s", 0.001)
        await store.expire("s", seconds)
        assert await store.append("s", [message(2)]) == 2

    run(test, path, clock=Clock())


@pytest.mark.parametrize("damage", ["UPDATE sessions SET version = 'x'", "UPDATE sessions SET updated_at = 'x'"])
def test_value_of_another_type_is_an_error_that_holds_no_lock(path: str, damage: str) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as con:
            con.execute(damage)
            for call in (functools.partial(store.append, "s", [message(2)]), functools.partial(store.load, "s")):
                with pytest.raises(rolecore.StoreError, match="damaged"):
                    await call()
                con.execute("BEGIN IMMEDIATE")
                con.execute("ROLLBACK")
        assert await store.append("t", [message(3)]) == 1

    run(test, path)


def test_missing_turn_is_an_error_and_not_a_shorter_session(path: str) -> None:
    run(lambda store: store.append("s", [message(i) for i in range(3)]), path)
    with sqlite3.connect(path) as con:
        con.execute("DELETE FROM turns WHERE key & 0xffffffff = 2")
    con.close()

    async def test(store: SqliteStore) -> None:
        with pytest.raises(rolecore.StoreError, match="has 3 messages and 2 are stored"):
            await store.load("s")

    run(test, path)


def test_full_disk_is_an_error_and_the_store_goes_on_when_there_is_room(path: str) -> None:
    async def test(store: SqliteStore) -> None:
        await store.append("s", [message(1)])

        def limit(pages: int) -> None:
            assert store._con is not None
            store._con.execute(f"PRAGMA max_page_count={pages}")

        limit(1)
        with pytest.raises(rolecore.StoreError, match="disk is full; free some room and try again") as caught:
            await store.append("s", [message(WORDS * 100_000)])
        assert WORDS not in str(caught.value)
        limit(1_000_000)
        assert await store.append("s", [message(2)]) == 2
        assert (await store.load("s")).messages == [message(1), message(2)]

    # The limit belongs to a connection, which only its own thread may use.
    with pytest.MonkeyPatch.context() as patch:
        connect: Any = sqlite3.connect
        patch.setattr(sqlite3, "connect", functools.partial(connect, check_same_thread=False))
        run(test, path)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://store.db",
        "sqlite:///:memory:",
        f"sqlite:///{WORDS}?mode=ro",
        f"sqlite:///{WORDS}\0",
        f"sqlite:///{WORDS}\ud800",
        f"sqlite://{WORDS}@host/store.db",
    ],
)
def test_url_that_is_no_path_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=r"sqlite:///relative\.db") as caught:
        rolecore.open_store(url)
    assert WORDS not in str(caught.value)


def test_relative_path_is_taken_when_the_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = rolecore.open_store("sqlite:///a %20?".rstrip("?"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    async def main() -> None:
        async with store:
            await store.append("s", [message(1)])

    asyncio.run(main())
    assert (tmp_path / "a %20").exists()
    assert names(tmp_path / "elsewhere") == []


def test_making_a_store_touches_no_file(path: str) -> None:
    assert repr(rolecore.open_store(f"sqlite:///{path}")).startswith("SqliteStore(")
    assert not Path(path).exists()
