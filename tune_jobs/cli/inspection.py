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
from tune_jobs.core.controllers import is_controller
from tune_jobs.core.formatting import count, duration
from tune_jobs.core.no_best import describe_standing
from tune_jobs.core.resource_usage import describe_usage
from tune_jobs.core.trial_lines import format_params
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.trial_filter import filter_study
from tune_jobs.dashboard.trial_lines import describe_trial
from tune_jobs.dashboard.trial_view import find_trial, trial_view
from tune_jobs.detached.following import ControllerFollower, select_controller
from tune_jobs.detached.launching import find_place
from tune_jobs.errors import ConfigError, StoreError, StudyError
from tune_jobs.metric_store.outputs import OutputFile
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.deletion import explain_deletion
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.logs import open_log
from tune_jobs.tuning.session import Session


def add_inspection_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    commands.add_for_study(
        "advise", _advise, "show which shape would do for the job runs, and what it would have cost"
    )
    commands.add_for_study("status", _status, "show the state, best trials and costs of a study")
    show = commands.add_for_study(
        "show", _show, "show a trial and its job runs, or list the trials that match an expression"
    )
    show.add_argument("trial", type=int, nargs="?", help="trial number")
    show.add_argument("--trial", type=int, dest="number", help="trial number")
    show.add_argument(
        "--where", metavar="EXPRESSION", help="""such as 'lr > 0.01 and state == "complete"'"""
    )
    logs = commands.add_for_study("logs", _logs, "print the output of a job run")
    logs.add_argument("trial", help="trial number, or name of a final run or a controller")
    logs.add_argument("-f", "--follow", action="store_true", help="keep printing until it ends")


def _status(options: argparse.Namespace, config: StudyConfig) -> int:
    return print_status(options, open_tuner(options, config))


def _show(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    number = options.trial if options.number is None else options.number
    if None not in (options.trial, options.number) and options.trial != options.number:
        raise ConfigError(f"which trial, {options.trial} or {options.number}? Give one of them")
    if options.where is not None:
        if number is not None:
            raise ConfigError("give either the number of a trial or --where")
        return _list_matching(options, read_study(tuner.study))
    if number is None:
        raise ConfigError("which trial? Give its number: tune-jobs show study.yaml 37")
    trial = _find_trial(tuner, number)
    result = read_result(trial)
    attempts = [a for a in tuner.attempts(number) if not a.is_final]
    outputs = _read_outputs(tuner, number) if attempts else []
    view = trial_view(find_trial(read_study(tuner.study), number))
    facts = {
        "trial": trial.number,
        "state": trial.state.name,
        "explanation": view["explanation"]["text"],
        "values": trial.values,
        "standing": result.standing,
        "constraints": trial.constraints,
        "params": trial.params,
        "beside": view["beside"],
        "differing": [param["name"] for param in view["params"] if param["differs"]],
        "intermediate_values": trial.intermediate_values,
        "user_attrs": trial.user_attrs,
        "attempts": [dataclasses.asdict(a) for a in attempts],
        "command": view["command"],
        "origin": view["origin"],
        "descendants": view["descendants"],
        "outputs": [file.name for file in outputs],
    }
    lines = [f"trial {trial.number}: {trial.state.name} {format_values(trial.values or [])}"]
    if note := describe_standing(result):
        lines[0] += f"  ({note})"
    lines += describe_trial(view)
    left_behind = [a.name for a in tuner.left_behind()]
    for attempt in attempts:
        lines += _describe_attempt(attempt, is_left_behind=attempt.name in left_behind)
    if outputs:
        command = f"tune-jobs outputs {options.file} {number}"
        lines.append(f"  left: {_list_names(outputs)}  ({command} -o DIR)")
    print_result(options, facts, "\n".join(line.rstrip() for line in lines))
    return 0


def _list_matching(options: argparse.Namespace, study: Study) -> int:
    """Print the trials that match an expression; return 1 if there are none."""
    matching = set(filter_study(study, options.where))
    trials = [trial for trial in study.trials if trial.number in matching]
    facts = [
        {"trial": t.number, "state": t.state, "values": list(t.values), "params": dict(t.params)}
        for t in trials
    ]
    lines = [
        f"trial {t.number}: {t.state} {format_values(t.values)}  {format_params(t.params)}".rstrip()
        for t in trials
    ]
    lines.append(f"{len(trials)} of {count(len(study.trials), 'trial')} match")
    print_result(options, {"where": options.where, "trials": facts}, "\n".join(lines))
    return 0 if trials else 1


def _advise(options: argparse.Namespace, config: StudyConfig) -> int:
    advice = open_tuner(options, config).advise()
    print_result(options, dataclasses.asdict(advice), str(advice))
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
        *([f"  used {describe_usage(attempt.usage)}"] if attempt.usage else []),
        *(f"  {line}" for line in (attempt.cause or "").splitlines()),
    ]


def _logs(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    if is_controller(options.trial):
        return _show_controller_log(options, tuner)
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
            # The writer is another process, perhaps on another machine.
            time.sleep(session.lease.intervals.answer)


def _show_controller_log(options: argparse.Namespace, tuner: Tuner) -> int:
    with explain_deletion(tuner.study), Session(tuner.definition) as session:
        rows = ControllerRows(session.ledger.engine, session.ledger.uid)
        record = select_controller(rows.read(), options.trial)
        follower = ControllerFollower(find_place(session, record.place), rows, record.name)
        if options.follow:
            follower.follow(show=True)
        else:
            sys.stdout.write(follower.read_log().decode("utf-8", "replace"))
        if end := follower.describe_end():
            print(end, file=sys.stderr)
    return 0


def _has_ended(session: Session, attempt: Attempt) -> bool:
    attempts = session.ledger.read_attempts()
    return any(each.name == attempt.name and each.told is not None for each in attempts)
