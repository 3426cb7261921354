"""The log of roles: what is loaded of it, whose it is, and that what is damaged, lost or newer is refused."""

from __future__ import annotations

from typing import Any

import pytest
from test_role_directory import TENANT, Store, all_facts, granting, run
from test_roles import BOB

import rolecore
from rolecore.roles import events as role_events
from rolecore.roles.log import BIG_CHANGE, SEGMENT

CREATED = rolecore.Role("clerk").events[0]
CHANGE: dict[str, Any] = {"events": [], "is_last": False}


def test_catching_up_loads_the_newest_segments_only() -> None:
    async def test(store: Store) -> None:
        roles, other = rolecore.RoleDirectory(store), rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk"))
        for i in range(3 * SEGMENT):
            await roles.change(granting("clerk", f"p{i}"))
        await other.catch_up()
        store.loads.clear()
        await other.catch_up()
        assert store.loads == ["segment-000000003"]
        for i in range(2 * SEGMENT):
            await roles.change(granting("clerk", f"q{i}"))
        store.loads.clear()
        await other.catch_up()
        assert store.loads == ["segment-000000003", "segment-000000004", "segment-000000005"]
        assert all_facts(other) == all_facts(roles)
        async with rolecore.RoleDirectory(store) as third:
            assert all_facts(third) == all_facts(roles)

    run(test)


def test_big_change_ends_its_segment_and_is_loaded_once() -> None:
    async def test(store: Store) -> None:
        roles, other = rolecore.RoleDirectory(store), rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk"))
        await roles.change(lambda draft: draft["clerk"].assign_to_users(map(str, range(BIG_CHANGE // 4)), by=BOB))
        await other.catch_up()
        await roles.change(granting("clerk", "read"))
        store.loads.clear()
        await other.catch_up()
        assert store.loads == ["segment-000000001"]
        assert all_facts(other) == all_facts(roles)
        await store.append("segment-000000000", [CHANGE], tenant=TENANT)
        with pytest.raises(rolecore.StoreError, match="change 2 in segment 0"):
            await rolecore.RoleDirectory(store).catch_up()

    run(test)


def test_tenants_are_apart_and_no_chat_reaches_a_log() -> None:
    async def test(store: Store) -> None:
        here, other = rolecore.RoleDirectory(store, tenant="acme"), rolecore.RoleDirectory(store, tenant="umbrella")
        await here.change(lambda draft: draft.create("clerk"))
        await other.catch_up()
        assert "clerk" not in other
        await store.append("segment-000000000", [{"role": "user", "content": "{}"}], tenant="acme")
        assert await store.list(tenant="acme") == ["segment-000000000"]
        await here.catch_up()
        await rolecore.RoleDirectory(store, tenant="acme").catch_up()

    run(test)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (CHANGE | {"events": [{"kind": "RoleRetired", "form": 1}]}, rolecore.CodecError, "install the version"),
        (CHANGE | {"events": ["x"]}, rolecore.CodecError, "the log is damaged"),
        (CHANGE | {"events": None}, rolecore.StoreError, "change 1 in segment 0 of the log of roles is damaged"),
        (CHANGE | {"is_last": 1}, rolecore.StoreError, "change 1 in segment 0 of the log of roles is damaged"),
        ({"role": "user", "content": "hello"}, rolecore.StoreError, "change 1 in segment 0 of the log of roles is"),
        (
            CHANGE | {"events": [role_events.encode(CREATED)]},
            rolecore.StoreError,
            "change 1 in the log of roles does not",
        ),
    ],
)
def test_log_that_is_damaged_or_newer_is_refused_and_what_was_before_stays(
    change: dict[str, Any], error: Any, match: str
) -> None:
    async def test(store: Store) -> None:
        await rolecore.RoleDirectory(store).change(lambda draft: draft.create("clerk"))
        await store.append("segment-000000000", [change], tenant=TENANT)
        roles = rolecore.RoleDirectory(store)
        for _ in range(2):
            with pytest.raises(error, match=match):
                await roles.catch_up()
            assert (list(roles), roles.position) == (["clerk"], 1)
        with pytest.raises(error, match=match):
            await roles.change(granting("clerk", "read"))

    run(test)


def test_log_that_lost_changes_is_refused() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk"))
        for i in range(SEGMENT):
            await roles.change(granting("clerk", f"p{i}"))
        await store.delete("segment-000000001", tenant=TENANT)
        with pytest.raises(
            rolecore.StoreError, match="segment 1 of the log of roles has 0 changes, it had 1; restore it"
        ):
            await roles.catch_up()
        await store.append("segment-000000002", [{"events": []}], tenant=TENANT)
        with pytest.raises(rolecore.StoreError, match="lacks a segment between others"):
            async with rolecore.RoleDirectory(store):
                pass

    run(test)
