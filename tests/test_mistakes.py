"""Mistakes of people: each is an error that names the thing, its value and the fix."""

from __future__ import annotations

import copy
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import FloatDistribution
from werkzeug.test import Client

import tune_jobs
from tune_jobs import (
    BanditPruner,
    CommandLine,
    ConfigFile,
    Connection,
    DataScienceBackend,
    EntryPoint,
    Infrastructure,
    JsonField,
    LocalBackend,
    Metric,
    Option,
    Promotion,
    SimulatedBackend,
    Switch,
    Tuner,
    compare,
    load_study,
    replay,
    write_report,
)
from tune_jobs.arguments.type_checks import check_types
from tune_jobs.cli.main import main
from tune_jobs.dashboard import server
from tune_jobs.dashboard.server import Dashboard
from tune_jobs.errors import ArgumentError, ConfigError, StudyError, StudyNotFound
from tune_jobs.storage import connecting

SCRIPT = "import sys\nprint('value:', sys.argv[1].split('=')[1])\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write what the mistakes are about; restore the signal handler that commands replace."""
    monkeypatch.setattr(connecting, "OPENING_PATIENCE", 0.0)
    Path("train.py").write_text(SCRIPT)
    Path("folder").mkdir()
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def tuner(**options: Any) -> Tuner:
    """Return a tuner with one thing wrong."""
    study = options.pop("study", None) or optuna.create_study(direction="maximize")
    space = options.pop("space", {"x": FloatDistribution(0, 1)})
    backend = options.pop("backend", None) or LocalBackend("train.py")
    return Tuner(study, space, backend, **{"metric": "value", "progress": False, **options})


def tune(*limits: Any, **options: Any) -> object:
    """Tune with one limit wrong."""
    return tuner().optimize(*limits, **options)


def local(*script: Any, **options: Any) -> object:
    """Tune with a local backend with one thing wrong."""
    return tuner(backend=LocalBackend(*(script or ("train.py",)), **options)).optimize(1)


Call = Callable[[], object]

