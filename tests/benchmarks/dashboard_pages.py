"""The page of this package and that of optuna-dashboard, measured by the same means.

*First content* is the first thing on a page that is made of the study's results: a row of trials,
the best trial, or a figure that shows data; in a list, ten studies, as both dashboards draw only
those that a window shows. It is observed within the page, and counted from the start of the
navigation until the frame that has it is painted. Neither a frame of the page, nor an empty card
or empty axes count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.dashboard_browser import browser

TOKEN = "token-of-the-benchmark"
LISTED = 10
"""Studies of a list that are its first content."""

PATIENCE = 300.0
"""Seconds to wait for what a page has to show."""

QUIET = 2.5
"""Seconds without an answer of the server after which a page has loaded everything; longer than the
interval of the updates of our page, whose answers without news do not count."""

_OBSERVER = """
(() => {
  const wanted = %s;
  const seen = (window.seenAt = {});
  const look = () => {
    for (const [name, isThere] of Object.entries(wanted)) {
      if (name in seen || !isThere()) continue;
      seen[name] = null;
      requestAnimationFrame(() => setTimeout(() => { seen[name] = performance.now(); }));
    }
    if (Object.keys(seen).length === Object.keys(wanted).length) observer.disconnect();
  };
  const observer = new MutationObserver(look);
  const options = { subtree: true, childList: true, characterData: true };
  observer.observe(document, options);
})();
"""
"""Notes when something appears in a page, in milliseconds since the start of the navigation."""


@dataclass(frozen=True)
class Page:
    """One of the two dashboards.

    Args:
        name: Its name.
        command: Module and arguments that serve the SQLite file ``{file}`` at ``{port}``.
        study: Address of the page of the first study, without the host.
        studies: Address of the list of studies.
        content: JavaScript expression: whether the page of a study has its first content.
        figure: Whether it has a figure with data.
        row: Selector of a study in the list.
        best: Text of the page by which trial ``{number}`` is the best one.
    """

    name: str
    command: Sequence[str]
    study: str
    studies: str
    content: str
    figure: str
    row: str
    best: str


OURS = Page(
    name="tune_jobs",
    command=("tune_jobs.cli", "dashboard", "{file}", "--port", "{port}"),
    study=f"/?token={TOKEN}#/study/s0-1",
    studies=f"/?token={TOKEN}",
    content="document.querySelector('main tbody tr a[href*=trial], .figure .main-svg')",
    figure="document.querySelector('.figure .main-svg')",
    row="main tbody tr",
    best="trial {number}:",
)

THEIRS = Page(
    name="optuna-dashboard",
    command=("optuna_dashboard._cli", "sqlite:///{file}", "--port", "{port}"),
    study="/dashboard/studies/1",
    studies="/dashboard",
    content="document.querySelector('.js-plotly-plot .trace, .js-plotly-plot .point')"
    " || document.body?.textContent.includes('Best Trial (number=')",
    figure="document.querySelector('.js-plotly-plot .trace, .js-plotly-plot .point')",
    row="a[href^='/dashboard/studies/']",
    best="Best Trial (number={number})",
)


class Server:
    """A dashboard that serves one SQLite file in a process of its own.

    Args:
        page: Which dashboard.
        file: The database.
        port: Port to listen on.
    """

    def __init__(self, page: Page, file: Path, port: int) -> None:
        self.page, self.port = page, port
        arguments = [part.format(file=file, port=port) for part in page.command]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TUNE_JOBS_DASHBOARD_TOKEN": TOKEN},
        )

    def address(self, path: str) -> str:
        """Return the address of a page."""
        return f"http://127.0.0.1:{self.port}{path}"

    def wait(self) -> None:
        """Wait until it answers."""
        for _ in range(600):
            try:
                with urlopen(self.address("/")):
                    return
            except HTTPError:
                return  # it asks for the token
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self.page.name} does not answer on port {self.port}")

    def peak(self) -> float:
        """Return the peak memory of its process, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


@contextmanager
def serve(page: Page, file: Path, port: int) -> Iterator[Server]:
    """Serve a database, from the first answer on."""
    server = Server(page, file, port)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@dataclass
class Traffic:
    """What a page receives.

    Args:
        answers: Bytes of each answer, its head included, by the order of arrival.
        last: When the last answer came that was not merely a confirmation.
    """

    answers: list[int] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    def finish(self, event: dict[str, Any]) -> None:
        """Note an answer; called with an event of the browser."""
        self.answers.append(int(event["encodedDataLength"]))
        if self.answers[-1] > _CONFIRMATION:
            self.last = time.monotonic()

    def is_quiet(self) -> bool:
        """Return whether all that was to come has come."""
        return time.monotonic() - self.last > QUIET


_CONFIRMATION = 700
"""Bytes of an answer that only says that nothing has changed: little more than its head."""


@dataclass(frozen=True)
class Visit:
    """What one visit of a page has shown.

    Args:
        first: Seconds until the first content.
        figure: Seconds until the first figure; None for a list.
        loaded: Bytes until everything was loaded.
        update: Seconds from a new best trial until the page shows it; None for a list.
        changed: Bytes of that update.
    """

    first: float
    figure: float | None
    loaded: int
    update: float | None = None
    changed: int | None = None


def visit_study(server: Server, add_best: Callable[[], int]) -> Visit:
    """Open the page of a study with an empty cache, and add a trial when all is drawn.

    Args:
        server: The dashboard.
        add_best: Adds a trial that is better than all before, and returns its number.
    """
    page = server.page
    wanted = f"{{content: () => {page.content}, figure: () => {page.figure}}}"
    with browser() as here:
        traffic = _watch(here, wanted)
        here.page.goto(server.address(page.study))
        _wait(here, "window.seenAt?.content && window.seenAt?.figure")
        _wait_until(here, traffic.is_quiet)
        first, figure = (
            here.page.evaluate(f"seenAt.{name} / 1000") for name in ("content", "figure")
        )
        loaded = sum(traffic.answers)
        traffic.answers.clear()
        best = page.best.format(number=add_best())
        start = traffic.last = time.monotonic()
        _wait(here, f"document.body.textContent.includes({best!r})")
        update = time.monotonic() - start
        _wait_until(here, traffic.is_quiet)
        return Visit(first, figure, loaded, update, sum(traffic.answers))


def visit_list(server: Server) -> Visit:
    """Open the list of studies with an empty cache."""
    page = server.page
    wanted = f"{{content: () => document.querySelectorAll({page.row!r}).length >= {LISTED}}}"
    with browser() as here:
        traffic = _watch(here, wanted)
        here.page.goto(server.address(page.studies))
        _wait(here, "window.seenAt?.content")
        _wait_until(here, traffic.is_quiet)
        first: float = here.page.evaluate("seenAt.content / 1000")
        return Visit(first, None, sum(traffic.answers))


def _watch(here: Any, wanted: str) -> Traffic:
    """Observe a page that is about to be opened."""
    traffic = Traffic()
    here.page.add_init_script(_OBSERVER % wanted)
    session = here.page.context.new_cdp_session(here.page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", traffic.finish)
    return traffic


def _wait(here: Any, expression: str) -> None:
    here.page.wait_for_function(f"Boolean({expression})", timeout=1000 * PATIENCE)


def _wait_until(here: Any, is_done: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not is_done():
        if time.monotonic() > give_up:
            raise TimeoutError("the page does not stop loading")
        here.page.wait_for_timeout(50)
