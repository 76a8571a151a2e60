"""Comparisons in a real browser, as a person makes them.

Screenshots are written to ``build/screenshots``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests.conftest import MakeTuner
from tests.dashboard.comparing import add_trials
from tests.dashboard.conftest import HOSTILE
from tests.dashboard_browser import (
    CHROMIUM,
    browser,
    check_accessible,
    check_width,
    serving,
    wait_for_figures,
)
from tune_jobs.dashboard.server import serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

LONG = "a-name-that-goes-on-and-on-" * 12


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve two storages with studies of last week, of today, and others."""
    old, new = f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"
    for seed in range(3):
        add_trials(old, f"last-week-seed-{seed}", center=0.80, seed=seed, cost=2.0)
        add_trials(new, f"today-seed-{seed}", center=0.86, seed=10 + seed, cost=1.0)
    add_trials(new, LONG, center=0.5, seed=3, n_trials=30)
    add_trials(new, HOSTILE, center=0.6, seed=4, n_trials=30)
    for number in range(12):
        add_trials(new, f"other {number}", center=0.3 + number / 50, seed=number, n_trials=15)
    with serving(old, new) as (_, url):
        yield url


def test_is_today_better_than_last_week(address: str, tmp_path: Path) -> None:
    """Find the studies, read the verdict, look at cost, reload, and compare everything."""
    with browser(color_scheme="dark") as here:
        page = here.page
        page.goto(f"{address}#/compare")
        page.get_by_text("Select the studies above").wait_for()
        check_accessible(here)
        check_width(here)
        here.screenshot("compare-nothing")
        page.get_by_label("Search").fill("-seed-")
        page.get_by_role("button", name="Select all 6 found").click()
        page.get_by_label("Groups of seeds").select_option("name")
        verdict = page.locator("#statement.better")
        verdict.wait_for()
        assert verdict.inner_text().startswith("'today' is better than 'last-week' by 0.0")
        assert "over 3 and 3 studies" in verdict.inner_text()
        page.locator(".chooser summary").click()
        page.get_by_label("Best value against").select_option("money")
        wait_for_figures(here, 4)
        check_accessible(here)
        check_width(here)
        here.screenshot("compare-groups-dark")
        page.reload()
        verdict.wait_for()
        assert page.get_by_label("Best value against").input_value() == "money"
        page.go_back()
        page.wait_for_function("document.getElementById('choose-x')?.value === 'trials'")
        assert here.problems == []


def test_many_studies_and_one_that_goes_on(address: str, tmp_path: Path) -> None:
    """Compare more studies than there are colors, in a narrow window, while trials are added."""
    with browser() as here:
        page = here.page
        page.goto(f"{address}#/compare")
        page.get_by_role("button", name="Select all 20 found").click()
        page.locator("#statement").wait_for()
        wait_for_figures(here, 4)
        assert page.locator("table.compared tbody tr").count() == 20
        page.locator(".chooser summary").click()
        check_accessible(here)
        check_width(here)
        here.screenshot("compare-many")
        study = optuna.load_study(study_name="other 3", storage=f"sqlite:///{tmp_path}/new.db")
        study.add_trial(optuna.trial.create_trial(value=2.0))
        page.get_by_text("'other 3' is ahead of").wait_for()
        page.set_viewport_size({"width": 390, "height": 800})
        check_accessible(here)
        check_width(here)
        here.screenshot("compare-narrow")
        assert here.problems == []


def test_what_differs_between_trials(make_tuner: MakeTuner, tmp_path: Path) -> None:
    """Go from a trial to its comparison with the best, and look at curves, command and logs."""
    tuner = make_tuner(
        'echo "common"; for step in 1 2 3; do echo "step=$step value=$x"; done', step="step"
    )
    tuner.optimize(n_trials=3)
    other = min(t.number for t in tuner.study.trials if t.number != tuner.study.best_trial.number)
    server, url = serve([f"sqlite:///{tmp_path}/s.db"], port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with server, browser() as here:
        page = here.page
        page.goto(f"{url}#/study/s0-1/trial/{other}")
        page.get_by_role("link", name="compare curves, commands and logs").click()
        page.get_by_role("heading", name="What differs").wait_for()
        page.locator(".diff.words ins").first.wait_for()
        page.get_by_label("Curves against").select_option("seconds")
        wait_for_figures(here, 1)
        page.get_by_role("button", name="Compare the logs").click()
        page.locator(".diff.lines .added").first.wait_for()
        assert "common" in page.locator(".diff.lines").inner_text()
        check_accessible(here)
        check_width(here)
        here.screenshot("compare-trials")
        page.set_viewport_size({"width": 390, "height": 800})
        check_accessible(here)
        check_width(here)
        here.screenshot("compare-trials-narrow")
        assert here.problems == []
        server.shutdown()
