"""Whatever is enqueued, by whomever, whenever: it cannot block a study."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from tests.conftest import MakeTuner
from tests.simulation import fails, simulated
from tune_jobs.core.trial_attributes import counts_as_finished, displayed_state
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuner import Tuner

RIGHT = [{"x": 0.25, "n": 3, "kind": "a"}, {"n": 4}]

WRONG: list[tuple[Any, str]] = [
    ({"kind": "nope"}, "parameter kind='nope' is not a choice: use one of 'a', 'b'"),
    ({"x": "foo"}, "parameter x='foo' is not a number"),
    ({"x": "0.5"}, "parameter x='0.5' is not a number"),
    ({"n": None}, "parameter n=None is not a number"),
    ({"n": 1.1}, "parameter n=1.1 is not a whole number: use a whole number from 0 to 9"),
    ({"n": True}, "parameter n=True is not a number"),
    ({"n": 10}, "parameter n=10 is out of range"),
    ({"n": 10**400}, "is out of range"),
    ({"x": math.nan}, "parameter x=nan is not a finite number"),
    ({"x": math.inf}, "parameter x=inf is not a finite number"),
    ({"x": [0.5]}, "parameter x=[0.5] is not a number"),
    ({"kind": {"a": 1}}, "parameter kind={'a': 1} is not a choice"),
    ({"rate": 0.1}, "parameter rate=0.1 is not in the search space"),
    ({"kind": "a", "depth": 3}, "parameter depth=3 is not active in this configuration"),
    ({"n": 9, "x": 0.9}, "x and n are too large"),
    ([1, 2], "fixed_params=[1, 2] is a list: enqueue a dict of parameters"),
    (None, "fixed_params=None is a NoneType"),
    ("x", "fixed_params='x' is a str"),
]


def space(trial: optuna.Trial) -> dict[str, Any]:
    params = {
        "x": trial.suggest_float("x", 0, 1),
        "n": trial.suggest_int("n", 0, 9),
        "kind": trial.suggest_categorical("kind", ["a", "b"]),
    }
    return (
        {**params, "depth": trial.suggest_int("depth", 1, 8)} if params["kind"] == "b" else params
    )


def valid(params: dict[str, Any]) -> bool | str:
    return params["n"] * params["x"] < 8 or "x and n are too large"


def enqueue(study: optuna.Study, fixed: Any, **attributes: Any) -> None:
    """Enqueue a trial with anything for its parameters."""
    study.add_trial(
        create_trial(
            state=TrialState.WAITING, system_attrs={"fixed_params": fixed}, user_attrs=attributes
        )
    )


def open_study(storage: str) -> optuna.Study:
    where: Any = {"memory": None, "sqlite": "sqlite:///q.db"}.get(storage)
    if storage == "journal":
        where = JournalStorage(JournalFileBackend("q.log"))
    sampler = optuna.samplers.RandomSampler(seed=1)
    return optuna.create_study(
        study_name="q", storage=where, direction="maximize", sampler=sampler, load_if_exists=True
    )


def check_refused(trial: FrozenTrial, reason: str) -> None:
    assert trial.state == TrialState.FAIL, (trial.user_attrs, reason)
    assert reason in trial.user_attrs["tune_jobs:refused"]
    assert reason in trial.user_attrs["tune_jobs:cause"]
    assert displayed_state(trial) == "REFUSED"
    assert not counts_as_finished(trial)


@pytest.mark.parametrize("storage", ["memory", "sqlite", "journal"])
def test_wrong_entries_fail_and_the_right_ones_run(storage: str, make_tuner: MakeTuner) -> None:
    study = open_study(storage)
    enqueue(study, RIGHT[0])
    for fixed, _ in WRONG:
        enqueue(study, fixed)
    enqueue(study, RIGHT[1])
    tuner = make_tuner(study=study, space=space, valid=valid, max_failures=0, max_failure_rate=0.0)
    tuner.optimize(n_trials=3)
    trials = study.trials
    for trial, (_, reason) in zip(trials[1:], WRONG, strict=False):
        check_refused(trial, reason)
    right = [t for t in trials if t.state == TrialState.COMPLETE]
    assert [t.system_attrs.get("fixed_params") for t in right] == [*RIGHT, None]
    assert len(trials) == len(WRONG) + 3
    assert {a.trial for a in tuner.attempts()} == {t.number for t in right}
    assert tuner.optimize(n_trials=0).trials[1].state == TrialState.FAIL


def test_optunas_own_loop_goes_on_as_well(make_tuner: MakeTuner) -> None:
    study = open_study("sqlite")
    entries = [RIGHT[0], *(fixed for fixed, _ in WRONG), RIGHT[1]]
    for fixed in entries:
        enqueue(study, fixed)
    tuner = make_tuner(study=study, space=space, valid=valid)
    study.optimize(tuner.objective, n_trials=len(entries), n_jobs=3)
    for trial, (_, reason) in zip(study.trials[1:], WRONG, strict=False):
        check_refused(trial, reason)
    complete = study.get_trials(states=[TrialState.COMPLETE])
    assert [t.number for t in complete] == [0, len(entries) - 1]
    assert len(study.trials) == len(entries)


def test_each_entry_is_run_by_one_thread(make_tuner: MakeTuner) -> None:
    study = open_study("sqlite")
    for n in range(8):
        study.enqueue_trial({"n": n})
    tuner = make_tuner(study=study, space=space)
    study.optimize(tuner.objective, n_trials=8, n_jobs=8)
    assert [(t.number, t.params["n"]) for t in study.trials] == [(n, n) for n in range(8)]
    assert len(tuner.attempts()) == 8


def test_another_process_enqueues_nonsense_while_the_tuner_runs(make_tuner: MakeTuner) -> None:
    program = (
        "import optuna\n"
        "study = optuna.load_study(study_name='q', storage='sqlite:///q.db')\n"
        "for params in ({'kind': 'nope'}, {'n': 3}, {'n': 'many'}):\n"
        "    study.enqueue_trial(params)\n"
    )
    tuner = make_tuner(study=open_study("sqlite"), space=space, max_parallel=1)

    def call(study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.number == 0:
            subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)

    tuner.optimize(n_trials=3, callbacks=[call])
    tuner.optimize(n_trials=2)
    states = [t.state.name for t in tuner.study.trials]
    assert states.count("COMPLETE") == 5
    assert states.count("FAIL") == 2
    assert 3 in [t.system_attrs.get("fixed_params", {}).get("n") for t in tuner.study.trials]


def test_a_wrong_entry_that_was_only_claimed_fails_at_the_next_call(make_tuner: MakeTuner) -> None:
    study = open_study("sqlite")
    enqueue(study, {"kind": "nope"})
    StudyMirror(study).study.ask()  # killed before its commit
    make_tuner(study=study, space=space).optimize(n_trials=2)
    check_refused(study.trials[0], "kind='nope'")
    assert [t.state.name for t in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]


def test_a_trial_that_cannot_be_run_again_fails_with_its_cause(make_tuner: MakeTuner) -> None:
    study = open_study("sqlite")
    enqueue(study, {"x": 0.5}, rare=True)
    enqueue(study, {"x": 0.25})
    sleeping = make_tuner('[ -e go ] || exec sleep 60; echo "value=$x"', study=study, space=rarely)
    sleeping.start(n_trials=2)
    while len([a for a in sleeping.attempts() if a.accepted]) < 2:
        time.sleep(0.02)
    sleeping.stop(cancel_runs=True)
    sleeping.wait(30)
    Path("go").touch()
    tuner = make_tuner('echo "value=$x"', study=study, space=partial(rarely, broken=True))
    tuner.optimize(n_trials=2)
    assert [t.state.name for t in study.trials] == ["FAIL", "COMPLETE"]
    cause = study.trials[0].user_attrs["tune_jobs:cause"]
    assert cause.startswith("it cannot be run again: search space")
    assert "raised KeyError" in cause
    assert counts_as_finished(study.trials[0]), "it had a run"
    assert all(a.told is not None for a in tuner.attempts())


def rarely(trial: optuna.Trial, *, broken: bool = False) -> dict[str, Any]:
    if broken and trial.user_attrs.get("rare"):
        raise KeyError("gone")
    return {"x": trial.suggest_float("x", 0, 1)}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (
            {"tune_jobs:arguments": [1]},
            "tune_jobs:arguments=[1] is a list: set a dict",
        ),
        ({"tune_jobs:arguments": {"seed": "\0"}}, "NUL character"),
        ({"tune_jobs:same_as": 0}, "has the attribute 'tune_jobs:same_as'"),
        ({"tune_jobs:rung": "high"}, "has the attribute 'tune_jobs:rung'"),
        ({"tune_jobs:run": "trial-000007-1", "tune_jobs:cost": {}}, "'tune_jobs:cost'"),
    ],
)
def test_attributes_of_entries(
    attributes: dict[str, Any], reason: str, make_tuner: MakeTuner
) -> None:
    study = open_study("sqlite")
    enqueue(study, {"n": 1}, **attributes)
    enqueue(study, {"n": 2})
    make_tuner(study=study, space=space).optimize(n_trials=1)
    check_refused(study.trials[0], reason)
    assert study.trials[1].state == TrialState.COMPLETE


def test_a_copied_name_of_a_run_is_replaced(make_tuner: MakeTuner) -> None:
    study = open_study("sqlite")
    enqueue(study, {"n": 1}, **{"tune_jobs:run": "trial-000007-1"})
    make_tuner(study=study, space=space).optimize(n_trials=1)
    assert study.trials[0].user_attrs["tune_jobs:run"] == "trial-000000-1"


@pytest.mark.parametrize(
    ("value", "distribution", "reason"),
    [
        (7, IntDistribution(0, 99), ""),
        (77, IntDistribution(0, 99), "n=77 is out of range"),
        ("five", CategoricalDistribution([5, "five"]), "n='five' is not a number"),
        (5, CategoricalDistribution([5, "five"]), "parameter 'n'"),
        (5.5, FloatDistribution(0, 9), "n=5.5 is not a whole number"),
    ],
)
def test_waiting_trials_with_parameters_of_another_space(
    value: Any, distribution: BaseDistribution, reason: str, make_tuner: MakeTuner
) -> None:
    study = open_study("sqlite")
    waiting = create_trial(
        state=TrialState.WAITING, params={"n": value}, distributions={"n": distribution}
    )
    study.add_trial(waiting)
    tuner = make_tuner(study=study, space=space)
    tuner.optimize(n_trials=2)
    tuner.optimize(n_trials=1)
    if reason:
        check_refused(study.trials[0], reason)
    else:
        assert study.trials[0].params["n"] == value
    assert sum(t.state == TrialState.COMPLETE for t in study.trials) == 3


def test_a_long_queue_of_nonsense_ends(make_tuner: MakeTuner) -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(1200):
        enqueue(study, {"x": 2})
    tuner, _ = simulated(study=study)
    tuner.optimize(n_trials=2)
    states = [t.state.name for t in study.trials]
    assert (states.count("FAIL"), states.count("COMPLETE"), len(states)) == (1200, 2, 1202)


def test_refused_entries_are_no_failures_of_the_script() -> None:
    study = optuna.create_study(direction="maximize")
    for _ in range(9):
        enqueue(study, {"x": "wrong"})
    for x in (0.9, 0.8, 0.7, 0.6, 0.1):
        study.enqueue_trial({"x": x})
    tuner, _ = simulated(fails, study=study, max_parallel=1)
    tuner.optimize(n_trials=5)
    assert [displayed_state(t) for t in study.trials] == [
        *["REFUSED"] * 9,
        *["FAIL"] * 4,
        "COMPLETE",
    ]


class Wild(optuna.samplers.RandomSampler):
    """A sampler that suggests 2.0 in every second trial, where the space ends at 1."""

    def sample_independent(self, study: Any, trial: FrozenTrial, *more: Any) -> Any:
        return 2.0 if trial.number % 2 else super().sample_independent(study, trial, *more)


@pytest.mark.parametrize("own_loop", [False, True])
def test_a_sampler_that_leaves_the_space(own_loop: bool) -> None:
    study = optuna.create_study(direction="maximize", sampler=Wild(seed=1))
    tuner, _ = simulated(study=study, max_parallel=2)
    if own_loop:
        study.optimize(tuner.objective, n_trials=6)
    else:
        tuner.optimize(n_trials=3)
    assert {t.number % 2 for t in study.trials if t.state == TrialState.COMPLETE} == {0}
    refused = [t for t in study.trials if t.state == TrialState.FAIL]
    assert len(refused) >= 2
    for trial in refused:
        check_refused(trial, "Wild suggested it: parameter x=2.0 is out of range")


def test_a_function_that_fails_for_rare_configurations_loses_only_those() -> None:
    def rare(trial: optuna.Trial) -> dict[str, Any]:
        x = trial.suggest_float("x", 0, 1)
        return {"x": 1 / (trial.number - 40) if trial.number == 40 else x}

    tuner, backend = simulated()
    study = tuner.study
    tuner = Tuner(study, rare, backend, metric="acc", progress=False)
    tuner.optimize(n_trials=45)
    check_refused(study.trials[40], "raised ZeroDivisionError after suggesting x")
    assert sum(t.state == TrialState.COMPLETE for t in study.trials) == 45


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
entries = st.one_of(values, st.dictionaries(st.sampled_from(["x", "n", "kind", "depth"]), values))


@settings(max_examples=40, deadline=None)
@given(st.lists(entries, max_size=8))
def test_any_queue_is_worked_off(queue: list[Any]) -> None:
    study = optuna.create_study(direction="maximize")
    for fixed in queue:
        enqueue(study, fixed)
    _, backend = simulated()
    tuner = Tuner(study, space, backend, metric="acc", progress=False, duplicates="run")
    tuner.optimize(n_trials=len(queue) + 1)
    entered = study.trials[: len(queue)]
    assert all(t.state.is_finished() for t in entered)
    for trial, fixed in zip(entered, queue, strict=True):
        if trial.state == TrialState.COMPLETE:
            assert {name: trial.params[name] for name in fixed} == fixed
        else:
            check_refused(trial, "")
