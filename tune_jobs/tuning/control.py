"""Commands to the process that is tuning a study."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from tune_jobs.arguments.type_checks import invalid
from tune_jobs.core.commands import COMMANDS, find_cancel_problem
from tune_jobs.errors import ConfigError, StudyError, did_you_mean
from tune_jobs.storage.lease import find_owner
from tune_jobs.tuning.session import Session
from tune_jobs.tuning.spec import TuningSpec

CONTROL_SECONDS = 30.0
"""Seconds to wait until the process that tunes a study has executed a command."""

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "stop": ("runs",),
    "cancel": ("trial",),
    "set": ("max_parallel", "n_trials"),
}
_POLL_SECONDS = 0.2  # the other process may be on another machine


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
    _check_command(command, arguments)
    with Session(spec) as session:
        if find_owner(session.ledger.engine, session.ledger.uid) is None:
            raise StudyError(f"no process is tuning study {spec.study.study_name!r}")
        if command == "cancel":
            _check_cancel(session, arguments["trial"])
        number = session.controls.request(command, **arguments)
        deadline = time.monotonic() + wait
        while not session.controls.is_done(number):
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
    return True


def _check_command(command: str, arguments: Mapping[str, Any]) -> None:
    if command not in COMMANDS:
        raise ConfigError(f"unknown command {command!r} {did_you_mean(command, COMMANDS)}")
    known = _ARGUMENTS.get(command, ())
    for name in arguments.keys() - set(known):
        raise ConfigError(f"{command}: unknown argument {name!r} {did_you_mean(name, known)}")
    if arguments.get("runs", "finish") not in ("finish", "cancel"):
        raise ConfigError(f"stop: invalid runs={arguments['runs']!r}: use 'finish' or 'cancel'")
    if command == "cancel" and not isinstance(arguments.get("trial"), int):
        raise ConfigError("cancel: name the trial to cancel, such as trial=12")
    for name in ("max_parallel", "n_trials"):
        value = arguments.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise invalid(name, value, "an integer of at least 1")


def _check_cancel(session: Session, trial: int) -> None:
    trials = session.spec.study.get_trials(deepcopy=False)
    state = next((t.state.name for t in trials if t.number == trial), None)
    if problem := find_cancel_problem(trial, state, session.ledger.read_attempts(trial)):
        raise StudyError(problem)
