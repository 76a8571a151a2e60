"""Writes to a storage without transactions: in which order, and by whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState
from sqlalchemy import Engine, create_engine

from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
from tune_jobs.storage.changes import Changes, TrialChange
from tune_jobs.storage.lease import Lease, LeaseLost
from tune_jobs.storage.schema import prepare
from tune_jobs.storage.writers import StorageWriter


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(storage=InMemoryStorage())


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    made = create_engine(f"sqlite:///{tmp_path}/l.db")
    prepare(made)
    return made


def writer_of(study: optuna.Study, lease: Lease | None = None) -> StorageWriter:
    return StorageWriter(study._storage, study._study_id, lease)


def finish(study: optuna.Study, value: float) -> Changes:
    """Return the result of the study's first trial."""
    trial = study.get_trials()[0]
    trial.state, trial.values = TrialState.COMPLETE, [value]
    return Changes(changed=[TrialChange(trial._trial_id, trial, finished=True)])


def test_a_trial_is_finished_before_its_attempt_is_closed(study: optuna.Study) -> None:
    study.ask()
    seen: list[TrialState] = []
    writer_of(study).write(
        finish(study, 1.0), lambda connection: seen.append(study.get_trials()[0].state)
    )
    assert seen == [TrialState.COMPLETE]


def test_a_trial_that_another_process_finished_stays_as_it_is(study: optuna.Study) -> None:
    mine = study.ask()
    changes = finish(study, 1.0)
    study.tell(mine, 7.0)
    writer_of(study).write(changes, lambda connection: None)
    assert study.trials[0].value == 7.0


def test_an_owner_that_was_replaced_writes_nothing(study: optuna.Study, engine: Engine) -> None:
    owner, successor = Lease(engine, "s"), Lease(engine, "s")
    owner.acquire()
    study.ask()
    assert successor.take(successor._read())
    written: list[Any] = []
    with pytest.raises(LeaseLost):
        writer_of(study, owner).write(finish(study, 1.0), written.append)
    assert study.get_trials()[0].state == TrialState.RUNNING
    assert written == []


class KilledAtClaim(InMemoryStorage):
    """A storage whose process is killed as it claims a trial."""

    def set_trial_state_values(self, *arguments: Any, **options: Any) -> bool:
        raise KeyboardInterrupt


def test_the_coming_attempt_is_noted_before_the_trial_is_claimed() -> None:
    study = optuna.create_study(storage=KilledAtClaim())
    study.enqueue_trial({"x": 1})
    (waiting,) = study.get_trials()
    with pytest.raises(KeyboardInterrupt):
        writer_of(study).claim(waiting._trial_id, "trial-000000-1")
    assert study.get_trials()[0].user_attrs[RUN_ATTRIBUTE] == "trial-000000-1"


def test_a_trial_is_claimed_once(study: optuna.Study) -> None:
    study.enqueue_trial({"x": 1})
    (waiting,) = study.get_trials()
    assert writer_of(study).claim(waiting._trial_id, "trial-000000-1")
    assert not writer_of(study).claim(waiting._trial_id, "trial-000000-1")
