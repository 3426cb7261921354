"""Contracts that any implementation can be held to: subclass one, say how to open yours, run pytest; no plugin."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from rolecore.deadlines import deadline
from rolecore.errors import (
    ArgumentError,
    DeadlineExceeded,
    MessageError,
    SessionConflict,
    SessionNotFound,
    StoreError,
)
from rolecore.stores import wire
from rolecore.stores.protocol import SupportsQuota, SupportsTTL
from rolecore.virtual_loop import VirtualLoop, run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from rolecore.stores.protocol import SessionStore

__all__ = [
    "FORGED_IDS",
    "ODD_TEXTS",
    "REFUSED_MESSAGES",
    "SessionStoreContract",
    "VirtualLoop",
    "message",
    "raising",
    "run_virtual",
]

Message: TypeAlias = dict[str, Any]

# Each survives as it is.
ODD_TEXTS = (
    "",
    "\0",
    "a\0b",
    "\\u0000",
    "\\",
    "\"quoted\" and 'quoted'",
    "\ud83d",
    "\ude00 low first",
    "\ud83d\ude00 a pair in two halves",
    "\\ud83d\\ude00",
    "👩‍👩‍👧‍👦 and 👍🏽",
    "请不要删除旧的备份。",
    "e\u0301 is not \u00e9",
    "\u202eright to left\u202c",
    "\u2028\u2029\x7f\x85\ufeff\uffff",
    "line\r\nline\n",
    "' ; drop table sessions; --",
    "%s %(x)s {x} $1 :x ?",
)
# Tenant and session id, such that a store that glues them carelessly takes one for another.
FORGED_IDS = (
    ("", "a:b"),
    ("a", "b"),
    ("a:b", "c"),
    ("a", "b:c"),
    ("a:", "b:c"),
    ("a%3Ab", "c"),
    ("a%3ab", "c"),
    ("a/b", "c"),
    ("a", "b/c"),
    ("A", "b"),
    ("a ", "b"),
    ("a", " b"),
    ("a", "b "),
    ("*", "b"),
    ("[a]", "?"),
    ("a\\", "b"),
    ("e\u0301", "x"),
    ("\u00e9", "x"),
    ("ß", "x"),
    ("ss", "x"),
    ("a", "b" * 512),
)
REFUSED_MESSAGES: tuple[Any, ...] = (
    "text",
    None,
    [],
    {1: "a key that is no string"},
    {"role": "user", "content": float("nan")},
    {"role": "user", "content": float("inf")},
    {"role": "user", "content": ("a", "tuple")},
    {"role": "user", "content": {"a", "set"}},
    {"role": "user", "content": b"bytes"},
    {"role": "user", "content": [{"deep": object()}]},
)


def message(content: object, role: str = "user") -> Message:
    """Return a message in OpenAI's form."""
    return {"role": role, "content": content}


@contextmanager
def raising(kind: type[BaseException]) -> Iterator[list[Any]]:
    """Assert that the body raises an error of this kind; what is yielded has it afterwards as its one item."""
    caught: list[Any] = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    else:
        text = f"{kind.__name__} was not raised"
        raise AssertionError(text)