PYTHON: dict[str, tuple[Call, str]] = {
    "backend is a name": (
        lambda: tuner(backend="local"),
        "backend='local': must be a backend such as LocalBackend('train.py')",
    ),
    "backend is a class": (lambda: tuner(backend=LocalBackend), "must be a backend such as Local"),
    "n_trials": (lambda: tune("5"), "n_trials='5': must be an integer of at least 0"),
    "n_trials is a bool": (lambda: tuner().optimize(True), "n_trials=True: must be an integer"),
    "no budget": (lambda: tuner().optimize(), "say how much to spend: optimize(n_trials=...)"),
    "timeout": (
        lambda: tune(timeout="1h"),
        "timeout='1h': must be a number of seconds, such as 3600",
    ),
    "target": (lambda: tune(1, target="0.9"), "target='0.9': must be a number"),
    "patience": (lambda: tuner().optimize(1, patience=0), "patience=0: must be an integer of at"),
    "max_cost": (lambda: tuner().optimize(max_cost=1), "max_cost needs prices: Tuner(prices="),
    "callbacks": (lambda: tune(1, callbacks=[3]), "callbacks=[3]: must be a list of"),
    "start": (lambda: start(n_trials="5"), "n_trials='5': must be an integer"),
    "direction": (
        lambda: tuner(study="s", direction="maximise"),
        "direction='maximise': must be one of minimize, maximize (did you mean 'maximize'?)",
    ),
    "study": (lambda: Tuner(3, {}, LocalBackend("t"), metric="m"), "study=3: must be an Optuna"),  # type: ignore[arg-type]
    "study in no folder": (
        lambda: tuner(study="a/s", direction="maximize"),
        "unable to open database file: check that its folder exists and that you may write",
    ),
    "study is a URL": (
        lambda: tuner(study="sqlite:///s.db", direction="maximize"),
        "study='sqlite:///s.db': must be a name; pass optuna.create_study(study_name=",
    ),
    "direction in short": (
        lambda: tuner(study="s", direction="max"),
        "direction='max': must be one of minimize, maximize (did you mean 'maximize'?)",
    ),
    "space of a pair": (
        lambda: tuner(space={"x": (0.1, 1)}),
        "'x' is the pair (0.1, 1): write FloatDistribution(0.1, 1) or IntDistribution(0.1, 1) for",
    ),
    "script is a notebook": (
        lambda: (Path("a.ipynb").write_text("{}"), local("a.ipynb")),
        "is a notebook: write it as a script with `jupyter nbconvert --to script a.ipynb`",
    ),
    "study without a name": (
        lambda: Tuner("", {"x": [1]}, LocalBackend("t"), metric="m", direction="maximize"),
        "study='': must be an Optuna study, or the name of one",
    ),
    "another direction": (lambda: two_directions(), "exists with direction maximize, not minimize"),
    "metric None": (lambda: tuner(metric=None), "metric=None: must be a name, a Metric, or a list"),
    "metric empty": (lambda: tuner(metric=[]), "name at least one metric, for example metric="),
    "metric dict": (lambda: tuner(metric={"name": "a"}), "must be a name, a Metric, or a list of"),
    "metric in a list": (lambda: tuner(metric=[None]), "a metric is a name or a Metric(...), not"),
    "too many metrics": (lambda: tuner(metric=["a", "b"]), "name one metric for each direction"),
    "pattern": (lambda: Metric("a", pattern="(("), "the pattern '((' is not valid: missing )"),
    "pattern without a group": (
        lambda: Metric("a", pattern="b"),
        "needs a group around the number",
    ),
    "counts": (lambda: Metric("a", counts="max"), "counts must be one of last, best"),  # type: ignore[arg-type]
    "no space": (lambda: tuner(space=None), "search space None is a NoneType: pass a function"),
    "space returns nothing": (
        lambda: tuner(space=lambda trial: None).optimize(1),
        "returned None, a NoneType: return a dict of parameters",
    ),
    "space without a trial": (lambda: tuner(space=lambda: {}).optimize(1), "raised TypeError"),
    "space that tunes nothing": (
        lambda: tuner(space=lambda trial: {"x": 1}).optimize(1),
        "has nothing to tune: call trial.suggest_...()",
    ),
    "space of an array": (
        lambda: tuner(space={"x": range(3)}),
        "write a range, choices or a value",
    ),
    "space without a type": (
        lambda: tuner(space={"x": {"low": 0}}),
        "has no type: add `type: float`",
    ),
    "space file": (lambda: tuner(space="nope.yaml"), "nope.yaml: cannot be read"),
    "script is missing": (lambda: local("trian.py"), "file not found (did you mean 'train.py'?)"),
    "script is a folder": (lambda: local("folder"), "is a folder: name a script in it"),
    "script is a command": (
        lambda: local("train.py --lr 1"),
        "name 'train.py' alone, and its arguments in "
        'CommandLine(arguments=["--lr", "1", "{parameters}"])',
    ),
    "script is a shell command": (
        lambda: local("sh train.py"),
        "write a command as a list: ['sh', 'train.py']",
    ),
    "script None": (lambda: local(None), "script=None: must be a string, a path, a list of"),
    "python": (
        lambda: local(python="/nope/python"),
        "python '/nope/python': interpreter not found",
    ),
    "python is a number": (lambda: local(python=3), "python=3: must be a string, a path or None"),
    "env is a list": (lambda: local(env=["A=1"]), "env=['A=1']: must be a mapping of strings to"),
    "env value": (lambda: local(env={"A": 1}), "env['A']=1: must be a string"),
    "env name": (lambda: local(env={"A=B": "1"}), "env['A=B']='1': the kernel cannot pass such"),
    "link": (lambda: local(link="data"), "link='data': must be a list of strings or paths"),
    "link is missing": (lambda: local(link=["data"]), "data does not exist"),
    "time_limit": (lambda: local(time_limit="1h"), "time_limit='1h': must be a number or None"),
    "time_limit nan": (lambda: local(time_limit=float("nan")), "time_limit=nan: must be a number"),
    "grace": (lambda: local(grace=-1), "grace=-1: must be a number of seconds of at least 0"),
    "max_parallel": (lambda: tuner(max_parallel="4"), "max_parallel='4': must be an integer of at"),
    "store": (lambda: tuner(store=3), "store=3: must be a path or a URI"),
    "store is a file": (lambda: tuner(store="train.py").optimize(1), "is not writable"),
    "store of no protocol": (lambda: tuner(store="foo://x").optimize(1), "Protocol not known: foo"),
    "command_line": (lambda: tuner(command_line="--x"), "must be a CommandLine or a function"),
    "command_line function": (
        lambda: tuner(command_line=lambda params: []),
        "must take two arguments, (params, paths)",
    ),
    "naming": (lambda: CommandLine(naming="snake"), "it must be one of ('dash', 'underscore'"),  # type: ignore[arg-type]
    "style": (lambda: CommandLine(parameters={"x": "-x"}), "must be a style such as Option('-b')"),  # type: ignore[dict-item]
    "overrides": (lambda: CommandLine(overrides="epochs"), "it must be a list of names"),
    "arguments": (lambda: CommandLine("--x"), "arguments is '--x': it must be a list of strings"),
    "option": (lambda: Option("lr"), "it must be an option such as '--batch-size' or '-b'"),
    "many": (lambda: Option("-l", many="csv"), "it must be one of ('json', 'comma', 'repeat'"),  # type: ignore[arg-type]
    "switch": (lambda: Switch(), "give a flag for True, one for False, or two different ones"),
    "field": (lambda: JsonField("--h", field=3), "it must be names joined by dots"),  # type: ignore[arg-type]
    "config file": (lambda: ConfigFile("a.toml"), "ends in .json, .yaml or .yml"),
    "valid": (lambda: tuner(valid="x < 1"), "valid='x < 1': must be a function"),
    "bounds": (lambda: tuner(bounds={"m": "below 2"}), "write '<= NUMBER' or '>= NUMBER', not"),
    "step": (lambda: tuner(step=1), "step=1: must be a string"),
    "extra_metrics": (lambda: tuner(extra_metrics="a"), "extra_metrics='a': must be a list of str"),
    "max_failure_rate": (lambda: tuner(max_failure_rate=50), "must be a number from 0 to 1"),
    "promotion": (lambda: tuner(promotion={"argument": "e"}), "must be a Promotion"),
    "promotion minimum": (lambda: Promotion("e", "1", 9), "minimum='1': must be an integer"),  # type: ignore[arg-type]
    "prices": (lambda: tuner(prices={"local": "a"}), "prices['local']='a': must be a number"),
    "duplicates": (lambda: tuner(duplicates="skip"), "must be one of reuse, replicate, run"),
    "data": (lambda: tuner(data="a.csv"), "data='a.csv': must be a list of paths"),
    "data is missing": (
        lambda: tuner(data=["a.csv"]).optimize(1),
        "a.csv: the file cannot be read",
    ),
    "progress": (lambda: tuner(progress="yes"), "progress='yes': must be True, False or a"),
    "train_best too early": (lambda: tuner().train_best(), "run optimize() first"),
    "train_best arguments": (
        lambda: tuner().train_best(["epochs"]),  # type: ignore[arg-type]
        "arguments=['epochs']: must be a mapping of strings to values or None",
    ),
    "train_best trial": (lambda: tuner().train_best(trial="x"), "trial='x': must be an integer"),  # type: ignore[arg-type]
    "check time": (lambda: tuner().check(time_limit="2m"), "time_limit='2m': must be a number"),  # type: ignore[arg-type]
    "preview": (lambda: tuner().preview(0), "n=0: must be an integer of at least 1"),
    "replicate": (lambda: tuner().replicate(0), "has no finished trial 0"),
    "logs": (lambda: tuner().logs("x"), "trial='x': must be an integer"),  # type: ignore[arg-type]
    "outputs": (lambda: tuner().outputs(7), "the study has no job run for '7': give a trial"),
    "control": (lambda: tuner().control("halt"), "unknown command 'halt' (known: cancel, "),
    "control value": (
        lambda: tuner().control("set", max_parallel=0),
        "max_parallel=0: must be an integer of at least 1",
    ),
    "attach": (
        lambda: Tuner.attach("s", "a.db"),
        "'a.db' is not the URL of a database: write sqli",
    ),
    "load_study": (lambda: load_study("s", "sqlite:///a.db"), "the database a.db does not exist"),
    "load_study of a kind": (lambda: load_study("s", "foo://a"), "'foo' is not a kind of database"),
    "compare a name": (lambda: compare("s"), "studies='s': must be a list of Study objects"),  # type: ignore[arg-type]
    "compare": (lambda: compare(["s"]), "studies[0]='s': must be a Study"),  # type: ignore[list-item]
    "report": (
        lambda: write_report([optuna.create_study()], "nowhere/r.html"),
        "the report nowhere/r.html cannot be written: No such file or directory",
    ),
    "replay": (lambda: replay(tuner(), pruner="median"), "must be a BasePruner or None"),  # type: ignore[arg-type]
    "pruner": (lambda: BanditPruner(slack_factor="x"), "slack_factor='x': must be a number or"),  # type: ignore[arg-type]
    "optimize as an objective": (
        lambda: optuna.create_study().optimize(tuner().optimize, n_trials=1),  # type: ignore[arg-type]
        "as in study.optimize(tuner.objective, n_trials=20)",
    ),
    "objective without a trial": (
        lambda: tuner().objective(3),  # type: ignore[arg-type]
        "trial=3: must be a Trial",
    ),
    "wait": (lambda: tuner().wait("3"), "timeout='3': must be a number or None"),  # type: ignore[arg-type]
    "stop": (lambda: tuner().stop(True), "True needs a name, such as cancel_runs="),  # type: ignore[call-arg]
    "curve": (lambda: SimulatedBackend(3), "curve=3: must be a function"),  # type: ignore[arg-type]
    "simulated": (lambda: SimulatedBackend(len, seed="x"), "seed='x': must be an integer"),  # type: ignore[arg-type]
    "module": (lambda: EntryPoint.module("train.py"), "write a module's name such as"),
    "OCID": (lambda: DataScienceBackend.from_ocid("x"), "'x' is not a job's OCID"),
    "infrastructure": (
        lambda: DataScienceBackend.from_script("train.py", {"shape": "a"}),  # type: ignore[arg-type]
        "infrastructure={'shape': 'a'}: must be an Infrastructure or None",
    ),
    "ocpus": (lambda: Infrastructure(ocpus="2"), "ocpus='2': must be a number or None"),  # type: ignore[arg-type]
    "poll_seconds": (
        lambda: DataScienceBackend.from_script("train.py", poll_seconds="15"),
        "poll_seconds='15': must be a number",
    ),
    "profile": (lambda: Connection(profile=3), "profile=3: must be a string or None"),  # type: ignore[arg-type]
}


