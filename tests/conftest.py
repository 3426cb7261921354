"""Hypothesis profiles: random and persistent at a desk, the same examples every time under CI."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import settings

# Printed blobs make any failure repeatable; wall-clock deadlines on shared machines find only neighbours.
settings.register_profile("default", print_blob=True, deadline=None)
settings.register_profile("ci", print_blob=True, deadline=None, derandomize=True, database=None)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
settings.load_profile(PROFILE)


def pytest_report_header() -> str:
    return f"hypothesis profile: {PROFILE}"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries wait no longer than they are asked to; the most they would have waited beyond."""
    from rolecore.adapters import attempts

    waits: list[float] = []

    class Draws(random.Random):
        def uniform(self, a: float, b: float) -> float:
            waits.append(b - a)
            return a

    monkeypatch.setattr(attempts, "_rng", Draws())
    monkeypatch.setenv("NO_PROXY", "*")
    return waits
