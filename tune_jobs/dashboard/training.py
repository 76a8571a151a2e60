"""Final runs that the page starts: `tune-jobs train-best` in a process of its own.

The page has neither the script nor the backend of a study, but its study.yaml has. A study whose
study.yaml the dashboard was not started with is trained by a command that the page shows.

The command is idempotent: it returns a final run that has succeeded, and two of them never train at
once, as each owns the study while it does. It survives the server.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.views import bounded, json_number
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.runtime.private_files import open_private

_TAIL = 4000
"""Bytes of the end of a command's output that the page shows."""

StudyFiles = Mapping[tuple[str, str], Path]
"""The study.yaml of a study, by the prefix of its storage's keys and its name."""


@dataclass
class _Launch:
    """A command that was started."""

    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Trainer:
    """Starts final runs.

    Args:
        files: See `StudyFiles`.
        allowed: Whether it may start any.
    """

    files: StudyFiles
    allowed: bool
    _launches: dict[tuple[Any, ...], _Launch] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def describe(self, study: Study, trial: int) -> dict[str, Any]:
        """Return whether and how the configuration of a trial is trained, and what has begun.

        Raises:
            StudyError: If it cannot be trained, as there is no such trial, or it has no parameters.
        """
        _check_trial(study, trial)
        file = self._find_file(study)
        launch = self._launches.get((*study.identity, trial))
        run = next((r for r in study.runs if r.trial == trial and not r.is_final), None)
        seconds = run.seconds if run else None
        cost = next(t.cost for t in study.trials if t.number == trial)
        return {
            "trial": trial,
            "file": str(file) if file else None,
            "obstacle": self._find_obstacle(study, file),
            "commands": _describe_commands(file, trial),
            "seconds": json_number(seconds),
            "cost": json_number(cost) or None,
            "running": launch is not None and launch.process.poll() is None,
            "code": launch.process.poll() if launch else None,
            "output": _read_tail(launch.log) if launch else "",
            "runs": [
                {"name": r.name, "state": r.state, "cause": bounded(r.cause or "")}
                for r in study.runs
                if r.is_final and r.trial == trial
            ],
        }

    def start(self, study: Study, trial: int) -> dict[str, Any]:
        """Start the final run of a trial, unless a command of this server is at it already.

        Raises:
            StudyError: If it cannot be started; the message says why.
            ConfigError: If the file for its output cannot be written.
        """
        _check_trial(study, trial)
        file = self._find_file(study)
        with self._lock:
            launch = self._launches.get((*study.identity, trial))
            if launch is None or launch.process.poll() is not None:
                if obstacle := self._find_obstacle(study, file):
                    raise StudyError(obstacle)
                assert file is not None
                launch = _launch(file, trial)
                self._launches[*study.identity, trial] = launch
        return {"log": str(launch.log)}

    def _find_file(self, study: Study) -> Path | None:
        return self.files.get((f"{study.key.partition('-')[0]}-", study.name))

    def _find_obstacle(self, study: Study, file: Path | None) -> str:
        """Return why a final run cannot be started from the page; empty if it can."""
        if file is None:
            return (
                "the dashboard does not know how this study is run: start it with the study.yaml "
                "in place of the storage, or run the command yourself"
            )
        if not self.allowed:
            return "control is off: start the dashboard with --allow-control"
        if study.owner is not None:
            return f"the study is being tuned ({study.owner}): train when that has ended"
        return ""


def _check_trial(study: Study, number: int) -> None:
    trial = next((t for t in study.trials if t.number == number), None)
    if trial is None:
        raise StudyError(f"there is no trial {number} to train")
    if not trial.params:
        raise StudyError(f"trial {number} has no parameters yet, so it cannot be trained")


def _describe_commands(file: Path | None, trial: int) -> list[dict[str, str]]:
    """Return what to run by hand, in a shell and in Python."""
    name = shlex.quote(str(file)) if file else "study.yaml"
    return [
        {"where": "Shell", "text": f"tune-jobs train-best {name} --trial {trial}"},
        {"where": "Python", "text": f"tuner.train_best(trial={trial})"},
    ]


def _launch(file: Path, trial: int) -> _Launch:
    """Run ``tune-jobs train-best`` in a session of its own, which neither Ctrl-C nor a crash of
    the server ends."""
    log = file.with_name(f"{file.stem}.train-{trial}.log")
    command = [sys.executable, "-P", "-m", "tune_jobs.cli", "train-best", str(file)]
    try:
        with open(log, "ab", opener=open_private) as output:
            process = subprocess.Popen(
                [*command, "--trial", str(trial), "--verbose"],
                cwd=file.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise ConfigError(f"the final run cannot be started: {error}") from error
    threading.Thread(target=process.wait, daemon=True).start()  # reaps it when it ends
    return _Launch(process, log)


def _read_tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL))
            return file.read(_TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
