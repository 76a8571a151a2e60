"""Options of a Tuner: one declaration, and everything that follows from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tests.conftest import MakeTuner
from tune_jobs.config.study_config import documented_keys, load_study
from tune_jobs.config.study_file import build_tuner
from tune_jobs.errors import ConfigError
from tune_jobs.space.yaml_source import loads
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.option_kinds import integer
from tune_jobs.tuning.options import CallLimits, TunerOptions, check, declared, documents, read

OWN = {
    Tuner.__init__: ("self", "study", "space", "backend"),
    Tuner.optimize: ("self", "callbacks", "take_over"),
}


@pytest.mark.parametrize(
    ("function", "options"), [(Tuner.__init__, TunerOptions), (Tuner.optimize, CallLimits)]
)
def test_signature_and_options_agree(function: Callable[..., Any], options: type[Any]) -> None:
    parameters = inspect.signature(function).parameters
    own = OWN[function]
    taken = {
        name: (MISSING if p.default is p.empty else p.default)
        for name, p in parameters.items()
        if name not in own
    }
    assert taken == {each.name: each.default for each in fields(options)}
    types = get_type_hints(function)
    declared_types = get_type_hints(options)
    assert {name: types[name] for name in taken} == {name: declared_types[name] for name in taken}


@pytest.mark.parametrize(
    ("documented", "options"), [(Tuner, TunerOptions), (Tuner.optimize, CallLimits)]
)
def test_docstrings_list_the_options(documented: Any, options: type[Any]) -> None:
    words = " ".join(documented.__doc__.split())
    for option in declared(options):
        assert f"{option.name}: {' '.join(option.doc.split())}" in words
    assert "options: See" not in documented.__doc__
    assert all(len(line) <= 100 for line in documented.__doc__.splitlines())


@dataclass(frozen=True)
class Later:
    """Options with one that does not exist yet.

    Args:
        options: See there.
    """

    cooling: int | None = field(
        default=None,
        metadata={"doc": "Seconds between two runs.", "kind": integer(1), "key": ""},
    )


def test_one_declaration_is_enough() -> None:
    assert read(Later, loads("cooling: 5").mapping()) == {"cooling": 5}
    with pytest.raises(ConfigError, match=r"s.yaml:1: cooling: 0 is too small: write at least 1"):
        read(Later, loads("cooling: 0", "s.yaml").mapping())
    check(Later())
    with pytest.raises(ConfigError, match="cooling='5': must be an integer of at least 1"):
        check(Later("5"))  # type: ignore[arg-type]
    assert "        cooling: Seconds between two runs." in str(documents(Later)(Later).__doc__)


YAML = """\
study: s
script: train.sh
metric: value
direction: maximize
parameters: {x: {type: float, low: 0, high: 1}}
metric_constraints: {memory_mb: "<= 2000"}
max_parallel: 2
store: kept
command_line: {naming: underscore}
step: epoch
metrics_file: metrics.json
extra_metrics: [loss]
max_failures: 3
max_failure_rate: 0.5
diverged: prune
diverged_steps: 4
promotion: {argument: epochs, minimum: 1, maximum: 9}
prices: {local: 0.1}
duplicates: run
verbosity: quiet
data: [digits.csv]
n_trials: 5
timeout: 1h
max_run_hours: 2
max_cost: 3
target: 0.9
patience: 10
"""


def test_every_option_can_be_written_in_study_yaml(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(YAML)
    (tmp_path / "train.sh").touch()
    config = load_study(file)
    for options in (config.options, config.limits):
        for option in declared(type(options)):
            if option.key is not None:
                assert getattr(options, option.name) != option.default, option.name
    assert set(config.places) < set(documented_keys())
    tuner = build_tuner(config, file)
    assert tuner.options.data == [tmp_path / "digits.csv"]
    assert tuner.options.store == str(tmp_path / "kept")
    assert tuner.options.promotion == config.options.promotion


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_parallel": 0}, "max_parallel=0: must be an integer of at least 1"),
        ({"max_parallel": True}, "max_parallel=True: must be an integer of at least 1"),
        ({"max_parallel": None}, "max_parallel=None: must be an integer"),
        ({"max_failures": 1.5}, "max_failures=1.5: must be an integer of at least 0"),
        ({"max_failure_rate": 20}, "max_failure_rate=20: must be a number from 0 to 1"),
        ({"max_failure_rate": float("nan")}, "max_failure_rate=nan: must be a number"),
        ({"metric": 3}, "metric=3: must be a name, a Metric, or a list of them"),
        ({"metric": [3]}, r"a metric is a name or a Metric\(...\), not 3"),
        ({"direction": "max"}, r"direction='max': must be one of minimize, maximize"),
        ({"direction": "maximise"}, r"maximize \(did you mean 'maximize'\?\)"),
        ({"duplicates": "reus"}, r"duplicates='reus': must be one of .*did you mean 'reuse'"),
        ({"duplicates": ["run"]}, "duplicates="),
        ({"extra_metrics": "loss"}, "extra_metrics='loss': must be a list of strings"),
        ({"data": "digits.csv"}, "data='digits.csv': must be a list of paths"),
        ({"step": 3}, "step=3: must be a string"),
        ({"store": 3}, "store=3: must be a path or a URI"),
        ({"valid": True}, "valid=True: must be a function"),
        ({"command_line": "--x"}, "command_line='--x': must be a CommandLine or a function"),
        ({"promotion": "epochs"}, "promotion='epochs': must be a Promotion"),
        ({"bounds": {"mem": "< 3"}}, "metric 'mem': write '<= NUMBER'"),
        ({"bounds": ["mem"]}, "bounds=.*must be a mapping of metrics to '<= NUMBER'"),
        ({"prices": {"local": -1}}, "invalid price -1 of 'local'"),
        ({"prices": {"local": "1"}}, r"prices\['local'\]='1': must be a number"),
        ({"prices": 0.1}, "prices=0.1: must be a mapping of shapes"),
        ({"progress": "yes"}, "progress='yes': must be True, False or a Progress"),
    ],
)
def test_invalid_options(make_tuner: MakeTuner, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tuner(**options)


def test_invalid_study_and_backend(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    with pytest.raises(ConfigError, match="study=3: must be an Optuna study, or the name of one"):
        Tuner(3, {}, tuner.definition.backend, metric="value")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"backend='local': must be a backend such as Local"):
        Tuner(tuner.study, {}, "local", metric="value")  # type: ignore[arg-type]


def test_invalid_commands(make_tuner: MakeTuner) -> None:
    with pytest.raises(ConfigError, match=r"unknown command 'puase' \(did you mean 'pause'"):
        make_tuner().control("puase")
    with pytest.raises(ConfigError, match=r"set: unknown argument 'max_paralel' \(did you mean"):
        make_tuner().control("set", max_paralel=3)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"n_trials": "5"}, "n_trials='5': must be an integer of at least 0"),
        ({"n_trials": -1}, "n_trials=-1: must be an integer of at least 0"),
        ({"timeout": "2h"}, "timeout='2h': must be a number of seconds"),
        ({"max_run_hours": -1}, "max_run_hours=-1: must be a number of at least 0"),
        ({"n_trials": 1, "target": "0.9"}, "target='0.9': must be a number"),
        ({"n_trials": 1, "patience": 0}, "patience=0: must be an integer of at least 1"),
    ],
)
def test_invalid_limits(make_tuner: MakeTuner, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tuner().optimize(**limits)


def test_numbers_of_numpy_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    limits = CallLimits(n_trials=numpy.int64(3), target=numpy.float32(0.5))
    assert (limits.n_trials, limits.target) == (3, 0.5)


def test_max_parallel_can_be_changed_between_calls(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.max_parallel = 7
    assert tuner.options.max_parallel == 7
    with pytest.raises(ConfigError, match="max_parallel=0"):
        tuner.max_parallel = 0
