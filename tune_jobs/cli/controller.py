"""The controller: the program that tunes a detached study.

python -m tune_jobs.cli.controller FOLDER [READY]

FOLDER has the recipe; READY is the descriptor of a pipe whose other end waits until the controller
owns the study. It is closed then, or gets the error as JSON.

SIGTERM (a shutdown, the maximum runtime of a job run, a preemption) leaves the live runs to the
next controller. SIGINT stops them, and so does ``tune-jobs stop --cancel-runs``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from sqlalchemy.exc import SQLAlchemyError

from tune_jobs.cli.exit_codes import INTERRUPTED, find_exit_code, find_known_error
from tune_jobs.cli.tuning import find_outcome, tune
from tune_jobs.core.controllers import JOB_RUN, LOCAL
from tune_jobs.core.snapshot import Snapshot
from tune_jobs.core.strict_json import encode_json
from tune_jobs.detached.recipe import Recipe, read_facts, read_recipe
from tune_jobs.errors import StudyError
from tune_jobs.notebook.panels import open_progress
from tune_jobs.runtime.controller_start import STARTED
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.owner_identity import identify_process
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.interruption import leave_on_termination


class Announcement:
    """Tells the launcher that the controller works, or why it does not.

    Args:
        descriptor: End of a pipe; None if no launcher waits.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def close(self, error: BaseException | None = None) -> None:
        """Say that it works, or what is wrong; only the first call counts."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with contextlib.suppress(OSError):  # the launcher has gone
            if error is not None:
                message = {"kind": type(error).__name__, "message": str(error)}
                os.write(descriptor, encode_json(message).encode())
        os.close(descriptor)


class _Announcing:
    """Progress that also announces the first turn: the study is owned then.

    Args:
        progress: What shows the progress.
        announce: Called at each turn.
    """

    def __init__(self, progress: Any, announce: Callable[[], None]) -> None:
        self._progress, self._announce = progress, announce

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        """See `Progress.update`."""
        self._announce()
        self._progress.update(snapshot, last=last)

    def say(self, line: str) -> None:
        """See `Progress.say`."""
        self._progress.say(line)

    def close(self) -> None:
        """See `Progress.close`."""
        self._progress.close()


def main(arguments: list[str]) -> int:
    """Tune the study of a recipe; returns the exit code."""
    folder = Path(arguments[0])
    announcement = Announcement(int(arguments[1]) if len(arguments) > 1 else None)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal that launched it is closed
    leave_on_termination()
    try:
        code = _control(read_recipe(folder), read_facts(folder), announcement)
        announcement.close()
        return code
    except KeyboardInterrupt:
        announcement.close(StudyError("the controller was ended before it began"))
        print("the controller was ended: the next `tune-jobs run` continues", flush=True)
        return INTERRUPTED
    except Exception as error:
        known = find_known_error(error)
        announcement.close(known or error)
        if known is None:
            raise
        print(f"tune-jobs: {known}", file=sys.stderr, flush=True)
        return find_exit_code(known)


def _control(recipe: Recipe, facts: dict[str, Any], announcement: Announcement) -> int:
    study = recipe.open_study()
    options = vars(recipe.options)
    shown = open_progress(True, out=sys.stdout, verbosity=recipe.options.verbosity)
    progress = _Announcing(shown, announcement.close)
    tuner = Tuner(study, recipe.space, recipe.backend, **{**options, "progress": progress})
    rows = ControllerRows(find_ledger_engine(study), facts["uid"])
    name = facts["name"]
    started = float(os.environ.get(STARTED, time.time()))
    rows.change(name, started=started, finished=None, **_identify(facts))
    try:
        print(f"{name} of study {study.study_name!r}, launched by {facts['user']}", flush=True)
        tune(tuner, recipe.call)
        return find_outcome(tuner)
    finally:
        with contextlib.suppress(SQLAlchemyError):  # then its end is found out by others
            rows.change(name, finished=time.time())


def _identify(facts: dict[str, Any]) -> dict[str, str]:
    """Return what the record has to say, which its launcher may not know, or have recorded yet."""
    if facts["place"] == LOCAL:
        return {"run_id": identify_process()}
    known = {"run_id": os.environ.get(JOB_RUN), "shape": facts["shape"]}
    return {name: value for name, value in known.items() if value}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
