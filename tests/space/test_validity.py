"""Which values a parameter may have."""

from __future__ import annotations

import math
from fractions import Fraction
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

from tune_jobs.errors import SpaceError
from tune_jobs.space.declaration import as_space
from tune_jobs.space.validity import find_problem

LR = FloatDistribution(1e-5, 1e-1, log=True)
DROP = FloatDistribution(0, 1, step=0.25)
N = IntDistribution(1, 9, step=2)
WIDE = IntDistribution(0, 2**62)
KIND = CategoricalDistribution(["a", 3, None, 1.5])
FLAG = CategoricalDistribution([True, False])
BITS = CategoricalDistribution([0, 1])
HIDDEN = CategoricalDistribution(["[64]", "[128, 64]"])
ODD = CategoricalDistribution([math.nan, math.inf])


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        *((v, LR) for v in (1e-5, 0.1, np.float64(0.01), np.float32(0.03125))),
        *((v, DROP) for v in (0, 1, 0.75, True - 0.5, Fraction(1, 4))),
        *((v, N) for v in (1, 9, 3.0, np.int64(5))),
        *((v, KIND) for v in ("a", 3, 3.0, None, 1.5, np.int64(3), np.str_("a"))),
        *((v, FLAG) for v in (True, False)),
        *((v, BITS) for v in (0, 1, 1.0)),
        ("[64]", HIDDEN),
        *((v, ODD) for v in (math.nan, math.inf)),
        (2**53, WIDE),
        (2**60, WIDE),
        (0.1 + 0.2, FloatDistribution(0, 0.9, step=0.1)),
    ],
)
def test_valid_values(value: Any, distribution: BaseDistribution) -> None:
    assert find_problem("p", value, distribution) is None


@pytest.mark.parametrize(
    ("value", "distribution", "problem"),
    [
        (0.2, LR, "p=0.2 is out of range: use a number from 1e-05 to 0.1"),
        (0, LR, "p=0 is out of range"),
        (math.nan, LR, "p=nan is not a finite number"),
        (math.inf, N, "p=inf is not a finite number"),
        ("1e-3", LR, "p='1e-3' is not a number"),
        ("0x10", N, "p='0x10' is not a number"),
        (b"1", N, "p=b'1' is not a number"),
        (True, N, "p=True is not a number: use a whole number from 1 to 9 in steps of 2"),
        (False, LR, "p=False is not a number"),
        (None, LR, "p=None is not a number"),
        ([1], N, "p=[1] is not a number"),
        ({"v": 1}, N, "p={'v': 1} is not a number"),
        (0.3, DROP, "p=0.3 is not on the grid: use a number from 0.0 to 1.0 in steps of 0.25"),
        (2, N, "p=2 is not on the grid"),
        (1.1, N, "p=1.1 is not a whole number"),
        (11, N, "p=11 is out of range"),
        (-1, N, "p=-1 is out of range"),
        (10**400, N, "is out of range"),
        (10**400, LR, "is out of range"),
        pytest.param(10**5000, N, "p=a value of type int is out of range", id="huge"),
        (2**60 + 1, WIDE, "cannot be stored exactly"),
        (1 + 2j, N, "p=(1+2j) is not a number"),
        ("b", KIND, "p='b' is not a choice: use one of 'a', 3, None, 1.5"),
        ("3", KIND, "p='3' is not a choice"),
        (1, FLAG, "p=1 is not a choice: use one of True, False"),
        (0.0, FLAG, "p=0.0 is not a choice"),
        ("true", FLAG, "p='true' is not a choice"),
        (True, BITS, "p=True is not a choice: use one of 0, 1"),
        ([64], HIDDEN, "p=[64] is not a choice: use one of '[64]', '[128, 64]'"),
        (np.array([1, 2]), BITS, "is not a choice"),
        (-math.inf, ODD, "p=-inf is not a choice"),
        ("x" * 1000, KIND, "(1002 characters) is not a choice"),
        (99, CategoricalDistribution(list(range(30))), "7, 8, 9 and 20 more"),
    ],
)
def test_invalid_values_are_named_with_what_is_allowed(
    value: Any, distribution: BaseDistribution, problem: str
) -> None:
    found = find_problem("p", value, distribution)
    assert found is not None
    assert problem in found
    assert len(found) < 400


