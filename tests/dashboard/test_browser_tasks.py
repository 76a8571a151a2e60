"""Tasks of a person who tunes, done by role and label in a real browser.

Screenshots are written to ``build/screenshots``.
"""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from tests.conftest import MakeTuner
from tests.dashboard.test_browser_acting import show
from tests.dashboard_browser import CHROMIUM, Browser, browser, serving, wait_for_figures
from tune_jobs.tuner import Tuner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

SPACE = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "width": FloatDistribution(0.0, 1.0),
    "optimizer": CategoricalDistribution(["adam", "sgd"]),
}


def finished(number: int, *values: float, cost: float = 1.0) -> FrozenTrial:
    """Return a complete trial."""
    params = {
        "lr": 10.0 ** (-1 - number % 3),
        "width": number / 100,
        "optimizer": "adam" if number % 2 else "=sgd,\n1",
    }
    choices = {**SPACE, "optimizer": CategoricalDistribution(["adam", "=sgd,\n1"])}
    attributes = {"tune_jobs:cost": {"run_hours": 0.5, "money": cost}}
    return create_trial(values=values, params=params, distributions=choices, user_attrs=attributes)


@pytest.fixture
def priced(tmp_path: Path) -> Iterator[str]:
    """Address of a study whose trials differ in value and cost; the best one is 5."""
    storage = f"sqlite:///{tmp_path}/priced.db"
    study = optuna.create_study(study_name="priced", storage=storage, direction="maximize")
    facts = [(0.80, 1), (0.895, 4), (0.70, 9), (0.892, 3), (0.85, 2), (0.9, 8), (0.899, 6)]
    study.add_trials([finished(i, value, cost=cost) for i, (value, cost) in enumerate(facts)])
    with serving(storage) as (_, url):
        yield url


@contextmanager
def tuning(tuner: Tuner, n_trials: int, end: Path) -> Iterator[None]:
    """Tune in the background; the file ``end`` lets live runs finish."""
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": n_trials})
    working.start()
    try:
        yield
    finally:
        end.touch()
        tuner.stop()
        working.join()


def read_column(here: Browser, heading: str) -> list[str]:
    """Return the texts of a column of the table of trials."""
    headings = here.page.locator("#trials thead th, #trials thead td").all_inner_texts()
    at = next(i for i, text in enumerate(headings) if text.startswith(heading))
    cells = here.page.locator(f"#trials tbody tr[data-trial] > :nth-child({at + 1})")
    return list(cells.all_inner_texts())


def open_figures(here: Browser) -> None:
    here.page.get_by_text(re.compile("^More figures")).click()


FAILING = """\
echo "loading the data"
for step in 1 2 3; do echo "step=$step value=0.$step"; done
[ "$n" = 7 ] && { echo "ValueError: shapes (3,4) and (5,) do not match" >&2; exit 1; }
true
"""


