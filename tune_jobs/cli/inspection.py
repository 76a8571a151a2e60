"""Commands that show a study, a trial or the output of a job run: status, show and logs."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
import time

from optuna.trial import FrozenTrial

from tune_jobs.cli.commands import Commands, open_tuner
from tune_jobs.cli.output import format_values, print_result, print_status
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.best_trials import read_result
from tune_jobs.core.formatting import duration
from tune_jobs.core.no_best import describe_standing
from tune_jobs.errors import StudyError
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.logs import open_log
from tune_jobs.tuning.session import Session

FOLLOW_SECONDS = 0.5
"""Seconds between two reads of a log that is followed."""


def add_inspection_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    commands.add_for_study("status", _status, "show the state, best trials and costs of a study")
    show = commands.add_for_study("show", _show, "show a trial and its job runs")
    show.add_argument("trial", type=int, help="trial number")
    logs = commands.add_for_study("logs", _logs, "print the output of a job run")
    logs.add_argument("trial", help="trial number, or name of a final run (final-1-1)")
    logs.add_argument("-f", "--follow", action="store_true", help="keep printing until it ends")


def _status(options: argparse.Namespace, config: StudyConfig) -> int:
    return print_status(options, open_tuner(options, config))


def _show(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    trial = _find_trial(tuner, options.trial)
    result = read_result(trial)
    attempts = [a for a in tuner.attempts(options.trial) if not a.is_final]
    facts = {
        "trial": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "standing": result.standing,
        "constraints": trial.constraints,
        "params": trial.params,
        "intermediate_values": trial.intermediate_values,
        "user_attrs": trial.user_attrs,
        "attempts": [dataclasses.asdict(a) for a in attempts],
    }
    lines = [f"trial {trial.number}: {trial.state.name} {format_values(trial.values or [])}"]
    if note := describe_standing(result):
        lines[0] += f"  ({note})"
    lines += [f"  {name} = {value}" for name, value in trial.params.items()]
    for attempt in attempts:
        lines += _describe_attempt(attempt)
    print_result(options, facts, "\n".join(line.rstrip() for line in lines))
    return 0


def _find_trial(tuner: Tuner, number: int) -> FrozenTrial:
    for trial in tuner.study.get_trials(deepcopy=False):
        if trial.number == number:
            return trial
    raise StudyError(f"study {tuner.study.study_name!r} has no trial {number}")


def _describe_attempt(attempt: Attempt) -> list[str]:
    took = "" if attempt.seconds is None else f", {duration(attempt.seconds)}"
    return [
        f"{attempt.name}: {attempt.state}{took}",
        f"  {shlex.join(attempt.invocation.argv)}",
        *(f"  {line}" for line in (attempt.cause or "").splitlines()),
    ]


def _logs(options: argparse.Namespace, config: StudyConfig) -> int:
    with Session(open_tuner(options, config).definition) as session:
        attempt = _find_attempt(session, options.trial)
        log = open_log(session, attempt)
        while True:
            # The ledger is read first: once it has the run's end, the log is complete.
            ended = any(
                a.name == attempt.name and a.told is not None
                for a in session.ledger.read_attempts()
            )
            sys.stdout.write(log.read().decode("utf-8", "replace"))
            sys.stdout.flush()
            if ended or not options.follow:
                return 0
            time.sleep(FOLLOW_SECONDS)  # the writer is another process, perhaps on another machine


def _find_attempt(session: Session, wanted: str) -> Attempt:
    """Return the attempt of that name, or the last one of that trial."""
    found = [
        a
        for a in session.ledger.read_attempts()
        if a.name == wanted or (str(a.trial) == wanted and not a.is_final)
    ]
    if not found:
        raise StudyError(f"the study has no job run for {wanted!r}: give a trial number or a name")
    return found[-1]