NAMES: dict[str, tuple[Call, str]] = {
    "near": (
        lambda: LocalBackend("train.py", time_limt=3),  # type: ignore[call-arg]
        "LocalBackend: unknown argument 'time_limt' (did you mean 'time_limit'?)",
    ),
    "of another library": (
        lambda: tune(1, n_jobs=4),
        "Tuner.optimize: unknown argument 'n_jobs' (write max_parallel=... in Tuner",
    ),
    "of another library, in the background": (
        lambda: tuner().start(n_jobs=4),
        "Tuner.optimize: unknown argument 'n_jobs'",
    ),
    "of another function": (
        lambda: tune(1, max_parallel=4),
        "unknown argument 'max_parallel' (it is an argument of Tuner",
    ),
    "of Optuna": (
        lambda: tuner(sampler=optuna.samplers.RandomSampler()),
        "Tuner: unknown argument 'sampler' (it is an argument of optuna.create_study",
    ),
    "of another library, by another name here": (
        lambda: Metric("a", goal="maximize"),  # type: ignore[call-arg]
        "Metric: unknown argument 'goal' (write direction=... in Tuner)",
    ),
    "near one of another method": (
        lambda: tuner(nb_trials=3),
        "(did you mean 'n_trials'? It is an argument of Tuner.optimize)",
    ),
    "near one of a class method": (
        lambda: DataScienceBackend.from_script("train.py", condaa="c"),
        "(did you mean 'conda'? It is an argument of DataScienceBackend.from_script)",
    ),
    "of the script": (
        lambda: tuner().train_best(epochs=50),  # type: ignore[call-arg]
        "Tuner.train_best: unknown argument 'epochs' (write arguments={'epochs': ...} for an",
    ),
    "of nothing": (
        lambda: Option("--x", zzz=3),  # type: ignore[call-arg]
        "Option: unknown argument 'zzz' (known: allow_dash, booleans, flag, many, none, separate)",
    ),
    "missing": (
        lambda: Promotion("epochs", 1),  # type: ignore[call-arg]
        "Promotion: argument 'maximum' is missing: add maximum=...",
    ),
    "without a name": (
        lambda: LocalBackend("train.py", "python3"),  # type: ignore[call-arg]
        "'python3' needs a name, such as python=, env=, link= (without a name: script)",
    ),
    "too many": (
        lambda: tuner().preview(3, 4),  # type: ignore[call-arg]
        "Tuner.preview: 4 is one argument too many: it takes n",
    ),
    "twice": (
        lambda: tune(5, n_trials=3),
        "argument 'n_trials' is given twice: as 5 and by its name",
    ),
}


