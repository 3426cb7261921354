"""The store contract on the memory store, what all stores share, and that the contract finds faults."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore
from rolecore import deadlines
from rolecore.stores import rules, wire
from rolecore.stores.memory import MemoryStore
from rolecore.testing import SessionStoreContract, message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from rolecore.stores.protocol import Ids

# Lone surrogates and split pairs are in it too, more often than by chance.
TEXTS = st.text(st.characters() | st.sampled_from("\0\ud83d\ude00\\u\"'😀"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.dictionaries(TEXTS, VALUES, max_size=5)
IDS = st.text(st.sampled_from("ab:%/2Ff*é\\ ") | st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class TestMemoryStore(SessionStoreContract):
    def open(self) -> rolecore.SessionStore:
        return rolecore.open_store("memory://")


def run(test: Callable[[MemoryStore], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with MemoryStore(**options) as store:
            await test(store)

    asyncio.run(main())


@given(batches=st.lists(st.lists(MESSAGES, min_size=1, max_size=3), min_size=1, max_size=4))
def test_any_messages_load_as_they_were_appended(batches: list[list[dict[str, Any]]]) -> None:
    async def test(store: MemoryStore) -> None:
        for batch in batches:
            await store.append("s", batch)
        expected = [item for batch in batches for item in batch]
        record = await store.load("s")
        assert [repr(item) for item in record.messages] == [repr(item) for item in expected]
        assert record.version == len(expected)

    run(test)


@given(item=MESSAGES)
def test_wire_text_is_ascii_and_plain_json_unless_a_pair_is_split(item: dict[str, Any]) -> None:
    (text,) = wire.encode([item])
    assert text.isascii()
    assert "\0" not in text
    if text.startswith("x"):
        assert json.loads(json.dumps(item)) != item
    else:
        assert json.loads(text) == item


@pytest.mark.parametrize(
    "text", ["", "{", "x", "x7", "x7b", "xq", "x7b7dff", "[]", "1", "null", '"x"', "xé", '{"a":1}x', "[" * 100_000]
)
def test_wire_of_damaged_text_raises_naming_its_place(text: str) -> None:
    with pytest.raises(rolecore.StoreError, match="stored message 1 is damaged"):
        wire.decode(["{}", text])


@pytest.mark.parametrize("value", [None, b"{}", b"x7b7d", 7, 1.5])
def test_wire_of_what_is_no_text_at_all_is_damaged(value: Any) -> None:
    with pytest.raises(rolecore.StoreError, match="stored message 0 is damaged"):
        wire.decode([value])


def test_wire_lets_errors_of_the_callers_own_iterable_through() -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield {}
        msg = "the caller's own"
        raise TypeError(msg)

    with pytest.raises(TypeError, match="the caller's own"):
        wire.encode(broken())


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"a": (1,)}, "message 0 holds a value of type tuple"),
        ({1: 2}, "message 0 holds a key of type int"),
        ({"a": float("nan")}, "message 0 holds NaN"),
        ({"a": 10**5000}, "message 0 holds NaN, an infinity or an int of thousands"),
        ([], "message 0 is of type list"),
        ({"a": type("Text", (str,), {})("secret")}, "message 0 holds a value of type Text"),
    ],
)
def test_wire_of_what_json_cannot_hold_says_why_and_shows_no_text(bad: Any, match: str) -> None:
    with pytest.raises(rolecore.MessageError, match=match) as caught:
        wire.encode([bad])
    assert caught.value.index == 0
    assert "secret" not in str(caught.value)


def test_wire_of_a_message_that_holds_itself_raises() -> None:
    loop: list[Any] = []
    loop += [loop, loop]
    with pytest.raises(rolecore.MessageError, match="nests more than 128 deep"):
        wire.encode([{"loop": loop}])


def test_wire_of_the_deepest_message_loads() -> None:
    deep: Any = 1
    for _ in range(wire.MAX_DEPTH - 1):
        deep = [deep]
    assert wire.decode(wire.encode([{"deep": deep}])) == [{"deep": deep}]


@given(sessions=st.lists(st.tuples(IDS, IDS.filter(bool)), unique=True))
def test_keys_of_different_sessions_differ(sessions: list[tuple[str, str]]) -> None:
    keys = [rules.key(*ids) for ids in sessions]
    assert len(set(keys)) == len(keys)
    for (tenant, _), key in zip(sessions, keys, strict=True):
        assert key.isascii()
        assert not set(key) & set(" *?[]\\{}")
        of_tenant = {other for (name, _), other in zip(sessions, keys, strict=True) if name == tenant}
        assert {other for other in keys if other.startswith(rules.key_prefix(tenant))} == of_tenant


def test_key_of_the_longest_ids_is_as_long_as_said() -> None:
    assert len(rules.key("é" * 256, "中" * 170 + "é")) == 3 * 512 + 1 + 3 * 512


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory:",
        "nosql://u:secret@h/",
        "://secret",
        "u:secret@h",
        "memory://secret",
        "memory://?x=secret",
    ],
)
def test_open_store_of_no_known_url_raises_without_showing_it(url: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match="memory://") as caught:
        rolecore.open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("durability", ["", "FULL", "fast", None, 1])
def test_open_store_of_unknown_durability_names_those_there_are(durability: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match="'full', 'normal'"):
        rolecore.open_store("memory://", durability=durability)


@pytest.mark.parametrize("url", [None, 3, b"memory://"])
def test_open_store_of_no_text_raises(url: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match="url is of type"):
        rolecore.open_store(url)


@pytest.mark.parametrize("quota", [0, -1, True, 1.5, "9"])
def test_open_store_of_no_sound_quota_raises(quota: Any) -> None:
    with pytest.raises(rolecore.ArgumentError, match="quota_bytes"):
        rolecore.open_store("memory://", quota_bytes=quota)


def test_memory_store_says_what_it_supports() -> None:
    store = rolecore.open_store("memory://")
    assert isinstance(store, rolecore.SupportsTTL)
    assert isinstance(store, rolecore.SupportsQuota)


def test_memory_store_times_follow_its_clock_and_never_run_backwards() -> None:
    clock = Clock()

    async def test(store: MemoryStore) -> None:
        await store.append("s", [message(1)])
        clock.now += 5
        await store.append("s", [message(2)])
        clock.now -= 50
        await store.append("s", [message(3)])
        record = await store.load("s")
        assert (record.created_at, record.updated_at) == (1_000_000, 1_000_005)

    run(test, clock=clock)


def test_memory_store_session_ends_on_time() -> None:
    clock = Clock()

    async def test(store: MemoryStore) -> None:
        for session_id in ("short", "long", "ever"):
            await store.append(session_id, [message(session_id)])
        await store.expire("short", 10)
        await store.expire("long", 20)
        await store.expire("ever", 10)
        await store.expire("ever", None)
        clock.now += 9.5
        assert await store.append("short", [message("more")]) == 2
        clock.now += 0.5
        with pytest.raises(rolecore.SessionNotFound):
            await store.load("short")
        assert await store.list() == ["ever", "long"]
        with pytest.raises(rolecore.SessionConflict):
            await store.append("short", [message("more")], expected_version=2)
        assert await store.append("short", [message("anew")], expected_version=0) == 1
        clock.now += 100
        assert await store.list() == ["ever", "short"]
        with pytest.raises(rolecore.SessionNotFound):
            await store.delete("long")

    run(test, clock=clock)


def test_memory_store_lets_go_of_ended_sessions_nobody_asks_for() -> None:
    clock = Clock()

    async def test(store: MemoryStore) -> None:
        for i in range(1000):
            await store.append(f"s{i}", [message(i)], tenant=f"t{i % 10}")
            await store.expire(f"s{i}", 60, tenant=f"t{i % 10}")
            clock.now += 1
        for i in range(200):
            await store.append("other", [message(i)])
            clock.now += 1
        assert repr(store) == "MemoryStore(sessions=1, quota_bytes=None)"
        assert await store.usage(tenant="t1") == 0

    run(test, clock=clock)


def test_memory_store_over_quota_appends_nothing() -> None:
    clock = Clock()
    size = len(wire.encode([message("x")])[0])

    async def test(store: MemoryStore) -> None:
        await store.append("s", [message("x")], tenant="a")
        await store.append("s", [message("x")], tenant="b")
        await store.append("t", [message("x")], tenant="a")
        with pytest.raises(rolecore.QuotaError, match="quota_bytes is") as caught:
            await store.append("s", [message("x"), message("x")], tenant="a")
        assert (caught.value.needed, caught.value.quota) == (4 * size, 3 * size)
        assert (await store.load("s", tenant="a")).version == 1
        with pytest.raises(rolecore.QuotaError):
            await store.append("new", [message("x" * 999)], tenant="a")
        assert await store.list(tenant="a") == ["s", "t"]
        assert await store.append("s", [message("x")], tenant="a") == 2
        await store.expire("t", 5, tenant="a")
        clock.now += 5
        assert await store.append("s", [message("x")], tenant="a") == 3

    run(test, quota_bytes=3 * size, clock=clock)


# Stores with one fault each, and the test of the contract that must find it.


class _Doubling(MemoryStore):
    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        texts = list(messages)
        version = await super().append(session_id, texts, tenant=tenant, expected_version=expected_version)
        return version if version % 7 else await super().append(session_id, texts, tenant=tenant)


class _OneAtATime(MemoryStore):
    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        version = 0
        for item in list(messages):
            version = await super().append(session_id, [item], tenant=tenant, expected_version=expected_version)
            await asyncio.sleep(0)
        return version


class _LateCheck(MemoryStore):
    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        known = session_id in await self.list(tenant=tenant)
        version = len((await self.load(session_id, tenant=tenant)).messages) if known else 0
        if expected_version not in {None, version}:
            raise rules.conflict(expected_version or 0, version)
        await asyncio.sleep(0)
        return await super().append(session_id, messages, tenant=tenant)


class _Gluing(MemoryStore):
    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        return await super().append(f"{tenant}:{session_id}"[-500:], messages, expected_version=expected_version)


class _Unsorted(MemoryStore):
    async def list(self, *, tenant: str = "") -> Ids:
        return sorted(await super().list(tenant=tenant), key=str.casefold)


class _Timeless(MemoryStore):
    async def delete(self, session_id: str, *, tenant: str = "") -> None:
        with deadlines.use_clock(lambda: -1e9):
            await super().delete(session_id, tenant=tenant)


@pytest.mark.parametrize(
    ("fault", "finder"),
    [
        (_Doubling, "test_concurrent_appends_all_land_once_each_in_one_piece"),
        (_OneAtATime, "test_refused_message_leaves_nothing_of_its_batch"),
        (_OneAtATime, "test_concurrent_appends_all_land_once_each_in_one_piece"),
        (_OneAtATime, "test_cancelled_append_is_whole_or_absent"),
        (_LateCheck, "test_concurrent_appends_at_one_version_have_one_winner"),
        (_Gluing, "test_ids_reach_no_other_session"),
        (_Unsorted, "test_list_is_sorted_by_code_points"),
        (_Timeless, "test_deadline_that_is_over_stops_every_call"),
    ],
)
def test_contract_finds_the_fault(fault: type[MemoryStore], finder: str) -> None:
    class Faulty(SessionStoreContract):
        def open(self) -> rolecore.SessionStore:
            return fault()

    with pytest.raises((AssertionError, rolecore.RolecoreError)):
        getattr(Faulty(), finder)()


def test_stores_and_contract_when_imported_load_neither_core_nor_third_party_packages() -> None:
    code = (
        "import sys, rolecore, rolecore.testing; rolecore.open_store('memory://'); "
        "print({'pytest', 'numpy', 'hypothesis', 'rolecore._core'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_record_cannot_be_assigned_to() -> None:
    record = rolecore.SessionRecord([], 0, 1.0, 2.0)
    with pytest.raises(AttributeError):
        record.version = 3  # type: ignore[misc]
