"""Trials that are selected in figures and in the table, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dashboard.conftest import MakeStudy
from tests.dashboard_browser import CHROMIUM, browser, wait_for_figures

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

HISTORY = "document.getElementById('figure-history')"
HIGHLIGHTED = f"{HISTORY}.data[0].selectedpoints"


def test_a_selection_is_the_same_everywhere(
    tuned: MakeStudy, tmp_path: Path, served: Callable[..., str]
) -> None:
    tuned("s")
    address = served(f"{tmp_path}/studies.db")
    with browser() as here:
        page = here.page
        page.goto(f"{address}#/study/s0-1")
        wait_for_figures(here, 4)
        point = page.locator("#figure-history .scatterlayer .point").first
        number = page.evaluate(f"{HISTORY}.data[0].customdata[0]")

        point.click(force=True)
        page.get_by_text("1 selected").wait_for()
        box = page.get_by_role("checkbox", name=f"Select trial {number}", exact=True)
        page.wait_for_function(f"{HIGHLIGHTED}?.length === 1")
        page.wait_for_function(f"location.hash.includes('selected={number}')")
        page.get_by_label("Only selected").check()
        assert box.is_checked()
        assert page.locator(".rows tbody tr").count() <= 3

        page.reload()
        wait_for_figures(here, 4)
        page.wait_for_function(f"{HIGHLIGHTED}?.length === 1")
        page.get_by_role("button", name="Clear selection").click()
        page.wait_for_function(f"{HIGHLIGHTED} === undefined")
        assert "selected" not in page.evaluate("location.hash")

        page.locator("#figure-history").hover()
        page.locator("#figure-history [data-title='Box Select']").click()
        plot = page.locator("#figure-history .nsewdrag").bounding_box()
        assert plot is not None
        page.mouse.move(plot["x"] + 2, plot["y"] + 2)
        page.mouse.down()
        page.mouse.move(plot["x"] + plot["width"] - 2, plot["y"] + plot["height"] - 2, steps=5)
        page.mouse.up()
        all_points = page.evaluate(f"{HISTORY}.data[0].x.length")
        page.wait_for_function(f"{HIGHLIGHTED}?.length === {all_points}")
        curves = "document.getElementById('figure-curves').data"
        page.wait_for_function(f"{curves}.some(trace => trace.name.endsWith(', selected'))")
        here.screenshot("selection")
        assert here.problems == []
