"""The retain ratio against a slow oracle in fractions, and the controller under every kind of reading."""

from __future__ import annotations

import inspect
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rolecore

LIMIT = Fraction(85, 100)
MARGIN = 0.05
AMOUNTS = st.floats(min_value=0, max_value=1e9)
USAGES = st.floats(min_value=0, max_value=1.3)
SLOPES = st.sampled_from([0.5, 50.0])


def slow_ratio(used: float, total: float, slope: float) -> Fraction:
    """Compute the rule with nothing rounded."""
    usage = Fraction(used) / Fraction(total)
    if usage > LIMIT:
        return Fraction(4, 10)
    return min(Fraction(9, 10), Fraction(4, 10) + (LIMIT - usage) * Fraction(slope))


def count_changes(ratios: list[float]) -> int:
    """Count the readings at which the ratio moved."""
    return sum(before != after for before, after in pairwise(ratios))


@pytest.mark.parametrize(
    ("used", "slope", "expected"),
    [
        (0, 0.5, 0.825),
        (50, 0.5, 0.575),
        (85, 0.5, 0.4),
        (86, 0.5, 0.4),
        (300, 0.5, 0.4),
        (0, 1.0, 0.9),
        (84, 50, 0.9),
        (84.5, 50, 0.65),
        (85, 50, 0.4),
        (50, 0, 0.4),
    ],
)
def test_retain_ratio_at_known_usage_gives_table_value(used: float, slope: float, expected: float) -> None:
    assert rolecore.compute_retain_ratio(used, 100, slope=slope) == pytest.approx(expected, abs=1e-12)


@given(used=AMOUNTS, total=st.floats(min_value=1e-3, max_value=1e9), slope=st.floats(min_value=0, max_value=100))
def test_retain_ratio_on_any_amounts_equals_slow_oracle(used: float, total: float, slope: float) -> None:
    ratio = rolecore.compute_retain_ratio(used, total, slope=slope)
    assert 0.4 <= ratio <= 0.9
    assert ratio == pytest.approx(float(slow_ratio(used, total, slope)), abs=1e-9)


@given(
    a=AMOUNTS, b=AMOUNTS, total=st.floats(min_value=1e-3, max_value=1e9), slope=st.floats(min_value=0, max_value=100)
)
def test_retain_ratio_at_higher_usage_is_no_higher(a: float, b: float, total: float, slope: float) -> None:
    high = rolecore.compute_retain_ratio(min(a, b), total, slope=slope)
    assert rolecore.compute_retain_ratio(max(a, b), total, slope=slope) <= high


BAD_CALLS: list[tuple[Any, Any, Any, str]] = [
    (float("nan"), 1, 0.5, "used_mem_gb is NaN"),
    (-1, 1, 0.5, "used_mem_gb is -1, it must be a finite number, 0 or more"),
    (float("inf"), 1, 0.5, "used_mem_gb is inf"),
    (1, 0, 0.5, "total_mem_gb is 0, it must be above 0"),
    (1, -0.5, 0.5, "total_mem_gb is -0.5"),
    ("1", 2, 0.5, "used_mem_gb is of type str"),
    (1, "2", 0.5, "total_mem_gb is of type str"),
    (1, b"2", 0.5, "total_mem_gb is of type bytes"),
    (None, 2, 0.5, "used_mem_gb is of type NoneType"),
    (1, 10**400, 0.5, "total_mem_gb is too large"),
    (1, 2, "0.5", "slope is of type str"),
    (1, 2, -1, "slope is -1"),
    (1, 2, float("nan"), "slope is NaN"),
]


@pytest.mark.parametrize(("used", "total", "slope", "message"), BAD_CALLS)
def test_retain_ratio_of_bad_argument_raises_naming_it(used: Any, total: Any, slope: Any, message: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=f"^{message}"):
        rolecore.compute_retain_ratio(used, total, slope=slope)


def test_retain_ratio_slope_given_by_position_raises() -> None:
    with pytest.raises(TypeError):
        rolecore.compute_retain_ratio(1, 2, 0.5)  # type: ignore[call-arg]


def test_retain_ratio_signature_shows_default_slope() -> None:
    assert str(inspect.signature(rolecore.compute_retain_ratio)) == "(used_mem_gb, total_mem_gb, *, slope=0.5)"


def test_controller_before_first_reading_has_no_ratio() -> None:
    assert rolecore.RetainController().ratio is None