@pytest.mark.parametrize("mistake", NAMES)
def test_names_of_arguments(mistake: str) -> None:
    call, problem = NAMES[mistake]
    with pytest.raises(TypeError) as error:
        call()
    assert isinstance(error.value, ArgumentError)
    assert problem in str(error.value)


def start(**limits: Any) -> None:
    tuning = tuner()
    tuning.start(**limits)
    tuning.wait()


def two_directions() -> None:
    optuna.create_study(study_name="s", storage="sqlite:///s.db", direction="maximize")
    Tuner("s", {"x": [1]}, LocalBackend("train.py"), metric="m", direction="minimize")


@pytest.mark.parametrize("mistake", PYTHON)
def test_python(mistake: str) -> None:
    call, problem = PYTHON[mistake]
    with pytest.raises(tune_jobs.TuneJobsError) as error:
        call()
    assert problem in str(error.value)


# -- study.yaml -------------------------------------------------------------------------------

STUDY: dict[str, Any] = {
    "study": "s",
    "script": "train.py",
    "metric": "value",
    "direction": "maximize",
    "parameters": {"x": {"type": "float", "low": 0, "high": 1}},
    "n_trials": 1,
}

YAML: dict[str, tuple[dict[str, Any], str]] = {
    "storage path": (
        {"storage": "my.db"},
        "'my.db' is not the URL of a database: write sqlite:///",
    ),
    "storage with two slashes": ({"storage": "sqlite://my.db"}, "write sqlite:///study.db"),
    "storage of a folder": ({"storage": "sqlite:///folder"}, "check that its folder exists"),
    "storage of another file": ({"storage": "sqlite:///train.py"}, "file is not a database: the"),
    "storage of no kind": ({"storage": "foo://x"}, "'foo' is not a kind of database: write sqlite"),
    "storage without a driver": (
        {"storage": "mysql://h/x"},
        "pip install pymysql, and write mysql+",
    ),
    "storage that is down": (
        {"storage": "postgresql+psycopg://localhost:1/x"},
        "check that the server runs, and its host and port",
    ),
    "key": ({"max_paralel": 3}, "unknown key 'max_paralel' (did you mean 'max_parallel'?)"),
    "another library's key": ({"n_jobs": 3}, "unknown key 'n_jobs' (did you mean 'max_parallel'?)"),
    "n_trials": ({"n_trials": "five"}, "n_trials: 'five' is not a number"),
    "n_trials 0": ({"n_trials": 0}, "n_trials: 0 is too small: write at least 1"),
    "direction": ({"direction": "maximise"}, "'maximise' is unknown (did you mean 'maximize'?)"),
    "no direction": ({"direction": None}, "direction: is empty: write a string, or remove it"),
    "metric": ({"metric": ["a", "b"]}, "metric: ['a', 'b'] is not a string"),
    "metric key": ({"metric": {"name": "a", "patern": "b"}}, "(did you mean 'pattern'?)"),
    "metrics": ({"metric": "DELETE", "metrics": "a", "direction": "DELETE"}, "'a' is not a list"),
    "parameters": ({"parameters": ["x"]}, "['x'] is not a mapping of keys to values"),
    "type": (
        {"parameters": {"x": {"type": "flaot"}}},
        "'flaot' is unknown (did you mean 'float'?)",
    ),
    "bounds": (
        {"parameters": {"x": {"type": "int", "low": 3, "high": 1}}},
        "low 3 is above high 1",
    ),
    "constraint": ({"constraints": ["y < 3"]}, "unknown name 'y' (known: x)"),
    "sampler": ({"sampler": "tpee"}, "sampler: 'tpee' is unknown (did you mean 'tpe'?)"),
    "sampler number": ({"sampler": {"name": "tpe", "seed": "a"}}, "seed: 'a' is not a number"),
    "sampler argument": ({"sampler": {"name": "tpe", "sead": 1}}, "(did you mean 'seed'?)"),
    "pruner": ({"pruner": "mediann"}, "'mediann' is unknown (did you mean 'median'?)"),
    "script": ({"script": "trian.py"}, "file not found (did you mean 'train.py'?)"),
    "script is a folder": ({"script": "folder"}, "is a folder: name a script in it"),
    "command": (
        {"script": "DELETE", "command": "sh x"},
        "command: 'sh x' is not a list: write [sh, x]",
    ),
    "key of the backend": ({"env": {"A": "1"}}, "unknown key 'env' (write it under `backend:`)"),
    "key of the top level": (
        {"backend": {"max_parallel": 3}},
        "backend: unknown key 'max_parallel' (write it at the top level)",
    ),
    "key of the final run": (
        {"final": {"epochs": 50}},
        "final: unknown key 'epochs' (write it under `arguments:`)",
    ),
    "bounds by other names": ({"parameters": {"x": {"min": 0}}}, "(did you mean 'low'?)"),
    "type of another library": ({"parameters": {"x": {"type": "uniform"}}}, "mean 'float'?)"),
    "goal of a metric": (
        {"metric": {"name": "value", "direction": "maximize"}},
        "metric: unknown key 'direction' (did you mean 'goal'?)",
    ),
    "sampler's class": ({"sampler": "TPESampler"}, "'TPESampler' is a class: write 'tpe'"),
    "backend": ({"backend": "slurm"}, "backend: 'slurm' is unknown (known: data_science, local)"),
    "backend name": ({"backend": {"name": "local"}}, "'name' (did you mean 'type'?)"),
    "backend option": ({"backend": {"time_limt": 3}}, "(did you mean 'time_limit'?)"),
    "backend link": ({"backend": {"link": "data"}}, "backend.link: 'data' is not a list"),
    "backend grace": ({"backend": {"grace": -1}}, "grace=-1: must be a number of seconds of at"),
    "time": ({"timeout": "2 hours"}, "invalid duration '2 hours': write 90s, 30m, 2h, 1d"),
    "duplicates": ({"duplicates": "skip"}, "'skip' is unknown (known: replicate, reuse, run)"),
    "promotion": ({"promotion": {"argument": "e"}}, "has no 'minimum': add `minimum: ...`"),
    "command line": ({"command_line": {"nameing": "dash"}}, "(did you mean 'naming'?)"),
    "style": ({"command_line": {"parameters": {"x": "x"}}}, "unknown key 'x' (known: config, "),
    "final": ({"final": {"argument": {}}}, "(did you mean 'arguments'?)"),
    "prices": ({"prices": {"local": "a"}}, "prices.local: 'a' is not a number"),
    "data": ({"data": "a.csv"}, "data: 'a.csv' is not a list"),
    "study": ({"study": 3}, "study: 3 is not a string: put it in quotes"),
}


