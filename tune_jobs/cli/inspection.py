"""Commands that show a study, a trial or the output of a job run: status, show and logs."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import sys
import time
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from tune_jobs.cli.commands import Commands, open_tuner
from tune_jobs.cli.output import format_values, print_result, print_status
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.core.attempts import Attempt, select_attempt
from tune_jobs.core.best_trials import read_result
from tune_jobs.core.formatting import duration
from tune_jobs.core.no_best import describe_standing
from tune_jobs.errors import StoreError, StudyError
from tune_jobs.storage.deletion import explain_deletion
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.logs import open_log
from tune_jobs.tuning.outputs import OutputFile
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
    outputs = _read_outputs(tuner, options.trial) if attempts else []
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
        "outputs": [file.name for file in outputs],
    }
    lines = [f"trial {trial.number}: {trial.state.name} {format_values(trial.values or [])}"]
    if note := describe_standing(result):
        lines[0] += f"  ({note})"
    lines += [f"  {name} = {value}" for name, value in trial.params.items()]
    left_behind = [a.name for a in tuner.left_behind()]
    for attempt in attempts:
        lines += _describe_attempt(attempt, is_left_behind=attempt.name in left_behind)
    if outputs:
        command = f"tune-jobs outputs {options.file} {options.trial}"
        lines.append(f"  left: {_list_names(outputs)}  ({command} -o DIR)")
    print_result(options, facts, "\n".join(line.rstrip() for line in lines))
    return 0


def _read_outputs(tuner: Tuner, trial: int) -> Sequence[OutputFile]:
    """Return what a trial's last run left; empty if the store cannot be read."""
    with contextlib.suppress(StoreError):
        return tuner.outputs(trial)
    return []


def _list_names(outputs: Sequence[OutputFile]) -> str:
    more = f" and {len(outputs) - 5} more" if len(outputs) > 5 else ""
    return f"{', '.join(file.name for file in outputs[:5])}{more}"


def _find_trial(tuner: Tuner, number: int) -> FrozenTrial:
    with explain_deletion(tuner.study):
        trials = tuner.study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.number == number:
            return trial
    raise StudyError(f"study {tuner.study.study_name!r} has no trial {number}")


def _describe_attempt(attempt: Attempt, *, is_left_behind: bool) -> list[str]:
    took = "" if attempt.seconds is None else f", {duration(attempt.seconds)}"
    took += ", left behind: the next call looks for its run" if is_left_behind else ""
    return [
        f"{attempt.name}: {attempt.state}{took}",
        f"  {shlex.join(attempt.invocation.argv)}",
        *(f"  {line}" for line in (attempt.cause or "").splitlines()),
    ]


def _logs(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    with explain_deletion(tuner.study), Session(tuner.definition) as session:
        attempt = select_attempt(session.ledger.read_attempts(), options.trial)
        log = open_log(session, attempt)
        while True:
            # The ledger is read first: once it has the run's end, the log is complete.
            ended = _has_ended(session, attempt)
            is_left_behind = not ended and not session.is_tuned()
            sys.stdout.write(log.read().decode("utf-8", "replace"))
            sys.stdout.flush()
            if options.follow and is_left_behind:
                print(
                    f"{attempt.name} was left behind, and no process is tuning the study: `run` "
                    "it to continue",
                    file=sys.stderr,
                )
            if ended or is_left_behind or not options.follow:
                return 0
            time.sleep(FOLLOW_SECONDS)  # the writer is another process, perhaps on another machine


def _has_ended(session: Session, attempt: Attempt) -> bool:
    attempts = session.ledger.read_attempts()
    return any(each.name == attempt.name and each.told is not None for each in attempts)
