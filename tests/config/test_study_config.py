"""study.yaml: what can be written, and how errors are reported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from tune_jobs.config.choices import Choice
from tune_jobs.config.study_config import FinalConfig, load_study, make_pruner, make_sampler
from tune_jobs.config.study_file import build_tuner
from tune_jobs.core.objectives import Metric
from tune_jobs.errors import ConfigError, MetricError, SpaceError, StudyError
from tune_jobs.samplers import JobSampler
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.styles import Option
from tune_jobs.space.yaml_source import Located
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.options import CallLimits, TunerOptions

MINIMAL = """\
study: digits
script: train.py
metric: accuracy
direction: maximize
parameters:
  lr: {type: float, low: 1e-5, high: 1e-1, log: true}
"""

FULL = """\
study: digits
storage: postgresql://me:secret@host/db
module: pkg.train
python: /opt/python
metrics:
  - {name: accuracy, goal: maximize, counts: best}
  - name: loss
    goal: minimize
    pattern: 'loss is (\\S+)'
metric_constraints: {memory_mb: "<= 2000"}
step: epoch
metrics_file: metrics.json
parameters:
  lr: {type: float, low: 1e-5, high: 1e-1, log: true}
  aug: [off, light]
  epochs: 20
constraints:
  - lr * epochs < 1
command_line:
  parameters: {lr: -l}
n_trials: 100
timeout: 2h
max_parallel: 8
max_failures: 20
sampler: {name: tpe, seed: 7, n_startup_trials: 20}
store: runs
backend:
  type: local
  time_limit: 1h
  env: {OMP_NUM_THREADS: 1}
final: {arguments: {epochs: 50}}
"""


def written(tmp_path: Path, yaml: str) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(yaml, encoding="utf-8")
    return path


# -- study.yaml -------------------------------------------------------------------------------


def test_minimal_file(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, MINIMAL))
    assert (study.study, study.script, study.storage) == (
        "digits",
        "train.py",
        "sqlite:///digits.db",
    )
    assert (study.options.metric, study.directions) == ((Metric("accuracy"),), ("maximize",))
    assert study.space.parameters[0].distribution == FloatDistribution(1e-5, 0.1, log=True)
    assert (study.sampler, study.pruner, study.final) == (None, None, None)
    assert study.limits == CallLimits()
    assert study.options == TunerOptions(metric=(Metric("accuracy"),))
    assert study.backend.plain() == {"type": "local"}
    assert study.places["metric"].endswith("study.yaml:3")


def test_full_file(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, FULL))
    assert (study.module, study.python, study.script, study.command) == (
        "pkg.train",
        "/opt/python",
        None,
        None,
    )
    assert study.options.metric == (
        Metric("accuracy", counts="best"),
        Metric("loss", pattern=r"loss is (\S+)"),
    )
    assert study.directions == ("maximize", "minimize")
    assert study.options.bounds == {"memory_mb": "<= 2000"}
    assert (study.options.step, study.options.metrics_file) == ("epoch", "metrics.json")
    assert study.space.parameters[1].distribution == CategoricalDistribution(["off", "light"])
    assert [c.source for c in study.space.constraints] == ["lr * epochs < 1"]
    assert study.options.command_line == CommandLine(parameters={"lr": Option("-l")})
    assert (study.limits.n_trials, study.limits.timeout) == (100, 7200)
    options = study.options
    assert (options.max_parallel, options.max_failures, options.store) == (8, 20, "runs")
    assert study.sampler is not None
    assert (study.sampler.name, study.sampler.arguments) == (
        "tpe",
        {"seed": 7, "n_startup_trials": 20},
    )
    assert study.backend.plain()["env"] == {"OMP_NUM_THREADS": 1}
    assert study.final == FinalConfig({"epochs": 50})
    assert "secret" not in repr(study)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"timeout": "90s"}, {"timeout": 90}),
        ({"timeout": "1.5m"}, {"timeout": 90}),
        ({"timeout": "1d"}, {"timeout": 86400}),
        ({"timeout": "90"}, {"timeout": 90}),
        ({"timeout": "0.5"}, {"timeout": 0.5}),
        ({"n_trials": "1e3"}, {"n_trials": 1000}),
        ({"study": "a/b c"}, {"storage": "sqlite:///a_b_c.db"}),
        ({"script": None, "command": "[./train, --fast]"}, {"command": ("./train", "--fast")}),
        ({"direction": None, "metric": "{name: a, goal: minimize}"}, {"directions": ("minimize",)}),
        ({"metric": "{name: a, counts: best}"}, {"metric": (Metric("a", counts="best"),)}),
        ({"pruner": "hyperband"}, {"pruner": Choice("hyperband")}),
        ({"backend": "{env: {}}"}, {"backend": {"type": "local", "env": {}}}),
        ({"final": "{}"}, {"final": FinalConfig()}),
    ],
)
def test_notations(
    tmp_path: Path, changes: dict[str, str | None], expected: dict[str, Any]
) -> None:
    study = load_study(written(tmp_path, changed(changes)))
    for name, value in expected.items():
        found: Any = {**vars(study), **vars(study.options), **vars(study.limits)}[name]
        found = Choice(found.name) if isinstance(found, Choice) else found
        assert (found.plain() if isinstance(found, Located) else found) == value


def changed(changes: dict[str, str | None]) -> str:
    """Return MINIMAL with other keys; the changed keys come first, from line 1 on."""
    keep = [line for line in MINIMAL.splitlines() if line.split(":")[0] not in changes]
    if "parameters" in changes:
        keep = [line for line in keep if not line.startswith(" ")]
    return "\n".join(
        [f"{key}: {value}" for key, value in changes.items() if value is not None] + keep
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"paralel": "8"}, ":1: unknown key 'paralel' "),
        ({"max_paralel": "8"}, ":1: unknown key 'max_paralel' (did you mean 'max_parallel'?)"),
        ({"study": None}, ":1: has no 'study'"),
        ({"study": "''"}, ":1: study: is empty"),
        ({"study": "12"}, ":1: study: 12 is not a string: put it in quotes"),
        ({"script": None}, ":1: has nothing to run"),
        ({"module": "a"}, ":1: module: 'script' is given as well"),
        ({"script": None, "command": "./train"}, ":1: command: './train' is not a list"),
        ({"script": None, "command": "[]"}, ":1: command: is empty"),
        ({"script": None, "command": "[a]", "python": "p"}, ":2: python: has no use"),
        ({"metric": None}, ":1: has no metric"),
        ({"direction": None}, ":3: metric: has no direction"),
        ({"direction": "up"}, ":1: direction: 'up' is unknown (known: maximize, minimize)"),
        ({"direction": "maximise"}, "(did you mean 'maximize'?)"),
        ({"metric": "{name: a, goal: minimize}"}, ":1: metric.goal: 'minimize' contradicts"),
        ({"metric": "{goal: minimize}"}, ":1: metric: has no name"),
        ({"metric": "{name: a, count: best}"}, "unknown key 'count' (did you mean 'counts'?)"),
        ({"metric": "{name: a, counts: first}"}, ":1: metric 'a': counts must be one of"),
        ({"metric": "{name: a, pattern: '('}"}, ":1: metric 'a': the pattern"),
        ({"metrics": "[a]"}, ":1: metrics: 'metric' is given as well"),
        ({"metric": None, "metrics": "[a]"}, "direction: has no use beside 'metrics'"),
        ({"metric": None, "direction": None, "metrics": "[a]"}, ":1: metrics[0]: has no direction"),
        ({"metric": None, "direction": None, "metrics": "[]"}, ":1: metrics: is empty"),
        ({"then": "train"}, "then: 'train' is unknown"),
        (
            {
                "metric": None,
                "direction": None,
                "metrics": "[{name: a, goal: minimize}, {name: a, goal: maximize}]",
            },
            ":1: metrics[1]: metric 'a' is listed twice",
        ),
        (
            {
                "metric": None,
                "direction": None,
                "metrics": "[{name: a, goal: minimize}, {name: b, goal: maximize}]",
                "pruner": "median",
            },
            ":2: pruner: Optuna prunes on a single metric",
        ),
        ({"metric_constraints": "{mem: 3}"}, ":1: metric_constraints.mem: 3 is not a string"),
        (
            {"metric_constraints": "{mem: '< 3'}"},
            ":1: constraint on metric 'mem': write '<= NUMBER'",
        ),
        ({"n_trials": "0"}, ":1: n_trials: 0 is too small: write at least 1"),
        ({"n_trials": "many"}, ":1: n_trials: 'many' is not a number"),
        ({"n_trials": "1.5"}, ":1: n_trials: 1.5 is not a whole number"),
        ({"max_parallel": "true"}, ":1: max_parallel: True is not a number"),
        ({"max_failures": "-1"}, "write at least 0"),
        ({"timeout": "2 weeks"}, ":1: timeout: invalid duration '2 weeks': write 90s"),
        ({"timeout": "0s"}, ":1: timeout: invalid duration '0s': write one above 0"),
        ({"timeout": "-5"}, ":1: timeout: invalid duration -5"),
        ({"timeout": f"'{'9' * 400}'"}, "invalid duration"),
        ({"sampler": "tpee"}, ":1: sampler: 'tpee' is unknown (did you mean 'tpe'?)"),
        ({"sampler": "{seed: 1}"}, ":1: sampler: has no name"),
        ({"sampler": "{name: job, sed: 1}"}, "unknown key 'sed' (did you mean 'seed'?)"),
        ({"sampler": "{name: tpe, gamma: 1}"}, "sampler: unknown key 'gamma'"),
        (
            {"sampler": "{name: job, seed: seven}"},
            "sampler.seed: 'seven' is not a number",
        ),
        ({"sampler": "{name: job, seed: true}"}, "sampler.seed: True is not a number"),
        ({"sampler": "[job]"}, ":1: sampler: ['job'] is not a string"),
        ({"pruner": "medain"}, "(did you mean 'median'?)"),
        ({"pruner": "percentile"}, ":1: pruner: 'percentile' has no 'percentile'"),
        (
            {"pruner": "{name: patient, patience: 3}"},
            ":1: pruner: 'patient' has no 'wrapped_pruner'",
        ),
        ({"backend": "[local]"}, ":1: backend: ['local'] is not a mapping"),
        ({"backend": "{type: 3}"}, ":1: backend.type: 3 is not a string"),
        ({"final": "{argument: {}}"}, ":1: final: unknown key 'argument'"),
        ({"final": "{arguments: [1]}"}, ":1: final.arguments: [1] is not a mapping"),
        ({"command_line": "[1]"}, ":1: command_line: [1] is not a mapping"),
        ({"parameters": "{}"}, ":1: parameters: nothing to tune"),
        ({"parameters": "\n  lr: {type: float, low: 2, high: 1}"}, ":2: parameters.lr: low 2.0 is"),
        (
            {"parameters": "\n  lr:\n    type: int\n    lwo: 1"},
            ":4: parameters.lr: unknown key 'lwo'",
        ),
        (
            {"parameters": "\n  a: [1]\n  a: [2]"},
            ":3: parameters: duplicate key 'a', first in",
        ),
        ({"parameters": "\n  lr:"}, ":2: parameters.lr: is empty: write a range, choices"),
        ({"parameters": "\n  a:\n  - true\n  - auto"}, ":2: parameters.a: choices mix booleans"),
        (
            {"constraints": "\n- lr < 1\n- lr < epochs"},
            ":3: constraints[1]: expression 'lr < epochs'",
        ),
        ({"step": ""}, ": step: is empty: write a string, or remove it"),
        ({"max_parallel": ""}, ": max_parallel: is empty: write a number, or remove it"),
        ({"pruner": "{name: median, n_startup_trials: }"}, ".n_startup_trials: is empty: write"),
        (
            {"parameters": "\n  lr: {type: float, low: 0, high: 1, step: }"},
            ":2: parameters.lr.step: is empty: write a number, or remove it",
        ),
    ],
)
def test_errors_name_the_line(tmp_path: Path, changes: dict[str, str | None], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_study(written(tmp_path, changed(changes)))
    assert f"{tmp_path / 'study.yaml'}:" in str(error.value)
    assert problem in str(error.value)
    assert str(error.value).count("study.yaml") == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"parameters": "{}"}, SpaceError),
        ({"metric": "{name: a, counts: first}"}, MetricError),
    ],
)
def test_an_error_keeps_its_class(
    tmp_path: Path, changes: dict[str, str | None], kind: type[ConfigError]
) -> None:
    with pytest.raises(kind):
        load_study(written(tmp_path, changed(changes)))


def test_a_storage_that_cannot_be_opened_is_named_with_its_line(tmp_path: Path) -> None:
    file = written(tmp_path, changed({"storage": "mysql+nothing://host/db"}))
    with pytest.raises(StudyError, match=r"study\.yaml:1: the storage cannot be opened"):
        build_tuner(load_study(file), file)


# -- samplers and pruners ---------------------------------------------------------------------


def built(tmp_path: Path, **changes: str) -> tuple[Any, Any]:
    study = load_study(written(tmp_path, changed(dict(changes))))
    return make_sampler(study), make_pruner(study)


def test_default_sampler_and_pruner(tmp_path: Path) -> None:
    sampler, pruner = built(tmp_path)
    assert isinstance(sampler, JobSampler)
    assert pruner is None


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    ("yaml", "kind"),
    [
        ("job", JobSampler),
        ("{name: job, seed: 7, n_startup_trials: 5}", JobSampler),
        ("{name: tpe, seed: 7, multivariate: true}", optuna.samplers.TPESampler),
        ("{name: random, seed: null}", optuna.samplers.RandomSampler),
        ("{name: nsgaii, mutation_prob: 1e-1}", optuna.samplers.NSGAIISampler),
        ("nsgaiii", optuna.samplers.NSGAIIISampler),
    ],
)
def test_samplers_by_name(tmp_path: Path, yaml: str, kind: type[Any]) -> None:
    assert type(built(tmp_path, sampler=yaml)[0]) is kind


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    ("yaml", "kind"),
    [
        ("none", optuna.pruners.NopPruner),
        ("{name: median, n_warmup_steps: 3}", optuna.pruners.MedianPruner),
        ("{name: percentile, percentile: 25}", optuna.pruners.PercentilePruner),
        ("{name: successive_halving, min_resource: 2}", optuna.pruners.SuccessiveHalvingPruner),
        ("{name: hyperband, max_resource: 81}", optuna.pruners.HyperbandPruner),
        ("{name: threshold, lower: 0.1}", optuna.pruners.ThresholdPruner),
        (
            "{name: patient, patience: 2, wrapped_pruner: {name: median, n_startup_trials: 1}}",
            optuna.pruners.PatientPruner,
        ),
    ],
)
def test_pruners_by_name(tmp_path: Path, yaml: str, kind: type[Any]) -> None:
    assert type(built(tmp_path, pruner=yaml)[1]) is kind


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pruner": "{name: percentile, percentile: 101}"}, "'percentile' rejects its arguments"),
        ({"sampler": "grid"}, "'lr' is FloatDistribution"),
        (
            {"sampler": "grid", "parameters": "{a: [1], b: {choices: [1], when: a == 1}}"},
            "'b' has a `when`",
        ),
        (
            {
                "sampler": "grid",
                "parameters": "{a: {type: int, low: 1, high: 1e9}, b: [1, 2, 3, 4, 5, 6, 7, 8, 9]}",
            },
            "a grid of 9000000000 configurations is too large",
        ),
        (
            {"sampler": "grid", "parameters": "{a: {type: float, low: 0, high: 1e9, step: 1e-6}}"},
            "a grid of 100001 configurations is too large",
        ),
    ],
)
def test_build_errors_name_the_line(tmp_path: Path, changes: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError) as error:
        built(tmp_path, **changes)
    assert "study.yaml:1: " in str(error.value)
    assert problem in str(error.value)


def test_a_missing_package_is_an_error_before_the_first_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match="'gp' needs 'torch': pip install torch"):
        built(tmp_path, sampler="gp")


def test_grid_is_exhausted(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        changed(
            {
                "parameters": "{a: [x, [1]], b: {type: int, low: 1, high: 5, step: 2}, "
                "c: {type: float, low: 0, high: 0.3, step: 0.1}, d: 7}"
            }
        )
        + "\nsampler: {name: grid, seed: 1}",
    )
    loaded = load_study(path)
    mirror = StudyMirror(optuna.create_study(sampler=make_sampler(loaded)))
    study = mirror.study
    tried = set()
    while not mirror.exhausted:
        trial = study.ask()
        params = loaded.space.sample(trial)
        tried.add((str(params["a"]), params["b"], params["c"]))
        study.tell(trial, 1.0)
    assert len(tried) == 24
    assert sorted({c for _, _, c in tried}) == pytest.approx([0.0, 0.1, 0.2, 0.3])
