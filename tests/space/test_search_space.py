from __future__ import annotations

import functools
import hashlib
import inspect
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_jobs.errors import ConfigError, SpaceError
from tune_jobs.space.compatibility import check_space
from tune_jobs.space.declaration import as_space, load_space
from tune_jobs.space.search_space import Space

WRITTEN: dict[str, Any] = {
    "parameters": {
        "lr": {"type": "float", "low": "1e-5", "high": "1e-1", "log": True},
        "batch_size": [32, 64, 128],
        "layers": {"type": "int", "low": 1, "high": 5, "step": 2},
        "optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
        "momentum": {"type": "float", "low": 0, "high": 0.99, "when": "optimizer == 'sgd'"},
        "nesterov": {"choices": [True, False], "when": "momentum > 0.5"},
        "epochs": 20,
        "hidden": {"choices": [[64], [128, 64]]},
    },
    "constraints": ["layers * batch_size < 400"],
}


def new_study(**options: Any) -> optuna.Study:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1), **options)


def function_space(trial: optuna.Trial) -> dict[str, Any]:
    params: dict[str, Any] = {"lr": trial.suggest_float("lr", 1e-5, 1e-1, log=True)}
    if trial.suggest_categorical("wide", [True, False]):
        params["width"] = 2 ** trial.suggest_int("log_width", 3, 6)
    return params


def draw(space: Space, **fixed: Any) -> dict[str, Any]:
    study = new_study()
    study.enqueue_trial(fixed)
    return space.sample(study.ask())


# -- declared spaces -------------------------------------------------------------------------


def test_a_written_space_becomes_distributions() -> None:
    distributions = {p.name: p.distribution for p in as_space(WRITTEN).parameters}
    assert distributions == {
        "lr": FloatDistribution(1e-5, 1e-1, log=True),
        "batch_size": CategoricalDistribution([32, 64, 128]),
        "layers": IntDistribution(1, 5, step=2),
        "optimizer": CategoricalDistribution(["adam", "sgd"]),
        "momentum": FloatDistribution(0, 0.99),
        "nesterov": CategoricalDistribution([True, False]),
        "epochs": None,
        "hidden": CategoricalDistribution(["[64]", "[128, 64]"]),
    }


@pytest.mark.parametrize(
    ("fixed", "also"),
    [
        ({"optimizer": "adam"}, set()),
        ({"optimizer": "sgd", "momentum": 0.1}, {"momentum"}),
        ({"optimizer": "sgd", "momentum": 0.9}, {"momentum", "nesterov"}),
    ],
)
def test_only_active_parameters_are_on_the_command_line(
    fixed: dict[str, Any], also: set[str]
) -> None:
    params = draw(as_space(WRITTEN), **fixed)
    always = {"lr", "batch_size", "layers", "optimizer", "epochs", "hidden"}
    assert params.keys() == always | also
    assert params["epochs"] == 20


def test_a_list_among_the_choices_comes_out_as_a_list() -> None:
    assert draw(as_space(WRITTEN), hidden="[128, 64]")["hidden"] == [128, 64]
    space = as_space({"shape": [(64,), "auto", {"a": 1}]})
    assert draw(space, shape='{"a": 1}')["shape"] == {"a": 1}
    assert draw(space, shape="auto")["shape"] == "auto"


def test_distributions_and_written_forms_may_be_mixed() -> None:
    space = as_space({"lr": FloatDistribution(0, 1), "n": {"type": "int", "low": 1, "high": 2}})
    assert draw(space, lr=0.5, n=2) == {"lr": 0.5, "n": 2}
    explicit = as_space({"x": CategoricalDistribution([True, "auto"]), "epochs": 3})
    assert draw(explicit, x="auto") == {"x": "auto", "epochs": 3}


