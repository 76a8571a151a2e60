"""A command line describes parameters of the search space only: other names are typos."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import optuna
import pytest

from tests.conftest import MakeTuner
from tune_jobs.cli.main import main
from tune_jobs.core.promotion import Promotion
from tune_jobs.errors import CommandLineError
from tune_jobs.script.command_line import CommandLine
from tune_jobs.script.styles import Environment, Option
from tune_jobs.tuner import Tuner

DECLARED = {"learning_rate": [0.1, 0.2], "x": [0.5], "model": ["a", "b"]}


def describe(*names: str, **options: Any) -> CommandLine:
    """Return a command line that describes these parameters."""
    return CommandLine(
        parameters={name: Option(f"--{number}") for number, name in enumerate(names)}, **options
    )


def define(trial: optuna.Trial, rare: float = 1e-9) -> dict[str, Any]:
    """Suggest parameters, one of them in a branch that no sample takes."""
    params: dict[str, Any] = {"x": trial.suggest_float("x", 0.0, 1.0)}
    if params["x"] < rare:
        params["momentum"] = trial.suggest_float("momentum", 0.0, 1.0)
    if params["x"] > 0.99:
        params["".join(["we", "ight"])] = trial.suggest_int("weight", 0, 3)
    return params


class Defined:
    """Search space that is an object."""

    def __call__(self, trial: optuna.Trial) -> dict[str, Any]:
        return define(trial) if trial.number < 0 else {"x": trial.suggest_int("x", 0, 1)}


def test_a_name_that_a_declared_space_lacks_is_refused_by_the_constructor(
    make_tuner: MakeTuner,
) -> None:
    with pytest.raises(CommandLineError) as error:
        make_tuner(space=DECLARED, command_line=describe("learning_rat", "zzz"))
    assert "'learning_rat' (did you mean 'learning_rate'?)" in str(error.value)
    assert "'zzz' (known: learning_rate, model, x)" in str(error.value)
    assert "overrides" in str(error.value)


def test_a_parameter_with_a_place_of_its_own_is_described(make_tuner: MakeTuner) -> None:
    line = CommandLine(["{param:modle}", "{parameters}"])
    with pytest.raises(CommandLineError, match=r"'modle' \(did you mean 'model'"):
        make_tuner(space=DECLARED, command_line=line)


@pytest.mark.parametrize(
    "call",
    [
        lambda tuner: tuner.optimize(n_trials=1),
        lambda tuner: tuner.preview(1),
        lambda tuner: tuner.train_best(),
        lambda tuner: tuner.study.optimize(tuner.objective, n_trials=1),
    ],
    ids=["optimize", "preview", "train_best", "objective"],
)
def test_a_name_that_a_function_never_suggests_is_refused_before_anything_is_started(
    call: Callable[[Tuner], object], make_tuner: MakeTuner
) -> None:
    tuner = make_tuner(space=define, command_line=describe("weigt"))
    with pytest.raises(CommandLineError, match=r"'weigt' \(did you mean 'weight'"):
        call(tuner)
    assert all(trial.state.name == "FAIL" for trial in tuner.study.trials)


def test_a_check_reports_it(make_tuner: MakeTuner) -> None:
    report = make_tuner(space=define, command_line=describe("weigt")).check()
    assert not report
    assert "did you mean 'weight'" in str(report)


@pytest.mark.parametrize(
    ("space", "names"),
    [
        pytest.param(define, ["momentum"], id="a branch that no sample takes"),
        pytest.param(define, ["weight"], id="a rare branch with a name that is composed"),
        pytest.param(partial(define, rare=0.0), ["momentum"], id="partial"),
        pytest.param(Defined(), ["x"], id="object"),
        pytest.param(
            {"m": ["a", "b"], "d": {"type": "int", "low": 1, "high": 2, "when": "m == 'c'"}},
            ["d"],
            id="declared condition",
        ),
        pytest.param({"m": [1, 2], "fixed": 3}, ["fixed"], id="constant"),
    ],
)
def test_conditional_parameters_are_accepted(
    space: Any, names: list[str], make_tuner: MakeTuner
) -> None:
    make_tuner(space=space, command_line=describe(*names)).preview(1)


def test_a_parameter_that_only_the_study_has_seen_is_accepted(make_tuner: MakeTuner) -> None:
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"x": 0.5})
    study.tell(study.ask({"old": optuna.distributions.IntDistribution(0, 1)}), 1.0)
    make_tuner(study=study, command_line=describe("old")).preview(1)


def test_arguments_that_the_tuner_sets_may_be_described(make_tuner: MakeTuner) -> None:
    line = CommandLine(parameters={"seed": Environment("SEED"), "epochs": Option("-e")})
    promotion = Promotion("epochs", minimum=1, maximum=9)
    make_tuner(space=DECLARED, command_line=line, promotion=promotion).preview(1)
    with pytest.raises(CommandLineError, match="'epochs'"):
        make_tuner(space=DECLARED, command_line=line)


def test_overrides_are_arguments_of_the_final_run(make_tuner: MakeTuner) -> None:
    line = describe("epochs", overrides=["epochs"])
    tuner = make_tuner(command_line=line)
    tuner.optimize(n_trials=1)
    tuner.train_best({"epochs": 7})
    (final,) = (a for a in tuner.attempts() if a.is_final)
    assert "--0=7" in final.invocation.argv


STUDY = """\
study: s
direction: maximize
command: [echo]
metric: value
parameters:
  learning_rate: [0.1, 0.2]
final: {arguments: {epochs: 3}}
command_line:
  parameters:
    epochs: -e
    learning_rat: -l
n_trials: 1
"""


@pytest.mark.parametrize("command", ["run", "check", "preview", "status"])
def test_study_yaml_names_the_line(
    command: str, make_tuner: MakeTuner, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("study.yaml", "w") as file:
        file.write(STUDY)
    assert main([command, "study.yaml"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("tune-jobs: study.yaml:11: CommandLine describes 'learning_rat'")
    assert "(did you mean 'learning_rate'?)" in printed
    assert "epochs" not in printed
