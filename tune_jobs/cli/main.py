"""The command ``tune-jobs``: a study that is described in a YAML file.

    tune-jobs check study.yaml              one smoke trial: what would go wrong
    tune-jobs preview study.yaml            the exact command lines of sampled configurations
    tune-jobs run study.yaml                tune until the study has its n_trials
    tune-jobs status study.yaml             how far it is
    tune-jobs watch study.yaml              the same, until it ends
    tune-jobs show study.yaml 12            one trial and its job runs
    tune-jobs logs study.yaml 12 -f         what a trial's job run prints
    tune-jobs replay study.yaml --pruner median
                                            what another pruner would have made of it
    tune-jobs train-best study.yaml         the final run

    tune-jobs pause study.yaml              no new trials; `resume` goes on
    tune-jobs stop study.yaml               end it, wherever it runs; --cancel-runs at once
    tune-jobs cancel study.yaml 12          stop the run of one trial
    tune-jobs set study.yaml --max-parallel 16 --n-trials 200

    tune-jobs dashboard STORAGE...          a live page over studies
    tune-jobs compare STUDY...              their winners; STORAGE::NAME or a study.yaml
    tune-jobs report STUDY... -o report.html

Paths in the file are relative to the file. Exit codes: 0 done; 1 the tuning stopped, the final run
failed, or the check found something; 2 the command or the file is wrong; 3 the study, the store or
the backend cannot be used; 130 interrupted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna

from tune_jobs.cli.dashboard import add_commands
from tune_jobs.config.study_config import StudyConfig, load_study, promotion_from, pruner_from
from tune_jobs.config.study_file import build_tuner, open_study
from tune_jobs.core.attempts import Attempt
from tune_jobs.core.formatting import duration
from tune_jobs.core.trial_attributes import is_told, shown_state
from tune_jobs.errors import ConfigError, StudyError, TuneJobsError, TuningStopped
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.logs import open_log
from tune_jobs.tuning.session import Session


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        if not hasattr(options, "file"):
            return int(options.command(options))
        return int(options.command(options, load_study(options.file)))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except TuneJobsError as error:
        print(f"tune-jobs: {error}", file=sys.stderr)
        return 1 if isinstance(error, TuningStopped) else 2 if isinstance(error, ConfigError) else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tune-jobs",
        description="Hyperparameter tuning where every trial is a job run.",
        epilog="Exit codes: 0 done; 1 tuning stopped, final run failed or check found something; "
        "2 wrong command or file; 3 study, store or backend cannot be used; 130 interrupted.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, function: Callable[[argparse.Namespace, StudyConfig], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("file", type=Path, help="study.yaml")
        added.add_argument("--json", action="store_true", help="print JSON")
        added.set_defaults(command=function)
        return added

    run = command("run", _run, "tune until the study has its n_trials")
    run.add_argument("--n-trials", type=int, help="trials in the study, instead of the file's")
    run.add_argument("--timeout", type=float, help="seconds, instead of the file's")
    run.add_argument("--max-run-hours", type=float, help="of all job runs of the study")
    run.add_argument("--max-cost", type=float, help="of all job runs, by the file's prices")
    run.add_argument("--target", type=float, help="a value that is good enough")
    run.add_argument("--patience", type=int, help="trials in a row without a better value")
    run.add_argument("--take-over", action="store_true", help="from a process that tunes it now")
    check = command("check", _check, "run one smoke trial and say what would go wrong")
    _add_set(check)
    preview = command("preview", _preview, "print the command lines of sampled configurations")
    preview.add_argument("-n", type=int, default=3, help="how many (3)")
    command("status", _status, "say how far the study is")
    command("watch", _watch, "show how another process gets on with it")
    command("show", _show, "show a trial and its job runs").add_argument("trial", type=int)
    logs = command("logs", _logs, "print what the job run of a trial printed")
    logs.add_argument("trial", help="trial number, or the name of a final run (final-1-1)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on while it runs")
    replay = command("replay", _replay, "run it again in a simulation, otherwise")
    replay.add_argument("--pruner", help="a name, or YAML: '{name: bandit, slack_factor: 1}'")
    replay.add_argument("--max-parallel", type=int, help="slots")
    replay.add_argument("--promotion", help="YAML such as '{argument: epochs, minimum: 1, ...}'")
    replay.add_argument("--provisioning", type=float, help="seconds to start a run; as recorded")
    _add_controls(command)

    def looking(
        name: str, function: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument("--json", action="store_true", help="print JSON")
        added.set_defaults(command=function)
        return added

    add_commands(looking)
    train = command("train-best", _train_best, "train the best configuration")
    train.add_argument("--trial", type=int, help="instead of the best one")
    train.add_argument("--pick", help="for several metrics: the metric to be best in, or 'knee'")
    train.add_argument("--again", action="store_true", help="although it was trained already")
    _add_set(train)
    return parser


def _add_controls(command: Callable[..., argparse.ArgumentParser]) -> None:
    """What is asked of the process that tunes the study, wherever it is."""
    command("pause", _control, "start no new trials").set_defaults(ask="pause")
    command("resume", _control, "start new trials again").set_defaults(ask="resume")
    stop = command("stop", _control, "end the tuning")
    stop.set_defaults(ask="stop")
    how = stop.add_mutually_exclusive_group()
    how.add_argument("--let-finish", action="store_true", help="live runs (the default)")
    how.add_argument("--cancel-runs", action="store_true", help="the next `run` starts them again")
    cancel = command("cancel", _control, "stop a trial's run; the trial fails")
    cancel.set_defaults(ask="cancel")
    cancel.add_argument("trial", type=int)
    limits = command("set", _control, "change the limits")
    limits.set_defaults(ask="set")
    limits.add_argument("--max-parallel", type=int, help="job runs at once")
    limits.add_argument("--n-trials", type=int, help="trials of the study")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument to add or replace, such as epochs=50 (repeatable)",
    )


def _run(options: argparse.Namespace, config: StudyConfig) -> int:
    n_trials = options.n_trials or config.n_trials
    timeout = options.timeout or config.timeout
    limits = {
        name: given if (given := getattr(options, name)) is not None else getattr(config, name)
        for name in ("max_run_hours", "max_cost", "target", "patience")
    }
    spending = (n_trials, timeout, limits["max_run_hours"], limits["max_cost"])
    if all(limit is None for limit in spending):
        raise ConfigError(f"{options.file}: say how much to spend: add n_trials: or timeout:")
    tuner = build_tuner(config, options.file)
    left = None if n_trials is None else max(0, n_trials - _told(tuner.study))
    if left != 0 or any(a.told is None for a in tuner.attempts()):
        tuner.optimize(left, timeout, take_over=options.take_over, **limits)
    return _print_status(options, tuner)


def _control(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = build_tuner(config, options.file, study=open_study(config, options.file))
    given = {name: getattr(options, name, None) for name in ("trial", "max_parallel", "n_trials")}
    argument = {name: value for name, value in given.items() if value is not None}
    if options.ask == "set" and not argument:
        raise ConfigError("set: say what: --max-parallel or --n-trials")
    if options.ask == "stop":
        argument["runs"] = "cancel" if options.cancel_runs else "finish"
    done = tuner.control(options.ask, **argument)
    _print(options, {"asked": options.ask, **argument, "done": done}, _asked(options.ask, done))
    return 0 if done else 1


def _asked(command: str, done: bool) -> str:
    return f"{command}: done" if done else f"{command}: asked for, but not done yet"


def _told(study: optuna.Study) -> int:
    """Finished trials, without configurations that were only refused."""
    return sum(is_told(t) for t in study.get_trials(deepcopy=False))


def _check(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = build_tuner(config, options.file, study=_study_or_scratch(config, options.file))
    report = tuner.check(_settings(options.set))
    findings = [dataclasses.asdict(finding) for finding in report.findings]
    _print(options, {"ok": bool(report), "findings": findings}, str(report))
    return 0 if report else 1


def _study_or_scratch(config: StudyConfig, file: Path) -> optuna.Study:
    """The study if there is one; looking must not create it."""
    try:
        return open_study(config, file)
    except StudyError:
        return optuna.create_study(study_name=config.study, directions=config.directions)


def _preview(options: argparse.Namespace, config: StudyConfig) -> int:
    scratch = optuna.create_study(directions=config.directions)
    previews = build_tuner(config, options.file, study=scratch).preview(options.n)
    facts = [
        {"params": p.params, **dataclasses.asdict(p.invocation), "text": p.text} for p in previews
    ]
    _print(options, facts, "\n".join(p.text for p in previews))
    return 0


def _status(options: argparse.Namespace, config: StudyConfig) -> int:
    return _print_status(
        options, build_tuner(config, options.file, study=open_study(config, options.file))
    )


def _watch(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = build_tuner(config, options.file, study=open_study(config, options.file))
    tuner.watch()
    return _print_status(options, tuner)


def _print_status(options: argparse.Namespace, tuner: Tuner) -> int:
    study = tuner.study
    trials = study.get_trials(deepcopy=False)
    states: dict[str, int] = {}
    for trial in trials:
        state = shown_state(trial)
        states[state] = states.get(state, 0) + 1
    best = study.best_trials if "COMPLETE" in states else []
    finals = [a for a in tuner.attempts() if a.is_final]
    facts: dict[str, object] = {
        "study": study.study_name,
        "directions": [d.name.lower() for d in study.directions],
        "trials": states,
        "best": [{"trial": t.number, "values": t.values, "params": t.params} for t in best],
        "final_runs": [{"name": a.name, "trial": a.trial, "state": a.state} for a in finals],
    }
    owner, costs = tuner.owner(), tuner.costs()
    facts["owner"] = owner
    facts["costs"] = dataclasses.asdict(costs)
    lines = [f"{study.study_name}: " + (_counts(states) or "no trials yet")]
    if owner:
        lines.append(f"tuned by {owner}")
    for t in best[:5]:
        lines.append(f"best: trial {t.number}, {_numbers(t.values)}  {_pairs(t.params)}")
    lines += [f"{label}: {text}" for label, text in costs.rows()]
    lines += [f"{a.name}: trial {a.trial}, {a.state.lower()}" for a in finals]
    _print(options, facts, "\n".join(lines))
    return 0


def _show(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = build_tuner(config, options.file, study=open_study(config, options.file))
    found = [t for t in tuner.study.get_trials(deepcopy=False) if t.number == options.trial]
    if not found:
        raise StudyError(f"study {config.study!r} has no trial {options.trial}")
    trial = found[0]
    attempts = [a for a in tuner.attempts(options.trial) if not a.is_final]
    facts = {
        "trial": trial.number,
        "state": trial.state.name,
        "values": trial.values,
        "params": trial.params,
        "intermediate_values": trial.intermediate_values,
        "user_attrs": trial.user_attrs,
        "attempts": [dataclasses.asdict(a) for a in attempts],
    }
    lines = [f"trial {trial.number}: {trial.state.name} {_numbers(trial.values or [])}".rstrip()]
    lines += [f"  {name} = {value}" for name, value in trial.params.items()]
    for attempt in attempts:
        lines += _attempt_lines(attempt)
    _print(options, facts, "\n".join(lines))
    return 0


def _attempt_lines(attempt: Attempt) -> list[str]:
    took = ""
    if attempt.started is not None and attempt.finished is not None:
        took = f", {duration(attempt.finished - attempt.started)}"
    lines = [f"{attempt.name}: {attempt.state}{took}"]
    lines.append(f"  {shlex.join(attempt.invocation['argv'])}")
    lines += [f"  {line}" for line in (attempt.cause or "").splitlines()]
    return lines


def _logs(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = build_tuner(config, options.file, study=open_study(config, options.file))
    with Session(tuner.definition) as session:
        attempt = _attempt(session, options.trial)
        log = open_log(session, attempt)
        while True:
            # The ledger first: what a run printed before its end was recorded is all there then.
            ended = any(
                a.name == attempt.name and a.told is not None for a in session.ledger.attempts()
            )
            sys.stdout.write(log.read().decode("utf-8", "replace"))
            sys.stdout.flush()
            if ended or not options.follow:
                return 0
            time.sleep(0.5)  # another process writes, perhaps on another machine


def _attempt(session: Session, wanted: str) -> Attempt:
    found = [
        a
        for a in session.ledger.attempts()
        if a.name == wanted or (str(a.trial) == wanted and not a.is_final)
    ]
    if not found:
        raise StudyError(f"there is no job run of {wanted!r} in this study")
    return found[-1]


def _replay(options: argparse.Namespace, config: StudyConfig) -> int:
    from tune_jobs.replaying import replay

    tuner = build_tuner(config, options.file, study=open_study(config, options.file))
    result = replay(
        tuner,
        pruner=pruner_from(options.pruner) if options.pruner else None,
        max_parallel=options.max_parallel,
        promotion=promotion_from(options.promotion) if options.promotion else None,
        provisioning=options.provisioning,
    )
    _print(options, dataclasses.asdict(result), str(result))
    return 0


def _train_best(options: argparse.Namespace, config: StudyConfig) -> int:
    tuner = build_tuner(config, options.file, study=open_study(config, options.file))
    defaults = dict(config.final.arguments) if config.final else {}
    final = tuner.train_best(
        {**defaults, **_settings(options.set)},
        trial=options.trial,
        pick=options.pick,
        resources=config.final.resources if config.final else {},
        again=options.again,
    )
    _print(options, dataclasses.asdict(final), str(final))
    return 0


def _settings(items: Sequence[str]) -> dict[str, Any]:
    """``epochs=50`` as YAML would read the value."""
    import yaml

    settings = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: write NAME=VALUE")
        settings[name] = yaml.safe_load(value)
    return settings


def _print(options: argparse.Namespace, facts: object, text: str) -> None:
    print(json.dumps(facts, indent=2, default=str) if options.json else text)


def _counts(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in sorted(states.items()))


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(format(value, ".6g") for value in values)


def _pairs(params: Mapping[str, Any]) -> str:
    return " ".join(
        f"{name}={format(value, '.4g') if isinstance(value, float) else value}"
        for name, value in params.items()
    )


if __name__ == "__main__":
    sys.exit(main())