def test_the_storage_keeps_what_optuna_can_read() -> None:
    study = new_study()
    trial = study.ask()
    as_space(WRITTEN).sample(trial)
    assert trial.params["hidden"] in ("[64]", "[128, 64]")


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({}, "parameters: nothing to tune"),
        ({"epochs": 20}, "parameters: nothing to tune"),
        ({"x": {"type": "float", "low": 3, "high": 1}}, "parameters.x: low 3.0 is above high 1.0"),
        ({"x": {"type": "float", "low": 0, "high": 1, "log": True}}, "x.low: 0.0 has no logarithm"),
        ({"x": {"type": "int", "low": 0, "high": 1, "log": True}}, "x.low: 0 has no logarithm"),
        (
            {"x": {"type": "float", "low": 1, "high": 2, "log": True, "step": 0.1}},
            "x.step: a log scale has no steps",
        ),
        ({"x": {"type": "int", "low": 1, "high": 2, "step": 0}}, "x.step: invalid step 0"),
        ({"x": {"type": "int", "low": 1.5, "high": 2}}, "x.low: 1.5 is not a whole number"),
        ({"x": {"type": "int", "low": True, "high": 2}}, "x.low: True is not a number"),
        ({"x": {"type": "float", "low": "few", "high": 2}}, "x.low: 'few' is not a number"),
        ({"x": {"type": "float", "low": 1, "high": "inf"}}, "x.high: 'inf' is not a number"),
        ({"x": {"type": "float", "low": 1, "high": 10**400}}, "is not a number"),
        ({"x": {"type": "float", "low": 1}}, "x: has no high"),
        ({"x": {"low": 1, "high": 2}}, "x: has no type"),
        (
            {"x": {"type": "flaot", "low": 1, "high": 2}},
            "'flaot' is unknown (did you mean 'float'?)",
        ),
        ({"x": {"type": "float", "low": 1, "hihg": 2}}, "'hihg' (did you mean 'high'?)"),
        ({"x": {"choices": [1], "low": 1}}, "x: unknown key 'low'"),
        ({"x": {"type": "int", "low": 1, "high": 2, "choices": [1]}}, "unknown key 'choices'"),
        ({"x": {"type": "int", "low": 1, "high": 2, "log": "yes"}}, "'yes' is not a true or false"),
        ({"x": {"type": "categorical"}}, "x: has no choices"),
        ({"x": {"choices": 3}}, "x.choices: 3 is not a list"),
        ({"x": []}, "x: choices are empty"),
        ({"x": [1, 2, 1]}, "x[2]: 1 and 1 are equal to Optuna"),
        ({"x": [True, 1]}, "1 and True are equal to Optuna"),
        ({"x": [[1], "[1]"]}, "equal to Optuna"),
        ({"x": CategoricalDistribution([1, 1.0])}, "1.0 and 1 are equal to Optuna"),
        (
            {"x": [False, "linear"]},
            "x: choices mix booleans and strings: quote every choice",
        ),
        ({"x": [object()]}, "invalid choice"),
        ({"x": None}, "x: is empty: write a range, choices or a value"),
        ({"x": np.int64(3)}, "invalid parameter"),
        ({"": [1, 2]}, "parameter name '' is empty"),
        ({"a\nb": [1, 2]}, "parameter name 'a\\nb' is empty or has control characters"),
        ({"x" * 513: [1, 2]}, "is longer than 512 characters"),
        ({1: [1, 2]}, "key 1 is not a string"),
        ({"x": [1], "y": {"choices": [1], "when": "z == 1"}}, "unknown name 'z'"),
        ({"x": {"choices": [1], "when": "y == 1"}, "y": [1]}, "needs 'y', which is defined below"),
        ({"x": {"choices": [1], "when": "x == 1"}}, "needs 'x', which is defined below"),
        ({"x": {"choices": [1], "when": True}}, "x.when: True is not a string"),
        ({"x": [1], "y": {"choices": [1], "when": "x =="}}, "y.when: expression 'x =='"),
    ],
)
def test_a_wrong_definition_is_named(parameters: Mapping[Any, Any], problem: str) -> None:
    with pytest.raises(SpaceError) as error:
        as_space({"parameters": parameters})
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("spec", "options", "problem"),
    [
        (3, {}, "search space 3 is a int"),
        ({"parameters": {"x": [1]}, "constraint": []}, {}, "did you mean 'constraints'?"),
        ({"parameters": {"x": [1]}, "constraints": "x < 2"}, {}, "'x < 2' is not a list"),
        ({"parameters": {"x": [1]}, "constraints": [1]}, {}, "constraints[0]: 1 is not a string"),
        ({"x": [1]}, {"constraints": ["y < 2"]}, "unknown name 'y'"),
        (function_space, {"constraints": "lr < 2"}, "'lr < 2' is not a list"),
        (function_space, {"constraints": ["lr <"]}, "constraints[0]: expression 'lr <'"),
        (Space(), {"constraints": ["lr < 1"]}, "already has constraints"),
    ],
)
def test_a_wrong_call_is_named(spec: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpaceError) as error:
        as_space(spec, **options)
    assert problem in str(error.value)


