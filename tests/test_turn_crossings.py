"""How often a turn goes into the core."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from turn_parts import EMBEDDER, Agent, Fixed, cache_of, run

import rolecore
from rolecore import ContextBudget, Role, RoleSession, Router, TurnResult, run_turn


@pytest.mark.parametrize("is_talk", [True, False])
@pytest.mark.parametrize("probe", [Fixed(), None])
def test_turn_goes_into_the_core_three_times_and_once_more_where_memory_is_read(
    probe: Fixed | None, *, is_talk: bool
) -> None:
    read = [] if probe is not None else ["read_memory"]
    crossings: list[str] = []
    role = Role("travel", examples=["when does the ferry leave"], agent=Agent(), standalone=not is_talk)
    router, cache = Router([role], embedder=EMBEDDER), cache_of()
    context = ContextBudget(2000, probe=probe, probe_period_s=0)
    session, store = RoleSession("travel"), rolecore.open_store("memory://")

    def note(_frame: Any, event: str, called: Any) -> None:
        owner = getattr(called, "__self__", None)
        home = owner.__name__ if type(owner) is type(sys) else type(owner).__module__
        if event == "c_call" and home in {"rolecore", "rolecore._core"}:
            crossings.append(called.__name__)

    async def turn(text: str) -> TurnResult:
        sys.setprofile(note)
        try:
            return await run_turn(text, session=session, router=router, store=store, cache=cache, context=context)
        finally:
            sys.setprofile(None)

    async def main() -> None:
        async with store:
            for i in range(30):
                await turn(f"When does ferry number {i} to the island of the day leave?")
            crossings.clear()
            if is_talk:
                assert (await turn("And what does it cost to take a dog along?")).cache == "off"
                assert crossings == ["choose", *read, "plan_turn"]
                return
            assert (await turn("And what does it cost to take a dog along?")).cache == "miss"
            assert crossings == ["choose", *read, "plan_turn", "put"]
            crossings.clear()
            assert (await turn("And what does it cost to take a dog along?")).cache == "exact"
            assert crossings == ["choose", *read, "plan_turn"]
            crossings.clear()
            assert (await turn("and what does it cost to take a dog along")).cache == "semantic"
            assert crossings == ["choose", *read, "plan_turn"]

    run(main())