@pytest.mark.parametrize("mistake", YAML)
def test_study_yaml(mistake: str, capsys: pytest.CaptureFixture[str]) -> None:
    changes, problem = YAML[mistake]
    document = {**copy.deepcopy(STUDY), **changes}
    document = {key: value for key, value in document.items() if value != "DELETE"}
    Path("study.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    assert main(["run", "study.yaml"]) in (2, 3)
    printed = capsys.readouterr().err
    assert printed.startswith("tune-jobs: ")
    assert problem in printed


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sampler": "gp"}, "study.yaml:11: 'gp' needs 'torch': pip install torch"),
        ({"storage": "sqlite:///train.py"}, "file is not a database"),
    ],
)
def test_a_check_finds_what_would_stop_the_study(
    changes: dict[str, Any],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    Path("study.yaml").write_text(yaml.safe_dump({**STUDY, **changes}, sort_keys=False))
    assert main(["check", "study.yaml"]) in (2, 3)
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "study.yaml: is empty"),
        ("- a\n", "study.yaml:1: ['a'] is not a mapping"),
        ("study:\n\tx: 1\n", "study.yaml:2: invalid YAML: found character"),
        ("study: a\nstudy: b\n", "duplicate key 'study', first in line 1"),
        ("\0", "study.yaml: invalid YAML"),
        ("a: &a [*a]\n", "a[0]: contains itself by an alias"),
    ],
)
def test_files_that_are_no_study(
    text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("study.yaml").write_text(text)
    assert main(["run", "study.yaml"]) == 2
    assert problem in capsys.readouterr().err


# -- the command line -------------------------------------------------------------------------

WORDS: dict[str, str] = {
    "run nope.yaml": "nope.yaml: cannot be read",
    "run folder": "folder: cannot be read",
    "run train.py": "train.py is a script, and this command reads a study.yaml: `tune-jobs init",
    "status s.db::s": "s.db::s is a storage, and this command reads a study.yaml: give",
    "check train.py": "train.py is a script, and this command reads a study.yaml: `tune-jobs init",
    "show s.db 0": "s.db is a storage, and this command reads a study.yaml: give that, or",
    "dashboard nope.db": "no storage 'nope.db': give a database URL or an existing file",
    "dashboard folder": "no storage 'folder': it is a folder",
    "dashboard train.py": "'train.py' is neither an SQLite database nor a journal of Optuna",
    "dashboard s.db --port 99999": "port 99999 does not exist: choose one from 1024 to 65535",
    "dashboard s.db --port -1": "port -1 does not exist",
    "compare folder": "no storage 'folder': it is a folder",
    "compare s.db::zz": "s.db has no study 'zz'; it has: 's'",
    "report s.db -o nowhere/r.html": "nowhere/r.html cannot be written: No such file or directory",
    "report s.db --images train.py": "images cannot be written to train.py: File exists",
    "show study.yaml 9": "study 's' has no trial 9",
    "logs study.yaml zz": "the study has no job run for 'zz': give a trial number",
    "outputs study.yaml 9": "the study has no job run for '9': give a trial number",
    "run study.yaml --n-trials -3": "n_trials=-3: must be an integer of at least 0",
    "preview study.yaml -n 0": "n=0: must be an integer of at least 1",
    "check study.yaml --set epochs": "invalid --set 'epochs': write NAME=VALUE",
    "check study.yaml --set =3": "invalid --set '=3': write NAME=VALUE",
    "check study.yaml --set a=[1": "--set a:1: invalid YAML",
    "set study.yaml --max-parallel 0": "max_parallel=0: must be an integer of at least 1",
    "replay study.yaml --pruner zz": "--pruner:1: 'zz' is unknown",
    "replay study.yaml --pruner {": "--pruner:1: invalid YAML",
    "replay study.yaml --max-parallel 0": "max_parallel=0: must be an integer of at least 1",
    "pause study.yaml": "no process is tuning study 's'",
}


@pytest.fixture(scope="module")
def tuned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a study that was tuned."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "train.py").write_text(SCRIPT)
    (folder / "folder").mkdir()
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    assert main(["run", str(folder / "study.yaml")]) == 0
    return folder


@pytest.fixture
def tuned(tuned_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to the folder of a study that was tuned; tests do not change it."""
    monkeypatch.chdir(tuned_once)


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("words", WORDS)
def test_commands(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(words.split(" ")) in (2, 3)
    printed = capsys.readouterr().err
    assert printed.startswith("tune-jobs: ")
    assert WORDS[words] in printed


@pytest.mark.usefixtures("tuned")
def test_nothing_has_a_rate_if_nothing_is_tuned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "study.yaml"]) == 0
    printed = "".join(capsys.readouterr())
    assert "no process is tuning this study" in printed
    assert "1 done" in printed
    assert "rate" not in printed


@pytest.mark.usefixtures("tuned")
@pytest.mark.parametrize("shown", [1, 500])
def test_a_pager_that_has_ended(shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["preview", "study.yaml", "-n", str(shown)]) == 128 + signal.SIGPIPE


# -- databases that are locked ----------------------------------------------------------------


@pytest.fixture
def locked() -> Iterator[sqlite3.Connection]:
    """Lock the database of the study."""
    connection = sqlite3.connect("s.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    yield connection
    connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let drivers of databases wait for a moment only."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "timeout": 0.05}))
    monkeypatch.setattr(sqlite3.dbapi2, "connect", sqlite3.connect)
    monkeypatch.setattr(server, "READ_PATIENCE", 0.2)


@pytest.mark.usefixtures("tuned", "impatient")
def test_the_page_of_a_database_that_is_locked() -> None:
    client = Client(Dashboard(["s.db"]))
    assert client.get("/api/studies", base_url="http://localhost").status_code == 200
    lock = sqlite3.connect("s.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    answer = client.get("/api/studies/s0-1", base_url="http://localhost")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["error"] == (
        "the database does not answer: database is locked: another process holds it: wait until it "
        "has ended, or end it"
    )
    lock.close()
    assert client.get("/api/studies/s0-1", base_url="http://localhost").status_code == 200


@pytest.mark.usefixtures("tuned", "impatient", "locked")
@pytest.mark.parametrize("words", ["status study.yaml", "compare s.db", "show study.yaml 0"])
def test_commands_on_a_database_that_is_locked(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(words.split()) == 3
    printed = capsys.readouterr().err
    assert "database is locked: another process holds it" in printed
    assert "SQL" not in printed


# -- details ----------------------------------------------------------------------------------


def test_a_study_that_is_missing_is_a_key_error_as_optuna_s() -> None:
    optuna.create_study(study_name="s", storage="sqlite:///s.db")
    with pytest.raises(KeyError) as error:
        load_study("zz", "sqlite:///s.db")
    assert str(error.value) == "the storage has no study 'zz'; it has: 's'"
    assert isinstance(error.value, StudyNotFound)
    assert load_study(None, "sqlite:///s.db").study_name == "s"
    optuna.create_study(study_name="t", storage="sqlite:///s.db")
    with pytest.raises(StudyError, match="name one of the storage's studies: 's', 't'"):
        load_study(None, "sqlite:///s.db")


def test_numbers_of_numpy_are_accepted() -> None:
    import numpy as np

    one: Any = np.int64(1)
    LocalBackend("train.py", time_limit=np.float64(3), grace=one)
    Promotion("epochs", one, np.int64(9).item())


def test_the_place_of_a_wrong_item_is_named() -> None:
    def function(table: dict[str, int], env: Any = None) -> None: ...

    check_types(function, {"table": {"a": "b"}, "other": 3})  # a dict is no annotation that counts
    with pytest.raises(ConfigError, match=r"storage_mounts\[1\]\['src'\]=3: must be a string"):
        Infrastructure(storage_mounts=[{"src": "a"}, {"src": 3}])  # type: ignore[dict-item]
    with pytest.raises(ConfigError, match=r"the key of tags=3: must be a string"):
        Infrastructure(tags={3: "a"})  # type: ignore[dict-item]
