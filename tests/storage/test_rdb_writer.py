"""Writes of an owner: committed exactly once, whatever happens to the connection."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from sqlalchemy.exc import OperationalError

from tune_jobs.errors import StudyError
from tune_jobs.storage import optuna_tables
from tune_jobs.storage import retry as retries
from tune_jobs.storage.changes import Changes, TrialChange, TrialNumberConflict
from tune_jobs.storage.database import unwrap_storage
from tune_jobs.storage.fence import FencedStorage
from tune_jobs.storage.lease import Lease, LeaseLost
from tune_jobs.storage.ledger import Ledger
from tune_jobs.storage.rdb_writer import RdbWriter
from tune_jobs.storage.retry import PATIENCE, DatabaseRetry


def broken() -> OperationalError:
    """Return the error of a connection that broke."""
    return OperationalError("COMMIT", {}, Exception("gone"), connection_invalidated=True)


class Owner:
    """The owner of a new study, whose connection can be broken."""

    def __init__(self, folder: Path) -> None:
        self.study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/s.db")
        self.trials = 0
        ledger = Ledger(self.study, str(folder / "runs"))
        self.lease = Lease(ledger.engine, ledger.uid)
        self.lease.acquire()
        self.now = 0.0
        self.notices: list[str] = []
        self.retry = DatabaseRetry("sqlite://", self.notices.append, self.sleep, lambda: self.now)
        storage = unwrap_storage(self.study)
        assert isinstance(storage, RDBStorage)
        self.writer = RdbWriter(storage, self.study._study_id, self.lease, self.retry)
        self.dialect: Any = ledger.engine.dialect
        self.commit = self.dialect.do_commit

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    def create_trial(self) -> list[int]:
        """Write one new trial."""
        trial = create_trial(state=TrialState.RUNNING)
        trial.number, self.trials = self.trials, self.trials + 1
        return self.writer.write(Changes(created=[trial]), lambda connection: None)

    def break_commit(self, *, takes_effect: bool) -> None:
        """Break the connection at the next commit."""

        def breaks(connection: Any) -> None:
            self.dialect.do_commit = self.commit
            if takes_effect:
                self.commit(connection)
            raise broken()

        self.dialect.do_commit = breaks


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a study once: Optuna's tables take a second."""
    path = tmp_path_factory.mktemp("study") / "s.db"
    optuna.create_study(study_name="s", storage=f"sqlite:///{path}")
    return path


@pytest.fixture
def owner(tmp_path: Path, database: Path) -> Owner:
    shutil.copy(database, tmp_path)
    return Owner(tmp_path)


@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_commit_in_doubt_creates_a_trial_once(owner: Owner, takes_effect: bool) -> None:
    owner.break_commit(takes_effect=takes_effect)
    (created,) = owner.create_trial()
    owner.create_trial()
    assert [t._trial_id for t in owner.study.get_trials()] == [created, created + 1]
    assert len(owner.notices) == 1


@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_claim_in_doubt_is_made_once(owner: Owner, takes_effect: bool) -> None:
    owner.study.enqueue_trial({"x": 1})
    (waiting,) = owner.study.get_trials()
    owner.trials = 1
    owner.break_commit(takes_effect=takes_effect)
    assert owner.writer.claim(waiting._trial_id, "trial-000000-1")
    assert owner.study.get_trials()[0].state == TrialState.RUNNING
    owner.create_trial()


def test_a_trial_is_claimed_by_one_thread_of_optunas_loop(owner: Owner) -> None:
    owner.study.enqueue_trial({"x": 1})
    (waiting,) = owner.study.get_trials()
    study_id, inner = owner.study._study_id, owner.study._storage
    fenced = FencedStorage(inner, study_id, owner.writer)
    claims = [
        fenced.set_trial_state_values(waiting._trial_id, TrialState.RUNNING) for _ in range(2)
    ]
    assert claims == [True, False]


@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_heartbeat_in_doubt_does_not_stand_for_the_next_write(
    owner: Owner, takes_effect: bool
) -> None:
    owner.break_commit(takes_effect=takes_effect)
    with pytest.raises(OperationalError):
        owner.lease.renew(at_once=True)
    owner.create_trial()
    owner.lease.renew(at_once=True)
    assert len(owner.study.get_trials()) == 1


