"""Importance of parameters."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
)
from optuna.trial import create_trial

from tune_jobs.dashboard.importance import WIDE_RANGE, measure_importance

SPACE: dict[str, BaseDistribution] = {
    "plain": FloatDistribution(-3.0, 8.0),
    "narrow": FloatDistribution(1e6, 1e6 + 1.0),
    "log": FloatDistribution(1e-5, 1.0, log=True),
    "few": CategoricalDistribution(["a", "b"]),
    "many": CategoricalDistribution([f"c{i:02}" for i in range(20)]),
}


def draw(numbers: random.Random, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return numbers.choice(distribution.choices)
    assert isinstance(distribution, FloatDistribution)
    if distribution.log:
        return distribution.high * 10 ** numbers.uniform(-5.0, 0.0)
    return numbers.uniform(distribution.low, distribution.high)


def bounds(distribution: BaseDistribution, column: list[Any]) -> BaseDistribution:
    """Return the distribution with the bounds of the values."""
    if isinstance(distribution, CategoricalDistribution):
        return CategoricalDistribution(sorted(set(column)))
    low, high = min(column), max(column)
    return FloatDistribution(low, high, log=low > 0 and high / low >= WIDE_RANGE)


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("count", [4, 9, 60, 2000])
def test_it_is_that_of_optuna(count: int, maximize: bool) -> None:
    numbers = random.Random(count)
    rows = [{name: draw(numbers, each) for name, each in SPACE.items()} for _ in range(count)]
    values = [row["plain"] + (row["few"] == "a") + 0.1 * numbers.random() for row in rows]
    columns = {name: [row[name] for row in rows] for name in SPACE}
    space = {name: bounds(each, columns[name]) for name, each in SPACE.items()}
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    study.add_trials(
        create_trial(value=value, params=row, distributions=space)
        for row, value in zip(rows, values, strict=True)
    )
    expected = optuna.importance.get_param_importances(study)
    found = measure_importance(list(columns.values()), values, maximize)
    assert dict(zip(SPACE, found, strict=True)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_values_that_are_all_the_same() -> None:
    assert measure_importance([[1.0, 2.0, 3.0, 4.0], ["a", "b", "a", "b"]], [1.0] * 4, True) == [
        0.5,
        0.5,
    ]
    assert measure_importance([[1.0] * 4, [1.0, 2.0, 3.0, 4.0]], [1.0, 2.0, 3.0, 4.0], True) == [
        0.0,
        1.0,
    ]


def test_it_does_not_load_scikit_learn() -> None:
    script = (
        "import sys\n"
        "from tune_jobs.dashboard import parameters, server\n"
        "from tune_jobs.dashboard.importance import measure_importance\n"
        "measure_importance([[1.0, 2.0, 3.0, 4.0]], [1.0, 2.0, 3.0, 4.0], True)\n"
        "print([m for m in ('sklearn', 'scipy', 'pandas') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