SPACE = as_space(
    {
        "optimizer": ["adam", "sgd"],
        "momentum": {"type": "float", "low": 0, "high": 1, "when": "optimizer == 'sgd'"},
        "layers": [[64], [64, 32]],
        "epochs": 20,
    }
)


def branch(trial: optuna.Trial) -> dict[str, Any]:
    kind = trial.suggest_categorical("kind", ["a", "b"])
    if kind == "a":
        return {"kind": kind, "depth": trial.suggest_int("depth", 1, 8)}
    return {"kind": kind, "lr": 10 ** trial.suggest_float("lr_exp", -4, -1), "fixed": 7}


def sample(written: Any, requested: dict[str, Any]) -> dict[str, Any]:
    space = as_space(written)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        space.sample(study.ask())
    study.enqueue_trial(requested)
    return space.sample(study.ask(), requested)


@pytest.mark.parametrize(
    ("space", "requested", "expected"),
    [
        (SPACE, {"optimizer": "sgd", "momentum": 1}, {"optimizer": "sgd", "momentum": 1}),
        (SPACE, {"epochs": 20, "layers": "[64, 32]"}, {"epochs": 20, "layers": [64, 32]}),
        (branch, {"kind": "b", "lr_exp": -2, "fixed": 7}, {"lr": 0.01}),
        (branch, {"kind": "a", "depth": 8.0}, {"depth": 8}),
    ],
)
def test_what_is_requested_is_used_as_it_is(
    space: Any, requested: dict[str, Any], expected: dict[str, Any]
) -> None:
    params = sample(space, requested)
    assert {name: params[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("space", "requested", "problem"),
    [
        (SPACE, {"optimizer": "adagrad"}, "parameter optimizer='adagrad' is not a choice"),
        (
            SPACE,
            {"optimizer": "adam", "momentum": 0.5},
            "parameter momentum=0.5 is not active: it needs optimizer == 'sgd'",
        ),
        (SPACE, {"epochs": 30}, "parameter epochs=30 is not tuned: use 20"),
        (SPACE, {"optimiser": "sgd"}, "parameter optimiser='sgd' is not in the search space (did"),
        (SPACE, {"layers": [64, 32]}, "use one of '[64]', '[64, 32]'"),
        (branch, {"kind": "a", "lr": 1}, "parameter lr=1 is not active in this configuration"),
        (branch, {"kind": "b", "fixed": 8}, "parameter fixed=8 is not tuned: use 7"),
        (branch, {1: 2}, "parameter 1=2 is not in the search space"),
    ],
)
def test_what_is_requested_and_cannot_be_used_is_named(
    space: Any, requested: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SpaceError) as error:
        sample(space, requested)
    assert problem in str(error.value)


class Wild(optuna.samplers.RandomSampler):
    """A sampler that suggests anything."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self._value = value

    def sample_independent(self, *_: Any) -> Any:
        return self._value


@pytest.mark.parametrize("value", [1.5, 99, math.nan, math.inf, "x", None])
def test_a_sampler_is_checked_as_well(value: Any) -> None:
    study = optuna.create_study(sampler=Wild(value))
    with pytest.raises(SpaceError, match=r"depth.*a whole number from 1 to 8"):
        as_space({"depth": IntDistribution(1, 8)}).sample(study.ask())


def test_rounding_of_a_sampler_is_no_error() -> None:
    high = 0.3
    study = optuna.create_study(sampler=Wild(np.nextafter(high, 1)))
    assert as_space({"x": FloatDistribution(0, high)}).sample(study.ask())["x"] > high


def test_the_trial_of_the_function_is_the_trial() -> None:
    seen = []

    def space(trial: optuna.Trial) -> dict[str, Any]:
        assert isinstance(trial, optuna.Trial)
        trial.set_user_attr("mark", trial.number)
        seen.append(trial.suggest_float("x", 0, 1, log=False))
        assert trial.suggest_float("x", 0, 1) == seen[-1] == trial.params["x"]
        return dict(trial.params)

    study = optuna.create_study()
    trial = study.ask()
    assert as_space(space).sample(trial) == trial.params == {"x": seen[0]}
    study.tell(trial, 1.0)
    assert study.trials[0].params == {"x": seen[0]}
    assert study.trials[0].user_attrs == {"mark": 0}
