"""Commands to the process that is tuning a study."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tune_jobs.core.commands import check_command, find_cancel_problem
from tune_jobs.errors import StudyError
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.lease import find_owner
from tune_jobs.tuning.session import Session
from tune_jobs.tuning.spec import TuningSpec

CONTROL_SECONDS = 30.0
"""Seconds to wait until the process that tunes a study has executed a command."""


def send_command(spec: TuningSpec, command: str, arguments: Mapping[str, Any], wait: float) -> bool:
    """Send a command to the owner of a study, and wait until it is executed.

    Args:
        spec: What is tuned.
        command: One of `COMMANDS`.
        arguments: Its arguments.
        wait: Maximum time to wait in seconds.

    Returns:
        Whether the command was executed in that time.

    Raises:
        StudyError: If no process is tuning the study, or a trial to cancel has no live run.
        ConfigError: If the command or an argument is unknown.
    """
    check_command(command, arguments)
    with Session(spec) as session:
        if find_owner(session.ledger.engine, session.ledger.uid) is None:
            raise StudyError(
                f"no process is tuning study {spec.study.study_name!r}{_describe_pending(session)}"
            )
        if command == "cancel":
            _check_cancel(session, arguments["trial"])
        number = session.controls.request(command, **arguments)
        deadline = time.monotonic() + wait
        while not session.controls.is_done(number):
            if time.monotonic() > deadline:
                return False
            # The other process may be on another machine.
            time.sleep(session.lease.intervals.answer)
    return True


def _describe_pending(session: Session) -> str:
    """Return which controller is about to begin; empty if none is."""
    records = ControllerRows(session.ledger.engine, session.ledger.uid).read()
    pending = [each.name for each in records if each.may_begin(time.time())]
    return f" yet: {pending[-1]} is about to begin; repeat the command then" if pending else ""


def _check_cancel(session: Session, trial: int) -> None:
    trials = session.spec.study.get_trials(deepcopy=False)
    state = next((t.state.name for t in trials if t.number == trial), None)
    if problem := find_cancel_problem(trial, state, session.ledger.read_attempts(trial)):
        raise StudyError(problem)