def test_controller_after_reading_shows_its_ratio() -> None:
    controller = rolecore.RetainController()
    assert controller.ratio is None
    assert controller.update(1 << 30, 2 << 30) == controller.ratio == rolecore.compute_retain_ratio(1, 2)
    assert repr(controller) == "<RetainController slope=0.5 margin=0.05 max_rise=0.1 ratio=0.575>"


def test_controller_on_pressure_and_relief_falls_at_once_and_rises_in_steps() -> None:
    controller = rolecore.RetainController(max_rise=0.1)
    ratios = [controller.update(used, 100) for used in (20, 90, 83, 81, 30, 30, 30, 30)]
    assert ratios == pytest.approx([0.725, 0.4, 0.4, 0.4, 0.5, 0.6, 0.675, 0.675])


@given(before=st.lists(USAGES), a=USAGES, b=USAGES, slope=SLOPES)
def test_controller_in_any_state_is_bounded_and_monotone(before: list[float], a: float, b: float, slope: float) -> None:
    low, high = rolecore.RetainController(slope=slope), rolecore.RetainController(slope=slope)
    for usage in before:
        assert low.update(usage, 1) == high.update(usage, 1)
        assert low.ratio is not None
        assert 0.4 <= low.ratio <= 0.9
    assert low.update(min(a, b), 1) >= high.update(max(a, b), 1)


@given(before=st.lists(USAGES), usage=st.floats(min_value=0.8501, max_value=10), slope=SLOPES)
def test_controller_above_limit_gives_lowest_ratio_at_once(before: list[float], usage: float, slope: float) -> None:
    controller = rolecore.RetainController(slope=slope)
    for reading in before:
        controller.update(reading, 1)
    assert controller.update(usage, 1) == 0.4


@given(readings=st.lists(st.floats(min_value=0.83, max_value=0.87), min_size=1), slope=SLOPES)
def test_controller_under_swing_around_limit_changes_at_most_once(readings: list[float], slope: float) -> None:
    controller = rolecore.RetainController(slope=slope)
    assert count_changes([controller.update(usage, 1) for usage in readings]) <= 1


@given(
    centre=st.floats(min_value=0.1, max_value=0.7),
    swing=st.lists(st.floats(min_value=-MARGIN / 2, max_value=MARGIN / 2), min_size=1),
    slope=SLOPES,
)
def test_controller_under_swing_anywhere_stays_the_same(centre: float, swing: list[float], slope: float) -> None:
    controller = rolecore.RetainController(slope=slope, margin=MARGIN + 1e-9)
    assert count_changes([controller.update(centre + offset, 1) for offset in swing]) == 0


@given(before=st.lists(USAGES), usage=st.floats(min_value=0, max_value=0.79))
def test_controller_under_steady_usage_settles_within_a_margin(before: list[float], usage: float) -> None:
    controller = rolecore.RetainController()
    for reading in before:
        controller.update(reading, 1)
    settled = [controller.update(usage, 1) for _ in range(10)][-1]
    assert settled == pytest.approx(rolecore.compute_retain_ratio(usage, 1), abs=0.5 * MARGIN + 1e-9)


@given(readings=st.lists(USAGES), slope=SLOPES)
def test_controller_without_margin_and_with_full_rise_equals_formula(readings: list[float], slope: float) -> None:
    controller = rolecore.RetainController(slope=slope, margin=0, max_rise=1)
    for usage in readings:
        assert controller.update(usage, 1) == rolecore.compute_retain_ratio(usage, 1, slope=slope)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"slope": -1}, "slope is -1"),
        ({"slope": "1"}, "slope is of type str"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"margin": 0.85}, "margin is 0.85"),
        ({"margin": float("nan")}, "margin is NaN"),
        ({"max_rise": 0}, "max_rise is 0, it must be above 0 and at most 1"),
        ({"max_rise": 1.5}, "max_rise is 1.5"),
    ],
)
def test_controller_of_bad_parameter_raises_naming_it(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(rolecore.ArgumentError, match=f"^{message}"):
        rolecore.RetainController(**parameters)


@pytest.mark.parametrize(("used", "limit"), [(float("nan"), 1), (-1, 1), (1, 0), ("1", 2), (1, float("inf"))])
def test_controller_on_bad_reading_raises_and_keeps_its_ratio(used: Any, limit: Any) -> None:
    controller = rolecore.RetainController()
    controller.update(50, 100)
    with pytest.raises(rolecore.ArgumentError, match="_bytes is"):
        controller.update(used, limit)
    assert controller.ratio == pytest.approx(0.575)