def test_a_space_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("parameters:\n  lr: {type: float, low: 1e-5, high: 1}\nconstraints: [lr < 1]\n")
    space = load_space(path)
    assert space.parameters[0].distribution == FloatDistribution(1e-5, 1)
    assert space.names == {"lr"}
    assert space.refusal({"lr": 1}) is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lr: [1]", "space.yaml:1: unknown key 'lr'"),
        ("constraints: []", "space.yaml:1: has no 'parameters'"),
        ("parameters:\n  lr: []", "space.yaml:2: parameters.lr: choices are empty"),
        ("parameters: [", "invalid YAML"),
    ],
)
def test_a_mistake_in_a_file_is_a_space_error(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SpaceError) as error:
        load_space(path)
    assert problem in str(error.value)


def test_a_space_is_taken_as_it_is() -> None:
    space = as_space(WRITTEN)
    assert as_space(space) is space


# -- refusals ---------------------------------------------------------------------------------


def test_the_first_violated_constraint_is_the_refusal() -> None:
    space = as_space(WRITTEN, constraints=["momentum < 0.9"])
    params = {"layers": 5, "batch_size": 128}
    refusal = "constraint 'layers * batch_size < 400' does not hold for batch_size=128, layers=5"
    assert space.refusal(params) == refusal
    assert space.refusal({"layers": 1, "batch_size": 32}) is None
    assert space.refusal({"layers": 1, "batch_size": 32, "momentum": 0.95}) == (
        "constraint 'momentum < 0.9' does not hold for momentum=0.95"
    )


@pytest.mark.parametrize(
    ("answer", "refusal"),
    [
        (None, None),
        (True, None),
        (np.True_, None),
        (False, "valid() rejected it"),
        ("", "valid() rejected it"),
        ("needs 90 GB", "needs 90 GB"),
    ],
)
def test_valid_refuses_with_or_without_a_reason(answer: Any, refusal: str | None) -> None:
    def valid(params: dict[str, Any]) -> bool | str | None:
        return answer  # type: ignore[no-any-return]

    valid.__qualname__ = "valid"
    assert as_space(function_space, valid=valid).refusal({"lr": 0.1}) == refusal


def test_a_constraint_that_cannot_be_computed_is_a_space_error() -> None:
    space = as_space(function_space, constraints=["1 / width > lr"])
    with pytest.raises(SpaceError, match="division by zero"):
        space.refusal({"width": 0, "lr": 1})


def test_a_condition_that_cannot_be_computed_is_named_with_its_line(tmp_path: Path) -> None:
    parameters = "parameters:\n  a: [0, 1]\n  b: [2, 3]\n"
    (tmp_path / "c.yaml").write_text(f"{parameters}constraints:\n  - b > 1\n  - b / a > 1\n")
    with pytest.raises(SpaceError, match=r"c\.yaml:6: constraint: expression 'b / a > 1' cannot"):
        load_space(tmp_path / "c.yaml").refusal({"a": 0, "b": 2})
    (tmp_path / "w.yaml").write_text(f"{parameters}  c: {{choices: [1], when: b / a > 1}}\n")
    space = load_space(tmp_path / "w.yaml")
    with pytest.raises(SpaceError, match=r"w\.yaml:4: when of 'c': expression 'b / a > 1' cannot"):
        check_space(space, new_study())


