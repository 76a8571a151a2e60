"""The page of a trial in a real browser, while the trial runs and after it has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeTuner
from tests.dashboard_browser import CHROMIUM, browser, check_accessible
from tune_jobs.dashboard.server import serve

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

SCRIPT = """\
for step in 1 2 3; do echo "step=$step value=$x loss=0.$step"; done
until [ -e "$here/go" ]; do sleep 0.02; done
for line in $(seq 200); do echo "line $line"; done
echo "the last line"
echo weights > model.html
[ "$n" = 3 ] && { echo "RuntimeError: out of luck" >&2; exit 3; }
true
"""


@pytest.fixture
def address(tmp_path: Path, make_tuner: MakeTuner) -> Iterator[str]:
    server, address = serve([f"{tmp_path}/s.db"], port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield address
    server.shutdown()
    server.server_close()


@pytest.fixture
def tuner_storage(make_tuner: MakeTuner) -> None:
    """Create the database before it is served."""
    make_tuner(SCRIPT)


def test_a_person_finds_why_a_trial_failed(
    tuner_storage: None, make_tuner: MakeTuner, address: str, tmp_path: Path
) -> None:
    tuner = make_tuner(SCRIPT, step="step", extra_metrics=["loss"], max_parallel=2)
    for n in (3, 5):
        tuner.study.enqueue_trial({"x": 0.25, "n": n})
    working = threading.Thread(target=tuner.optimize, kwargs={"n_trials": 2})
    working.start()
    try:
        with browser(permissions=["clipboard-read", "clipboard-write"]) as here:
            page = here.page
            page.goto(address)
            page.goto(f"{address.partition('?')[0]}#/study/s0-1/trial/0")
            page.get_by_text("Trial 0: is running").wait_for()
            log = page.get_by_label("Output of trial-000000-1")
            log.get_by_text("step=3").wait_for()
            # Text that the user has selected stays selected while the log grows.
            page.evaluate(
                "() => { const [text] = document.querySelector('.log-output').childNodes;"
                "getSelection().setBaseAndExtent(text, 0, text, 6); }"
            )
            (tmp_path / "go").touch()
            page.get_by_text("Trial 0 failed: exit code 3").wait_for()
            log.get_by_text("the last line").wait_for()
            assert page.evaluate("getSelection().toString()") == "step=1"
            assert page.evaluate(
                "() => { const log = document.querySelector('.log-output');"
                "return log.scrollTop + log.clientHeight >= log.scrollHeight - 12; }"
            ), "it has followed"
            assert "RuntimeError: out of luck" in page.locator("#explanation").inner_text()
            assert page.locator("#params tr.differs").count() == 1
            page.locator("#figure-metric-1 .main-svg").first.wait_for()
            check_accessible(here)
            here.screenshot("trial-failed")

            page.get_by_role("button", name="Copy").click()
            page.get_by_role("button", name="Copied").wait_for()
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied.endswith("train.sh --x=0.25 --n=3"), copied
            page.get_by_label("Search the log").fill("LINE 77")
            page.get_by_label("Search the log").press("Enter")
            page.get_by_role("button", name="line 77").click()
            assert page.locator(".log-output mark").inner_text() == "line 77"
            assert "find=LINE+77" in page.url, "the search is a part of the address"
            with page.expect_download() as download:
                page.get_by_role("link", name="model.html").click()
            assert download.value.suggested_filename == "model.html"

            page.get_by_role("link", name="Next trial").click()
            page.get_by_text("Trial 1 is the best trial of the study so far").wait_for()
            page.set_viewport_size({"width": 390, "height": 844})
            page.get_by_role("button", name="Switch between light").click()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            check_accessible(here)
            here.screenshot("trial-best-narrow-dark")
            page.goto(f"{address.partition('?')[0]}#/study/s0-1/trial/9")
            page.get_by_text("has no trial 9: its last one is 1").first.wait_for()
            here.screenshot("trial-missing")
            assert [p for p in here.problems if "404" not in p] == []
    finally:
        (tmp_path / "go").touch()
        tuner.stop()
        working.join()
