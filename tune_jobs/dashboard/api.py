"""Comparisons and reports of Optuna studies, from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import optuna

from tune_jobs.arguments.calls import strict_types
from tune_jobs.dashboard.comparing import Comparison, compare_by
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report import write_report as write_studies


@strict_types
def compare(
    studies: Sequence[optuna.Study], *, objective: str | None = None, group: str = ""
) -> Comparison:
    """Compare studies by one objective: their best trials, and how they differ.

    The studies may be in different storages.

    Args:
        studies: The studies.
        objective: ``max:accuracy``, ``min:loss`` or the name of a metric. Studies without it are
            left out, which ``notes`` of the result says. None if all have a single objective of
            the same direction.
        group: How studies that repeat each other are recognized, which are compared together:
            ``name`` if their names are the same up to a number (``digits-seed-1``), or
            ``attribute:NAME`` by the value of a user attribute. By default each study stands by
            itself.

    Raises:
        ComparisonError: If there is no such objective or attribute; without an objective, if a
            study has several, or if directions differ.
        ConfigError: If these are not studies.
    """
    read = [read_study(study) for study in studies]
    return compare_by(read, objective=objective, grouping=group)


@strict_types
def write_report(studies: Sequence[optuna.Study], path: str | os.PathLike[str]) -> Path:
    """Write a report of studies to a file; return its path.

    The suffix of the path is the format: ``.md`` is Markdown for a pull request, ``.pdf`` a
    document that Chrome or Chromium prints, and everything else one HTML file, which needs
    neither a network nor a server.

    Raises:
        ConfigError: If these are not studies, or if the file cannot be written or printed.
        MissingPackage: If Plotly is not installed (``pip install 'tune_jobs[dashboard]'``), unless
            the report is Markdown.
    """
    return write_studies([read_study(study) for study in studies], Path(path))
