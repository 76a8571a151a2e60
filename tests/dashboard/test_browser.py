"""The page in a real browser, while a study runs.

Screenshots are written to ``build/screenshots``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.conftest import MakeTuner
from tests.dashboard.conftest import HOSTILE, MakeStudy
from tests.dashboard_browser import CHROMIUM, Browser, browser
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report import write_report
from tune_jobs.dashboard.server import serve
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


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serve storages until the test ends."""
    servers = []

    def start(*storages: str, **options: Any) -> str:
        server, address = serve(storages, port=0, **options)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return address

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def check_accessible(here: Browser) -> None:
    """Check that axe-core finds no violations."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(here.page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in violations] == []


def wait_for_figures(here: Browser, count: int) -> None:
    """Wait until ``count`` figures are drawn."""
    here.page.wait_for_function(
        f"document.querySelectorAll('.figure .main-svg, .figure .svg-container').length >= {count}"
    )


def test_live_study(make_tuner: MakeTuner, tmp_path: Path, served: Callable[..., str]) -> None:
    tuner = make_tuner(SLOW, max_parallel=2, step="step")
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
            page.get_by_text("hello from").wait_for()
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
            page.get_by_role("button", name="No").click()
            page.get_by_text(re.compile("^12 of 12")).wait_for()
            page.get_by_text("not being tuned").wait_for()
            wait_for_figures(here, 5)
            here.screenshot("study")
            assert here.problems == []
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()


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


def test_report_works_offline(tuned: MakeStudy, tmp_path: Path) -> None:
    studies = [read_study(tuned(HOSTILE)), read_study(tuned("b"))]
    path = write_report(studies, tmp_path / "report.html")
    with browser(offline=True) as here:
        here.page.goto(path.as_uri())
        wait_for_figures(here, 10)
        check_accessible(here)
        here.screenshot("report")
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
