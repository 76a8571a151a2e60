"""Figures as SVG or PNG files.

Kaleido draws them in Chrome or Chromium; ``BROWSER_PATH`` is the path of the browser.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from tune_jobs.dashboard.comparable import choose_shared
from tune_jobs.dashboard.comparison_figures import comparison_figures
from tune_jobs.dashboard.drawing import Figure, clean, finite, short
from tune_jobs.dashboard.figures import draw_printed, figure_names
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.report.printing import find_browser
from tune_jobs.errors import ComparisonError, ConfigError, require_package
from tune_jobs.runtime.private_files import create_private, make_folders

KINDS = ("svg", "png")
WIDTH, HEIGHT = 900, 450
MAX_PROBLEM = 200
"""Characters of the reason why a figure cannot be drawn."""


@dataclass(frozen=True)
class Images:
    """Figures as files.

    Args:
        paths: The files that were written.
        problems: Why others could not be drawn, by their paths.
    """

    paths: Sequence[Path]
    problems: Mapping[Path, str]


def write_images(studies: Sequence[Study], folder: Path, kind: str = "svg") -> Images:
    """Write all figures of studies, and those of their comparison.

    Args:
        studies: Studies whose figures are written.
        folder: Folder of the files; it is created if it does not exist.
        kind: ``svg`` or ``png``.

    Returns:
        The paths of the files, such as ``digits-curves.svg``; a figure that cannot be drawn does
        not keep the others from being written.

    Raises:
        ConfigError: If ``kind`` is unknown, or Plotly, Kaleido or a browser is missing.
    """
    if kind not in KINDS:
        raise ConfigError(f"invalid image format {kind!r}: use one of {', '.join(KINDS)}")
    named = _figures(studies)
    try:
        make_folders(folder)
    except OSError as error:
        raise ConfigError(f"images cannot be written to {folder}: {error.strerror}") from error
    paths = [folder / f"{name}.{kind}" for name in named]
    if found := find_browser():
        os.environ["BROWSER_PATH"] = found
    require_packages()
    graph: Any = import_module("plotly.graph_objects")
    io: Any = import_module("plotly.io")
    figures = {
        path: graph.Figure(finite(figure))
        for path, figure in zip(paths, named.values(), strict=True)
    }
    try:
        for path in paths:
            path.unlink(missing_ok=True)  # of an earlier report
            create_private(path)
        io.write_images(fig=[*figures.values()], file=paths, width=WIDTH, height=HEIGHT)
    except Exception as error:  # Kaleido and its browser raise many types
        raise ConfigError(
            f"cannot draw the figures: {error}. Kaleido requires Chrome or Chromium: set "
            "BROWSER_PATH to its path"
        ) from error
    # Of several figures, Kaleido leaves those out that Plotly cannot draw, without a word.
    problems = {
        path: problem
        for path, figure in figures.items()
        if not _is_written(path) and (problem := _draw_alone(io, figure, path))
    }
    return Images([path for path in paths if path not in problems], problems)


def _is_written(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _draw_alone(io: Any, figure: Any, path: Path) -> str:
    """Try to draw a figure by itself; return why it cannot be drawn, empty if it can."""
    try:
        create_private(path)
        io.write_image(figure, path, width=WIDTH, height=HEIGHT)
    except Exception as error:  # as above
        path.unlink(missing_ok=True)
        return clean(error, MAX_PROBLEM) or type(error).__name__
    return "" if _is_written(path) else "the file is empty"


def require_packages() -> None:
    """Check that the packages for images are installed.

    Raises:
        MissingPackage: If one is not.
    """
    for package in ("plotly", "kaleido"):
        require_package("drawing images", package, extra="images")


def _figures(studies: Sequence[Study]) -> dict[str, Figure]:
    """Return all figures by the stem of their file name."""
    now, named = time.time(), {}
    for number, study in enumerate(studies):
        stem = re.sub(r"[^\w-]+", "-", short(study.name)).strip("-") or "study"
        label = stem if len(studies) == 1 else f"{number + 1}-{stem}"
        for name in figure_names(study):
            for printed in draw_printed(study, name, now):
                named[f"{label}-{printed.key}"] = _titled(printed.figure, printed.title)
    with contextlib.suppress(ComparisonError):  # nothing to compare
        shared = choose_shared(studies).studies if len(studies) > 1 else []
        if len(shared) > 1:
            for name, (title, figure) in comparison_figures(shared).items():
                named[f"compare-{name}"] = _titled(figure, title)
    return named


def _titled(figure: Figure, title: str) -> Figure:
    margin = {**figure["layout"].get("margin", {}), "t": 90}
    return {**figure, "layout": {**figure["layout"], "title": {"text": title}, "margin": margin}}