class SessionStoreContract:
    """What every `SessionStore` does. Subclass it under a name that pytest collects, and define `open`.

    Each test opens a store, works under a fresh tenant, and closes it; all in an `asyncio.run` of its own. What the
    store held before does not matter, and tests leave sessions behind.

    Example:
        >>> from rolecore.testing import SessionStoreContract
        >>> class TestMine(SessionStoreContract):
        ...     def open(self):
        ...         return rolecore.open_store("memory://")
        >>> TestMine().test_versions_count_the_messages()
    """

    def open(self) -> SessionStore:
        """Return a store that nobody else closes, not yet entered; called in the loop that uses it."""
        raise NotImplementedError

    def run(self, test: Callable[[SessionStore, str], Awaitable[None]]) -> None:
        """Run a test with an open store and a fresh tenant."""

        async def main() -> None:
            async with self.open() as store:
                await test(store, f"contract-{uuid.uuid4().hex}")

        asyncio.run(main())

    def test_appended_messages_load_in_order_and_exactly(self) -> None:
        first = [
            message("You are brief.", "system"),
            {"role": "user", "content": [{"type": "text", "text": "Hi"}], "extra": {"b": [], "a": {}, "n": None}},
        ]
        calls = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}]
        second: list[Message] = [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
            {"numbers": [True, 1, 1.0, 0, False, -0.0, 0.1, 1e300, 5e-324, 2**63, -(10**40), 1.5e-7]},
            {},
        ]

        async def test(store: SessionStore, tenant: str) -> None:
            await store.append("s", first, tenant=tenant)
            await store.append("s", iter(second), tenant=tenant)
            loaded = (await store.load("s", tenant=tenant)).messages
            # repr tells True from 1 from 1.0, -0.0 from 0.0, and one order of keys from another.
            assert [repr(item) for item in loaded] == [repr(item) for item in first + second]

        self.run(test)

    def test_versions_count_the_messages(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            assert await store.append("s", [message(1)], tenant=tenant) == 1
            assert await store.append("s", [message(2), message(3)], tenant=tenant) == 3
            assert await store.append("s", [message(4)], tenant=tenant, expected_version=3) == 4
            assert await store.append("t", [message(5)], tenant=tenant, expected_version=0) == 1
            assert (await store.load("s", tenant=tenant)).version == 4

        self.run(test)

    def test_times_are_seconds_since_1970(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            await store.append("s", [message(1)], tenant=tenant)
            before = await store.load("s", tenant=tenant)
            await store.append("s", [message(2)], tenant=tenant)
            after = await store.load("s", tenant=tenant)
            assert after.created_at == before.created_at
            assert before.created_at <= before.updated_at <= after.updated_at
            # A server's clock may be off, but not by a day.
            assert abs(after.updated_at - time.time()) < 86_400

        self.run(test)

    def test_other_expected_version_is_a_conflict_and_appends_nothing(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            with raising(SessionConflict) as caught:
                await store.append("s", [message(0)], tenant=tenant, expected_version=1)
            assert (caught[0].expected, caught[0].actual) == (1, 0)
            assert await store.list(tenant=tenant) == []
            await store.append("s", [message(1), message(2)], tenant=tenant)
            for expected in (0, 1, 3):
                with raising(SessionConflict) as caught:
                    await store.append("s", [message(0)], tenant=tenant, expected_version=expected)
                assert (caught[0].expected, caught[0].actual) == (expected, 2)
            assert (await store.load("s", tenant=tenant)).messages == [message(1), message(2)]

        self.run(test)

    def test_deleted_session_is_absent_and_starts_anew(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            await store.append("s", [message(1), message(2)], tenant=tenant)
            await store.append("t", [message(3)], tenant=tenant)
            await store.delete("s", tenant=tenant)
            with raising(SessionNotFound):
                await store.load("s", tenant=tenant)
            assert await store.list(tenant=tenant) == ["t"]
            assert await store.append("s", [message(4)], tenant=tenant, expected_version=0) == 1
            assert (await store.load("s", tenant=tenant)).messages == [message(4)]

        self.run(test)

    def test_absent_session_is_not_found(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            with raising(SessionNotFound):
                await store.load("s", tenant=tenant)
            with raising(SessionNotFound):
                await store.delete("s", tenant=tenant)
            assert await store.list(tenant=tenant) == []

        self.run(test)

    def test_list_is_sorted_by_code_points(self) -> None:
        ids = ["b", "a", "B", "a-1", "a 1", "é", "z", "中", "👍", "\uffff", "10", "9", "%", "_"]

        async def test(store: SessionStore, tenant: str) -> None:
            for session_id in ids:
                await store.append(session_id, [message(1)], tenant=tenant)
            assert await store.list(tenant=tenant) == sorted(ids)

        self.run(test)

    def test_ids_reach_no_other_session(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            # The fresh tenant in front keeps away from what is there; one row has no tenant of its own at all.
            ids = [(f"{tenant}{name}", session_id) for name, session_id in FORGED_IDS]
            ids += [("", f"{tenant}:a"), ("", tenant)]
            for i, (name, session_id) in enumerate(ids):
                await store.append(session_id, [message(i)], tenant=name, expected_version=0)
            for i, (name, session_id) in enumerate(ids):
                assert (await store.load(session_id, tenant=name)).messages == [message(i)]
            for name in {name for name, _ in ids} - {""}:
                assert await store.list(tenant=name) == sorted(session_id for other, session_id in ids if other == name)
            for i, (name, session_id) in enumerate(ids):
                await store.delete(session_id, tenant=name)
                for left_name, left in ids[i + 1 :]:
                    assert (await store.load(left, tenant=left_name)).version == 1

        self.run(test)

    def test_bad_arguments_are_refused(self) -> None:
        bad_ids: tuple[Any, ...] = ("", "\0", "a\0", "\ud800", "x" * 513, "é" * 257, None, 7, b"s")

        async def test(store: SessionStore, tenant: str) -> None:
            any_store: Any = store
            for bad in bad_ids:
                for call in (store.load, store.delete):
                    with raising(ArgumentError):
                        await call(bad, tenant=tenant)
                with raising(ArgumentError):
                    await store.append(bad, [message(1)], tenant=tenant)
            for bad in bad_ids[1:]:
                with raising(ArgumentError):
                    await store.append("s", [message(1)], tenant=bad)
                with raising(ArgumentError):
                    await store.list(tenant=bad)
            for bad in (-1, True, 1.0, "1"):
                with raising(ArgumentError):
                    await any_store.append("s", [message(1)], tenant=tenant, expected_version=bad)
            for bad in ([], (), None, 7, "text", message(1)):
                with raising(ArgumentError):
                    await any_store.append("s", bad, tenant=tenant)
            assert await store.list(tenant=tenant) == []

        self.run(test)

    def test_odd_texts_survive(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            texts = [*ODD_TEXTS, "x" * 1_000_000, "中" * 300_000]
            messages = [{"role": "user", "content": text, f"k{text[:40]}": [text[:40]]} for text in texts]
            await store.append("s", messages, tenant=tenant)
            assert (await store.load("s", tenant=tenant)).messages == messages

        self.run(test)

    def test_refused_message_leaves_nothing_of_its_batch(self) -> None:
        deep: list[Any] = []
        for _ in range(wire.MAX_DEPTH):
            deep = [deep]

        async def test(store: SessionStore, tenant: str) -> None:
            for bad in (*REFUSED_MESSAGES, message(deep)):
                with raising(MessageError) as caught:
                    await store.append("s", [message(1), bad, message(2)], tenant=tenant)
                assert caught[0].index == 1
            assert await store.list(tenant=tenant) == []

        self.run(test)

    def test_messages_are_copied(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            mine = [message(["a"])]
            await store.append("s", mine, tenant=tenant)
            mine[0]["content"].append("b")
            loaded = (await store.load("s", tenant=tenant)).messages
            assert loaded == [message(["a"])]
            loaded[0]["content"].append("c")
            assert (await store.load("s", tenant=tenant)).messages == [message(["a"])]

        self.run(test)

    def test_concurrent_appends_all_land_once_each_in_one_piece(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            batches = [[message(f"{i}.{j}") for j in range(1 + i % 3)] for i in range(50)]
            versions = await asyncio.gather(*(store.append("s", batch, tenant=tenant) for batch in batches))
            loaded = await store.load("s", tenant=tenant)
            # A batch lies where its version says it ends; that the places cover all is that none is doubled.
            for batch, version in zip(batches, versions, strict=True):
                assert loaded.messages[version - len(batch) : version] == batch
            assert len(set(versions)) == len(batches)
            assert loaded.version == len(loaded.messages) == sum(map(len, batches))

        self.run(test)

    def test_concurrent_appends_at_one_version_have_one_winner(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            for expected in range(3):
                calls = (
                    store.append("s", [message([expected, i])], tenant=tenant, expected_version=expected)
                    for i in range(50)
                )
                results = await asyncio.gather(*calls, return_exceptions=True)
                won = [i for i, result in enumerate(results) if result == expected + 1]
                assert len(won) == 1
                assert sum(isinstance(result, SessionConflict) for result in results) == 49
                loaded = (await store.load("s", tenant=tenant)).messages
                assert len(loaded) == expected + 1
                assert loaded[expected] == message([expected, won[0]])

        self.run(test)

    def test_deadline_that_is_over_stops_every_call(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            await store.append("s", [message(1)], tenant=tenant)
            with deadline(0):
                with raising(DeadlineExceeded):
                    await store.append("s", [message(2)], tenant=tenant)
                with raising(DeadlineExceeded):
                    await store.load("s", tenant=tenant)
                with raising(DeadlineExceeded):
                    await store.list(tenant=tenant)
                with raising(DeadlineExceeded):
                    await store.delete("s", tenant=tenant)
            assert (await store.load("s", tenant=tenant)).messages == [message(1)]

        self.run(test)

    def test_cancelled_append_is_whole_or_absent(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            batch = [message(i) for i in range(20)]
            for turns in range(20):
                session_id = f"s{turns}"
                task = asyncio.ensure_future(store.append(session_id, batch, tenant=tenant))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                (result,) = await asyncio.gather(task, return_exceptions=True)
                # The next append waits for whatever of the cancelled one is still under way.
                version = await store.append(session_id, [message("next")], tenant=tenant)
                loaded = (await store.load(session_id, tenant=tenant)).messages
                assert len(loaded) in {version, version + len(batch)}
                assert [item for item in loaded if item != message("next")] in ([], batch)
                if not isinstance(result, BaseException):
                    assert loaded[: len(batch)] == batch

        self.run(test)

    def test_closed_store_refuses_every_call(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            await store.close()
            await store.close()
            with raising(StoreError):
                await store.append("s", [message(1)], tenant=tenant)
            with raising(StoreError):
                await store.load("s", tenant=tenant)
            with raising(StoreError):
                await store.list(tenant=tenant)
            with raising(StoreError):
                await store.delete("s", tenant=tenant)
            with raising(StoreError):
                await store.__aenter__()

        self.run(test)

    def test_end_of_a_session_if_supported_can_be_set_and_taken_back(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            if not isinstance(store, SupportsTTL):
                return
            any_store: Any = store
            with raising(SessionNotFound):
                await store.expire("s", 60, tenant=tenant)
            await store.append("s", [message(1)], tenant=tenant)
            for bad in (-1, float("nan"), float("inf"), "1", True):
                with raising(ArgumentError):
                    await any_store.expire("s", bad, tenant=tenant)
            await store.expire("s", 3600, tenant=tenant)
            assert await store.append("s", [message(2)], tenant=tenant) == 2
            await store.expire("s", None, tenant=tenant)
            assert (await store.load("s", tenant=tenant)).version == 2
            await store.expire("s", 0, tenant=tenant)
            assert await store.list(tenant=tenant) == []
            assert await store.append("s", [message(3)], tenant=tenant, expected_version=0) == 1

        self.run(test)

    def test_usage_if_supported_is_the_texts_bytes(self) -> None:
        async def test(store: SessionStore, tenant: str) -> None:
            if not isinstance(store, SupportsQuota):
                return
            messages = [message(text) for text in ODD_TEXTS]
            n_bytes = sum(map(len, wire.encode(messages)))
            assert await store.usage(tenant=tenant) == 0
            await store.append("s", messages, tenant=tenant)
            await store.append("t", messages, tenant=tenant)
            assert await store.usage(tenant=tenant) == 2 * n_bytes
            await store.delete("s", tenant=tenant)
            assert await store.usage(tenant=tenant) == n_bytes
            await store.delete("t", tenant=tenant)
            assert await store.usage(tenant=tenant) == 0

        self.run(test)
