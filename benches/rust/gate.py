"""Counts the instructions of each kernel with callgrind and compares them with instructions.json.

    python benches/rust/gate.py [--record]

Instruction counts repeat on the same binary, so 1 % is a real change, whatever else the machine does. They
compare for one compiler only: with another rustc the figures are printed and nothing is judged. `--record` rewrites the
record. Exit status 1 on more than 1 % above it, and on a kernel that is not in it. Needs valgrind.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RECORD = HERE / "instructions.json"
KERNELS = (
    "fit_1k_density",
    "fit_1k_query",
    "fit_1k_sentences",
    "fit_1k_sentences_query",
    "fit_250_tool_turns",
    "push_100_of_150B",
    "count_15kB",
    "count_chinese_15kB",
    "count_code_15kB",
    "count_hostile_100kB",
    "truncate_400kB",
    "route_1k",
)
LIMIT = 1.01
# Relative to the workspace's root, where cargo and valgrind run.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))


def output(*command: str, env: dict[str, str] | None = None) -> str:
    """Run a command from the workspace's root and return both of its streams."""
    root = HERE.parent.parent
    done = subprocess.run(command, cwd=root, env=env, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode()


def count(kernel: str) -> int:
    """Instructions inside the function named kernel."""
    flags = ("--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=kernels::kernel*")
    # No environment: its size shifts the stack, and with it the seeds of hash tables.
    printed = output("valgrind", *flags, str(TARGET / "release" / "kernels"), kernel, env={"PATH": os.environ["PATH"]})
    found = re.search(r"Collected : (\d+)", printed)
    if found is None:
        sys.exit(f"callgrind collected nothing for {kernel}")
    return int(found[1])


def main() -> int:
    """Print a row a kernel; return the exit status."""
    output("cargo", "build", "--release", "--locked", "-p", "rolecore-kernels")
    rustc = output("rustc", "--version").strip()
    counts = {kernel: count(kernel) for kernel in KERNELS}
    if "--record" in sys.argv:
        RECORD.write_text(json.dumps({"rustc": rustc, **counts}, indent=1) + "\n", encoding="utf-8")
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    worse = 0
    for kernel, instructions in counts.items():
        change = instructions / record[kernel] if kernel in record else math.inf
        beside = f"{change:7.4f} of the record" if kernel in record else "not recorded"
        worse += change > LIMIT
        print(f"{kernel:22} {instructions:12,} instructions  {beside}")
    if record["rustc"] != rustc:
        print(f"recorded with {record['rustc']}, this is {rustc}: not judged")
        return 0
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
