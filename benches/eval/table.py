"""A figure of ours with what stands beside it, and the table that they print."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Figure:
    """One measure of one kind of window, a value a budget, and the same of the baselines."""

    name: str
    values: list[float]
    n: int
    beside: dict[str, list[float]] = field(default_factory=dict)


def heading(title: str, shares: Sequence[float]) -> str:
    """Return the lines above a table."""
    columns = " ".join(f"{100 * share:5.0f}" for share in shares)
    return f"\n{title}\n{'':40}{columns}   per cent of the tokens"


def row(figure: Figure, verdict: str = "") -> str:
    """Return one line: ours, how many were asked, the baselines, the bar."""
    beside = "".join(f"   {name} {numbers(values)}" for name, values in figure.beside.items())
    ours = numbers(figure.values, at_least=4)
    return f"  {figure.name:38}{ours}   n={figure.n:<6}{beside}{verdict}"


def markdown(title: str, figures: Sequence[Figure]) -> str:
    """Return the table as Markdown, for docs/retention.md."""
    peers = next((list(figure.beside) for figure in figures if figure.beside), [])
    lines = [f"| {title} | n | ours | {' | '.join(peers)} |", "|---" * (3 + len(peers)) + "|"]
    for figure in figures:
        cells = [figure.values, *(figure.beside.get(peer, []) for peer in peers)]
        lines.append(
            f"| {figure.name} | {figure.n:,} | " + " | ".join(" / ".join(f"{v:.1f}" for v in c) for c in cells) + " |"
        )
    return "\n".join(lines)


def numbers(values: Sequence[float], *, at_least: int = 0) -> str:
    """Return values in columns."""
    columns = [f"{value:5.1f}" for value in values]
    return " ".join(columns + ["     "] * (at_least - len(columns)))


def mean(rows: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of each column."""
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]
