"""Question: what does `import rolecore` cost above a bare interpreter?

CPU of the child process and its resident set, interleaved with `python -c pass`, medians of 15 pairs. The
compiled core is loaded when a name that needs it is first used, the vocabulary by the first History: rows of their own.
"""

from __future__ import annotations

from typing import Any

import pytest
from fresh import cost

MAX_CPU_MS = 20.0
MAX_RSS_MIB = 6.0


@pytest.mark.parametrize("code", ["import rolecore", "import rolecore._core", "import rolecore; rolecore.History()"])
def test_import_cost_above_bare_python(code: str, capsys: Any) -> None:
    found = cost(code)
    with capsys.disabled():
        print(f"\n{code}: {found.cpu_ms:.1f} ms CPU, {found.rss_mib:.1f} MiB, third-party: {found.modules}")
    if code == "import rolecore":
        assert found.cpu_ms <= MAX_CPU_MS
        assert found.rss_mib <= MAX_RSS_MIB
        assert not found.modules
