"""A study that another process deletes is an error that says so, wherever it is noticed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tests.simulation import simulated
from tune_jobs.cli.output import print_status
from tune_jobs.errors import StudyError, StudyNotFound
from tune_jobs.tuner import Tuner

DELETED = "study 's' was deleted from its storage meanwhile: its trials are lost; create it again"


def build_tuner(url: str | None = None) -> Tuner:
    study = optuna.create_study(study_name="s", storage=url, direction="maximize")
    return simulated(study=study, max_parallel=2)[0]


def delete(study: optuna.Study, *_: object) -> None:
    optuna.delete_study(study_name="s", storage=study._storage)


@pytest.mark.parametrize("url", [None, "sqlite:///s.db"])
def test_a_study_that_is_deleted_while_it_is_tuned(url: str | None) -> None:
    tuner = build_tuner(url)
    with pytest.raises(StudyNotFound, match=DELETED):
        tuner.optimize(50, callbacks=[delete])


CALLS: dict[str, Callable[[Tuner], object]] = {
    "optimize": lambda tuner: tuner.optimize(1),
    "objective": lambda tuner: tuner.objective(optuna.create_study().ask()),
    "train_best": lambda tuner: tuner.train_best(),
    "best_trials": lambda tuner: tuner.best_trials,
    "attempts": lambda tuner: tuner.attempts(),
    "costs": lambda tuner: tuner.costs(),
    "replicate": lambda tuner: tuner.replicate(0),
    "logs": lambda tuner: tuner.logs(0),
    "outputs": lambda tuner: tuner.outputs(0),
    "watch": lambda tuner: tuner.watch(),
    "control": lambda tuner: tuner.control("pause"),
    "dataframe": lambda tuner: tuner.trials_dataframe(),
    "status": lambda tuner: print_status(argparse.Namespace(json=True), tuner),
}


@pytest.mark.parametrize("call", CALLS)
def test_calls_on_a_study_that_was_deleted(call: str) -> None:
    tuner = build_tuner()
    tuner.optimize(1)
    delete(tuner.study)
    with pytest.raises(StudyNotFound, match=DELETED):
        CALLS[call](tuner)


def test_a_database_that_was_removed_is_named() -> None:
    tuner = build_tuner("sqlite:///s.db")
    with pytest.raises(StudyError, match=r"database s\.db was removed: put it back"):
        tuner.optimize(50, callbacks=[lambda study, trial: Path("s.db").unlink(missing_ok=True)])
