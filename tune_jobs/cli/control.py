"""Commands that follow or control the process that tunes a study, or leave something for it:
pause, resume, stop, cancel, set, watch, enqueue, withdraw and note. They work from any machine that
reaches the study's storage."""

from __future__ import annotations

import argparse
from typing import Any

import optuna

from tune_jobs.cli.commands import (
    Commands,
    add_verbosity_options,
    open_tuner,
    parse_settings,
)
from tune_jobs.cli.output import print_result, print_status
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.core.commands import explain_unanswered
from tune_jobs.core.requests import read_configuration
from tune_jobs.errors import ConfigError, StudyError
from tune_jobs.storage.notes import read_note, write_note
from tune_jobs.storage.waiting_trials import (
    SameConfiguration,
    enqueue_configuration,
    withdraw_trial,
)


def add_control_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    watch = commands.add_for_study(
        "watch", _watch, "show the progress of a study until its tuning ends"
    )
    add_verbosity_options(watch)
    _add_control(commands, "pause", "start no new trials until resumed")
    _add_control(commands, "resume", "start new trials again after a pause")
    stop = _add_control(commands, "stop", "stop tuning")
    runs = stop.add_mutually_exclusive_group()
    runs.add_argument("--let-finish", action="store_true", help="let live runs finish (default)")
    runs.add_argument(
        "--cancel-runs", action="store_true", help="cancel live runs; the next `run` restarts them"
    )
    cancel = _add_control(commands, "cancel", "cancel the job run of a trial; the trial fails")
    cancel.add_argument("trial", type=int, help="trial number")
    limits = _add_control(commands, "set", "change limits while the study is tuned")
    limits.add_argument("--max-parallel", type=int, help="number of concurrent job runs")
    limits.add_argument("--n-trials", type=int, help="total number of trials of the study")
    _add_enqueue(commands)
    withdraw = commands.add_for_study(
        "withdraw", _withdraw, "withdraw an enqueued trial before it starts"
    )
    withdraw.add_argument("trial", type=int, help="trial number")
    note = commands.add_for_study("note", _note, "print or write the note on a study or a trial")
    note.add_argument("--trial", type=int, help="trial number (default: the study)")
    note.add_argument("--text", help="the new note; an empty one removes it")


def _add_enqueue(commands: Commands) -> None:
    enqueue = commands.add_for_study(
        "enqueue", _enqueue, "enqueue a configuration, which the next trial runs"
    )
    enqueue.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="parameter, such as lr=0.01 (repeatable); the sampler chooses those that are left out",
    )
    enqueue.add_argument(
        "--from-trial", type=int, metavar="N", help="trial whose parameters are the others"
    )
    enqueue.add_argument(
        "--again", action="store_true", help="enqueue a configuration that a trial has already"
    )


def _add_control(commands: Commands, name: str, description: str) -> argparse.ArgumentParser:
    parser = commands.add_for_study(name, _control, description)
    parser.set_defaults(control=name)
    return parser


def _control(options: argparse.Namespace, config: StudyConfig) -> int:
    given = {name: getattr(options, name, None) for name in ("trial", "max_parallel", "n_trials")}
    arguments = {name: value for name, value in given.items() if value is not None}
    if options.control == "set" and not arguments:
        raise ConfigError("set: nothing to change: give --max-parallel or --n-trials")
    if options.control == "stop":
        arguments["runs"] = "cancel" if options.cancel_runs else "finish"
    tuner = open_tuner(options, config)
    done = tuner.control(options.control, **arguments)
    waiting = "" if done else explain_unanswered(options.control, tuner.owner())
    outcome = waiting or "done"
    facts = {"asked": options.control, **arguments, "done": done}
    print_result(options, facts, f"{options.control}: {outcome}")
    return 0 if done else 1


def _enqueue(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    params = parse_settings(options.param, "--param")
    if options.from_trial is not None:
        params = {**_find_params(tuner.study, options.from_trial), **params}
    if not params:
        raise ConfigError("enqueue: nothing to enqueue: give --param NAME=VALUE or --from-trial N")
    space = tuner.definition.space
    try:
        enqueued = enqueue_configuration(tuner.study, space, params, again=options.again)
    except SameConfiguration as error:
        raise StudyError(f"{error} (--again)") from None
    owner = tuner.owner()
    starts = "one of the next trials to start runs it" if owner else "it waits for `tune-jobs run`"
    facts = {"trial": enqueued.trial, "params": enqueued.params, "owner": owner}
    print_result(options, facts, f"enqueued as trial {enqueued.trial}: {starts}")
    return 0


def _find_params(study: optuna.Study, number: int) -> dict[str, Any]:
    for trial in study.get_trials(deepcopy=False):
        if trial.number == number:
            return read_configuration(trial)
    raise ConfigError(f"--from-trial {number}: there is no such trial")


def _withdraw(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    withdraw_trial(tuner.study, options.trial, is_tuned=tuner.owner() is not None)
    print_result(options, {"withdrawn": options.trial}, f"trial {options.trial}: withdrawn")
    return 0


def _note(options: argparse.Namespace, config: StudyConfig) -> int:
    study = open_tuner(options, config).study
    note = read_note(study, options.trial)
    if options.text is not None:
        note = write_note(study, options.text, note.version, options.trial)
    facts = {"trial": options.trial, "text": note.text, "version": note.version}
    print_result(options, facts, note.text)
    return 0


def _watch(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    tuner.watch()
    return print_status(options, tuner)
