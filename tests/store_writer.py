"""A process that appends numbered turns and notes each that was acknowledged: `python store_writer.py URL FILE FIRST`.

Eight tasks write to a session each and to one they share, without a pause, until the process is killed. A turn whose
append raises is noted as such and never sent again by this process: a session that has one twice was made so by the
store.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

import rolecore

N_TASKS = 8
SHARED = "shared"


def own(task: int) -> str:
    return f"own-{task}"


async def write(url: str, notes: int, first: int) -> None:
    async with rolecore.open_store(url) as store:

        async def task(name: int) -> None:
            for number in itertools.count(first):
                session_id = SHARED if number % 2 else own(name)
                try:
                    await store.append(session_id, [{"task": name, "number": number}])
                    outcome = "done"
                except (rolecore.StoreError, rolecore.DeadlineExceeded):
                    outcome = "unknown"
                os.write(notes, f"{outcome} {session_id} {name} {number}\n".encode())

        await asyncio.gather(*map(task, range(N_TASKS)))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND), int(sys.argv[3])))
