"""Command lines that a function writes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeTuner
from tune_jobs.core.job_runs import RunPaths
from tune_jobs.core.promotion import Promotion
from tune_jobs.errors import CommandLineError, ConfigError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.interface import FunctionInterface, as_interface

PATHS = RunPaths.below("/runs/1")


def write(params: dict[str, Any], paths: RunPaths) -> list[str]:
    """The script's own conventions: a subcommand, one word per pair, an output folder."""
    pairs = [f"{name}:{value}" for name, value in params.items()]
    return ["fit", *pairs, "-o", paths.outputs]


def test_the_result_is_the_command_line() -> None:
    invocation = FunctionInterface(write).render({"lr": 0.1, "n": 3}, PATHS, {"n": 5, "seed": None})
    assert invocation.argv == ("fit", "lr:0.1", "n:5", "seed:None", "-o", "/runs/1/outputs")
    assert (invocation.env, invocation.files) == ({}, {})


def test_parameters_are_plain_python_and_a_copy() -> None:
    numpy = pytest.importorskip("numpy")
    seen: dict[str, Any] = {}

    def keep(params: dict[str, Any], paths: RunPaths) -> list[str]:
        seen.update(params)
        params.clear()
        return []

    params = {"lr": numpy.float64(0.1), "layers": [64, 32]}
    FunctionInterface(keep).render(params, PATHS)
    assert type(seen["lr"]) is float
    assert params.keys() == {"lr", "layers"}


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ("--lr=0.1", "write() returned '--lr=0.1': return a list of strings"),
        (None, "write() returned None: return a list of strings"),
        (["--lr", 0.1], "write() returned ['--lr', 0.1]: item 1 is 0.1, a float: convert it with"),
        (["a\0b"], "item 0 of the result of command_line function write() contains a NUL"),
        (["x" * 200_000], "item 0 of the result of command_line function write() is an argument"),
        (["\ud800"], "lone surrogate"),
    ],
)
def test_invalid_results(result: Any, problem: str) -> None:
    def write(params: dict[str, Any], paths: RunPaths) -> Any:
        return result

    with pytest.raises(CommandLineError) as error:
        FunctionInterface(write).render({"lr": 0.1}, PATHS)
    assert problem in str(error.value)


def test_an_exception_names_the_parameters() -> None:
    def write(params: dict[str, Any], paths: RunPaths) -> list[str]:
        return [params["momentum"]]

    with pytest.raises(CommandLineError, match=r"raised KeyError: 'momentum'.*\{'lr': 0.1\}"):
        FunctionInterface(write).render({"lr": 0.1}, PATHS)

    def refuse(params: dict[str, Any], paths: RunPaths) -> list[str]:
        raise ConfigError("set DATA first")

    with pytest.raises(ConfigError, match=r"^set DATA first$"):
        FunctionInterface(refuse).render({"lr": 0.1}, PATHS)


def test_what_a_tuner_takes(make_tuner: MakeTuner) -> None:
    assert as_interface(None) == CommandLine()
    described = CommandLine(naming="as_is")
    assert as_interface(described) is described
    with pytest.raises(CommandLineError, match=r"must take two arguments, \(params, paths\)"):
        make_tuner(command_line=lambda params: [])


# -- with a tuner -----------------------------------------------------------------------------


def to_words(params: dict[str, Any], paths: RunPaths) -> list[str]:
    """As the script of `make_tuner` takes them, but upper-case for what is not tuned."""
    tuned = [f"--{name}={value}" for name, value in params.items() if name in "xn"]
    return [*tuned, *(f"{k.upper()}={v}" for k, v in params.items() if k not in "xn"), paths.work]


def test_trials_preview_and_check(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuner = make_tuner(command_line=to_words)
    (preview,) = tuner.preview(1)
    assert shlex.split(repr(preview))[-1] == "RUNS/trial-000000-1/work"
    report = tuner.check({"epochs": 1})
    assert report, str(report)
    tuner.optimize(n_trials=2)
    for attempt in tuner.attempts():
        params = tuner.study.trials[attempt.trial or 0].params
        *words, work = attempt.invocation.argv
        assert words == [f"--x={params['x']}", f"--n={params['n']}"]
        assert work.endswith(f"{attempt.name}/work")


def test_promotion_hands_the_budget_to_the_function(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(command_line=to_words, promotion=Promotion("epochs", 1, 3), max_parallel=1)
    tuner.optimize(n_trials=3)
    budgets = [a.invocation.argv[2] for a in tuner.attempts()]
    assert set(budgets) == {"EPOCHS=1", "EPOCHS=3"}


def test_the_final_run_and_its_provenance(make_tuner: MakeTuner) -> None:
    tuner = make_tuner(command_line=to_words)
    tuner.optimize(n_trials=1)
    final = tuner.train_best({"epochs": 9})
    attempt = tuner.attempts()[-1]
    assert attempt.invocation.argv[2] == "EPOCHS=9"
    provenance = json.loads(Path(final.provenance).read_text())
    assert shlex.split(provenance["repeat"])[-2:] == ["EPOCHS=9", "repeat/work"]


def test_a_function_that_fails_stops_the_tuning_before_a_run(make_tuner: MakeTuner) -> None:
    def write(params: dict[str, Any], paths: RunPaths) -> list[str]:
        return [params["x"]]

    tuner = make_tuner(command_line=write)
    with pytest.raises(CommandLineError, match=r"item 0 is .*, a float"):
        tuner.optimize(n_trials=1)
    assert tuner.attempts() == []
    assert not tuner.check()
