"""Studies to compare: finished trials with known values."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy import event

SPACE = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "layers": IntDistribution(1, 8),
    "optimizer": CategoricalDistribution(["adam", "sgd"]),
}
BEGIN = datetime(2026, 3, 2, 12)


def add_trials(
    url: str,
    name: str,
    *,
    center: float,
    seed: int,
    n_trials: int = 40,
    cost: float = 0.0,
) -> optuna.Study:
    """Create a study in SQLite with complete trials whose values approach ``center``."""
    storage = RDBStorage(url)
    event.listen(storage.engine, "checkout", _skip_syncs)
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    chance = random.Random(seed)
    study.add_trials([_make_trial(number, chance, center, cost) for number in range(n_trials)])
    return study


def _skip_syncs(connection: Any, *_: object) -> None:
    """Write without waiting for the disk, as nothing of a test has to survive."""
    connection.execute("PRAGMA synchronous = OFF")


def _make_trial(
    number: int, chance: random.Random, center: float, cost: float
) -> optuna.trial.FrozenTrial:
    exponent = chance.uniform(-4, -1)
    params = {
        "lr": 10**exponent,
        "layers": chance.randint(1, 8),
        "optimizer": chance.choice(["adam", "sgd"]),
    }
    value = center - 0.02 * abs(exponent + 2.5) - 0.01 * chance.random()
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=value,
        params=params,
        distributions=SPACE,
        intermediate_values={step: value * step / 5 for step in range(1, 6)},
        user_attrs={"tune_jobs:cost": {"run_hours": 0.1, "money": cost}} if cost else {},
    )
    trial.datetime_start = BEGIN + timedelta(minutes=6 * number)
    trial.datetime_complete = trial.datetime_start + timedelta(minutes=6)
    return trial
