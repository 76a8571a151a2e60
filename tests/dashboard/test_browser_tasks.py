"""What a person wants to know or to do, done in a real browser by names and labels.

Screenshots are written to ``build/screenshots``.
"""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import MakeTuner
from tests.dashboard.comparing import add_trials
from tests.dashboard.conftest import MakeStudy
from tests.dashboard_browser import (
    CHROMIUM,
    Browser,
    browser,
    check_accessible,
    check_width,
    wait_for_figures,
)
from tune_jobs.core.trial_attributes import COST_ATTRIBUTE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


def read_rows(page: Any) -> list[int]:
    """Return the numbers of the trials that the table shows, from top to bottom."""
    return [int(text) for text in page.locator("#trials tbody th[scope=row]").all_inner_texts()]


def cheapest_near_the_best(study: optuna.Study) -> int:
    """Return the trial of the lowest cost within 1 % of the best value."""
    near = [t for t in study.trials if t.value is not None and t.value >= 0.99 * study.best_value]
    return min(near, key=lambda t: t.user_attrs[COST_ATTRIBUTE]["money"]).number


def test_the_cheapest_configuration_within_one_percent_of_the_best(
    tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    study = tuned("s", 40)
    address = served(f"{tmp_path}/studies.db")
    with browser() as here:
        page = here.page
        page.goto(f"{address}#/study/s0-1")
        page.get_by_label("Filter", exact=True).fill("gap <= 0.01")
        page.get_by_text(re.compile("of 40 trials match")).wait_for()
        cost = page.get_by_role("columnheader", name="Cost").get_by_role("button")
        cost.click()
        cost.click()
        page.wait_for_function(
            "location.hash.includes('sort=-cost') || location.hash.includes('sort=cost')"
        )
        assert read_rows(page)[0] == cheapest_near_the_best(study)
        here.screenshot("task-cheapest")
        assert here.problems == []


def test_a_colleague_sees_the_same_view(
    tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuned("s", 30)
    address = served(f"{tmp_path}/studies.db")
    with browser() as mine:
        page = mine.page
        page.goto(f"{address}#/study/s0-1")
        page.get_by_label("Filter", exact=True).fill("x > 0.2")
        page.get_by_text("Columns").click()
        page.get_by_role("checkbox", name="Cause").uncheck()
        page.get_by_role("button", name="Move Cost to the left").click()
        page.keyboard.press("Escape")
        heading = page.get_by_role("columnheader", name="Cost")
        heading.drag_to(page.get_by_role("columnheader", name="State"))
        page.get_by_text("More figures").click()
        choice = page.locator("#figure-slice").locator("xpath=..").get_by_role("combobox").first
        options = choice.locator("option").all_inner_texts()
        choice.select_option(label=options[-1])
        page.get_by_role("checkbox", name=re.compile("^Select trial")).nth(1).check()
        page.wait_for_function("location.hash.includes('selected=')")
        seen = describe(page)
        assert seen["columns"][:2] == ["Trial", "Cost"]
        assert "Cause" not in seen["columns"]
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").click()
        check_csv(Path(download.value.path()), seen)
        link = page.url
        mine.screenshot("task-share")
        assert mine.problems == []
        page.reload()
        assert describe(page) == seen
        page.go_back()
        page.go_forward()
        assert describe(page) == seen
    with browser() as theirs:
        theirs.page.goto(address)
        theirs.page.goto(link)
        assert describe(theirs.page) == seen


def describe(page: Any) -> dict[str, Any]:
    """Return what a person sees of a study."""
    page.get_by_text(re.compile("trials match, 1 selected")).wait_for()
    page.get_by_text("More figures").wait_for()
    choice = page.locator("#figure-slice").locator("xpath=..").get_by_role("combobox").first
    choice.wait_for()
    return {
        "filter": page.get_by_label("Filter", exact=True).input_value(),
        "columns": [
            t.strip() for t in page.locator("#trials th[scope=col]").all_inner_texts() if t
        ],
        "rows": read_rows(page),
        "choice": choice.input_value(),
        "count": page.locator(".count").inner_text(),
    }


def check_csv(path: Path, seen: dict[str, Any]) -> None:
    """Check that a file has the rows and columns that are shown, in their order."""
    heading, *rows = list(csv.reader(path.open(newline="")))
    assert heading == seen["columns"]
    assert [int(row[0]) for row in rows][: len(seen["rows"])] == seen["rows"]
    value = heading.index("Value")
    assert all(len(row[value].partition(".")[2]) > 6 for row in rows if row[value]), "all digits"


# Trial 0 is good; the others are hopeless and wait to be stopped.
HOPELESS = """\
echo "step=1 value=$x"
until [ -e "$here/go" ]; do sleep 0.02; done
"""


def test_what_is_hopeless_is_stopped(
    make_tuner: MakeTuner, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuner = make_tuner(
        HOPELESS,
        step="step",
        max_parallel=4,
        prices={"local": 3600.0},
        backend_options={"time_limit": 600.0},
    )
    for x in (0.9, 0.1, 0.2, 0.3):
        tuner.study.enqueue_trial({"x": x, "n": 1})
    address = served(f"{tmp_path}/s.db", allow_control=True)
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": 4})
    working.start()
    try:
        with browser() as here:
            page = here.page
            page.goto(f"{address}#/study/s0-1")
            page.get_by_label("Filter", exact=True).fill('state == "running" and latest < 0.5')
            page.get_by_text("3 of 4 trials match").wait_for()
            page.get_by_role("checkbox", name="Select all rows").check()
            page.get_by_role("checkbox", name="Select trial 3").uncheck()
            page.get_by_role("button", name="Cancel 2 running").click()
            page.get_by_text("Cancel 2 trials (1, 2)?").wait_for()
            check_accessible(here)
            here.screenshot("task-stop")
            page.get_by_role("button", name="Cancel 2 trials").click()
            page.get_by_text("Canceled 2 trials").wait_for()

            page.get_by_role("link", name="3", exact=True).click()
            write_a_note(here, 3)
            page.get_by_role("button", name="Cancel trial 3").click()
            page.get_by_role("button", name="Cancel trial 3").last.click()
            page.get_by_text("Trial 3 failed: canceled on request").wait_for()
            cost = page.locator("#attempts tbody td").nth(7)
            assert float(cost.inner_text()) > 0
            show_trial(here)
            (tmp_path / "go").touch()
            working.join()
            assert [t.state for t in tuner.study.trials] == [
                TrialState.COMPLETE,
                TrialState.FAIL,
                TrialState.FAIL,
                TrialState.FAIL,
            ]
            assert here.problems == []
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()


def write_a_note(here: Browser, number: int) -> None:
    """Write a note on the trial whose page is open."""
    page = here.page
    page.get_by_role("button", name=f"Add a note on trial {number}").click()
    page.get_by_role("textbox", name=f"Note on trial {number}").fill("behind <b>all</b> others")
    page.get_by_role("button", name="Save note").click()
    page.locator(".plain-text", has_text="behind <b>all</b> others").wait_for()


def show_trial(here: Browser) -> None:
    """Check the page of a trial, wide and narrow."""
    for width in (1280, 390):
        here.page.set_viewport_size({"width": width, "height": 900})
        check_accessible(here)
        check_width(here)
        here.screenshot(f"task-trial-{width}")


def test_choices_in_figures_survive(
    tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuned("s", 30)
    address = served(f"{tmp_path}/studies.db")
    with browser() as here:
        page = here.page
        page.goto(f"{address}#/study/s0-1")
        wait_for_figures(here, 4)


def test_a_study_of_optuna_without_a_visible_name(
    tmp_path: Path, served: Callable[..., str]
) -> None:
    where = f"sqlite:///{tmp_path}/s.db"
    blank = optuna.create_study(study_name=" ", storage=where)
    blank.ask()
    blank.enqueue_trial({"x": 0.5})
    add_trials(where, "dated", center=0.5, seed=1, n_trials=1)  # it took six minutes
    address = served(f"{tmp_path}/s.db", allow_control=True)
    with browser() as here:
        page = here.page
        page.goto(address)
        page.get_by_role("row", name=re.compile("dated.* 6 min 0 s")).wait_for()
        here.screenshot("list-blank-name")
        page.get_by_role("link", name="(no name)").click()
        page.get_by_role("heading", name="(no name)").wait_for()
        page.get_by_text("1 running, 1 waiting, 0 pruned").wait_for()
        page.get_by_text("0 finished").wait_for()
        assert page.title() == "(no name) · tune_jobs"
        page.goto(f"{address}#/study/s0-1/enqueue")
        page.get_by_role("link", name="Back to the study").wait_for()
        here.screenshot("enqueue-blank-name")
        page.goto(f"{address}#/study/s0-2")
        page.get_by_text("Time of trials").wait_for()
        page.get_by_role("cell", name="6 min 0 s").wait_for()
        page.get_by_text("1 trial", exact=True).wait_for()
        here.screenshot("study-of-optuna")
