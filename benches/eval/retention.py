"""Gates what windows keep of the evidence: at least 1.5 times what newest-first keeps, at every budget.

    python benches/eval/retention.py EVAL

EVAL is a folder with the evaluation data and its scorer, score_retention.py, which is not part of this project. A
conversation is cut to 40, 20, 10 and 5 % of its tokens, by message. Without a query only chats are judged: on meetings
fact density by message keeps no more than chance. Exit status 1 when a figure is below the bar.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

BAR = 1.5
CHATS = ("locomo_dev.json", "memorybank_zh_dev.json")
MEETINGS = ("vcsum_dev.json", "qmsum_dev.json")


def evidence(eval_folder: Path, name: str) -> dict[str, list[float]]:
    """Evidence kept in per cent at the four budgets: of windows without and with a query, and of newest-first."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        scorer = [sys.executable, str(eval_folder / "score_retention.py"), str(eval_folder / name)]
        subprocess.run([*scorer, "--baselines", "--json", out.name], check=True, stdout=subprocess.DEVNULL)
        scores = json.loads(Path(out.name).read_text(encoding="utf-8"))
    return {row: scores[f"{row}.ev"] for row in ("agnostic", "query", "newest")}


def main() -> int:
    """Print a row a file and mode; return the exit status."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    below = 0
    for name in CHATS + MEETINGS:
        kept = evidence(Path(sys.argv[1]), name)
        for row in ("agnostic", "query"):
            is_judged = row == "query" or name in CHATS
            fails = is_judged and any(
                ours < BAR * newest for ours, newest in zip(kept[row], kept["newest"], strict=True)
            )
            below += fails
            figures, newest = (" / ".join(f"{value:5.1f}" for value in kept[key]) for key in (row, "newest"))
            verdict = "BELOW" if fails else "ok" if is_judged else "not judged"
            print(f"{name:24} {row:9} {figures}   newest-first {newest}   {verdict}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
