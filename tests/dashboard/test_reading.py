"""Reading studies for the dashboard."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import create_engine, event, update

from tests.dashboard.comparing import add_trials
from tests.dashboard.conftest import HOSTILE, MakeStudy
from tests.simulation import EPOCHS
from tune_jobs.dashboard.reading import open_source, read_study
from tune_jobs.errors import StudyError
from tune_jobs.storage import schema as ledger_schema
from tune_jobs.storage.registration import UID_ATTRIBUTE


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_trials_are_read_as_optuna_reads_them(storage: str, tuned: MakeStudy) -> None:
    study = tuned(storage=storage)
    seen = read_study(study)
    assert (seen.name, seen.maximize, seen.metrics) == ("s", (True,), ["acc"])
    for ours, theirs in zip(seen.trials, study.trials, strict=True):
        assert ours.number == theirs.number
        assert ours.state == theirs.state.name
        assert list(ours.values) == (theirs.values or [])
        assert ours.params == theirs.params
        assert ours.steps == theirs.intermediate_values
        assert ours.attributes == theirs.user_attrs
        assert theirs.datetime_start is not None
        assert ours.started == pytest.approx(theirs.datetime_start.timestamp())
    best = seen.best()
    assert best is not None
    assert best.number == study.best_trial.number
    assert [r.trial for r in seen.runs] == [t.number for t in study.trials]
    assert {r.state for r in seen.runs} == {"SUCCEEDED", "CANCELED"}
    assert seen.owner is None
    assert seen.definition["metrics"][0]["name"] == "acc"


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_heads(storage: str, tuned: MakeStudy, tmp_path: Path) -> None:
    study = tuned(HOSTILE, storage=storage)
    file = tmp_path / ("studies.db" if storage == "sqlite" else "journal.log")
    (head,) = open_source(str(file), "s0-").heads()
    assert head.name == HOSTILE
    assert head.key.startswith("s0-")
    assert sum(head.counts.values()) == 20
    assert head.best == study.best_value
    assert head.live == 0
    seen = read_study(study)
    assert head.run_hours == pytest.approx(sum(r.seconds or 0 for r in seen.runs) / 3600)


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_trials_that_optuna_alone_ran_have_a_duration(storage: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    add_trials(url, "dated", center=0.5, seed=1, n_trials=3)  # six minutes each
    where = url
    if storage == "journal":
        journal = JournalStorage(JournalFileBackend(f"{tmp_path}/journal.log"))
        optuna.copy_study(
            from_study_name="dated", from_storage=url, to_storage=journal, to_study_name="dated"
        )
        where = f"{tmp_path}/journal.log"
    source = open_source(where, "")
    (head,) = source.heads()
    seen = source.study(head.key)
    assert [t.seconds for t in seen.trials] == [360.0] * 3
    assert [seen.run_hours, head.run_hours] == pytest.approx([0.3, 0.3])
    again = source.open(head.key)
    again.add_trial(again.trials[0])
    (head,) = source.heads()
    assert head.run_hours == pytest.approx(0.4), "what has finished since is read, too"


def test_finished_trials_are_read_once(tuned: MakeStudy, tmp_path: Path) -> None:
    study = tuned(n_trials=30)
    source = open_source(f"sqlite:///{tmp_path}/studies.db", "")
    first = source.study("1")
    engine = source.engine("1")
    assert engine is not None
    statements: list[str] = []
    event.listen(
        engine,
        "before_cursor_execute",
        lambda c, cursor, statement, parameters, *rest: statements.append(statement),
    )
    again = source.study("1")
    assert again.trials == first.trials
    assert not any("trial_params" in s or "trial_intermediate" in s for s in statements)
    study.enqueue_trial({"x": 0.5})
    more = source.study("1")
    assert len(more.trials) == 31
    assert more.version() != first.version()


def test_changes_of_a_live_study_are_read(tuned: MakeStudy, tmp_path: Path) -> None:
    study = tuned(n_trials=5)
    source = open_source(f"sqlite:///{tmp_path}/studies.db", "")
    before = source.study("1")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, 1)
    during = source.study("1")
    assert during.trials[5].state == "RUNNING"
    assert during.trials[5].steps == {1: 0.5}
    trial.report(0.6, 2)
    assert source.study("1").version() != during.version()
    study.tell(trial, 0.7)
    after = source.study("1")
    assert after.trials[5].values == (0.7,)
    assert after.trials[:5] == before.trials


def test_infinite_and_nan_values(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{tmp_path}/n.db")
    trial = study.ask()
    trial.report(float("nan"), 0)
    trial.report(float("inf"), 1)
    study.tell(trial, float("-inf"))
    (seen,) = read_study(study).trials
    assert seen.values == (float("-inf"),)
    assert seen.steps[1] == float("inf")
    assert seen.steps[0] != seen.steps[0]
    assert read_study(study).runs == ()


def test_reading_creates_no_files(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no storage"):
        open_source(str(tmp_path / "no.db"), "")
    with pytest.raises(StudyError, match="the file does not exist"):
        open_source(f"sqlite:///{tmp_path}/no.db", "")
    assert list(tmp_path.iterdir()) == []


def test_reading_a_journal_without_a_ledger_creates_no_ledger(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.create_study(study_name="s", storage=storage)
    study.set_user_attr(UID_ATTRIBUTE, "0123abcd")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert len(read_study(study).trials) == 2
    (head,) = open_source(str(journal), "s0-").heads()
    assert head.counts["COMPLETE"] == 2
    assert list(tmp_path.iterdir()) == [journal]


@pytest.mark.parametrize(
    ("version", "fix"), [(1, "brings it up to date"), (99, "install the newer tune_jobs")]
)
def test_ledgers_of_other_versions(
    version: int, fix: str, tuned: MakeStudy, tmp_path: Path
) -> None:
    tuned(n_trials=3)
    source = open_source(f"sqlite:///{tmp_path}/studies.db", "")
    with create_engine(f"sqlite:///{tmp_path}/studies.db").begin() as connection:
        connection.execute(update(ledger_schema.schema).values(version=version))
    with pytest.raises(StudyError, match=f"schema version {version}.*{fix}"):
        source.study("1")
    with pytest.raises(StudyError, match=fix):
        source.heads()


def test_unknown_studies(tuned: MakeStudy, tmp_path: Path) -> None:
    tuned(n_trials=3)
    source = open_source(f"sqlite:///{tmp_path}/studies.db", "s0-")
    for key in ("s0-2", "s0-x", "s0-"):
        with pytest.raises(KeyError):
            source.study(key)
    assert EPOCHS in source.study("s0-1").trials[0].steps


def recreate(tuned: MakeStudy, tmp_path: Path, name: str, n_trials: int) -> optuna.Study:
    """Delete the study of the test and create another one, which gets its ids."""
    storage = f"sqlite:///{tmp_path}/studies.db"
    optuna.delete_study(study_name=optuna.get_all_study_names(storage)[0], storage=storage)
    study = optuna.create_study(study_name=name, storage=storage, directions=["minimize"])
    study.optimize(lambda trial: trial.suggest_float("other", 10, 20), n_trials=n_trials)
    return study


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_file_that_takes_the_place_of_another_is_read(
    storage: str, tuned: MakeStudy, tmp_path: Path
) -> None:
    tuned("old", 4, storage)
    file = tmp_path / ("studies.db" if storage == "sqlite" else "journal.log")
    source = open_source(str(file), "")
    (old,) = source.heads()
    assert len(source.study(old.key).trials) == 4
    file.rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        source.heads()
    with pytest.raises(FileNotFoundError):
        source.open(old.key)
    tuned("new", 2, storage)
    (new,) = source.heads()
    assert new.name == "new"
    assert len(source.study(new.key).trials) == 2
    assert source.open(new.key).study_name == "new"


@pytest.mark.parametrize("name", ["s", "new"])
@pytest.mark.parametrize("n_trials", [4, 3])
def test_a_new_study_with_the_id_of_a_deleted_one(
    name: str, n_trials: int, tuned: MakeStudy, tmp_path: Path
) -> None:
    tuned(n_trials=4)
    source = open_source(f"{tmp_path}/studies.db", "")
    before = source.study("1")
    assert len(before.trials) == 4
    recreate(tuned, tmp_path, name, n_trials)
    now = source.study("1")
    assert now.name == name
    assert [set(trial.params) for trial in now.trials] == [{"other"}] * n_trials
    assert not now.runs
    assert now.version() != before.version()
    assert source.study("1").trials == now.trials
