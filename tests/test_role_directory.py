"""Directories over one store: every process has the same changes in the same order, none lost, none twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from test_roles import ANN, BOB, Clock, facts

import rolecore
from rolecore.roles import events as role_events
from rolecore.roles.directory import MAX_EVENTS
from rolecore.roles.log import START, RoleLog
from rolecore.stores.memory import MemoryStore
from rolecore.testing import run_virtual

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from rolecore.roles.directory import RoleDraft

TENANT = "rolecore.roles:"


class Store(MemoryStore):
    """A store in memory that lets others go first, counts, and can lose the reply of an append."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.lost_replies = 0

    async def append(
        self,
        session_id: str,
        messages: Iterable[dict[str, Any]],
        *,
        tenant: str = "",
        expected_version: int | None = None,
    ) -> int:
        await asyncio.sleep(0)
        version = await super().append(session_id, messages, tenant=tenant, expected_version=expected_version)
        await asyncio.sleep(0)
        if self.lost_replies:
            self.lost_replies -= 1
            msg = "append: the line broke; it may have been done or not"
            raise rolecore.StoreError(msg)
        return version

    async def load(self, session_id: str, *, tenant: str = "") -> rolecore.SessionRecord:
        self.loads.append(session_id)
        await asyncio.sleep(0)
        return await super().load(session_id, tenant=tenant)


def run(test: Callable[[Store], Awaitable[None]], *, seed: int = 1) -> None:
    async def main() -> None:
        async with Store() as store:
            await test(store)

    run_virtual(main(), seed=seed)


def all_facts(roles: rolecore.RoleDirectory) -> dict[str, Any]:
    return {name: facts(roles[name]) for name in roles}


def granting(name: str, permission: str) -> Callable[[RoleDraft], Any]:
    return lambda draft: draft[name].grant_permission(permission, by=BOB)


def test_change_is_seen_here_at_once_and_elsewhere_after_catching_up() -> None:
    async def test(store: Store) -> None:
        here, there = rolecore.RoleDirectory(store), rolecore.RoleDirectory(store)
        await here.change(lambda draft: draft.create("clerk", description="Helps.", by=ANN))
        role = here["clerk"]
        assert (role.description, role.state.created.by) == ("Helps.", "ann")
        assert "clerk" not in there
        assert await there.catch_up() == 1
        seen = there["clerk"]
        await here.change(granting("clerk", "read"))
        assert role.allows("read"), "the same object"
        assert not seen.allows("read")
        assert await there.catch_up() == 1
        assert await there.catch_up() == 0
        assert seen.allows("read")
        assert all_facts(here) == all_facts(there)
        assert (list(here), len(here), here.roles) == (["clerk"], 1, [role])

    run(test)


def test_open_directory_catches_up_by_itself() -> None:
    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store, poll_s=2) as there:
            await rolecore.RoleDirectory(store).change(lambda draft: draft.create("clerk"))
            await asyncio.sleep(2.1)
            assert "clerk" in there

    run(test)


def test_directory_goes_on_when_the_store_is_back(caplog: pytest.LogCaptureFixture) -> None:
    async def test(store: Store) -> None:
        async with rolecore.RoleDirectory(store, poll_s=1) as there:
            await rolecore.RoleDirectory(store).change(lambda draft: draft.create("clerk"))
            load, broken = store.load, True

            async def failing(session_id: str, *, tenant: str = "") -> rolecore.SessionRecord:
                if broken:
                    msg = "down"
                    raise rolecore.StoreError(msg)
                return await load(session_id, tenant=tenant)

            store.load = failing  # type: ignore[method-assign]
            await asyncio.sleep(5.1)
            assert "clerk" not in there
            with pytest.raises(rolecore.StoreError, match="down"):
                await there.catch_up()
            broken = False
            await asyncio.sleep(1)
            assert "clerk" in there

    run(test)
    assert [record.message for record in caplog.records] == ["roles are as they were: StoreError; trying on"]


def test_change_that_raises_changes_nothing() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk"))

        def decide(draft: RoleDraft) -> None:
            draft.create("boss")
            draft["clerk"].grant_permission("read", by=BOB)
            draft["clerk"].inherit_from(draft["boss"], by=ANN)

        before = all_facts(roles)
        with pytest.raises(rolecore.PolicyDenied):
            await roles.change(decide)
        assert all_facts(roles) == before
        assert (await store.load("segment-000000000", tenant=TENANT)).version == 1

    run(test)


def test_change_of_several_roles_is_one_step() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)

        def decide(draft: RoleDraft) -> int:
            clerk, boss = draft.create("clerk"), draft.create("boss")
            boss.grant_permission("sign", by=BOB)
            clerk.inherit_from(boss, by=BOB)
            assert clerk.allows("sign")
            assert set(draft) == {"clerk", "boss"}
            return 7

        assert await roles.change(decide) == 7
        assert roles.position == 1
        assert roles["clerk"].allows("sign")
        await roles.change(lambda draft: draft["boss"].revoke_permission("sign", by=BOB))
        assert not roles["clerk"].allows("sign")

    run(test)


