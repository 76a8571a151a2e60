"""A study seen from outside, by its storage alone: another process tunes it, or it has ended."""

from __future__ import annotations

import time
import warnings
from typing import Any

from optuna.storages import BaseStorage

from tune_jobs.core.formatting import duration, html_table
from tune_jobs.dashboard.figures import FIGURES
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.reading import read_study
from tune_jobs.errors import ConfigError, StudyError, require_package
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.opening import open_existing_study

POLL_SECONDS = 0.5


class StudyMonitor:
    """A study seen from outside; `Tuner.attach` returns one.

    Args:
        study_name: Name of the study.
        storage: Its storage: a URL, or Optuna's object.

    Raises:
        StudyError: If the storage or the study does not exist, or if it was never tuned with
            tune_jobs.
    """

    def __init__(self, study_name: str, storage: str | BaseStorage) -> None:
        self.study = open_existing_study(study_name, storage)
        if self.snapshot().uid is None:
            raise StudyError(f"study {study_name!r} was never tuned with tune_jobs")

    def snapshot(self) -> Study:
        """Return the current state of the study."""
        return read_study(self.study)

    def look(self) -> Study:
        """Return the current state of the study; use `snapshot` instead."""
        message = "StudyMonitor.look is now StudyMonitor.snapshot"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.snapshot()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no process tunes the study.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether the tuning has ended.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.snapshot().owner is not None:
            if end is not None and time.monotonic() > end:
                return False
            time.sleep(POLL_SECONDS)  # the owner is another process, perhaps on another machine
        return True

    def stop(self, *, cancel_runs: bool = False) -> None:
        """Request the end of the tuning.

        Args:
            cancel_runs: Whether live runs are canceled; otherwise they finish.

        Raises:
            StudyError: If no process tunes the study.
        """
        self._request("stop", runs="cancel" if cancel_runs else "finish")

    def pause(self) -> None:
        """Request that no new trials are started.

        Raises:
            StudyError: If no process tunes the study.
        """
        self._request("pause")

    def resume(self) -> None:
        """Request that new trials are started again.

        Raises:
            StudyError: If no process tunes the study.
        """
        self._request("resume")

    def _request(self, command: str, **argument: Any) -> None:
        study = self.snapshot()
        if study.owner is None or study.uid is None:
            raise StudyError(f"no process is tuning study {self.study.study_name!r}")
        engine = find_ledger_engine(self.study)
        Controls(engine, study.uid).request(command, **argument)

    def figure(self, name: str = "history") -> Any:
        """Return one of the dashboard's figures as a Plotly figure.

        Args:
            name: ``history``, ``front``, ``timeline``, ``curves``, ``parallel``, ``importance`` or
                ``slice``.

        Raises:
            ConfigError: If there is no such figure, or Plotly is not installed.
        """
        return plotly_figure(self.snapshot(), name)

    def _rows(self) -> list[tuple[str, str]]:
        study = self.snapshot()
        front, no_best = study.front(), study.no_best()
        counts = ", ".join(f"{n} {state.lower()}" for state, n in study.counts().items() if n)
        return [
            ("study", study.name),
            ("trials", counts or "none yet"),
            ("best", no_best.summary if no_best else "; ".join(map(_describe, front[:3]))),
            ("run time", duration(sum(r.seconds or 0.0 for r in study.runs))),
            ("tuned by", study.owner or "no process"),
            ("left behind", ", ".join(run.name for run in study.left_behind[:5])),
        ]

    def __repr__(self) -> str:
        return f"StudyMonitor({', '.join(f'{k}: {v}' for k, v in self._rows() if v)})"

    def _repr_html_(self) -> str:
        return html_table(self._rows())


def _describe(trial: Trial) -> str:
    return f"{', '.join(f'{v:.6g}' for v in trial.values)} (trial {trial.number})"


def plotly_figure(study: Study, name: str) -> Any:
    """Return a figure of the dashboard as a Plotly figure.

    Raises:
        ConfigError: If there is no such figure, or Plotly is not installed.
    """
    if name not in FIGURES:
        raise ConfigError(f"unknown figure {name!r}: use one of {', '.join(FIGURES)}")
    require_package("drawing figures", "plotly", extra="dashboard")
    import plotly.graph_objects

    title, draw = FIGURES[name]
    figure = plotly.graph_objects.Figure(draw(study, time.time()))
    figure.update_layout(title=title, height=400)
    return figure
