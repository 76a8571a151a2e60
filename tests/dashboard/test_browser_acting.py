"""Act from the page in a real browser, while a study runs.

Screenshots are written to ``build/screenshots``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.conftest import MakeTuner
from tests.dashboard.test_acting import SPACE, wait_until
from tests.dashboard_browser import CHROMIUM, Browser, browser, check_accessible, check_width
from tune_jobs.tuner import Tuner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

# Each trial ends as soon as a file of its name exists.
BODY = """\
echo "value=$x"
until [ -e "$here/go" ]; do sleep 0.02; done
"""


def show(here: Browser, name: str) -> None:
    """Check the page and save it, wide and narrow, in both themes."""
    page = here.page
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            here.choose_theme(theme)
            check_accessible(here)
            here.screenshot(f"{name}-{width}-{theme}")
            check_width(here)
    page.set_viewport_size({"width": 1280, "height": 900})
    here.choose_theme("light")


def test_acting(make_tuner: MakeTuner, tmp_path: Path, served: Callable[..., str]) -> None:
    patient = {"time_limit": 600.0}
    done = make_tuner('echo "value=$x"', space=SPACE)
    done.optimize(n_trials=2)
    best = done.best_trials[0]
    tuner = make_tuner(BODY, study=done.study, space=SPACE, max_parallel=2, backend_options=patient)
    address = served(f"{tmp_path}/s.db", allow_control=True)
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": 400})
    working.start()
    try:
        with browser() as here:
            page = here.page
            page.goto(address)
            page.get_by_role("link", name="s", exact=True).click()
            page.get_by_role("button", name="Cancel trial 3").wait_for()

            page.get_by_label("Runs at once").fill("3")
            page.get_by_role("button", name="Change limits").click()
            page.get_by_text("Limits: max_parallel 2 → 3").wait_for()
            page.get_by_role("button", name="Cancel trial 4").wait_for()

            page.get_by_role("button", name="Add a note on this study").click()
            page.get_by_role("textbox", name="Note on this study").fill(
                "<b>Baseline</b>\nwith the old data"
            )
            page.get_by_role("button", name="Save note").click()
            page.locator(".plain-text", has_text="<b>Baseline</b>").wait_for()
            show(here, "acting-study")

            page.get_by_role("link", name="Enqueue a configuration").click()
            page.get_by_role("button", name=f"Start from the best (trial {best.number})").click()
            page.get_by_text(f"Values of trial {best.number}").wait_for()
            page.get_by_label("x", exact=True).fill("7")
            page.get_by_role("button", name="Enqueue", exact=True).click()
            page.get_by_text("x=7 is out of range").wait_for()
            show(here, "acting-enqueue")
            page.get_by_label("x", exact=True).fill(str(best.params["x"]))
            page.get_by_role("button", name="Enqueue", exact=True).click()
            page.get_by_text("has the same configuration").wait_for()
            here.screenshot("acting-duplicate")
            page.get_by_role("button", name="No", exact=True).click()
            page.get_by_label("x", exact=True).fill("0.0123")
            page.get_by_role("button", name="Enqueue", exact=True).click()
            page.get_by_text("Enqueued as trial").wait_for()
            here.screenshot("acting-enqueued")

            page.get_by_role("link", name="s", exact=True).click()
            page.get_by_role("button", name="Cancel trial 3").click()
            page.get_by_role("button", name="Cancel trial 3").last.click()
            page.get_by_role("cell", name="canceled on request").wait_for()
            (tmp_path / "go").touch()
            wait_until(lambda: find_trial(tuner, 0.0123).state == TrialState.COMPLETE)
            assert tuner.study.trials[3].state == TrialState.FAIL
            page.get_by_role("button", name="Stop (let runs finish)").click()
            page.get_by_role("button", name="Stop (let runs finish)").last.click()
            page.get_by_text("not being tuned").wait_for()
            working.join()

            page.get_by_label("Filter", exact=True).fill("number <= 1")
            page.get_by_text(re.compile("^2 of ")).wait_for()
            page.get_by_role("checkbox", name="Select all rows").check()
            page.get_by_role("link", name="Compare 2 selected").click()
            page.get_by_role("heading", name="Compare trials").wait_for()
            page.go_back()
            page.get_by_role("link", name=str(best.number), exact=True).click()
            page.get_by_role("link", name="enqueue again, edited").wait_for()
            page.get_by_role("link", name="train this configuration").click()
            page.get_by_text("the dashboard does not know how this study is run").wait_for()
            show(here, "acting-train")
            refused = "Failed to load resource: the server responded with a status of 40"
            assert [p for p in here.problems if refused not in p] == []
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()


def find_trial(tuner: Tuner, x: float) -> FrozenTrial:
    """Return the trial that was enqueued with ``x``."""
    trials = tuner.study.trials
    return next(
        t
        for t in trials
        if x in (t.params.get("x"), t.system_attrs.get("fixed_params", {}).get("x"))
    )
