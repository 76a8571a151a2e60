"""A study seen from outside, by its storage alone: another process tunes it, or it has ended."""

from __future__ import annotations

import time
import warnings
from typing import Any

import optuna
from optuna.storages import BaseStorage

from tune_jobs.dashboard.figures import KINDS
from tune_jobs.dashboard.model import Study
from tune_jobs.errors import ConfigError, StudyError, require_package
from tune_jobs.notebook.plots import make_figure
from tune_jobs.notebook.showing import ShownStudy
from tune_jobs.storage.activity import find_patience
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.intervals import find_intervals
from tune_jobs.storage.opening import open_existing_study


class StudyMonitor(ShownStudy):
    """A study seen from outside; `Tuner.attach` returns one.

    Args:
        study_name: Name of the study.
        storage: Its storage: a URL, or Optuna's object.

    Raises:
        StudyError: If the storage or the study does not exist, or if it was never tuned with
            tune_jobs.
    """

    _shower = "monitor"

    def __init__(self, study_name: str, storage: str | BaseStorage) -> None:
        super().__init__()
        self._study = open_existing_study(study_name, storage)
        if self.snapshot().uid is None:
            raise StudyError(f"study {study_name!r} was never tuned with tune_jobs")

    @property
    def study(self) -> optuna.Study:
        """The Optuna study."""
        return self._study

    def snapshot(self) -> Study:
        """Return the current state of the study."""
        return self._read()

    def look(self) -> Study:
        """Return the current state of the study; use `snapshot` instead."""
        message = "StudyMonitor.look is now StudyMonitor.snapshot"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self.snapshot()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no process tunes the study, and no controller is about to.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether the tuning has ended.
        """
        end = None if timeout is None else time.monotonic() + timeout
        pause = find_intervals(find_ledger_engine(self.study)).answer
        free_since: float | None = None
        while True:
            study, now = self.snapshot(), time.monotonic()
            if study.owner is not None:
                free_since = None
            elif (patience := find_patience(study.controllers, time.time())) is not None:
                free_since = now if free_since is None else free_since
                if now - free_since >= patience:
                    return True
            if end is not None and now > end:
                return False
            time.sleep(pause)  # the owner is another process, perhaps on another machine

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
        self._send(command, argument)

    def figure(self, name: str = "history") -> Any:
        """Return one of the dashboard's figures as a Plotly figure.

        Args:
            name: ``history``, ``front``, ``timeline``, ``curves``, ``parallel``, ``importance`` or
                ``slice``.

        Raises:
            ConfigError: If there is no such figure, or Plotly is not installed.
        """
        return plotly_figure(self.snapshot(), name)


def plotly_figure(study: Study, name: str) -> Any:
    """Return a figure of the dashboard as a Plotly figure.

    Raises:
        ConfigError: If there is no such figure, or Plotly is not installed.
    """
    if name not in KINDS:
        raise ConfigError(f"unknown figure {name!r}: use one of {', '.join(KINDS)}")
    require_package("drawing figures", "plotly", extra="dashboard")
    kind, now = KINDS[name], time.time()
    printed = kind.draw_printed(study, now) if kind.draw_printed else None
    return make_figure(kind.draw(study, now), kind.title, printed)
