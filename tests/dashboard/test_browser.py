"""The page in a real browser, while a study runs.

Screenshots are written to ``build/screenshots``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tests.conftest import MakeTuner
from tests.dashboard.conftest import HOSTILE, MakeStudy
from tests.dashboard_browser import CHROMIUM, Browser, browser, check_accessible, wait_for_figures
from tune_jobs.tuner import Tuner

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

SLOW = """\
echo "hello from $n"
for step in 1 2 3 4 5; do
    echo "step=$step value=$x"
    until [ -e "$here/go" ]; do sleep 0.02; done
done
"""


def check_nothing_is_uploaded(here: Browser) -> None:
    """Check that no button of a figure sends its data to another host."""
    buttons = here.page.locator(".modebar-btn")
    titles = set(buttons.evaluate_all("nodes => nodes.map(n => n.getAttribute('data-title'))"))
    assert titles
    assert not [t for t in titles if re.search("(?i)share|cloud|edit in", t)]


def test_live_study(make_tuner: MakeTuner, tmp_path: Path, served: Callable[..., str]) -> None:
    patient = {"time_limit": 600.0}
    tuner = make_tuner(SLOW, max_parallel=2, step="step", backend_options=patient)
    address = served(f"{tmp_path}/s.db", allow_control=True)
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": 12})
    working.start()
    try:
        with browser() as here:
            page = here.page
            page.goto(address)
            page.get_by_role("link", name="s", exact=True).click()
            page.get_by_role("cell", name="running").first.wait_for()
            page.get_by_text("tuned by process").wait_for()
            check_accessible(here)

            page.get_by_role("button", name="Log of trial-000000-1").click()
            page.get_by_role("dialog").get_by_text("hello from").wait_for()
            here.screenshot("log")
            check_accessible(here)
            page.keyboard.press("Escape")

            page.get_by_role("button", name="Pause").click()
            page.get_by_text("Pause: done").wait_for()
            (tmp_path / "go").touch()
            page.get_by_role("cell", name="complete").first.wait_for()
            page.get_by_text("0 running").wait_for()
            assert len(tuner.study.trials) == 2, "a new trial started during the pause"
            page.get_by_role("button", name="Resume").click()
            page.get_by_role("button", name="Stop and cancel runs").click()
            page.get_by_text("Stop this study and cancel its live runs?").wait_for()
            check_accessible(here)
            here.screenshot("question")
            page.get_by_role("button", name="No", exact=True).click()
            page.get_by_text(re.compile("^12 of 12")).wait_for()
            page.get_by_text("not being tuned").wait_for()
            wait_for_figures(here, 5)
            check_nothing_is_uploaded(here)
            here.screenshot("study")
            assert here.problems == []
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()


def drag(
    here: Browser, selector: str, start: tuple[float, float], end: tuple[float, float]
) -> None:
    """Drag the mouse over an element; positions are shares of its size."""
    box = here.page.locator(selector).first.bounding_box()
    assert box is not None
    (x0, y0), (x1, y1) = (
        (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
    )
    here.page.mouse.move(x0, y0)
    here.page.mouse.down()
    here.page.mouse.move(x1, y1, steps=5)
    here.page.mouse.up()


WHAT_THE_USER_DID = """() => {
    const figure = (name) => document.getElementById(`figure-${name}`);
    const brushed = figure('parallel').data[0].dimensions.map((d) => d.constraintrange ?? null);
    return {
        zoom: figure('history').layout.xaxis.range,
        hidden: figure('history').data.map((trace) => [trace.name, trace.visible ?? true]),
        brushed,
        focus: document.activeElement.textContent,
        scrolled: [scrollY, document.querySelector('.rows').scrollLeft],
        text: document.getElementById('text').value,
    };
}"""


def test_updates_keep_what_the_user_did(
    make_tuner: MakeTuner, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuner = make_tuner('for s in 1 2 3; do echo "step=$s value=$x"; done', step="step")
    tuner.optimize(n_trials=8)
    address = served(f"{tmp_path}/s.db")
    with browser(reduced_motion="reduce") as here:
        page = here.page
        page.set_viewport_size({"width": 1000, "height": 900})
        page.goto(f"{address}#/study/s0-1")
        wait_for_figures(here, 5)
        page.get_by_label("Search").fill("x")
        page.locator("#figure-history").scroll_into_view_if_needed()
        drag(here, "#figure-history .nsewdrag", (0.2, 0.2), (0.7, 0.8))
        page.locator("#figure-history .legendtoggle").nth(1).click()
        page.locator("#figure-parallel").scroll_into_view_if_needed()
        drag(here, "#figure-parallel .axis-brush .background", (0.5, 0.3), (0.5, 0.6))
        page.get_by_role("columnheader", name="Duration").get_by_role("button").focus()
        page.evaluate("document.querySelector('.rows').scrollLeft = 40")
        page.wait_for_function("document.getElementById('figure-history').data[1].visible !== true")
        before = page.evaluate(WHAT_THE_USER_DID)
        assert before["zoom"][0] > 0
        assert before["hidden"][1] == ["best value", "legendonly"]
        assert any(before["brushed"])
        assert before["scrolled"][1] == 40
        find = "document.querySelector('#trials tr[data-trial=\"7\"]')"
        page.evaluate(f"window.row = {find}")

        tuner.optimize(n_trials=2)
        page.locator("dd", has_text="10 of 10").wait_for()
        page.wait_for_function("document.getElementById('figure-history').data[0].x.length === 10")
        assert page.evaluate(WHAT_THE_USER_DID) == before
        assert page.evaluate(f"{find} === window.row")
        assert here.problems == []


def test_the_address_is_the_view(
    tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuned("a")
    address = served(f"{tmp_path}/studies.db")
    with browser() as here:
        page = here.page
        page.goto(f"{address}#/study/s0-1")
        page.get_by_role("columnheader", name="Value").get_by_role("button").click()
        page.get_by_label("State").select_option("COMPLETE")
        page.get_by_label("Search").fill("x")
        page.wait_for_function("location.hash === '#/study/s0-1?sort=value&state=COMPLETE&text=x'")
        page.reload()
        page.wait_for_function(
            "document.querySelector('th[aria-sort=descending]')?.textContent.startsWith('Value')"
        )
        assert page.get_by_label("State").input_value() == "COMPLETE"
        assert page.get_by_label("Search").input_value() == "x"
        page.go_back()
        page.wait_for_function("document.getElementById('text').value === ''")
        assert page.get_by_label("State").input_value() == "COMPLETE"
        page.go_back()
        page.wait_for_function("document.getElementById('state').value === ''")
        page.get_by_role("link", name="compare", exact=True).click()
        page.locator("#statement").wait_for()
        page.go_back()
        page.get_by_role("columnheader", name="Value").wait_for()
        assert here.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_strings_of_hostile_studies_are_shown_as_text(
    scheme: str, tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuned(HOSTILE)
    plain = tuned("b", max_parallel=2)
    plain.enqueue_trial({"x": 0.5}, user_attrs={"tune_jobs:cause": "<img src=x onerror=alert(1)>"})
    huge = optuna.create_study(study_name="x" * 500, storage=f"sqlite:///{tmp_path}/studies.db")
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        trial = huge.ask()
        trial.suggest_categorical("<b>choice</b>", ["<i>a</i>", "\u202eb" + "y" * 10_000])
        huge.tell(trial, value)
    address = served(f"{tmp_path}/studies.db")
    with browser(color_scheme=scheme) as here:
        page = here.page
        page.on("dialog", lambda dialog: here.problems.append("an alert"))
        page.goto(address)
        page.get_by_role("row").nth(3).wait_for()
        check_accessible(here)
        here.screenshot(f"studies-{scheme}")
        for key in ("s0-1", "s0-3"):
            page.goto("about:blank")
            page.goto(f"{address}#/study/{key}")
            wait_for_figures(here, 3)
            check_accessible(here)
        assert page.locator("main script, main b, main i, main img").count() == 0
        width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, "the page is wider than the window"
        page.goto("about:blank")
        page.goto(f"{address}#/compare/s0-1,s0-2")
        page.locator("#statement").wait_for()
        wait_for_figures(here, 5)
        check_accessible(here)
        here.screenshot(f"compare-{scheme}")
        assert here.problems == []


def test_keyboard_and_narrow_window(
    tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuned("s")
    address = served(f"{tmp_path}/studies.db")
    with browser() as here:
        page = here.page
        page.goto(f"{address}#/study/s0-1")
        page.get_by_role("columnheader", name="Value").get_by_role("button").focus()
        page.keyboard.press("Enter")
        header = page.get_by_role("columnheader", name="Value")
        page.wait_for_function(
            "document.querySelector('th[aria-sort=descending]').textContent.startsWith('Value')"
        )
        assert header.get_attribute("aria-sort") == "descending"
        page.get_by_label("State").select_option("COMPLETE")
        page.wait_for_function(
            "[...document.querySelectorAll('#trials tbody .state')].every(s => "
            "['complete', 'succeeded'].includes(s.textContent))"
        )
        page.set_viewport_size({"width": 420, "height": 800})
        width = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0
        here.screenshot("narrow")
        assert here.problems == []


def test_study_monitor_figures(tuned: MakeStudy) -> None:
    study = tuned("s")
    attached = Tuner.attach("s", study._storage)
    assert attached.wait(timeout=0.0)
    figure = attached.figure("curves")
    assert figure.data
    assert attached.snapshot().owner is None
    assert "no process" in attached._repr_html_()
    with pytest.warns(DeprecationWarning, match="snapshot"):
        assert attached.look().owner is None


def test_signing_in(tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]) -> None:
    tuned("b", n_trials=3)
    address, _, token = served(f"{tmp_path}/studies.db").partition("?token=")
    with browser() as here:
        page = here.page
        page.goto(address)
        check_accessible(here)
        here.screenshot("sign-in")
        page.get_by_label("Token").fill(token)
        here.problems.clear()  # the browser reports the answer 401
        page.get_by_role("button", name="Open the dashboard").click()
        page.get_by_role("link", name="b", exact=True).wait_for()
        page.reload()
        page.get_by_role("link", name="b", exact=True).click()
        page.get_by_text("not being tuned").wait_for()
        assert "token" not in page.url
        assert here.problems == []