def test_a_valid_that_raises_is_chained() -> None:
    space = as_space(function_space, valid=lambda params: params["absent"])
    with pytest.raises(SpaceError, match="raised KeyError") as error:
        space.refusal({"lr": 1})
    assert isinstance(error.value.__cause__, KeyError)


# -- functions --------------------------------------------------------------------------------


def test_a_function_decides_what_is_on_the_command_line() -> None:
    assert draw(as_space(function_space), lr=0.1, wide=True, log_width=3) == {"lr": 0.1, "width": 8}
    assert draw(as_space(function_space), lr=0.1, wide=False) == {"lr": 0.1}


def returning(value: Any) -> Callable[[optuna.Trial], Any]:
    def space(trial: optuna.Trial) -> Any:
        trial.suggest_float("lr", 0, 1)
        return value

    return space


def raising(trial: optuna.Trial) -> dict[str, Any]:
    return {"lr": trial.suggest_float("lr", 0, 1), "x": trial.params["absent"]}


def changing(trial: optuna.Trial) -> dict[str, Any]:
    return {"x": trial.suggest_categorical("x", list(range(trial.number + 1)))}


def sometimes(trial: optuna.Trial) -> Any:
    return {"x": 1} if trial.suggest_float("x", 0, 1) < 0.9 else [1]


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (raising, "raising() raised KeyError after suggesting lr: 'absent'"),
        (lambda: {}, "raised TypeError after suggesting nothing"),
        (returning(None), "returned None, a NoneType: return a dict"),
        (returning([1]), "returned [1], a list: return a dict"),
        (returning({}), "returned no parameters"),
        (returning({1: 2}), "parameter name 1, which is not a string"),
        (returning({"a\0": 2}), "has control characters"),
        (returning({"x": np.int64(3)}), "a int64: convert it with int()"),
        (returning({"x": object}), "convert it"),
        (returning({"x": [object()]}), "convert it"),
        (lambda trial: {"x": 1}, "has nothing to tune"),
        (changing, "dynamic value space"),
        (sometimes, "returned [1], a list"),
    ],
)
def test_the_mistakes_of_a_function_are_found_before_the_first_run(
    function: Any, problem: str
) -> None:
    study = new_study()
    with pytest.raises(SpaceError) as error:
        check_space(as_space(function), study)
    assert problem in str(error.value)
    assert study.trials == []


def test_the_exception_of_a_function_is_chained() -> None:
    with pytest.raises(SpaceError) as error:
        as_space(raising).sample(new_study().ask())
    assert isinstance(error.value.__cause__, KeyError)


def test_a_failing_database_is_not_the_functions_fault() -> None:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        raise optuna.exceptions.StorageInternalError("the disk is full")

    with pytest.raises(optuna.exceptions.StorageInternalError):
        as_space(space).sample(new_study().ask())


# -- check_space ------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [WRITTEN, function_space])
def test_a_good_space_fits_its_own_study(spec: Any) -> None:
    space = as_space(spec)
    study = new_study(directions=["minimize", "maximize"])
    met = check_space(space, study)
    assert study.trials == []
    for _ in range(30):
        space.sample(study.ask())
    assert check_space(space, study) == met


def test_a_draw_sees_the_studys_attributes_and_directions() -> None:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        assert len(trial.study.directions) == 2
        return {"features": trial.suggest_int("features", 1, trial.study.user_attrs["features"])}

    study = new_study(directions=["minimize", "maximize"])
    study.set_user_attr("features", 3)
    assert check_space(as_space(space), study) == {"features": IntDistribution(1, 3)}


