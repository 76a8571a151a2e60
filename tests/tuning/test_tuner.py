"""Studies whose every trial is a real process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests.conftest import MakeTuner, Script
from tests.simulation import MINUTE, simulated
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.core.attempts import AttemptState
from tune_jobs.core.objectives import Metric
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE
from tune_jobs.errors import (
    ConfigError,
    MetricError,
    SpaceError,
    StoreError,
    StudyError,
    TuningStopped,
)
from tune_jobs.tuner import Tuner


def test_every_trial_is_a_run_with_its_value(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    study = tuner.optimize(n_trials=12)
    assert study is tuner.study
    assert [t.number for t in study.trials] == list(range(12))
    assert all(t.value == t.params["x"] for t in study.trials)
    assert study.best_value == max(t.params["x"] for t in study.trials)
    attempts = tuner.attempts()
    assert [a.trial for a in attempts] == list(range(12))
    assert {a.state for a in attempts} == {AttemptState.SUCCEEDED}
    for attempt, trial in zip(attempts, study.trials, strict=True):
        assert attempt.invocation.argv == (
            f"--x={trial.params['x']!r}",
            f"--n={trial.params['n']}",
        )
        assert None not in (attempt.started, attempt.finished, attempt.told)


def test_the_study_is_plain_optuna_for_optuna_s_own_tools(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(n_trials=3)
    listed = subprocess.run(
        [
            Path(sys.executable).with_name("optuna"),
            *("trials", "--study-name", "s", "--storage", "sqlite:///s.db", "-f", "json"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.count("COMPLETE") == 3
    reloaded = optuna.load_study(study_name="s", storage="sqlite:///s.db")
    reloaded.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert len(reloaded.trials) == 5


def test_a_second_call_continues_the_study(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(n_trials=3)
    study = make_tuner().optimize(n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 5


@pytest.mark.parametrize("storage", ["memory", "journal", "sqlite"])
def test_any_storage(storage: str, make_tuner: MakeTuner, tmp_path: Path) -> None:
    where: str | optuna.storages.BaseStorage | None = None
    if storage == "sqlite":
        where = f"sqlite:///{tmp_path}/other.db"
    if storage == "journal":
        where = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))
    study = optuna.create_study(study_name="o", storage=where, direction="maximize")
    tuner = make_tuner(study=study)
    assert tuner.optimize(n_trials=5).best_value > 0
    assert len(study.trials) == 5
    assert len(tuner.attempts()) == 5
    assert tuner.logs(3) == f"value={study.trials[3].value!r}\n"
    assert tuner.train_best() == tuner.train_best()


def test_a_study_by_name_gets_a_database(script: Script) -> None:
    backend = LocalBackend(script('echo "value=$x"'))
    space = {"x": FloatDistribution(0, 1)}
    tuner = Tuner("fresh", space, backend, metric="value", direction="maximize", progress=False)
    tuner.optimize(n_trials=2)
    assert Path("fresh.db").exists()
    with pytest.raises(StudyError, match=r"'fresh' exists with direction maximize, not minimize"):
        Tuner("fresh", space, backend, metric="value", direction="minimize")


@pytest.mark.parametrize(
    ("metric", "direction", "problem"),
    [
        ("value", None, r"metric 'value' has no direction: add direction='maximize' or direction"),
        (["a", "b"], None, r"2 metrics need a direction each: pass optuna.create_study\(study_na"),
        (["a", "b"], "maximize", r"directions=\['maximize', 'maximize'\]\)"),
    ],
)
def test_a_study_is_not_created_without_a_direction(
    metric: Any, direction: str | None, problem: str, script: Script
) -> None:
    backend, space = LocalBackend(script('echo "value=$x"')), {"x": FloatDistribution(0, 1)}
    with pytest.raises(ConfigError, match=problem):
        Tuner("fresh", space, backend, metric=metric, direction=direction)
    assert not Path("fresh.db").exists()
    optuna.create_study(study_name="fresh", storage="sqlite:///fresh.db", direction="maximize")
    if metric == "value":
        assert Tuner("fresh", space, backend, metric=metric).study.direction.name == "MAXIMIZE"
    Path("file.db").write_text("this is not a database" * 100)
    for name in ("file", "no/such/folder"):
        with pytest.raises(StudyError, match=rf"{name}.db of study '{name}' cannot be opened"):
            Tuner(name, space, backend, metric="value", direction="maximize")


def test_a_slot_is_refilled_at_once_and_never_in_batches(make_tuner: MakeTuner) -> None:
    # Trial 0 waits for a file that trial 3 creates: in batches of two it would never end.
    tuner = make_tuner(
        'if [ "$n" = 0 ]; then until [ -e "$here/3" ]; do sleep 0.02; done; fi\n'
        ': > "$here/$n"; echo "value=$x"',
        max_parallel=2,
    )
    for number in range(4):
        tuner.study.enqueue_trial({"n": number, "x": 0.5})
    study = tuner.optimize(n_trials=4)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4


def test_no_more_than_max_parallel_live_runs(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('echo start; sleep 0.1; echo "value=$x"', max_parallel=3)
    tuner.optimize(n_trials=9)
    times = [(a.started or 0.0, a.finished or 0.0) for a in tuner.attempts()]
    for start, _ in times:
        assert sum(s <= start < e for s, e in times) <= 3


def test_enqueued_trials_go_first(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.study.enqueue_trial({"x": 0.75, "n": 3})
    assert tuner.optimize(n_trials=2).trials[0].params == {"x": 0.75, "n": 3}


def test_an_enqueued_trial_out_of_range_is_never_sent(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.study.enqueue_trial({"x": 7.0, "n": 3})
    study = tuner.optimize(n_trials=1)
    assert [t.state for t in study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert "x=7.0 is out of range" in study.trials[0].user_attrs["tune_jobs:refused"]


def test_a_grid_ends_when_it_is_done(make_tuner: MakeTuner, tmp_path: Path) -> None:
    grid = optuna.samplers.GridSampler({"x": [0.25, 0.5, 0.75], "n": [1, 2]})
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/g.db", sampler=grid)
    make_tuner(study=study).optimize(n_trials=50)
    params = {(t.params["x"], t.params["n"]) for t in study.trials}
    assert params == {(x, n) for x in (0.25, 0.5, 0.75) for n in (1, 2)}
    assert len(study.trials) < 12


def test_timeout_starts_nothing_new_and_lets_live_runs_finish() -> None:
    tuner, backend = simulated(max_parallel=2)  # a run takes nine minutes
    study = tuner.optimize(timeout=10 * MINUTE)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4
    assert backend.clock() == 18 * MINUTE


def test_refused_configurations_are_never_sent(make_tuner: MakeTuner) -> None:
    def valid(params: dict[str, object]) -> bool | str:
        return float(str(params["x"])) < 0.2 or "x must be below 0.2"

    tuner = make_tuner(valid=valid)
    study = tuner.optimize(n_trials=8)
    complete = [t for t in study.trials if t.state == TrialState.COMPLETE]
    refused = [t for t in study.trials if t.state == TrialState.PRUNED]
    assert len(complete) == 8
    assert all(t.params["x"] < 0.2 for t in complete)
    assert {t.user_attrs["tune_jobs:refused"] for t in refused} == {"x must be below 0.2"}
    assert {a.trial for a in tuner.attempts()} == {t.number for t in complete}


def test_a_space_of_which_nothing_is_left_ends_with_a_message(make_tuner: MakeTuner) -> None:
    with pytest.raises(SpaceError, match=r"1000 configurations in a row were refused \(never\)"):
        make_tuner(valid=lambda params: "never").optimize(n_trials=1)


def test_several_objectives_and_a_bound(make_tuner: MakeTuner, tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path}/m.db", directions=["maximize", "minimize"]
    )
    tuner = make_tuner(
        'echo "value=$x size=$n memory=${n}00"',
        study=study,
        metric=["value", "size"],
        bounds={"memory": "<= 450"},
    )
    tuner.optimize(n_trials=12)
    for trial in study.trials:
        assert trial.values == [trial.params["x"], trial.params["n"]]
        assert trial.constraints == {"memory": trial.params["n"] * 100 - 450.0}
    assert all(t.params["n"] <= 4 for t in study.best_trials)
    with pytest.raises(StudyError, match="pick='value' or 'size' or 'knee'"):
        tuner.train_best()
    assert tuner.train_best(pick="size").params["n"] == min(
        t.params["n"] for t in study.best_trials
    )


def test_intermediate_values_arrive_and_the_best_can_count(make_tuner: MakeTuner) -> None:
    tuner = make_tuner("for e in 1 2 3; do echo epoch $e value=0.$((9 - e)); done", step="epoch")
    trial = tuner.optimize(n_trials=1).trials[0]
    assert trial.intermediate_values == {1: 0.8, 2: 0.7, 3: 0.6}
    assert trial.value == 0.6
    best = make_tuner(
        "for e in 1 2 3; do echo epoch $e value=0.$((9 - e)); done",
        step="epoch",
        metric=Metric("value", counts="best"),
    )
    assert best.optimize(n_trials=1).trials[1].value == 0.8


def test_a_run_that_will_not_pay_off_is_stopped(make_tuner: MakeTuner, tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path}/p.db",
        direction="maximize",
        pruner=optuna.pruners.ThresholdPruner(lower=0.5),
    )
    tuner = make_tuner('echo "value=$x"; [ "$n" = 1 ] && sleep 60; echo "value=$x"', study=study)
    study.enqueue_trial({"x": 0.1, "n": 1})
    study.enqueue_trial({"x": 0.9, "n": 2})
    tuner.optimize(n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.PRUNED, TrialState.COMPLETE]
    assert study.trials[0].value == 0.1
    assert study.trials[0].user_attrs[CAUSE_ATTRIBUTE] == "pruned at step 0"
    assert tuner.attempts(0)[0].state == AttemptState.CANCELED


def test_optuna_s_own_loop_runs_trials_as_job_runs(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('[ "$n" -lt 5 ] && exit 3; echo "value=$x"')
    tuner.study.optimize(tuner.objective, n_trials=12, n_jobs=4, catch=(Exception,))
    good = [t for t in tuner.study.trials if t.params["n"] >= 5]
    bad = [t for t in tuner.study.trials if t.params["n"] < 5]
    assert [t.value for t in good] == [t.params["x"] for t in good]
    assert {t.user_attrs[CAUSE_ATTRIBUTE] for t in bad} == {"exit code 3"}
    assert good
    assert bad
    assert len(tuner.attempts()) == 12


def test_optuna_s_own_loop_can_prune(make_tuner: MakeTuner, tmp_path: Path) -> None:
    study = optuna.create_study(
        storage=f"sqlite:///{tmp_path}/p.db", pruner=optuna.pruners.ThresholdPruner(upper=0.5)
    )
    tuner = make_tuner('echo "value=0.9"; sleep 60', study=study)
    study.optimize(tuner.objective, n_trials=1)
    assert study.trials[0].state == TrialState.PRUNED


def test_the_tuner_works_outside_of_the_main_thread(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    thread = threading.Thread(target=lambda: tuner.optimize(n_trials=3))
    thread.start()
    thread.join(30)
    assert len(tuner.study.trials) == 3


# -- failures ----------------------------------------------------------------------------


def test_a_script_that_fails_makes_failed_trials_with_its_last_words(
    make_tuner: MakeTuner,
) -> None:
    tuner = make_tuner(
        '[ "$n" -lt 5 ] && { echo "no such file: data.csv"; exit 7; }; echo value=$x'
    )
    study = tuner.optimize(n_trials=10)
    failed = [t for t in study.trials if t.state == TrialState.FAIL]
    assert {t.params["n"] < 5 for t in failed} == {True}
    assert failed[0].user_attrs[CAUSE_ATTRIBUTE] == "exit code 7\nno such file: data.csv"
    assert {t.state for t in study.trials} == {TrialState.FAIL, TrialState.COMPLETE}


def test_a_study_in_which_nothing_works_is_given_up(make_tuner: MakeTuner) -> None:
    tuner = make_tuner("echo oops; exit 1", max_parallel=1)
    with pytest.raises(TuningStopped, match=r"the first 5 trials all failed.*exit code 1\noops"):
        tuner.optimize(n_trials=100)
    assert len(tuner.study.trials) == 5


def test_max_failures(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('[ "$n" -gt 0 ] && echo value=$x || exit 1', max_parallel=1, max_failures=1)
    tuner.study.enqueue_trial({"n": 1})
    tuner.study.enqueue_trial({"n": 0})
    tuner.study.enqueue_trial({"n": 0})
    with pytest.raises(TuningStopped, match="2 trials failed, more than max_failures=1"):
        tuner.optimize(n_trials=10)


def test_a_metric_that_is_never_reported_names_what_was_printed(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('echo "val_value=$x loss=0.5"', max_parallel=1)
    with pytest.raises(
        TuningStopped,
        match=r"'value' was not reported; the line .* has 'val_value' instead: name the metric",
    ):
        tuner.optimize(n_trials=10)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_value_that_is_not_finite_fails_the_trial(value: str, make_tuner: MakeTuner) -> None:
    tuner = make_tuner(f'[ "$n" = 0 ] && echo value={value} || echo value=1')
    tuner.study.enqueue_trial({"n": 0})
    tuner.study.enqueue_trial({"n": 1})
    trial = tuner.optimize(n_trials=2).trials[0]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs[CAUSE_ATTRIBUTE] == f"diverged: metric 'value' was {value}"


def test_a_run_killed_by_a_signal(make_tuner: MakeTuner) -> None:
    tuner = make_tuner('[ "$n" = 0 ] && kill -9 $$; echo value=1')
    tuner.study.enqueue_trial({"n": 0})
    trial = tuner.optimize(n_trials=1).trials[0]
    assert trial.user_attrs[CAUSE_ATTRIBUTE].startswith("killed by signal SIGKILL")


def test_a_run_that_hangs_is_stopped_at_its_time_limit(make_tuner: MakeTuner) -> None:
    tuner = make_tuner("sleep 60", backend_options={"time_limit": 0.3, "grace": 0.2})
    trial = tuner.optimize(n_trials=1).trials[0]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs[CAUSE_ATTRIBUTE] == "time limit of 0.3 s reached"


def test_a_run_that_prints_much(make_tuner: MakeTuner) -> None:
    tuner = make_tuner("head -c 100000000 /dev/zero | tr '\\0' 'y'; echo; echo value=$x")
    trial = tuner.optimize(n_trials=1).trials[0]
    assert trial.value == trial.params["x"]


def test_a_missing_script_is_found_before_anything_is_spent(script: Script) -> None:
    script("", "train_it.sh")
    space, backend = {"x": FloatDistribution(0, 1)}, LocalBackend("train.sh")
    tuner = Tuner("m", space, backend, metric="value", direction="maximize")
    with pytest.raises(ConfigError, match=r"train\.sh"):
        tuner.optimize(n_trials=1)
    assert tuner.study.trials == []


def test_a_store_that_is_not_writable(make_tuner: MakeTuner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    tuner = make_tuner(store=str(tmp_path / "file" / "runs"))
    with pytest.raises(StoreError, match="is not writable"):
        tuner.optimize(n_trials=1)


def test_another_store_for_the_same_study(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(n_trials=1)
    with pytest.raises(
        StudyError, match=r"the runs of study 's' are in .*/runs, not in .*/elsewhere"
    ):
        make_tuner(store="elsewhere").optimize(n_trials=1)


def test_another_space_for_the_same_study(make_tuner: MakeTuner) -> None:
    make_tuner().optimize(n_trials=1)
    other = {"x": optuna.distributions.CategoricalDistribution(["a", "b"])}
    with pytest.raises(SpaceError, match="'x'"):
        make_tuner(space=other).optimize(n_trials=1)


def test_arguments_that_make_no_sense(make_tuner: MakeTuner) -> None:
    with pytest.raises(ConfigError, match="max_parallel=0: must be an integer of at least 1"):
        make_tuner(max_parallel=0)
    with pytest.raises(ConfigError, match="say how much to spend"):
        make_tuner().optimize()
    with pytest.raises(MetricError, match=r"2 metrics .* for a study with 1 directions"):
        make_tuner(metric=["value", "loss"])
    with pytest.raises(MetricError, match="needs a group"):
        make_tuner(metric=Metric("value", pattern="value is .*"))


def test_a_full_disk_fails_the_run_and_not_the_tuner(make_tuner: MakeTuner) -> None:
    # A limit on file sizes affects the script's log like a full disk.
    tuner = make_tuner('[ "$n" = 0 ] && { ulimit -f 1; yes; }; echo value=$x')
    tuner.study.enqueue_trial({"n": 0})
    tuner.study.enqueue_trial({"n": 1})
    states = [t.state for t in tuner.optimize(n_trials=2).trials]
    assert states == [TrialState.FAIL, TrialState.COMPLETE]
