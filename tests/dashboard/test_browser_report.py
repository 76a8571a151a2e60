"""A report, printed to PDF: whole figures below their headings, and nothing is requested."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import HOSTILE, MakeStudy
from tests.dashboard.test_browser import check_nothing_is_uploaded
from tests.dashboard_browser import CHROMIUM, SCREENSHOTS, browser, check_accessible
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report import write_report

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

PAPER = {"A4": 1123 - 121, "Letter": 1056 - 121}
"""Height of the printed area in CSS pixels, without margins."""

_PLACES = """() => [...document.querySelectorAll("figure, tr, .tiles, .answer")].map((node) => {
  const box = node.getBoundingClientRect();
  return [node.tagName, box.width, box.height];
})"""


def count_pages(document: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", document))


def test_printed_report(tuned: MakeStudy, tmp_path: Path) -> None:
    studies = [read_study(tuned("a")), read_study(tuned(HOSTILE)), read_study(tuned("c"))]
    studies[1] = replace(
        studies[1], definition={**studies[1].definition, "run": {HOSTILE: HOSTILE}}
    )
    path = write_report(studies, tmp_path / "report.html")
    with browser(offline=True, color_scheme="dark") as here:
        here.page.goto(path.as_uri())
        here.page.wait_for_selector("html[data-state=ready]")
        check_accessible(here)
        check_nothing_is_uploaded(here)
        here.screenshot("report-dark")
        here.page.set_viewport_size({"width": 390, "height": 800})
        assert here.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        here.screenshot("report-narrow")
        for paper in PAPER:
            printed = here.page.pdf(format=paper)
            assert 5 <= count_pages(printed) <= 12, paper
            (SCREENSHOTS / f"report-{paper}.pdf").write_bytes(printed)
        _check_printed_page(here.page)
        assert here.problems == []


def _check_printed_page(page: Any) -> None:
    """Check what decides about breaks: each figure is one box with its heading and its image."""
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 1000})  # an A4 page without its margins
    for _, width, height in page.evaluate(_PLACES):
        assert width <= 688, "nothing is cut"
        assert height <= min(PAPER.values()), "it fits a page"
    figures = page.locator("figure")
    assert figures.count() >= 10
    for figure in figures.all():
        assert figure.evaluate("n => getComputedStyle(n).breakInside") == "avoid"
        assert figure.locator("h3").count() == 1
        assert figure.locator(".printed").evaluate("n => n.complete && n.naturalWidth > 0")
        assert not figure.locator(".figure").is_visible()
    for heading in page.locator("h2").all():
        assert heading.evaluate("n => getComputedStyle(n).breakAfter") == "avoid"
    assert not page.locator(".modebar-container").first.is_visible()
    body = page.evaluate("getComputedStyle(document.body).color")
    assert body == "rgb(22, 32, 46)", "print is light"
    assert (
        page.evaluate("document.querySelectorAll('main script, main img:not(.printed)').length")
        == 0
    )


def test_headings_stay_with_figures(tuned: MakeStudy, tmp_path: Path) -> None:
    path = write_report([read_study(tuned("a"))], tmp_path / "report.pdf")
    document = path.read_bytes()
    assert document.startswith(b"%PDF-")
    assert 2 <= count_pages(document) <= 5
    assert path.stat().st_mode & 0o077 == 0