def test_a_write_in_doubt_before_another_owner_took_over_is_lost(owner: Owner) -> None:
    thief = Lease(owner.lease._engine, owner.lease._study)
    owner.break_commit(takes_effect=True)
    owner.retry.sleep = lambda seconds: None if thief.held else _steal(thief)
    with pytest.raises(LeaseLost):
        owner.create_trial()


def _steal(thief: Lease) -> None:
    assert thief.take(thief._read())


def test_reads_that_succeed_do_not_renew_the_patience_with_a_write(owner: Owner) -> None:
    def breaks(connection: Any) -> None:
        assert owner.writer.list_trials_after(-1) == []
        raise broken()

    owner.dialect.do_commit = breaks
    with pytest.raises(StudyError, match="cannot be written"):
        owner.create_trial()
    owner.dialect.do_commit = owner.commit
    assert PATIENCE <= owner.now <= PATIENCE + 2 * retries.BACKOFF.longest


@pytest.mark.parametrize(("races", "said"), [(3, 0), (100, 1)])
def test_a_few_lost_races_are_not_reported(owner: Owner, races: int, said: int) -> None:
    left = [None] * races

    def lose(connection: Any) -> None:
        if left:
            left.pop()
            locked = sqlite3.OperationalError("database is locked: another process was faster")
            raise OperationalError("COMMIT", {}, locked)
        owner.commit(connection)

    owner.dialect.do_commit = lose
    assert owner.create_trial() == [1]
    assert len(owner.notices) == said


def test_an_interruption_ends_the_wait_for_the_database(owner: Owner) -> None:
    def breaks(connection: Any) -> None:
        raise broken()

    owner.dialect.do_commit = breaks
    owner.retry.is_interrupted = lambda: owner.now > 1.0
    with pytest.raises(KeyboardInterrupt):
        owner.create_trial()
    assert owner.now < 2.0


def test_a_database_that_does_not_answer_is_stalled(owner: Owner) -> None:
    stalled = []

    def waits(connection: Any) -> None:
        stalled.append(owner.retry.is_stalled)
        owner.now += 10.0
        stalled.append(owner.retry.is_stalled)
        owner.commit(connection)

    owner.dialect.do_commit = waits
    owner.create_trial()
    assert stalled == [False, True]
    assert not owner.retry.is_stalled


def test_a_trial_that_another_program_finished_stays_as_it_is(owner: Owner) -> None:
    owner.create_trial()
    (trial,) = owner.study.get_trials()
    owner.study.tell(0, 7.0)
    trial.state, trial.values = TrialState.COMPLETE, [1.0]
    change = TrialChange(trial._trial_id, trial, finished=True)
    owner.writer.write(Changes(changed=[change]), lambda connection: None)
    assert owner.study.trials[0].values == [7.0]


def test_a_number_that_another_program_took_is_not_given_again(owner: Owner) -> None:
    owner.study.ask()
    with pytest.raises(TrialNumberConflict):
        owner.create_trial()
    assert len(owner.study.get_trials()) == 1


def test_a_trial_that_another_program_claimed_is_not_claimed(owner: Owner) -> None:
    owner.study.enqueue_trial({"x": 1})
    (waiting,) = owner.study.get_trials()
    owner.study.ask()
    assert not owner.writer.claim(waiting._trial_id, "trial-000000-1")


@pytest.mark.parametrize(
    ("message", "transient"),
    [
        ("database is locked", True),
        ("database or disk is full", True),
        ("no such table: trials", False),
    ],
)
def test_which_errors_of_sqlite_pass(message: str, transient: bool) -> None:
    error = OperationalError("UPDATE", {}, sqlite3.OperationalError(message))
    assert retries.is_transient(error) == transient


def test_nothing_is_written_once_the_study_was_deleted(owner: Owner) -> None:
    (trial_id,) = owner.create_trial()
    optuna.delete_study(study_name="s", storage=owner.study._storage)
    owner.trials = 0  # as many as there are, so that no number is in conflict
    with pytest.raises(KeyError, match="no study"):
        owner.create_trial()
    known = TrialChange(trial_id, create_trial(state=TrialState.RUNNING, user_attrs={"a": 1}))
    known = dataclasses.replace(known, user_attrs=frozenset(["a"]))
    with pytest.raises(KeyError, match="no study"):
        owner.writer.write(Changes(changed=[known]), lambda connection: None)
    with owner.lease._engine.connect() as connection:
        for table in (optuna_tables.trials, optuna_tables.user_attrs):
            assert connection.execute(table.select()).all() == []
