"""A process that changes roles, or hears of their changes, in a store.

`python role_process.py write URL TENANT NAME N` makes N changes: grants the role "clerk" NAME-0a and
NAME-0b, NAME-1a and NAME-1b, and so on.
`python role_process.py hear URL TENANT FILE N DIES_AT` notes the sequence of each event it is handed, until that of N;
right after it has noted that of DIES_AT, if there is such, it is killed, so that the store cannot learn of it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import rolecore

if TYPE_CHECKING:
    from collections.abc import Callable

    from rolecore.roles.directory import RoleDraft
    from rolecore.roles.events import RoleEvent

BOSS = rolecore.Principal("boss", is_admin=True)


async def write(url: str, tenant: str, name: str, n: str) -> None:
    def grant(i: int) -> Callable[[RoleDraft], None]:
        def decide(draft: RoleDraft) -> None:
            role = draft["clerk"] if "clerk" in draft else draft.create("clerk", by=BOSS)
            for half in "ab":
                role.grant_permission(f"{name}-{i}{half}", by=BOSS)

        return decide

    async with rolecore.open_store(url) as store, rolecore.RoleDirectory(store, tenant=tenant) as roles:
        for i in range(int(n)):
            await roles.change(grant(i))


async def hear(url: str, tenant: str, path: str, n: str, dies_at: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    is_done = asyncio.Event()

    def handle(event: RoleEvent) -> None:
        os.write(file, f"{event.sequence}\n".encode())
        if event.sequence == int(dies_at):
            os.kill(os.getpid(), signal.SIGKILL)
        if event.sequence == int(n):
            is_done.set()

    async with (
        rolecore.open_store(url) as store,
        rolecore.RoleDirectory(store, tenant=tenant, poll_s=0.01) as roles,
    ):
        roles.subscribe("audit", handle)
        await is_done.wait()


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[2:]) if sys.argv[1] == "write" else hear(*sys.argv[2:]))
