"""Studies compared and written down, from Python; see the dashboard for how."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import optuna

from tune_jobs.dashboard.comparing import Comparison
from tune_jobs.dashboard.comparing import compare as compare_seen
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.report import write_report as write_seen


def compare(studies: Sequence[optuna.Study]) -> Comparison:
    """Compare studies with one objective, from any storages: winners, and what differs.

    Raises:
        ComparisonError: If a study has several objectives, or if directions differ.
    """
    return compare_seen([read_study(study) for study in studies])


def write_report(studies: Sequence[optuna.Study], path: str | os.PathLike[str]) -> Path:
    """Write a report of studies: one HTML file that needs no network.

    Raises:
        ConfigError: Plotly is not installed (``pip install 'tune_jobs[dashboard]'``).
    """
    return write_seen([read_study(study) for study in studies], Path(path))
