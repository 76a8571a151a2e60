"""A real browser: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer

from tune_jobs.dashboard.server import serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
VIEWPORT: Any = {"width": 1280, "height": 900}
SCREENSHOTS = Path(os.environ.get("TUNE_JOBS_SCREENSHOTS", "build/screenshots")).absolute()


class Browser:
    """A page that records errors: of its console, and requests to other hosts.

    Args:
        page: Playwright's page.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        # Playwright's own evaluates strings in the page, which its Content-Security-Policy forbids.
        page.wait_for_function = self._wait_for
        page.on("console", self._record_message)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._check_request)

    def _wait_for(self, expression: str, *, timeout: float = 120_000) -> None:
        """Wait until a JavaScript expression is true, for at most ``timeout`` milliseconds."""
        give_up = time.monotonic() + timeout / 1000
        while not self.page.evaluate(expression):
            if time.monotonic() > give_up:
                raise TimeoutError(f"after {timeout} ms still not true: {expression}")
            self.page.wait_for_timeout(30)

    def _record_message(self, message: Any) -> None:
        # A driver without a graphics card says that it is slow, whenever it likes.
        is_of_driver = "GL Driver Message" in message.text
        if message.type in ("error", "warning") and not is_of_driver:
            self.problems.append(f"{message.type}: {message.text}")

    def _check_request(self, request: Any) -> None:
        if not request.url.startswith(("http://127.0.0.1", "data:", "blob:", "file:")):
            self.problems.append(f"requested {request.url}")

    def choose_theme(self, theme: str) -> None:
        """Switch the dashboard to its ``light`` or ``dark`` theme."""
        if self.page.evaluate("document.documentElement.dataset.theme") != theme:
            self.page.evaluate("document.getElementById('theme').click()")

    @contextmanager
    def open_another(self) -> Iterator[Browser]:
        """Open a page in another new profile, as another person has it."""
        context = self.page.context.browser.new_context(viewport=VIEWPORT)
        try:
            yield Browser(_open_page(context))
        finally:
            context.close()

    def screenshot(self, name: str) -> None:
        """Save a screenshot of the whole page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def _open_page(context: Any) -> Any:
    page = context.new_page()
    page.set_default_timeout(120_000)
    return page


@contextmanager
def browser(**options: Any) -> Iterator[Browser]:
    """Open a page in a new profile; the options are those of a context of Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            # Software rendering for WebGL.
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        try:
            yield Browser(_open_page(chromium.new_context(viewport=VIEWPORT, **options)))
        finally:
            chromium.close()


@contextmanager
def serving(*storages: str, **options: Any) -> Iterator[tuple[BaseWSGIServer, str]]:
    """Serve storages; return the server and the address of its page."""
    server, address = serve(storages, **{"port": 0, **options})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server, address
    finally:
        server.shutdown()
        server.server_close()


def check_accessible(here: Browser) -> None:
    """Check that axe-core finds no violations."""
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(here.page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in violations] == []


def check_width(here: Browser) -> None:
    """Check that the page is not wider than the window."""
    assert here.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def wait_for_figures(here: Browser, count: int) -> None:
    """Wait until ``count`` figures are drawn."""
    here.page.wait_for_function(
        f"document.querySelectorAll('.figure .main-svg, .figure .svg-container').length >= {count}"
    )
