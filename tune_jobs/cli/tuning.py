"""Commands that start job runs, or show what they would be: run, check, preview, train-best."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import optuna
from optuna.trial import TrialState

from tune_jobs.cli.commands import (
    Commands,
    add_set_option,
    add_verbosity_options,
    open_tuner,
    parse_settings,
    read_study_file,
)
from tune_jobs.cli.detaching import launch_controller
from tune_jobs.cli.exit_codes import FAILED, SUCCESS
from tune_jobs.cli.log_check import add_log_options, check_log
from tune_jobs.cli.output import print_result, print_status
from tune_jobs.config.study_config import FinalConfig, StudyConfig
from tune_jobs.config.study_file import build_tuner, open_or_imitate_study
from tune_jobs.core.trial_attributes import counts_as_finished
from tune_jobs.detached.recipe import Call
from tune_jobs.errors import ConfigError
from tune_jobs.tuner import Tuner


def add_tuning_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_run(commands)
    check = commands.add(
        "check", _check, "run one smoke trial and report what would make the study fail"
    )
    check.add_argument("file", type=Path, nargs="?", help="path of the study.yaml")
    add_set_option(check)
    add_log_options(check)
    preview = commands.add_for_study(
        "preview", _preview, "print the command lines of sampled configurations"
    )
    preview.add_argument("-n", type=int, default=3, help="number of configurations (default: 3)")
    train = commands.add_for_study("train-best", _train_best, "train the best configuration")
    train.add_argument("--trial", type=int, help="trial to train instead of the best one")
    train.add_argument(
        "--pick", help="with several metrics: the metric whose best trial is trained, or 'knee'"
    )
    add_verbosity_options(train)
    train.set_defaults(resumable=True)
    train.add_argument("--again", action="store_true", help="train even if it was trained before")
    add_set_option(train)


def _add_run(commands: Commands) -> None:
    run = commands.add_for_study("run", _run, "tune until the study has n_trials trials")
    run.add_argument(
        "--n-trials", type=int, help="total number of trials of the study; overrides the file"
    )
    run.add_argument("--timeout", type=float, help="time limit in seconds; overrides the file")
    run.add_argument(
        "--max-run-hours", type=float, help="maximum run hours of all job runs of the study"
    )
    run.add_argument(
        "--max-cost", type=float, help="maximum cost of all job runs, by the prices in the file"
    )
    run.add_argument("--target", type=float, help="stop when the metric reaches this value")
    run.add_argument(
        "--patience", type=int, help="stop after this many trials in a row without improvement"
    )
    run.add_argument(
        "--take-over", action="store_true", help="take the study over from the current owner"
    )
    run.add_argument(
        "--detach",
        action="store_true",
        help="leave the tuning to a controller that continues without this terminal: a background "
        "process, or a job run on OCI",
    )
    add_verbosity_options(run)
    run.set_defaults(resumable=True)


def _run(options: argparse.Namespace, config: StudyConfig) -> int:
    given = {name: getattr(options, name) for name in vars(config.limits)}
    limits = dataclasses.replace(config.limits, **{k: v for k, v in given.items() if v is not None})
    budget = (limits.n_trials, limits.timeout, limits.max_run_hours, limits.max_cost)
    if all(limit is None for limit in budget):
        raise ConfigError(
            f"{options.file}: no budget: add n_trials:, timeout:, max_run_hours: or max_cost:"
        )
    final = config.final or FinalConfig()
    call = Call(limits, config.then, final.arguments, final.resources, options.take_over)
    if options.detach:
        return launch_controller(options, config, call)
    tuner = build_tuner(config, options.file, verbosity=options.verbosity)
    tune(tuner, call)
    print_status(options, tuner, {"ended": tuner.end_reason or None})
    return find_outcome(tuner)


def tune(tuner: Tuner, call: Call) -> None:
    """Tune a study until it has its number of trials, and do what follows."""
    tuner.definition.backend.check_resources(call.resources)
    remaining = None
    limits = call.limits
    if limits.n_trials is not None:
        remaining = max(0, limits.n_trials - _count_finished(tuner.study))
    # Without trials left, attempts that an earlier call left open are still to be closed.
    if remaining != 0 or any(a.told is None and not a.is_final for a in tuner.attempts()):
        limits = dataclasses.replace(limits, n_trials=remaining)
        tuner.optimize(**vars(limits), take_over=call.take_over)
    if call.then == "train_best" and not tuner.was_stopped and tuner.best_trials:
        tuner.train_best(call.arguments, resources=call.resources)


def find_outcome(tuner: Tuner) -> int:
    """Return the exit code: whether the study has a complete trial."""
    complete = tuner.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return SUCCESS if complete else FAILED


def _count_finished(study: optuna.Study) -> int:
    """Return the number of finished trials that count towards ``n_trials``."""
    return sum(counts_as_finished(trial) for trial in study.get_trials(deepcopy=False))


def _check(options: argparse.Namespace) -> int:
    config = read_study_file(options.file) if options.file is not None else None
    if options.log is not None:
        return check_log(options, config)
    if config is None:
        raise ConfigError("check needs a study.yaml, or a log: check --log FILE --metric NAME")
    for name in ("metric", "step", "pattern"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} has no use without --log: {options.file} has the metric")
    study = open_or_imitate_study(config, options.file)
    report = build_tuner(config, options.file, study=study).check(parse_settings(options.set))
    findings = [dataclasses.asdict(finding) for finding in report.findings]
    print_result(options, {"ok": bool(report), "findings": findings}, str(report))
    return 0 if report else 1


def _preview(options: argparse.Namespace, config: StudyConfig) -> int:
    study = optuna.create_study(directions=config.directions)
    previews = build_tuner(config, options.file, study=study).preview(options.n)
    facts = [
        {"params": p.params, **dataclasses.asdict(p.invocation), "text": p.text} for p in previews
    ]
    print_result(options, facts, "\n".join(p.text for p in previews))
    return 0


def _train_best(options: argparse.Namespace, config: StudyConfig) -> int:
    defaults = dict(config.final.arguments) if config.final else {}
    final = open_tuner(options, config).train_best(
        {**defaults, **parse_settings(options.set)},
        trial=options.trial,
        pick=options.pick,
        resources=config.final.resources if config.final else {},
        again=options.again,
    )
    print_result(options, dataclasses.asdict(final), str(final))
    return 0
