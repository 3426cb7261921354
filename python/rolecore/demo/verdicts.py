"""The demo's claims, each judged by what the oracle found."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rolecore.demo.replay import KEEP_LAST, Evidence
from rolecore.demo.turns import MAX_FAILURES, REQUESTS_PER_MINUTE, USAGES

if TYPE_CHECKING:
    from rolecore.demo.oracle import Findings
    from rolecore.demo.turns import TurnFacts

_SLACK_S = 0.5  # for a machine that is busy elsewhere
_SHORT = 0.7  # of the tokens with memory to spare: a request has less while it is short


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


def judge_turns(facts: TurnFacts) -> list[Verdict]:
    """Return the verdicts on the turns with a model server, by what was seen from outside."""
    right = sum(meant == asked for meant, asked in facts.routed)
    again, cached, sent = facts.cached
    given_s, took_s = facts.hung
    failed, held, healed = facts.broken
    asked, allowed = facts.limited
    told, kept, others = facts.kept
    before, short, *after = facts.pressed if len(facts.pressed) == len(USAGES) else [0] * len(USAGES)
    is_back = abs(after[-1] - before) < before / 100
    rises = [later - earlier for earlier, later in pairwise([short, *after])]
    return [
        Verdict(
            f"{right} of {len(facts.routed)} questions, English and Chinese, went to the role they are for",
            right == len(facts.routed),
            "the model that the server was asked for",
        ),
        Verdict(
            f"{cached} of {again} questions asked again in new sessions were answered by the cache",
            cached == again and sent == 0,
            f"{sent} requests reached the server",
        ),
        Verdict(
            f"a role that hangs was given {given_s * 1e3:,.0f} ms and waited for {took_s * 1e3:,.0f} ms",
            took_s < given_s + _SLACK_S,
            "DeadlineExceeded, by the clock outside",
        ),
        Verdict(
            f"a breaker opened after {failed} failures, let nothing through, and closed once the role was mended",
            (failed, held, healed) == (MAX_FAILURES, 0, 2),
            f"{failed}, {held} and {healed} requests reached its model",
        ),
        Verdict(
            f"a limit of {REQUESTS_PER_MINUTE} requests a minute let {allowed} of {asked} through",
            allowed == REQUESTS_PER_MINUTE < asked,
            "requests that reached its model",
        ),
        Verdict(
            "a user who is no member of a role was refused",
            facts.denied == 0,
            "no PolicyDenied" if facts.denied is None else f"PolicyDenied; {facts.denied} requests reached the server",
        ),
        Verdict(
            f"memory ran short: {before:,} tokens a request, then {short:,}, and back to {after[-1]:,} in steps",
            short < before * _SHORT and min(rises) > -before / 100 and max(rises) < before - short and is_back,
            f"{len(facts.pressed)} requests, as the server got them, counted anew",
        ),
        Verdict(
            f"{kept:,} of {told:,} acknowledged messages kept, and {others} others",
            kept == told and not others,
            "the store's file, opened anew, message by message",
        ),
        Verdict(
            f"{facts.traced} trace records of {facts.turns} turns",
            facts.traced == facts.turns,
            "a subscriber counted",
        ),
    ]
