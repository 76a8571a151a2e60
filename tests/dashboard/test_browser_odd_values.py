"""Unusual values in a real browser: extreme numbers, long integers, names that JavaScript knows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import create_trial

from tests.dashboard_browser import CHROMIUM, browser, wait_for_figures
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

VALUES = (math.inf, -math.inf, 1.0, 2.0, 1e308, -1e308, 5e-324, 0.0, 123456789012345678.0)
LONG = 10**15


@pytest.fixture
def extreme(tmp_path: Path) -> optuna.Study:
    """Return a study with extreme values, long integers and odd names."""
    study = optuna.create_study(study_name="extreme", storage=f"sqlite:///{tmp_path}/s.db")
    spaces: dict[str, BaseDistribution] = {
        "n": IntDistribution(0, 2**53),
        "__proto__": FloatDistribution(0.0, 1.0),
        "constructor": FloatDistribution(-1.7e308, 1.7e308),
    }
    for i, value in enumerate(VALUES):
        params = {"n": LONG + i, "__proto__": i / 10, "constructor": 1e308 * (i % 2 or -1)}
        study.add_trial(
            create_trial(
                params=params,
                distributions=spaces,
                value=value,
                intermediate_values={0: value, 1: math.nan, 10**9: 1.0},
            )
        )
    return study


def test_page(extreme: optuna.Study, tmp_path: Path, served: Callable[..., str]) -> None:
    with browser() as here:
        here.page.goto(served(f"{tmp_path}/s.db"))
        here.page.get_by_role("link", name="extreme", exact=True).click()
        wait_for_figures(here, 4)
        here.page.locator("summary", has_text="More figures").click()
        wait_for_figures(here, 8)
        cells = here.page.locator(".rows td.number")
        found = cells.evaluate_all(
            "nodes => nodes.map((n) => [n.textContent, n.scrollWidth > n.clientWidth])"
        )
        texts = {text for text, _ in found}
        assert {str(LONG + i) for i in range(len(VALUES))} <= texts
        assert {"1 @ 1000000000", "1.23457e17", "1e308", "5e-324"} <= texts
        assert [text for text, is_cut in found if is_cut] == []
        labels = here.page.locator(".ytick text").all_text_contents()
        assert {"__proto__", "constructor", "n"} <= set(labels)
        here.screenshot("odd-values")
        assert here.problems == []


def test_report(extreme: optuna.Study, tmp_path: Path) -> None:
    path = write_report([read_study(extreme)], tmp_path / "report.html")
    with browser(offline=True) as here:
        here.page.goto(path.as_uri())
        here.page.wait_for_selector("html[data-state=ready]")
        here.screenshot("odd-values-report")
        assert here.problems == []