def test_draft_of_linked_roles_is_apart_from_what_is_known() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        await roles.change(lambda draft: [draft.create(name) for name in "abcde"])

        def link(draft: RoleDraft) -> None:
            for child, parent in ("ba", "ca", "db", "dc"):
                draft[child].inherit_from(draft[parent], by=BOB)

        await roles.change(link)

        def decide(draft: RoleDraft) -> None:
            draft["b"].grant_permission("read", by=BOB)
            draft["e"].inherit_from(draft["d"], by=BOB)
            assert draft["e"].permissions == draft["d"].permissions == {"turn", "read"}
            assert draft["d"].parents == ("b", "c")
            with pytest.raises(rolecore.ArgumentError, match=r"a -> e -> d -> [bc] -> a"):
                draft["a"].inherit_from(draft["e"], by=BOB)
            assert not roles["d"].allows("read")
            raise KeyError

        before = all_facts(roles)
        with pytest.raises(KeyError):
            await roles.change(decide)
        assert all_facts(roles) == before
        await roles.change(granting("a", "print"))
        assert [roles[name].allows("print") for name in "abcde"] == [True] * 4 + [False]

    run(test)


def test_change_of_nothing_writes_nothing() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk"))
        await roles.change(granting("clerk", "turn"))
        assert roles.position == 1

    run(test)


def test_of_two_changes_at_once_one_is_decided_anew() -> None:
    decisions = set()

    async def test(store: Store) -> None:
        here, there = rolecore.RoleDirectory(store), rolecore.RoleDirectory(store)
        await here.change(lambda draft: [draft.create(name) for name in "ab"])
        decided = []

        def inherit(child: str, parent: str) -> Callable[[RoleDraft], None]:
            def decide(draft: RoleDraft) -> None:
                decided.append(child)
                draft[child].inherit_from(draft[parent], by=BOB)

            return decide

        calls = here.change(inherit("a", "b")), there.change(inherit("b", "a"))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {type(None), rolecore.ArgumentError}, "no cycle"
        await asyncio.gather(here.catch_up(), there.catch_up())
        assert all_facts(here) == all_facts(there)
        assert here.position == 2
        decisions.add(len(decided))

    for seed in range(30):
        run(test, seed=seed)
    assert decisions == {2, 3}


def test_change_whose_reply_was_lost_is_there_and_not_twice() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk", sensitive_permissions=["pay"]))
        for change in (
            granting("clerk", "read"),
            lambda draft: draft["clerk"].grant_permission("pay", by=ANN),
            lambda draft: draft["clerk"].assign_to_users(["ann"], by=BOB),
        ):
            store.lost_replies = 1
            before = roles.position
            with pytest.raises(rolecore.StoreError, match="may have been done"):
                await roles.change(change)
            assert roles.position == before
            await roles.change(change)
            assert roles.position == before + 1
        assert roles["clerk"].members == {"ann"}
        assert len(roles["clerk"].requests) == 1

    run(test)


def test_cancelled_change_is_whole_or_absent() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk"))
        for n_steps in range(12):
            task = asyncio.create_task(roles.change(granting("clerk", f"p{n_steps}")))
            for _ in range(n_steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await roles.change(granting("clerk", "last"))
        other = rolecore.RoleDirectory(store)
        await other.catch_up()
        assert all_facts(other) == all_facts(roles)
        assert 1 < roles["clerk"].version < 14

    run(test)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(20))
def test_writers_at_once_lose_nothing_and_double_nothing(seed: int) -> None:
    async def test(store: Store) -> None:
        directories = [rolecore.RoleDirectory(store) for _ in range(4)]
        await directories[0].change(lambda draft: draft.create("clerk"))
        orders: list[list[str]] = []

        async def write(i: int) -> None:
            for j in range(6):
                await directories[i].change(granting("clerk", f"{i}-{j}"))
                store.lost_replies += (i, j) == (seed % 4, 3)
                if j % 2:
                    await directories[i].change(lambda draft: draft["clerk"].assign_to_users([f"u{i}"], by=BOB))

        results = await asyncio.gather(*map(write, range(4)), return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), rolecore.StoreError}
        for directory in directories:
            await directory.catch_up()
        for directory in directories:
            assert all_facts(directory) == all_facts(directories[0])
        seen = [event async for _, events in RoleLog(store, "").read(START) for event in events]
        assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
        granted = [event.permission for event in seen if isinstance(event, role_events.RolePermissionGranted)]
        assert len(set(granted)) == len(granted)
        for i, result in enumerate(results):
            orders.append([permission for permission in granted if permission.startswith(f"{i}-")])
            assert orders[i] == [f"{i}-{j}" for j in range(len(orders[i]))]
            assert len(orders[i]) == 6 or result is not None

    run(test, seed=seed)


