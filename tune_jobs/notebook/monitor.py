"""Looking on at a study that another process tunes, or that ended, with nothing but its storage."""

from __future__ import annotations

import time
from typing import Any

import optuna
from optuna.storages import BaseStorage
from sqlalchemy import Engine

from tune_jobs.core.formatting import duration, html_table
from tune_jobs.dashboard.figures import FIGURES
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.reading import read_study
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.database import find_ledger_engine

POLL = 0.5


class StudyMonitor:
    """A study, seen from outside. Made by `Tuner.attach`; changes nothing unless it is asked to.

    Args:
        study_name: The study's name.
        storage: Its storage: a URL, or Optuna's.

    Raises:
        StudyError: there is no such study, or tune_jobs never ran it.
    """

    def __init__(self, study_name: str, storage: str | BaseStorage) -> None:
        try:
            self.study = optuna.load_study(study_name=study_name, storage=storage)
        except KeyError:
            raise StudyError(f"there is no study {study_name!r} in this storage") from None
        if self.look().uid is None:
            raise StudyError(f"study {study_name!r} was never tuned with tune_jobs")

    def look(self) -> Study:
        """The study as it is now."""
        return read_study(self.study)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nobody tunes it any more; whether that happened within ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.look().owner is not None:
            if end is not None and time.monotonic() > end:
                return False
            time.sleep(POLL)  # another process works, perhaps on another machine
        return True

    def stop(self, *, cancel_runs: bool = False) -> None:
        """Ask whoever tunes it to end.

        Args:
            cancel_runs: Stop live runs instead of letting them finish.

        Raises:
            StudyError: nobody tunes it.
        """
        self._ask("stop", runs="cancel" if cancel_runs else "finish")

    def pause(self) -> None:
        """Ask for no new trials, see `stop`."""
        self._ask("pause")

    def resume(self) -> None:
        """Ask for new trials again, see `stop`."""
        self._ask("resume")

    def _ask(self, command: str, **argument: Any) -> None:
        seen = self.look()
        if seen.owner is None or seen.uid is None:
            raise StudyError(f"nobody is tuning study {self.study.study_name!r}")
        engine: Engine = find_ledger_engine(self.study)[1]
        Controls(engine, seen.uid).ask(command, **argument)

    def figure(self, name: str = "history") -> Any:
        """One of the dashboard's figures, as a Plotly figure.

        Raises:
            ConfigError: there is no such figure, or Plotly is not installed.
        """
        return plotly_figure(self.look(), name)

    def _rows(self) -> list[tuple[str, str]]:
        seen = self.look()
        best = seen.best()
        counts = ", ".join(f"{n} {state.lower()}" for state, n in seen.counts().items() if n)
        return [
            ("study", seen.name),
            ("trials", counts or "none yet"),
            ("best", f"{best.values[0]:.6g} (trial {best.number})" if best else ""),
            ("run time", duration(sum(r.seconds or 0.0 for r in seen.runs))),
            ("tuned by", seen.owner or "nobody"),
        ]

    def __repr__(self) -> str:
        return f"StudyMonitor({', '.join(f'{k}: {v}' for k, v in self._rows() if v)})"

    def _repr_html_(self) -> str:
        return html_table(self._rows())


def plotly_figure(study: Study, name: str) -> Any:
    """A figure of the dashboard for a notebook.

    Raises:
        ConfigError: there is no such figure, or Plotly is not installed.
    """
    if name not in FIGURES:
        raise ConfigError(f"figure {name!r} is not one of {', '.join(FIGURES)}")
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise ConfigError("figures need Plotly: pip install 'tune_jobs[dashboard]'") from error
    title, draw = FIGURES[name]
    figure = plotly.graph_objects.Figure(draw(study, time.time()))
    figure.update_layout(title=title, height=400)
    return figure
