"""Write reports in the formats that are offered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.report.composing import compose_report
from tune_jobs.dashboard.report.html_page import render_html
from tune_jobs.dashboard.report.markdown import render_markdown
from tune_jobs.dashboard.report.printing import print_pdf
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.private_files import open_private

FORMATS = ("html", "md", "pdf")


def report_html(studies: Sequence[Study], now: float | None = None) -> str:
    """Return the report of studies as one HTML document.

    Args:
        studies: Studies to report; several are also compared, if they can be.
        now: Seconds since the epoch; None for the current time.

    Raises:
        MissingPackage: If Plotly is not installed.
    """
    return render_html(compose_report(studies, now))


def report_markdown(studies: Sequence[Study], now: float | None = None) -> str:
    """Return the report of studies as Markdown; see `report_html`."""
    return render_markdown(compose_report(studies, now, with_figures=False))


def make_report(studies: Sequence[Study], kind: str, paper: str | None = None) -> bytes:
    """Return the report of studies as a file has it.

    Args:
        studies: See `report_html`.
        kind: One of `FORMATS`.
        paper: Size of printed pages; None for A4 in PDF, and that of the print dialog in HTML.

    Raises:
        ConfigError: If a PDF is wanted, and there is no browser that prints it.
        MissingPackage: If Plotly is not installed; Markdown does not need it.
    """
    report = compose_report(studies, with_figures=kind != "md")
    if kind == "md":
        return render_markdown(report).encode()
    if kind == "pdf":
        return print_pdf(render_html(report, paper or "A4"))
    return render_html(report, paper).encode()


def choose_format(path: Path) -> str:
    """Return the format of a report with this path: by its suffix, otherwise HTML."""
    suffix = path.suffix.lower().removeprefix(".")
    return suffix if suffix in FORMATS else "html"


def write_report(
    studies: Sequence[Study], path: Path, kind: str | None = None, paper: str | None = None
) -> Path:
    """Write the report of studies to a file; return its path.

    Args:
        studies: See `report_html`.
        path: Path of the file.
        kind: One of `FORMATS`; None for that of the path's suffix.
        paper: See `make_report`.

    Raises:
        ConfigError: If it cannot be written, or printed.
        MissingPackage: If Plotly is not installed; Markdown does not need it.
    """
    document = make_report(studies, kind or choose_format(path), paper)
    try:
        with open(path, "wb", opener=open_private) as file:
            file.write(document)
    except OSError as error:
        raise ConfigError(f"the report {path} cannot be written: {error.strerror}") from error
    return path
