"""Studies read ahead are the studies that Optuna reads."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any, Literal

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial

import tune_jobs
from tune_jobs.storage.bulk_read import read_ahead

Directions = list[Literal["minimize", "maximize"]]

SPACE: dict[str, BaseDistribution] = {
    "x": FloatDistribution(-1.0, 1.0),
    "n": IntDistribution(1, 100, log=True),
    "kind": CategoricalDistribution(["a", None, 3]),
}


def filled(storage: str, directions: Directions) -> optuna.Study:
    study = optuna.create_study(study_name="s", storage=storage, directions=directions)
    other = optuna.create_study(study_name="other", storage=storage)
    for number in range(300):
        state = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)[number % 3]
        values = [number / 7, math.inf if number % 2 else -1.0][: len(directions)]
        kind = ("a", None, 3)[number % 3]
        params: dict[str, Any] = {"x": number / 300, "n": 1 + number % 100, "kind": kind}
        if number % 5 == 0:
            params.pop("kind")
        study.add_trial(
            create_trial(
                state=state,
                values=values if state == TrialState.COMPLETE else None,
                params=params,
                distributions={name: SPACE[name] for name in params},
                user_attrs={"note": f"<{number}>"},
                system_attrs={"inner": [number]},
                intermediate_values={2: math.nan, 1: -math.inf, 5: 0.5} if number % 4 == 0 else {},
            )
        )
        if number % 100 == 0:
            other.ask()
            study.ask()
            study.enqueue_trial({"x": 0.5})
    return study


def check(storage: str, directions: Directions) -> None:
    filled(storage, directions)
    plain = optuna.load_study(study_name="s", storage=storage)
    ahead = tune_jobs.load_study("s", storage)
    assert len(ahead._storage._studies[ahead._study_id].trials) == 300  # type: ignore[attr-defined]
    # NaN is not equal to itself.
    assert repr(ahead.get_trials()) == repr(plain.get_trials())
    trial = ahead.ask()
    ahead.tell(trial, state=TrialState.FAIL)
    running = next(t for t in plain.get_trials() if t.state == TrialState.RUNNING)
    plain.tell(running.number, [0.0] * len(directions))
    assert ahead.get_trials()[running.number].state == TrialState.COMPLETE
    assert repr(ahead.get_trials()) == repr(plain.get_trials())


@pytest.mark.parametrize("directions", [["minimize"], ["minimize", "maximize"]], ids=len)
def test_it_is_the_same_study(tmp_path: Path, directions: Directions) -> None:
    check(f"sqlite:///{tmp_path}/s.db", directions)


def test_other_storages_and_small_studies_are_left_to_optuna(tmp_path: Path) -> None:
    study = optuna.create_study()
    read_ahead(study)
    storage = f"sqlite:///{tmp_path}/s.db"
    optuna.create_study(study_name="s", storage=storage).ask()
    assert len(tune_jobs.load_study("s", storage).trials) == 1


def test_times_are_local_as_optunas_are(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/s.db"
    filled(storage, ["minimize"])
    started = tune_jobs.load_study("s", storage).trials[0].datetime_start
    assert started is not None
    assert abs((datetime.datetime.now() - started).total_seconds()) < 600
