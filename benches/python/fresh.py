"""What some code costs a fresh interpreter."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass

PROBE = """
import json, re, resource, sys
usage = resource.getrusage(resource.RUSAGE_SELF)
rss_kib = int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
files = {name.split(".")[0]: getattr(module, "__file__", "") or "" for name, module in sys.modules.items()}
top = {name for name, file in files.items() if "site-packages" in file}
print(json.dumps([usage.ru_utime + usage.ru_stime, rss_kib, sorted(top - {"rolecore"})]))
"""


@dataclass(frozen=True)
class Cost:
    """Medians above a bare interpreter, and the third-party modules that it had not loaded."""

    cpu_ms: float
    rss_mib: float
    modules: list[str]


def run(code: str) -> tuple[float, int, list[str]]:
    """CPU seconds, resident KiB and third-party modules of a fresh interpreter that runs `code`."""
    # -S would skip the site hooks that some environments add; -I keeps the caller's environment out.
    out = subprocess.run([sys.executable, "-I", "-c", code + PROBE], capture_output=True, check=True, text=True).stdout
    cpu_seconds, rss_kib, modules = json.loads(out)
    return cpu_seconds, rss_kib, modules


def cost(code: str, *, rounds: int = 15) -> Cost:
    """What `code` costs above `pass`, both run in turns, after one pair of warm-up."""
    pairs = [(run("pass"), run(code)) for _ in range(rounds + 1)][1:]
    return Cost(
        cpu_ms=statistics.median(ours[0] - bare[0] for bare, ours in pairs) * 1000,
        rss_mib=statistics.median(ours[1] - bare[1] for bare, ours in pairs) / 1024,
        modules=[name for name in pairs[0][1][2] if name not in pairs[0][0][2]],
    )
