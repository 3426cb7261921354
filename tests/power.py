"""What happens to a writer and its disk: power cuts, failing calls, being killed; and what must be there after it."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import disk_faults
import disk_trace
import store_talk

TALK = store_talk.__file__


@dataclass
class Outcome:
    """What was found.

    Attributes:
        images: power cuts that were looked at.
        acknowledged: turns that had been acknowledged at the end, in all runs.
        images_with_loss: those in which an acknowledged turn is gone.
        most_lost: acknowledged turns that are gone, in the worst of them.
        failures: calls that raised StoreError, as syncs failed.
        damage: whatever else is wrong.
    """

    images: int = 0
    acknowledged: int = 0
    images_with_loss: int = 0
    most_lost: int = 0
    failures: int = 0
    damage: list[str] = field(default_factory=list)


def cut_power(
    durability: str, seed: int, outcome: Outcome, *, sessions: int, batches: int, faults: int = 0, every: int = 1
) -> None:
    """Run a writer once, and look at what every so many-th of its syncs leaves, also torn.

    With `faults`, up to so many syncs in a row fail now and then, and with them is gone what they were to write.
    """
    with TemporaryDirectory(dir=disk_trace.memory_directory()) as name:
        base = Path(name)
        (base / "store").mkdir()
        shim, trace = disk_trace.build_shim(base), base / "trace"
        url = f"sqlite:///{base}/store/store.db"
        command = [sys.executable, TALK, url, durability, *map(str, (seed, sessions, batches, faults))]
        run = subprocess.run(
            command, env=disk_trace.environment(shim, base / "store", trace), check=True, capture_output=True
        )
        examine_moments(trace, seed, outcome, every=every)
        outcome.failures += run.stdout.count(b"failed")
        outcome.acknowledged += sum(store_talk.acknowledged(run.stdout)[0].values())


def examine_moments(trace: Path, seed: int, outcome: Outcome, *, every: int = 1) -> None:
    """Look at the power cuts of a trace."""
    dice = random.Random(seed)  # noqa: S311  repeatable
    image = trace.with_name("image")
    for at, disk in enumerate(disk_trace.moments(trace)):
        if at % every:
            continue
        for tear in (None, dice):
            image.mkdir()
            disk.leave(image, tear)
            verdict = store_talk.examine(image / "store.db", disk.said)
            shutil.rmtree(image)
            outcome.images += 1
            outcome.images_with_loss += verdict.n_lost > 0
            outcome.most_lost = max(outcome.most_lost, verdict.n_lost)
            kind = "least" if tear is None else "torn"
            outcome.damage += [f"seed {seed}, moment {at}, {kind}: {text}" for text in verdict.damage]


def let_fail(fault: disk_faults.Fault, directory: Path, *, every: int) -> tuple[int, int]:
    """Let the n-th call fail for every so many-th n, and return how many places and failed calls there were."""
    (directory / "store").mkdir()
    shim = disk_trace.build_shim(directory)
    command = [sys.executable, disk_faults.__file__, str(directory / "store"), *map(str, map(int, fault)), str(every)]
    watched = disk_trace.environment(shim, directory / "store", None)
    run = subprocess.run(command, env=watched, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    n_places, n_failed = map(int, run.stdout.split())
    return n_places, n_failed


def kill_writer(path: Path, durability: str, dice: random.Random) -> int:
    """Kill a writer when it has said so much, check what it leaves, and return how much was acknowledged."""
    url = f"sqlite:///{path}"
    command = [sys.executable, TALK, url, durability, str(dice.randrange(1000)), "20", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = _lines(process.stdout, dice.randrange(1, 400))
        process.kill()
        # What it had said by then; the last line may be cut off.
        said += process.stdout.read()
    said = said[: said.rfind(b"\n") + 1]
    verdict = store_talk.examine(path, said)
    assert verdict == (0, []), verdict
    asyncio.run(store_talk.load_all(url, said))
    return sum(store_talk.acknowledged(said)[0].values())


def _lines(stream: IO[bytes], n: int) -> bytes:
    return b"".join(stream.readline() for _ in range(n))
