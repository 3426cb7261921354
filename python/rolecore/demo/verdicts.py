"""The demo's claims, each judged by what the oracle found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rolecore.demo.replay import KEEP_LAST, Evidence

if TYPE_CHECKING:
    from rolecore.demo.oracle import Findings


@dataclass(frozen=True)
class Verdict:
    """One claim, whether it held, and what was looked at."""

    claim: str
    holds: bool
    check: str


def judge(findings: Findings, found: list[Evidence]) -> list[Verdict]:
    """Return the verdicts on what the oracle found."""
    n = f"{findings.windows:,}"
    verdicts = [
        Verdict(
            f"{findings.over_budget} of {n} windows over budget",
            findings.over_budget == 0,
            "each message counted anew",
        ),
        Verdict(
            f"{findings.miscounted} of {n} windows cost other than they say",
            findings.miscounted == 0,
            "the same recount",
        ),
        Verdict(
            f"{findings.orphaned} orphaned tool calls",
            findings.orphaned == 0,
            "plain scan of every window",
        ),
        Verdict(
            f"every kept message is the caller's own object{', or a repaired copy' if findings.copies else ''}"
            if not findings.not_own
            else f"{findings.not_own} of {findings.messages:,} kept messages are not the caller's own",
            findings.not_own == 0,
            f"{findings.messages:,} compared by identity"
            + (f", {findings.copies:,} are copies without unanswered calls" if findings.copies else ""),
        ),
        Verdict(
            f"{findings.unordered} of {n} windows out of order",
            findings.unordered == 0,
            "indices strictly rising",
        ),
        Verdict(
            f"{findings.left_out} messages missing that must stay",
            findings.left_out == 0,
            "instructions and the newest turn" if KEEP_LAST == 1 else f"instructions and the newest {KEEP_LAST} turns",
        ),
    ]
    for evidence in found:
        ours, newest = evidence.share(evidence.with_query), evidence.share(evidence.newest_first)
        claim = f"evidence kept: {ours:.0%} against {newest:.0%} for newest-first at the same budget"
        plain = evidence.share(evidence.without_query)
        check = f"{evidence.asked} answers, {evidence.budget_tokens:,} tokens; not told the question: {plain:.0%}"
        verdicts.append(Verdict(claim, ours > newest or ours == 1, check))
    if not findings.windows:
        verdicts.append(Verdict("no window to check", holds=False, check="the input holds no answer that fits"))
    return verdicts