def test_checking_is_quiet() -> None:
    study = new_study()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("optuna")
    logger.addHandler(handler)
    try:
        check_space(as_space(WRITTEN), study)
        assert seen == []
        new_study()
        assert len(seen) == 1
    finally:
        logger.removeHandler(handler)


X: BaseDistribution = FloatDistribution(0, 1)


@pytest.mark.parametrize(
    ("old", "new", "fits"),
    [
        (X, FloatDistribution(5, 9), True),
        (IntDistribution(1, 3), IntDistribution(1, 9, step=2), True),
        (X, IntDistribution(0, 1), False),
        (FloatDistribution(1, 2), FloatDistribution(1, 2, log=True), False),
        (X, CategoricalDistribution([0, 1]), False),
        (CategoricalDistribution([1, 2]), CategoricalDistribution([1, 2, 3]), False),
        (CategoricalDistribution([1, 2]), CategoricalDistribution([2, 1]), False),
    ],
)
def test_a_parameter_that_changed_its_kind_is_named(
    old: BaseDistribution, new: BaseDistribution, fits: bool
) -> None:
    study = new_study(study_name="digits")
    as_space({"x": old}).sample(study.ask())
    if fits:
        assert check_space(as_space({"x": new}), study) == {"x": new}
        return
    with pytest.raises(SpaceError) as error:
        check_space(as_space({"x": new}), study)
    message = str(error.value)
    assert f"parameter 'x' is {old} in study 'digits' but {new}" in message
    assert "use a new study name, or the same kind, log and choices" in message


def test_a_constraint_on_a_name_that_never_occurs_is_found() -> None:
    space = as_space(function_space, constraints=["widht < 100"])
    with pytest.raises(SpaceError, match=r"'widht' \(did you mean 'width'\?\)"):
        check_space(space, new_study())


def test_a_constraint_on_a_rare_parameter_is_not_mistaken_for_a_typo() -> None:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        rare = trial.suggest_float("rare", 0, 1) < 0.01
        return {"deep": 3} if rare else {"flat": 1}

    check_space(as_space(space, constraints=["deep < 9"]), new_study())


def test_a_constraint_between_text_and_number_is_found() -> None:
    space = as_space({"optimizer": ["adam", "sgd"], "x": [1, 2]}, constraints=["x < optimizer"])
    with pytest.raises(SpaceError, match="cannot be evaluated"):
        check_space(space, new_study())


# -- describe ---------------------------------------------------------------------------------


def test_a_declared_space_describes_itself_as_json() -> None:
    described = as_space(WRITTEN).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["constraints"] == ["layers * batch_size < 400"]
    assert described["parameters"]["epochs"] == {"value": 20}
    assert described["parameters"]["momentum"] == {
        "type": "float",
        "low": 0.0,
        "high": 0.99,
        "log": False,
        "step": None,
        "when": "optimizer == 'sgd'",
    }
    assert described == as_space(WRITTEN).describe()


def test_a_function_is_described_by_its_source_and_the_names_seen() -> None:
    def valid(params: dict[str, Any]) -> bool:
        return True

    space = as_space(function_space, valid=valid)
    check_space(space, new_study())
    described = space.describe()
    source = inspect.getsource(function_space).encode()
    assert described["function"] == {
        "name": "function_space",
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "names": ["lr", "width"],
    }
    assert described["valid"]["name"].endswith("valid")
    assert json.loads(json.dumps(described)) == described


def test_a_function_without_source_can_be_described() -> None:
    described = as_space(functools.partial(function_space)).describe()
    assert described == {"function": {"name": "partial", "source_sha256": None, "names": []}}


def test_the_module_stays_light() -> None:
    code = (
        "import sys, tune_jobs.space.search_space\n"
        "print([m for m in ('sqlalchemy', 'plotly', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_space_error_is_a_config_error() -> None:
    with pytest.raises(ConfigError):
        as_space({})
