"""Every attempt, in the database of its study."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tests.conftest import MakeTuner
from tune_jobs.core.attempts import (
    Attempt,
    AttemptState,
    Invocation,
    final_attempt_name,
    trial_attempt_name,
)
from tune_jobs.core.resource_usage import ResourceUsage
from tune_jobs.dashboard.reading import read_study
from tune_jobs.errors import StudyError
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.ledger import Ledger
from tune_jobs.storage.registration import UID_ATTRIBUTE
from tune_jobs.storage.schema import SCHEMA_VERSION, prepare, studies

INVOCATION = Invocation(("--x=0.5",), {"A": "ü"})


def attempt(trial: int, number: int = 1) -> Attempt:
    """One that is intended."""
    name = trial_attempt_name(trial, number)
    return Attempt(name, trial, number, "local", AttemptState.INTENDED, INVOCATION, 100.0)


def open_study(path: Path, name: str = "s") -> optuna.Study:
    return optuna.create_study(
        study_name=name, storage=f"sqlite:///{path}/s.db", load_if_exists=True
    )


def test_the_life_of_an_attempt(tmp_path: Path) -> None:
    ledger = Ledger(open_study(tmp_path), "/runs")
    ledger.record_intended(None, [attempt(0), attempt(1)])
    ledger.record_submitted(None, [("trial-000000-1", "run-7", 101.0)])
    assert [(a.state, a.run_id) for a in ledger.read_open_attempts()] == [
        (AttemptState.SUBMITTED, "run-7"),
        (AttemptState.INTENDED, None),
    ]
    ledger.record_pruning(None, [replace(attempt(1), cause="pruned at step 3")])
    assert ledger.read_attempts(1)[0].state == AttemptState.PRUNING
    ended = replace(
        attempt(0), state=AttemptState.FAILED, run_id="run-7", started=101.5, finished=103.0
    )
    failed = replace(ended, cause="exit code 3", exit_code=3, usage=ResourceUsage(memory_peak=3))
    ledger.record_ended(None, [failed], reported=104.0)
    ledger.record_ended(None, [failed], reported=104.0)  # its first answer was lost
    told = replace(failed, accepted=101.0, told=104.0)
    assert ledger.read_attempts(0) == [told]
    assert [a.trial for a in ledger.read_open_attempts()] == [1]
    assert ledger.read_trial_numbers() == {0, 1}


def test_a_name_is_used_once(tmp_path: Path) -> None:
    ledger = Ledger(open_study(tmp_path), "/runs")
    ledger.record_intended(None, [attempt(0)])
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        ledger.record_intended(None, [attempt(0)])


def test_it_is_found_again_with_its_first_store(tmp_path: Path) -> None:
    first = Ledger(open_study(tmp_path), "/runs")
    first.record_intended(None, [attempt(0)])
    first.write_definition({"space": 1})
    again = Ledger(open_study(tmp_path), "/elsewhere")
    assert (again.uid, again.store) == (first.uid, "/runs")
    assert again.read_attempts() == first.read_attempts()
    assert again.read_definition() == {"space": 1}


def test_two_studies_in_one_database(make_tuner: MakeTuner, tmp_path: Path) -> None:
    tuners = [make_tuner(study=open_study(tmp_path, name)) for name in ("a", "b")]
    for tuner in tuners:
        tuner.optimize(n_trials=3)
    assert [[a.trial for a in t.attempts()] for t in tuners] == [[0, 1, 2], [0, 1, 2]]
    for tuner in tuners:
        assert [t.value for t in tuner.study.trials] == [t.params["x"] for t in tuner.study.trials]


def test_a_ledger_of_a_later_version_is_left_alone(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(n_trials=1)
    engine = sqlalchemy.create_engine("sqlite:///s.db")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE tune_jobs_schema SET version = {SCHEMA_VERSION + 1}")
    engine.dispose()
    with pytest.raises(StudyError, match="install the newer tune_jobs that wrote it"):
        make_tuner().optimize(n_trials=1)


def test_a_ledger_without_usage_is_brought_up_to_date(
    make_tuner: MakeTuner, tmp_path: Path
) -> None:
    make_tuner().optimize(n_trials=1)
    engine = sqlalchemy.create_engine("sqlite:///s.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE tune_jobs_usage")
    engine.dispose()
    (run,) = read_study(make_tuner().study).runs
    assert run.usage is None, "the dashboard writes nothing"
    tuner = make_tuner()
    tuner.optimize(n_trials=1)
    assert [attempt.usage is not None for attempt in tuner.attempts()] == [False, True]
    table = tuner.trials_dataframe()
    assert list(table["memory_peak_gb"].notna()) == [False, True]


def test_names() -> None:
    assert trial_attempt_name(12, 1) == "trial-000012-1"
    assert final_attempt_name(2, 1) == "final-2-1"
    assert not attempt(3).is_final


def test_many_open_a_new_database_at_once(tmp_path: Path) -> None:
    studies = [
        optuna.create_study(study_name=f"s{i}", storage=f"sqlite:///{tmp_path}/many.db")
        for i in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        ledgers = list(pool.map(lambda study: Ledger(study, "store"), studies))
    assert len({ledger.uid for ledger in ledgers}) == 6
    for ledger in ledgers:
        ledger.write_definition({"ok": True})


def test_a_ledger_in_memory_is_read_while_it_is_written() -> None:
    """The tuner and the notebook's view are threads of one process: one waits for the other."""
    ledger = Ledger(optuna.create_study(), "runs")
    with ThreadPoolExecutor(1) as pool:
        with ledger.engine.begin() as connection:
            connection.execute(sqlalchemy.update(studies).values(definition='{"kept": true}'))
            reader = pool.submit(ledger.read_definition)
            wait([reader], timeout=0.2)
        assert reader.result() == {"kept": True}
    assert ledger.read_definition() == {"kept": True}


def check_agreement(make: Callable[[], Any] | None) -> None:
    """Several open a new study at the same moment: all of them in the same ledger."""
    count = 6
    for round in range(6):
        name = f"new{round}"
        first = optuna.create_study(study_name=name, storage=make() if make else None)
        studies = [
            optuna.load_study(study_name=name, storage=make()) if make else first
            for _ in range(count)
        ]
        for study in studies:
            prepare(find_ledger_engine(study))
        together = threading.Barrier(count)

        def opened(study: optuna.Study, together: threading.Barrier = together) -> tuple[str, str]:
            together.wait()
            ledger = Ledger(study, "runs")
            return ledger.uid, ledger.store

        with ThreadPoolExecutor(count) as pool:
            found = list(pool.map(opened, studies))
        assert len(set(found)) == 1
        assert first.user_attrs[UID_ATTRIBUTE] == found[0][0]


@pytest.mark.parametrize("kind", ["sqlite", "journal", "memory"])
def test_several_that_open_a_new_study_at_the_same_moment_agree(kind: str, tmp_path: Path) -> None:
    storages: dict[str, Callable[[], Any]] = {
        "sqlite": lambda: f"sqlite:///{tmp_path}/s.db",
        "journal": lambda: JournalStorage(JournalFileBackend(f"{tmp_path}/s.log")),
    }
    check_agreement(storages.get(kind))


def test_a_run_that_is_accepted_late_stays_pruned(tmp_path: Path) -> None:
    ledger = Ledger(open_study(tmp_path), "/runs")
    ledger.record_intended(None, [attempt(0)])
    ledger.record_pruning(None, [replace(attempt(0), cause="pruned at step 3")])
    ledger.record_submitted(None, [("trial-000000-1", "run-7", 101.0)])
    assert ledger.read_attempts(0)[0].state == AttemptState.PRUNING
