"""The mirror writes what Optuna itself would have written, whole turns at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tune_jobs.storage.mirror import Renumbered, StudyMirror
from tune_jobs.storage.rdb_writer import RdbWriter
from tune_jobs.storage.writers import StorageWriter


def nothing(connection: object) -> None:
    """The tuner's own rows of a turn, where there are none."""


@pytest.fixture(params=["sqlite", "journal", "memory"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> optuna.Study:
    storage: str | optuna.storages.BaseStorage | None = None
    if request.param == "sqlite":
        storage = f"sqlite:///{tmp_path}/s.db"
    if request.param == "journal":
        storage = optuna.storages.JournalStorage(JournalFileBackend(f"{tmp_path}/s.log"))
    return optuna.create_study(
        study_name="s", storage=storage, sampler=optuna.samplers.RandomSampler(1)
    )


def suggest(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 1e-5, 1.0, log=True)
    trial.suggest_int("n", 1, 9)
    trial.suggest_categorical("c", ["a", None, True, 2.5])
    return x


def seen_by_optuna(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials as a process that knows nothing of the mirror reads them."""
    if isinstance(study._storage, optuna.storages.InMemoryStorage):
        return study.get_trials()
    storage = study._storage
    url = getattr(getattr(storage, "_backend", None), "url", None)
    if url is None:
        path = storage._backend._file_path  # type: ignore[attr-defined]
        return optuna.load_study(
            study_name="s", storage=optuna.storages.JournalStorage(JournalFileBackend(path))
        ).get_trials()
    return optuna.load_study(study_name="s", storage=url).get_trials()


def test_a_whole_trial_arrives_as_optuna_would_have_written_it(study: optuna.Study) -> None:
    mirror = StudyMirror(study)
    trial = mirror.study.ask()
    suggest(trial)
    trial.set_user_attr("run", {"name": "trial-000000-1"})
    mirror.commit(nothing)
    running = seen_by_optuna(study)[0]
    assert running.state == TrialState.RUNNING
    assert running.params == trial.params
    assert list(running.params) == ["x", "n", "c"]
    assert running.user_attrs == {"run": {"name": "trial-000000-1"}}

    trial.report(0.5, 0)
    trial.report(math.inf, 3)
    trial.set_user_attr("cause", "none")
    trial.set_constraint("memory", -1.0)
    mirror.study.tell(trial, 0.25)
    mirror.commit(nothing)
    told = seen_by_optuna(study)[0]
    assert told.state == TrialState.COMPLETE
    assert told.value == 0.25
    assert told.intermediate_values == {0: 0.5, 3: math.inf}
    assert told.user_attrs == {"run": {"name": "trial-000000-1"}, "cause": "none"}
    assert told.constraints == {"memory": -1.0}
    assert told.datetime_start is not None
    assert told.datetime_complete is not None
    assert told.datetime_start <= told.datetime_complete


def test_nothing_is_outside_before_the_commit(study: optuna.Study) -> None:
    mirror = StudyMirror(study)
    suggest(mirror.study.ask())
    if isinstance(mirror.writer, RdbWriter):
        assert seen_by_optuna(study) == []
    mirror.commit(nothing)
    assert len(seen_by_optuna(study)) == 1


def test_many_turns_equal_plain_optuna(study: optuna.Study) -> None:
    mirror = StudyMirror(study)
    live: list[optuna.Trial] = []
    for turn in range(20):
        for trial in live:
            mirror.study.tell(trial, trial.params["x"])
        live = [mirror.study.ask() for _ in range(1 + turn % 3)]
        for trial in live:
            suggest(trial)
        mirror.commit(nothing)
    for trial in live:
        mirror.study.tell(trial, state=TrialState.FAIL)
    mirror.commit(nothing)
    plain = optuna.create_study(sampler=optuna.samplers.RandomSampler(1))
    expected = []
    for _ in range(len(seen_by_optuna(study))):
        trial = plain.ask()
        suggest(trial)
        expected.append(trial.params)
    assert [t.params for t in seen_by_optuna(study)] == expected
    assert [t.number for t in seen_by_optuna(study)] == list(range(len(expected)))
    assert study.best_value == min(t.value for t in study.trials if t.value is not None)


def test_a_mirror_of_an_existing_study_goes_on(study: optuna.Study) -> None:
    study.optimize(suggest, n_trials=3)
    mirror = StudyMirror(study)
    assert [t.number for t in mirror.study.trials] == [0, 1, 2]
    trial = mirror.study.ask()
    suggest(trial)
    mirror.commit(nothing)
    assert trial.number == 3
    assert [t.number for t in seen_by_optuna(study)] == [0, 1, 2, 3]


def test_an_enqueued_trial_is_taken_once(study: optuna.Study) -> None:
    study.enqueue_trial({"x": 0.5})
    mirror = StudyMirror(study)
    trial = mirror.study.ask()
    assert suggest(trial) == 0.5
    mirror.commit(nothing)
    assert [t.state for t in seen_by_optuna(study)] == [TrialState.RUNNING]
    assert study.ask().number == 1


def test_a_claim_is_noted_on_the_trial_at_once(study: optuna.Study) -> None:
    study.enqueue_trial({"x": 0.5})
    mirror = StudyMirror(study)
    mirror.study.ask()
    (trial,) = seen_by_optuna(study)
    assert trial.state == TrialState.RUNNING
    assert trial.user_attrs["tune_jobs:run"] == "trial-000000-1"
    storage_trial_id = mirror.storage_trial_id(0)
    assert not mirror.writer.claim(storage_trial_id, "trial-000007-1")


def test_a_trial_enqueued_meanwhile_is_seen_after_sync(study: optuna.Study) -> None:
    mirror = StudyMirror(study)
    study.enqueue_trial({"x": 0.25})
    assert mirror.sync() == 1
    assert suggest(mirror.study.ask()) == 0.25
    assert mirror.sync() == 0


def test_sync_follows_a_trial_that_another_worker_runs(study: optuna.Study) -> None:
    foreign = study.ask()
    mirror = StudyMirror(study)
    suggest(foreign)
    study.tell(foreign, 0.125)
    assert mirror.sync() == 1
    seen = mirror.study.trials[0]
    assert (seen.state, seen.value, seen.params) == (TrialState.COMPLETE, 0.125, foreign.params)
    assert mirror.sync() == 0


def test_a_trial_added_meanwhile_keeps_its_number(study: optuna.Study) -> None:
    if isinstance(StudyMirror(study).writer, StorageWriter):
        pytest.skip("this storage has no transactions: see the next test")
    mirror = StudyMirror(study)
    mine = mirror.study.ask()
    number = mine.number
    suggest(mine)
    other = study.ask()
    written: list[object] = []
    with pytest.raises(Renumbered) as renumbered:
        mirror.commit(written.append)
    assert written == []
    assert len(seen_by_optuna(study)) == 1
    now = mirror.trial(renumbered.value.numbers[number])
    assert (other.number, now.number, now.params) == (0, 1, mine.params)
    mirror.commit(written.append)
    assert len(written) == 1
    assert [t.params for t in seen_by_optuna(study)] == [{}, mine.params]
    mirror.study.tell(mirror.open_trial(1), 1.0)
    mirror.commit(nothing)
    assert [t.state for t in seen_by_optuna(study)] == [TrialState.RUNNING, TrialState.COMPLETE]


def test_without_transactions_a_number_taken_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = f"{tmp_path}/s.log"
    first = optuna.create_study(
        study_name="s", storage=optuna.storages.JournalStorage(JournalFileBackend(path))
    )
    second = optuna.load_study(
        study_name="s", storage=optuna.storages.JournalStorage(JournalFileBackend(path))
    )
    mirror = StudyMirror(first)
    mine = mirror.study.ask()
    number = mine.number
    suggest(mine)
    second.ask()
    with pytest.raises(Renumbered) as renumbered:
        mirror.commit(nothing)
    now = mirror.trial(renumbered.value.numbers[number])
    assert now.number == 1
    mirror.commit(nothing)
    assert [t.params for t in seen_by_optuna(first)] == [{}, mine.params]


def test_a_result_of_another_process_stays(study: optuna.Study) -> None:
    mirror = StudyMirror(study)
    trial = mirror.study.ask()
    suggest(trial)
    mirror.commit(nothing)
    study.tell(0, 7.0)
    mirror.study.tell(trial, 1.0)
    mirror.commit(nothing)
    assert seen_by_optuna(study)[0].value == 7.0


def test_a_failed_turn_is_written_whole_later(tmp_path: Path) -> None:
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{tmp_path}/s.db")
    mirror = StudyMirror(study)
    trial = mirror.study.ask()
    suggest(trial)

    def break_down(connection: object) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        mirror.commit(break_down)
    assert seen_by_optuna(study) == []
    mirror.commit(nothing)
    assert [t.params for t in seen_by_optuna(study)] == [trial.params]


@pytest.mark.parametrize(
    "sampler",
    [
        lambda: optuna.samplers.TPESampler(seed=1, n_startup_trials=3),
        lambda: optuna.samplers.QMCSampler(seed=1),
        lambda: optuna.samplers.NSGAIISampler(seed=1, population_size=4),
        lambda: optuna.samplers.GridSampler({"x": [0.1, 0.2], "n": [1, 2], "c": ["a", None]}),
    ],
    ids=["tpe", "qmc", "nsga2", "grid"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_samplers_keep_their_notes(
    sampler: Callable[[], optuna.samplers.BaseSampler], tmp_path: Path
) -> None:
    study = optuna.create_study(
        study_name="s", storage=f"sqlite:///{tmp_path}/s.db", sampler=sampler()
    )
    mirror = StudyMirror(study)
    for _ in range(8):
        trial = mirror.study.ask()
        x = suggest(trial)
        mirror.commit(nothing)
        mirror.study.tell(trial, x)
        mirror.commit(nothing)
    inside = [(t.number, t.value, t.params, t.system_attrs) for t in mirror.study.trials]
    outside = [(t.number, t.value, t.params, t.system_attrs) for t in seen_by_optuna(study)]
    assert inside == outside