def test_find_why_trial_37_failed(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(FAILING, step="step", prices={"local": 3600.0}, max_parallel=2)
    tuner.study.add_trials(
        [
            create_trial(
                value=0.1 + n / 1000,
                params={"x": n / 40, "n": 1},
                distributions={
                    "x": FloatDistribution(0.0, 1.0),
                    "n": optuna.distributions.IntDistribution(0, 9),
                },
            )
            for n in range(37)
        ]
    )
    for n in (7, 1):
        tuner.study.enqueue_trial({"x": 0.5, "n": n})
    tuner.optimize(n_trials=2)
    with serving(f"{tmp_path}/s.db", allow_control=True) as (_, url), browser() as here:
        page = here.page
        page.goto(url)
        page.get_by_role("link", name="s", exact=True).click()
        page.get_by_label("Filter", exact=True).fill('state == "fail"')
        page.get_by_text("1 of 39 trials match").wait_for()
        page.get_by_role("button", name="Log of trial-000037-1").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Search the log").fill("error")
        dialog.get_by_label("Search the log").press("Enter")
        dialog.get_by_role("button", name="ValueError: shapes").wait_for()
        show(here, "task-why-log")
        dialog.get_by_role("link", name="Trial 37").click()
        page.get_by_role("heading", name="Trial 37").wait_for()
        assert dialog.count() == 0, "the dialog is closed"
        page.get_by_text("Trial 37 failed: exit code 1").wait_for()
        page.locator("#explanation", has_text="shapes (3,4) and (5,) do not match").wait_for()
        page.get_by_role("columnheader", name="Cost").wait_for()
        page.get_by_role("button", name="Add a note on trial 37").click()
        page.get_by_role("textbox", name="Note on trial 37").fill("wrong batch")
        page.get_by_role("button", name="Save note").click()
        page.locator(".plain-text", has_text="wrong batch").wait_for()
        assert page.get_by_role("button", name="Cancel trial 37").count() == 0
        wait_for_figures(here, 1)
        show(here, "task-why-trial")
        page.go_back()
        page.get_by_text("1 of 39 trials match").wait_for()
        assert read_column(here, "Note") == ["wrong batch"]
        assert here.problems == []


def test_find_the_cheapest_configuration_within_1_percent(priced: str) -> None:
    with browser() as here:
        page = here.page
        page.goto(f"{priced}#/study/s0-1")
        page.get_by_text("Examples", exact=True).click()
        show(here, "task-examples")
        page.get_by_role("button", name="Within 1 % of the best, the cheapest first").click()
        page.get_by_text("4 of 7 trials match").wait_for()
        assert read_column(here, "Trial") == ["3", "1", "6", "5"]
        assert read_column(here, "Cost") == ["3", "4", "6", "8"]
        assert page.get_by_label("Filter", exact=True).input_value() == (
            'state == "complete" and gap <= 0.01'
        )
        assert page.get_by_text("Names", exact=True).count() == 0, "the menu is closed"
        here.screenshot("task-cheapest")
        page.get_by_role("link", name="3", exact=True).click()
        page.get_by_text("Trial 3 is complete: number 4 of 7 by value").wait_for()
        page.go_back()
        page.get_by_text("4 of 7 trials match").wait_for()
        assert here.problems == []


def describe_view(here: Browser) -> dict[str, Any]:
    """Return what a person sees of a study's page."""
    page = here.page
    page.get_by_role("status").get_by_text("2 selected").wait_for()
    for figure in ("Contour", "Rank"):
        page.get_by_label(f"x of {figure}").wait_for()
    return {
        "rows": page.locator("#trials tbody tr[data-trial]").all_inner_texts(),
        "headings": page.locator("#trials thead th").all_inner_texts(),
        "selected": page.locator("#trials tr.selected").all_inner_texts(),
        "choices": page.locator(".choices select").evaluate_all("all => all.map(s => s.value)"),
        "filter": page.get_by_label("Filter", exact=True).input_value(),
    }


def test_send_a_colleague_this_view(priced: str) -> None:
    with browser() as here, here.open_another() as colleague:
        page = here.page
        page.goto(f"{priced}#/study/s0-1")
        page.get_by_label("Filter", exact=True).fill("gap < 0.1")
        page.get_by_text("5 of 7 trials match").wait_for()
        page.get_by_role("columnheader", name="Cost").get_by_role("button").click()
        page.get_by_text("Columns", exact=True).click()
        page.get_by_label("Duration", exact=True).uncheck()
        page.get_by_label("optimizer", exact=True).uncheck()
        page.keyboard.press("Escape")
        for number in (5, 3):
            page.get_by_role("checkbox", name=f"Select trial {number}", exact=True).check()
        open_figures(here)
        page.get_by_label("x of Contour").select_option("width")
        page.wait_for_function("location.hash.includes('figure.contour.x=width')")
        page.get_by_label("y of Contour").select_option("lr")
        page.wait_for_function("location.hash.includes('figure.contour.y=lr')")
        mine = describe_view(here)
        assert [row.split()[0] for row in mine["rows"]] == ["5", "6", "1", "3", "4"]
        assert "width" in mine["choices"]

        address = page.url
        theirs = colleague.page
        theirs.goto(priced)  # signs in
        theirs.goto(address)
        theirs.get_by_text("5 of 7 trials match").wait_for()
        assert describe_view(colleague) == mine
        wait_for_figures(colleague, 5)
        colleague.screenshot("task-colleague")
        assert here.problems == colleague.problems == []


def test_choices_in_figures_survive_a_reload_and_back(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/two.db"
    study = optuna.create_study(study_name="two", storage=storage, directions=["maximize"] * 2)
    study.add_trials([finished(i, i / 10, (7 - i) / 10) for i in range(8)])
    with serving(storage) as (_, url), browser() as here:
        page = here.page
        page.goto(f"{url}#/study/s0-1")
        open_figures(here)
        objective = page.get_by_label("Objective of Optimization history")
        objective.select_option("value 2")
        page.wait_for_function("location.hash.includes('figure.history.objective=1')")
        axis = page.get_by_label("x of Contour")
        first = axis.input_value()
        other = "lr" if first == "width" else "width"
        axis.select_option(other)
        page.wait_for_function(f"location.hash.includes('figure.contour.x={other}')")
        page.reload()
        axis.wait_for()
        assert axis.input_value() == other
        assert objective.input_value() == "1"
        title = "document.getElementById('figure-history')?.layout?.yaxis.title.text"
        page.wait_for_function(f"{title} === 'value 2'")
        page.go_back()
        page.wait_for_function("!location.hash.includes('contour')")
        page.wait_for_function(
            f"document.querySelector(\"[aria-label='x of Contour']\")?.value === '{first}'"
        )
        page.go_back()
        page.wait_for_function(f"{title} === 'value 1'")

        front = page.get_by_role("heading", name="Trials of the Pareto front").locator("..")
        front.get_by_role("link", name="7", exact=True).click()
        page.get_by_text("on the Pareto front").first.wait_for()
        assert here.problems == []


# Trials 0 and 3 are as good as any; the others are far behind them at the same step.
HOPELESS = """\
echo "step=1 value=$x"
[ "$n" = 0 ] && exit 0
until [ -e "$here/go" ]; do sleep 0.02; done
"""


def test_stop_what_is_hopeless(make_tuner: MakeTuner, tmp_path: Path) -> None:
    patient = {"time_limit": 600.0}
    tuner = make_tuner(HOPELESS, step="step", max_parallel=4, backend_options=patient)
    for n, x in enumerate((0.9, 0.1, 0.2, 0.88, 0.3)):
        tuner.study.enqueue_trial({"x": x, "n": n})
    with (
        serving(f"{tmp_path}/s.db", allow_control=True) as (_, url),
        tuning(tuner, 5, tmp_path / "go"),
        browser() as here,
    ):
        page = here.page
        page.goto(f"{url}#/study/s0-1")
        page.get_by_role("cell", name="0.3 @ 1").wait_for()
        page.get_by_role("cell", name="complete").first.wait_for()
        page.get_by_text("Examples", exact=True).click()
        page.get_by_role("button", name="Running, and 10 % or more behind").click()
        page.get_by_text("3 of 5 trials match").wait_for()
        assert read_column(here, "Trial") == ["1", "2", "4"], "the worst one first"
        page.get_by_role("checkbox", name="Select all rows").check()
        page.get_by_role("checkbox", name="Select trial 4").uncheck()
        page.get_by_role("button", name="Cancel 2 trials…").click()
        question = page.get_by_role("dialog")
        question.get_by_text("Cancel trials 1, 2? Their job runs are stopped").wait_for()
        show(here, "task-hopeless")
        question.get_by_role("button", name="No", exact=True).click()
        assert read_column(here, "Trial") == ["1", "2", "4"]
        page.get_by_role("button", name="Cancel 2 trials…").click()
        question.get_by_role("button", name="Cancel 2 trials").click()
        page.get_by_text("Cancel 2 trials: done").wait_for()
        page.get_by_text("1 of 5 trials match").wait_for()

        page.get_by_role("link", name="4", exact=True).click()
        page.get_by_role("button", name="Cancel trial 4").click()
        question.get_by_text("Cancel trial 4? Its job run is stopped").wait_for()
        here.screenshot("task-cancel-trial")
        question.get_by_role("button", name="Cancel trial 4").click()
        page.get_by_text("Trial 4 failed: canceled on request").wait_for()
        assert page.get_by_role("button", name="Cancel trial 4").count() == 0
        states = [trial.state for trial in tuner.study.trials]
        failed = [TrialState.FAIL] * 2
        assert states == [TrialState.COMPLETE, *failed, TrialState.RUNNING, TrialState.FAIL]
        assert here.problems == []


def test_nothing_is_stopped_without_control(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(HOPELESS, backend_options={"time_limit": 600.0})
    tuner.study.enqueue_trial({"x": 0.5, "n": 1})
    with (
        serving(f"{tmp_path}/s.db") as (_, url),
        tuning(tuner, 1, tmp_path / "go"),
        browser() as here,
    ):
        page = here.page
        page.goto(f"{url}#/study/s0-1")
        page.get_by_role("checkbox", name="Select trial 0").check()
        page.get_by_text("1 selected").wait_for()
        assert page.get_by_role("button", name=re.compile("^Cancel|Add a note")).count() == 0
        page.get_by_role("link", name="0", exact=True).click()
        page.get_by_text("Trial 0: is running").wait_for()
        assert page.get_by_role("button", name=re.compile("^Cancel|Add a note")).count() == 0


def drag_heading(here: Browser, name: str, target: str) -> None:
    """Drag the heading of a column to another one."""
    headings, texts = here.page.locator("#trials thead th"), here.page.get_by_text
    dragged = headings.filter(has=texts(name, exact=True))
    dragged.drag_to(headings.filter(has=texts(target, exact=True)))


def test_columns_are_put_in_order_and_saved(priced: str, tmp_path: Path) -> None:
    with browser() as here:
        page = here.page
        page.goto(f"{priced}#/study/s0-1")
        page.get_by_role("cell", name="complete").first.wait_for()
        page.get_by_text("Columns", exact=True).click()
        for name in ("Latest", "Run", "Duration", "Cause", "Note", "width"):
            page.get_by_label(name, exact=True).uncheck()
        show(here, "task-columns")
        page.keyboard.press("Escape")
        assert read_headings(here) == ["Trial", "State", "Value", "Cost", "lr", "optimizer"]
        drag_heading(here, "Cost", "State")
        page.wait_for_function("location.hash.includes('columns=cost%2Cstate')")
        assert read_headings(here) == ["Trial", "Cost", "State", "Value", "lr", "optimizer"]

        page.get_by_text("Columns", exact=True).focus()
        page.keyboard.press("Enter")
        move = page.get_by_role("button", name="Move optimizer to the left")
        move.focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        assert move.evaluate("node => node === document.activeElement"), "focus stays"
        page.keyboard.press("Escape")
        order = ["Trial", "Cost", "State", "optimizer", "Value", "lr"]
        assert read_headings(here) == order

        page.get_by_label("Filter", exact=True).fill("cost >= 6")
        page.get_by_text("3 of 7 trials match").wait_for()
        page.get_by_role("columnheader", name="Cost").get_by_role("button").click()
        with page.expect_download() as download:
            page.get_by_role("button", name="CSV").click()
        assert download.value.suggested_filename == "priced.csv"
        download.value.save_as(tmp_path / "priced.csv")
        with (tmp_path / "priced.csv").open(newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0] == order
        assert rows[1:] == [
            ["2", "9", "COMPLETE", r"'=sgd,\n1'", "0.7", "0.001"],
            ["5", "8", "COMPLETE", "adam", "0.9", "0.001"],
            ["6", "6", "COMPLETE", r"'=sgd,\n1'", "0.899", "0.1"],
        ]
        page.reload()
        page.get_by_text("3 of 7 trials match").wait_for()
        assert read_headings(here) == order
        assert here.problems == []


def read_headings(here: Browser) -> list[str]:
    """Return the headings of the table, without marks of its order."""
    texts = here.page.locator("#trials thead th").all_inner_texts()
    return [text.splitlines()[0] for text in texts[:-1]]
