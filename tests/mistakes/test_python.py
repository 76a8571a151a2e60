"""Mistakes in Python: each is an error that names the thing, its value and the fix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

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
from tune_jobs.errors import ArgumentError, ConfigError, StudyError, StudyNotFound


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
