"""All pages in both themes and at several widths, and what they say when something is wrong."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tests.dashboard.comparing import add_trials
from tests.dashboard.conftest import HOSTILE, MakeStudy, Serve
from tests.dashboard_browser import CHROMIUM, Browser, browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

WIDTHS = (390, 1280, 3840)


@pytest.fixture
def storage(tuned: MakeStudy, tmp_path: Path) -> str:
    """Return the path of a database with studies of all kinds."""
    tuned(HOSTILE)
    tuned("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", n_trials=5)
    url = f"sqlite:///{tmp_path}/studies.db"
    optuna.create_study(study_name="two objectives", storage=url, directions=["minimize"] * 2)
    optuna.create_study(study_name="x" * 400, storage=url).ask()
    return f"{tmp_path}/studies.db"


def show(here: Browser, address: str, ready: str) -> None:
    """Open an address of the page anew, and wait until an element is there."""
    here.page.goto("about:blank")
    here.page.goto(address)
    here.page.locator(ready).first.wait_for()


def check_looks(here: Browser, name: str) -> list[str]:
    """Return what axe-core finds, and overflow, in both themes and at all widths."""
    from axe_playwright_python.sync_playwright import Axe

    page, found = here.page, []
    for theme in ("light", "dark"):
        here.choose_theme(theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            where = f"{name}, {theme}, {width} px"
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{where}: wider than the window")
            if width != max(WIDTHS):
                # Plotly's drawings are large, and say nothing to a screen reader.
                context = {"exclude": [[".svg-container"]]}
                for violation in Axe().run(page, context=context).response["violations"]:
                    found.append(f"{where}: {violation['id']}: {violation['nodes'][0]['html']}")
    page.set_viewport_size({"width": 1280, "height": 900})
    return found


def test_pages_in_both_themes_and_at_all_widths(
    storage: str, tmp_path: Path, start_server: Serve
) -> None:
    optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/none.db").remove_session()
    _, address = start_server(storage)
    _, nothing = start_server(f"{tmp_path}/none.db")
    base = address.partition("?")[0]
    found = []
    with browser() as here:
        show(here, address, "main tbody tr")
        found += check_looks(here, "list")
        here.screenshot("looks-list")
        show(here, f"{base}#/study/s0-1", ".figure .svg-container")
        found += check_looks(here, "study")
        here.screenshot("looks-study")
        stops = here.page.locator(".figure [tabindex='0'], .figure button:not([tabindex='-1'])")
        assert stops.count() == 0, "the tools of figures are for the mouse"
        here.page.set_viewport_size({"width": 640, "height": 450})  # 1280 px at 200 %
        assert here.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        show(here, f"{base}#/study/s0-99", ".panel.problem")
        found += check_looks(here, "no such study")
        show(here, nothing, ".panel")
        found += check_looks(here, "no studies")
        here.screenshot("looks-none")
        problems = [p for p in here.problems if "404" not in p]
    assert found == []
    assert problems == []


def test_list_of_studies_is_arranged_by_its_address(
    storage: str, tuned: MakeStudy, tmp_path: Path, start_server: Serve
) -> None:
    optuna.create_study(study_name="other", storage=f"sqlite:///{tmp_path}/other.db")
    _, address = start_server(storage, f"{tmp_path}/other.db")
    with browser() as here:
        page = here.page
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        show(here, f"{address}#/?sort=trials&order=desc", "main tbody tr")
        assert page.locator("th.group").count() == 2
        counts = page.locator("td.trials").all_inner_texts()
        assert counts == ["20", "5", "1", "0", "0"], "by storage, the most trials first"
        page.get_by_role("columnheader", name="Trials", exact=True).get_by_role("button").click()
        page.wait_for_function("location.hash === '#/?sort=trials'")
        page.go_back()
        page.wait_for_function("document.querySelector('td.trials').innerText === '20'")
        page.get_by_label("Search").fill("o")
        page.wait_for_function("location.hash.endsWith('find=o')")
        assert page.locator("main .count").inner_text() == "2 of 5"
        page.get_by_role("checkbox", name="Select two objectives").check()
        page.get_by_role("checkbox", name="Select other").check()
        optuna.delete_study(study_name="two objectives", storage=f"sqlite:///{storage}")
        page.get_by_role("link", name="Compare 1 selected").wait_for()
        assert page.locator("main .count").inner_text() == "1 of 4"
        assert not [url for url in requested if "plotly" in url], "the list has no figures"
        page.get_by_role("link", name="Compare 1 selected").click()
        page.wait_for_function("location.hash === '#/compare/s1-1'")


def test_a_page_says_why_it_is_not_updated(
    storage: str, tmp_path: Path, start_server: Serve
) -> None:
    server, address = start_server(storage)
    port = server.server_address[1]
    with browser() as here:
        page = here.page
        show(here, f"{address}#/study/s0-2", ".figure .svg-container")
        lock = sqlite3.connect(storage, isolation_level=None)
        lock.execute("PRAGMA locking_mode = EXCLUSIVE")
        lock.execute("BEGIN EXCLUSIVE")
        banner = page.locator("#stale")
        banner.get_by_text(re.compile("^Not updated since .*, retrying")).wait_for()
        banner.get_by_text("The storage does not answer: ").wait_for()
        assert "locked" in banner.inner_text()
        here.screenshot("looks-stale")
        assert page.locator("main h1").count() == 1, "what was there is still shown"
        lock.close()
        page.wait_for_function("document.getElementById('stale').innerText === ''")
        server.shutdown()
        server.server_close()
        banner.get_by_text("The server does not answer").wait_for()
        start_server(storage, port=port)  # with another token
        banner.get_by_role("link", name="Enter the token").wait_for()
        here.screenshot("looks-token")


def test_a_deleted_study_does_not_stay_on_its_page(
    storage: str, tmp_path: Path, start_server: Serve
) -> None:
    _, address = start_server(storage)
    with browser() as here:
        page = here.page
        show(here, f"{address}#/study/s0-3", "main h1")
        page.get_by_role("heading", name="two objectives").wait_for()
        optuna.delete_study(study_name="two objectives", storage=f"sqlite:///{storage}")
        page.get_by_role("heading", name="This study does not exist").wait_for()
        here.screenshot("looks-deleted")
        page.get_by_role("link", name="All studies").click()
        page.locator("main tbody tr").first.wait_for()
        assert page.get_by_role("link", name="two objectives").count() == 0


def test_a_study_is_printed_whole_and_in_light_colors(storage: str, start_server: Serve) -> None:
    _, address = start_server(storage)
    with browser(color_scheme="dark") as here:
        page = here.page
        show(here, f"{address}#/study/s0-1", ".figure .svg-container")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        page.wait_for_function("document.querySelector('.figure .main-svg').clientWidth <= 680")
        assert page.locator("header").is_hidden()
        assert page.locator(".tools").first.is_hidden()
        ink = page.evaluate("getComputedStyle(document.querySelector('main h1')).color")
        assert ink == "rgb(22, 32, 46)"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.emulate_media(media="screen")
        page.pdf(path="build/screenshots/looks-print.pdf")


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
