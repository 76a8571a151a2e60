"""Print a report to PDF with Chrome or Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tune_jobs.errors import ConfigError
from tune_jobs.runtime.private_files import open_private

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
TIMEOUT = 300.0
"""Seconds after which the browser is stopped."""

_OPTIONS = (
    "--headless",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-pdf-header-footer",
    # Timers are skipped: the browser prints when the page has nothing left to do.
    "--virtual-time-budget=120000",
)


def find_browser() -> str | None:
    """Return the path of Chrome or Chromium: ``BROWSER_PATH``, or one on the path; None if none."""
    if wanted := os.environ.get("BROWSER_PATH"):
        return wanted
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_pdf(document: str) -> bytes:
    """Return an HTML document as PDF.

    Raises:
        ConfigError: If there is no browser, or if it cannot print.
    """
    browser = find_browser()
    if browser is None:
        raise ConfigError(
            "PDF needs Chrome or Chromium, and none was found: set BROWSER_PATH to its path, or "
            "write the report as HTML, open it in any browser, and print it to PDF there"
        )
    with tempfile.TemporaryDirectory(prefix="tune-jobs-report-") as folder:
        page, printed = Path(folder, "report.html"), Path(folder, "report.pdf")
        with open(page, "w", encoding="utf-8", opener=open_private) as file:
            file.write(document)
        command = [browser, *_OPTIONS, f"--user-data-dir={folder}/profile"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--no-sandbox")  # as root, the browser refuses to start with it
        command += [f"--print-to-pdf={printed}", page.as_uri()]
        problem = _run(command)
        if not printed.is_file():
            raise ConfigError(f"{browser} did not print the report: {problem or 'no reason given'}")
        return printed.read_bytes()


def _run(command: list[str]) -> str:
    """Run the browser; return the end of what it said."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it did not end in {TIMEOUT:.0f} s"
    except OSError as error:
        return f"it cannot be started: {error.strerror}"
    return done.stderr.decode(errors="replace").strip()[-300:]
