"""Question: what does `import rolecore` cost above a bare interpreter?

CPU of the child process and its resident set, interleaved with `python -c pass`, medians of 15 pairs. The
compiled core is loaded when a name that needs it is first used, the vocabulary by the first History: rows of their own.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

import pytest

MAX_CPU_MS = 20.0
MAX_RSS_MIB = 6.0

PROBE = """
import json, re, resource, sys
usage = resource.getrusage(resource.RUSAGE_SELF)
rss_kib = int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
files = {name.split(".")[0]: getattr(module, "__file__", "") or "" for name, module in sys.modules.items()}
top = {name for name, file in files.items() if "site-packages" in file}
print(json.dumps([usage.ru_utime + usage.ru_stime, rss_kib, sorted(top - {"rolecore"})]))
"""


def run(code: str) -> list[Any]:
    """CPU seconds, resident KiB and third-party modules of a fresh interpreter that runs `code`."""
    # -S would skip the site hooks that some environments add; -I keeps the caller's environment out.
    out = subprocess.run([sys.executable, "-I", "-c", code + PROBE], capture_output=True, check=True, text=True).stdout
    result: list[Any] = json.loads(out)
    return result


@pytest.mark.parametrize("code", ["import rolecore", "import rolecore._core", "import rolecore; rolecore.History()"])
def test_import_cost_above_bare_python(code: str, capsys: Any) -> None:
    pairs = [(run("pass"), run(code)) for _ in range(16)][1:]
    cpu_ms = statistics.median(ours[0] - bare[0] for bare, ours in pairs) * 1000
    rss_mib = statistics.median(ours[1] - bare[1] for bare, ours in pairs) / 1024
    bare_modules, modules = pairs[0][0][2], pairs[0][1][2]
    with capsys.disabled():
        print(f"\n{code}: {cpu_ms:.1f} ms CPU, {rss_mib:.1f} MiB, third-party: {modules}")
    if code == "import rolecore":
        assert cpu_ms <= MAX_CPU_MS
        assert rss_mib <= MAX_RSS_MIB
        assert modules == bare_modules
