"""Commands that follow or control the process that tunes a study: pause, resume, stop, cancel,
set and watch. They work from any machine that reaches the study's storage."""

from __future__ import annotations

import argparse

from tune_jobs.cli.commands import Commands, add_verbosity_options, open_tuner
from tune_jobs.cli.output import print_result, print_status
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.errors import ConfigError


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
    done = open_tuner(options, config).control(options.control, **arguments)
    outcome = "done" if done else "requested, but not applied yet"
    facts = {"asked": options.control, **arguments, "done": done}
    print_result(options, facts, f"{options.control}: {outcome}")
    return 0 if done else 1


def _watch(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = open_tuner(options, config)
    tuner.watch()
    return print_status(options, tuner)
