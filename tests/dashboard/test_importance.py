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
    IntDistribution,
)
from optuna.trial import create_trial

from tune_jobs.dashboard.ped_anova import measure_importance

SPACE: dict[str, BaseDistribution] = {
    "plain": FloatDistribution(-3.0, 8.0),
    "narrow": FloatDistribution(1e6, 1e6 + 1.0),
    "log": FloatDistribution(1e-5, 1.0, log=True),
    "stepped": FloatDistribution(0.0, 1.0, step=0.25),
    "integer": IntDistribution(1, 9),
    "octaves": IntDistribution(1, 1000, log=True),
    "few": CategoricalDistribution(["a", "b"]),
    "many": CategoricalDistribution([f"c{i:02}" for i in range(20)]),
    "same": FloatDistribution(1.0, 1.0),
}
OTHER = FloatDistribution(10.0, 20.0)
"""What every second trial suggests ``plain`` from."""


def suggest_all(number: int) -> dict[str, tuple[Any, BaseDistribution]]:
    """Return value and distribution of each parameter that a trial has."""
    numbers = random.Random(number)
    found: dict[str, tuple[Any, BaseDistribution]] = {}
    for name, distribution in SPACE.items():
        known = OTHER if name == "plain" and number % 2 else distribution
        if name in ("log", "many") and numbers.random() < 0.4:
            continue  # conditional
        found[name] = (draw(numbers, known), known)
    return found


def draw(numbers: random.Random, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return numbers.choice(distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if isinstance(distribution, IntDistribution):
        return numbers.randint(distribution.low, distribution.high)
    if distribution.step:
        return distribution.step * numbers.randint(0, 4)
    if distribution.log:
        return distribution.high * 10 ** numbers.uniform(-5.0, 0.0)
    return numbers.uniform(distribution.low, distribution.high)


@pytest.mark.filterwarnings("ignore:Some regimes")
@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("count", [4, 9, 60, 2000])
def test_it_is_that_of_optuna(count: int, maximize: bool) -> None:
    rows = [suggest_all(number) for number in range(count)]
    values = [row["plain"][0] + (row["few"][0] == "a") + row["integer"][0] / 7 for row in rows]
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    study.add_trials(
        create_trial(
            value=value,
            params={name: known[0] for name, known in row.items()},
            distributions={name: known[1] for name, known in row.items()},
        )
        for row, value in zip(rows, values, strict=True)
    )
    names = sorted({name for row in rows for name in row})
    expected = optuna.importance.get_param_importances(study)
    found = measure_importance([[r.get(n) for r in rows] for n in names], values, maximize)
    assert dict(zip(names, found, strict=True)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_values_that_are_all_the_same() -> None:
    known = FloatDistribution(1.0, 4.0)
    varied = [(float(n), known) for n in range(1, 5)]
    same = [(1.0, FloatDistribution(1.0, 1.0))] * 4
    assert measure_importance([varied, varied], [1.0] * 4, True) == [0.5, 0.5]
    assert measure_importance([same, varied], [1.0, 2.0, 3.0, 4.0], True) == [0.0, 1.0]


def test_it_does_not_load_scikit_learn() -> None:
    script = (
        "import sys\n"
        "from tune_jobs.dashboard import parameters, server\n"
        "from optuna.distributions import FloatDistribution\n"
        "from tune_jobs.dashboard.ped_anova import measure_importance\n"
        "column = [(float(n), FloatDistribution(1.0, 4.0)) for n in range(1, 5)]\n"
        "measure_importance([column], [1.0, 2.0, 3.0, 4.0], True)\n"
        "print([m for m in ('sklearn', 'scipy', 'pandas') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr
