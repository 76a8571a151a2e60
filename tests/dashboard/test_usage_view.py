"""What a run uses, as the page shows it."""

from __future__ import annotations

import pytest

from tests.core.test_advice import FLEX, run, usage
from tune_jobs.dashboard.usage_view import POINTS, usage_view

LIMITS = {"cores": 4.0, "memory_limit": 16.0}


def test_curves_are_shares_of_what_the_run_might_use() -> None:
    lines = [
        LIMITS,
        {"at": 15.0, "cpu": 30.0, "peak": 4.0},
        {"at": 30.0, "cpu": 90.0, "peak": 8.0},
    ]
    view = usage_view(run(0, FLEX, None), lines)
    assert view["curves"] == {
        "CPU": [(15.0, 0.5), (30.0, 1.0)],
        "memory": [(15.0, 0.25), (30.0, 0.5)],
    }
    assert view["summary"].startswith("CPU 75% of 4 cores")


def test_a_run_that_has_ended_has_its_summary() -> None:
    view = usage_view(run(0, FLEX, usage(8, 2.0, 3, 64)), [])
    assert view["summary"] == "CPU 25% of 8 cores, memory 3 of 64 GB"
    assert view["curves"] == {}
    assert usage_view(run(0, FLEX, None), [])["summary"] == ""


def test_long_curves_are_thinned_and_keep_their_peaks() -> None:
    lines = [{"at": float(n), "gpu": 0.9 if n == 777 else 0.1} for n in range(1, 2000)]
    points = usage_view(run(0, FLEX, None), lines)["curves"]["GPU"]
    assert len(points) <= POINTS
    assert max(share for _, share in points) == 0.9


@pytest.mark.parametrize(
    "lines",
    [
        [LIMITS, {"at": 0.0, "cpu": 5.0}, {"at": 0.0, "cpu": 1.0}, {"cpu": 3.0}],
        [{"cores": 0.0}, {"at": 1.0, "cpu": 1e18}, {"at": 2.0, "cpu": 0.0}],
    ],
)
def test_odd_samples(lines: list[dict[str, float]]) -> None:
    for points in usage_view(run(0, FLEX, None), lines)["curves"].values():
        assert all(0.0 <= share <= 1.0 for _, share in points)