def test_agents_are_the_process_own() -> None:
    class Echo(rolecore.AIAgent):
        async def ainvoke(self, input: str | dict[str, Any], context: Iterable[dict[str, Any]] = ()) -> str:  # noqa: A002, ARG002
            return "echo"

    async def test(store: Store) -> None:
        echo = Echo()
        roles = rolecore.RoleDirectory(store, agents={"clerk": echo})
        await roles.change(lambda draft: [draft.create(name) for name in ("clerk", "boss")])
        assert roles["clerk"].agent is echo
        assert roles["boss"].agent is None
        roles["boss"].agent = echo
        await roles.change(granting("boss", "read"))
        assert roles["boss"].agent is echo

    run(test)


def test_permission_in_a_session_ends_by_the_directorys_clock() -> None:
    clock = Clock()

    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store, clock=clock)
        await roles.change(lambda draft: draft.create("clerk"))
        await roles.change(lambda d: d["clerk"].grant_for_session("pay", session_id="s", seconds=5, by=ANN))
        assert roles["clerk"].allows("pay", session="s")
        clock.now += 5
        assert not roles["clerk"].allows("pay", session="s")

    run(test)


def test_role_of_a_directory_refuses_changes_that_would_be_in_no_log() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        leaked: list[Any] = []

        def decide(draft: RoleDraft) -> None:
            leaked.extend([draft, draft.create("clerk")])

        await roles.change(decide)
        for role in (roles["clerk"], leaked[1]):
            with pytest.raises(rolecore.ArgumentError, match=r"change it inside RoleDirectory\.change"):
                role.grant_permission("read", by=BOB)
            with pytest.raises(rolecore.ArgumentError, match="whose log has its events"):
                role.take_events()
        with pytest.raises(rolecore.ArgumentError, match="the change is over"):
            leaked[0].create("boss")
        with pytest.raises(rolecore.ArgumentError, match="the change is over"):
            leaked[0]["clerk"]
        assert roles["clerk"].version == 1

    run(test)


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    ("decide", "error", "match"),
    [
        (lambda draft: draft["boss"], rolecore.RoleNotFound, "there is no role 'boss'"),
        (lambda draft: draft[LONG], rolecore.RoleNotFound, "there is no role 'xxx"),
        (lambda draft: draft.create("clerk"), rolecore.ArgumentError, "there is a role 'clerk' already"),
        (lambda draft: draft.create(""), rolecore.ArgumentError, "name has 0 characters"),
        (lambda draft: draft.create(LONG), rolecore.ArgumentError, "name has 1000000 characters"),
        (lambda draft: draft.create("boss", agent=None), rolecore.ArgumentError, "agent is not for the log"),
        (
            lambda draft: draft["clerk"].inherit_from(rolecore.Role("boss"), by=BOB),
            rolecore.ArgumentError,
            "from where this role is from",
        ),
        (
            lambda draft: [draft["clerk"].grant_permission(f"p{i}", by=BOB) for i in range(MAX_EVENTS + 1)],
            rolecore.ArgumentError,
            "the change has 1001 events, it may have 1000",
        ),
    ],
)
def test_change_that_cannot_be_is_refused(decide: Callable[[RoleDraft], Any], error: Any, match: str) -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)
        await roles.change(lambda draft: draft.create("clerk"))
        with pytest.raises(error, match=match) as caught:
            await roles.change(decide)
        assert len(str(caught.value)) < 400
        assert roles.position == 1

    run(test)


def test_async_function_is_refused() -> None:
    async def decide(draft: RoleDraft) -> None:
        draft.create("clerk")

    not_decided: Any = decide

    async def test(store: Store) -> None:
        with pytest.raises(rolecore.ArgumentError, match="decide is async"):
            await rolecore.RoleDirectory(store).change(not_decided)
        assert await store.list(tenant=TENANT) == []

    run(test)


def test_deadline_ends_the_wait_for_another_change() -> None:
    async def test(store: Store) -> None:
        roles = rolecore.RoleDirectory(store)

        async def slow(session_id: str, *, tenant: str = "") -> rolecore.SessionRecord:
            await asyncio.sleep(3600)
            return await Store.load(store, session_id, tenant=tenant)

        store.load = slow  # type: ignore[method-assign]
        first = asyncio.create_task(roles.change(lambda draft: draft.create("clerk")))
        await asyncio.sleep(1)
        with rolecore.deadline(5), pytest.raises(rolecore.DeadlineExceeded, match="change of roles"):
            await roles.change(lambda draft: draft.create("boss"))
        await first

    run(test)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"poll_s": 0}, "poll_s is 0"),
        ({"agents": {"clerk": "gpt"}}, "agent is of type str"),
        ({"poll_s": float("nan")}, "poll_s is nan"),
        ({"tenant": LONG}, "tenant is 1000000 bytes"),
        ({"tenant": "\0"}, "tenant holds NUL"),
    ],
)
def test_directory_of_bad_arguments_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=match):
        rolecore.RoleDirectory(MemoryStore(), **options)
