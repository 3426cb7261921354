"""The bars: figures in per cent that windows must reach on known data, at the budgets of each table.

Data is known by its file's name up to `_dev` or the like. Figures without a bar are printed and judge nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from table import Figure

Bars = dict[str, list[float]]

STREAM: Bars = {"stream prefix": [97.5], "stream evidence of one-shot": [82]}

BARS: dict[str, Bars] = {
    "locomo": {
        "agnostic sentence span": [76, 53, 34, 20],
        "agnostic message evidence": [70, 42, 23, 13],
        "query message evidence": [94, 90, 85, 78],
        **STREAM,
    },
    "vcsum": {
        "agnostic sentence gold": [51, 29, 15, 8],
        "query message evidence": [71, 52, 37, 23],
    },
    "qmsum": {
        "agnostic sentence terms": [68, 43, 22, 11],
        "query message evidence": [56, 44, 36, 26],
        **STREAM,
    },
    "memorybank_zh": {
        "agnostic sentence terms": [60, 36, 18, 9],
        "query message evidence": [90, 88, 80, 62],
    },
    "tau_airline": {
        "needs all sentence": [95, 88, 68, 43],
        "needs far sentence": [95, 88, 65, 35],
        "needs all sentence query gain": [0, 0, 0, 0],
        "needs far sentence query gain": [0, 0, 0, 0],
    },
}


def of(stem: str) -> Bars:
    """Return the bars for a file of that name."""
    return next((bars for name, bars in BARS.items() if stem == name or stem.startswith(f"{name}_")), {})


def reaches(figure: Figure, bar: Sequence[float]) -> bool:
    """Whether every value reaches its bar, as it is printed."""
    return all(round(value, 1) >= least for value, least in zip(figure.values, bar, strict=True))


def missing(bars: Bars, figures: Iterable[Figure]) -> list[str]:
    """Names of the figures that have a bar and could not be measured."""
    return sorted(set(bars) - {figure.name for figure in figures})
