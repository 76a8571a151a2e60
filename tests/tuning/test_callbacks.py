"""Callbacks of ``optimize``: Optuna's signature, and the callbacks of its integrations."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from tests.conftest import MakeTuner
from tests.simulation import fails, simulated
from tune_jobs.errors import ConfigError


def test_each_finished_trial_in_order_after_its_commit(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    seen: list[int] = []

    def callback(study: optuna.Study, trial: FrozenTrial) -> None:
        assert study is tuner.study
        stored = optuna.load_study(study_name="s", storage="sqlite:///s.db")
        (same,) = [t for t in stored.trials if t.number == trial.number]
        assert (same.state, same.values, same._trial_id) == (
            trial.state,
            trial.values,
            trial._trial_id,
        )
        assert same.user_attrs == trial.user_attrs
        seen.append(trial.number)

    tuner.optimize(n_trials=6, callbacks=[callback])
    assert sorted(seen) == list(range(6))


def test_failed_refused_and_reused_trials_are_seen_as_well() -> None:
    states: list[TrialState] = []
    tuner, _ = simulated(fails, valid=lambda params: params["x"] < 0.6)
    tuner.optimize(n_trials=12, callbacks=[lambda study, trial: states.append(trial.state)])
    assert states.count(TrialState.FAIL) == len(
        [t for t in tuner.study.trials if t.state == TrialState.FAIL]
    )
    assert len(states) == len(tuner.study.trials)
    assert TrialState.PRUNED in states, "a refused one"


def test_a_callback_may_stop_the_study() -> None:
    def stop(study: optuna.Study, trial: FrozenTrial) -> None:
        if trial.number == 4:
            study.stop()

    tuner, _ = simulated(max_parallel=2)
    study = tuner.optimize(n_trials=50, callbacks=[stop])
    assert 5 <= len(study.trials) <= 8
    assert all(t.state == TrialState.COMPLETE for t in study.trials), "live runs finish"
    with pytest.raises(RuntimeError):
        study.stop()  # Optuna's own rule outside of a call
    assert len(tuner.optimize(n_trials=3).trials) == len(study.trials)


@pytest.mark.parametrize("callbacks", [["x"], lambda study, trial: None, "x"])
def test_invalid_callbacks_are_refused_before_anything_runs(callbacks: Any) -> None:
    tuner, _ = simulated()
    with pytest.raises(ConfigError, match=r"callbacks=.*must be a list of functions"):
        tuner.optimize(n_trials=1, callbacks=callbacks)
    assert not tuner.study.trials


def test_an_exception_ends_the_call_and_loses_nothing(make_tuner: MakeTuner) -> None:
    def breaks(study: optuna.Study, trial: FrozenTrial) -> None:
        raise ZeroDivisionError

    tuner = make_tuner()
    with pytest.raises(ZeroDivisionError):
        tuner.optimize(n_trials=4, callbacks=[breaks])
    study = tuner.optimize(n_trials=4)
    assert all(t.value == t.params["x"] for t in study.trials if t.state == TrialState.COMPLETE)
    assert not [a for a in tuner.attempts() if a.told is None]


def test_what_is_shown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tuner, _ = simulated()
    with caplog.at_level(logging.INFO, "tune_jobs"):
        tuner.optimize(n_trials=2, target=-1.0)
    messages = [r.getMessage() for r in caplog.records if r.name == "tune_jobs.tuning"]
    assert any(m.startswith("trial 0 COMPLETE  acc=") and "x=" in m for m in messages)
    assert any(m.startswith("ended: target=-1 is reached") for m in messages)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the packages that are called
def test_the_callback_for_mlflow(make_tuner: MakeTuner) -> None:
    mlflow: Any = importlib.import_module("mlflow")
    integration: Any = importlib.import_module("optuna_integration.mlflow")
    callback: Callable[..., None] = integration.MLflowCallback(
        tracking_uri="sqlite:///mlflow.db", metric_name="value"
    )
    tuner = make_tuner()
    tuner.optimize(n_trials=3, callbacks=[callback])
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    runs = mlflow.search_runs(experiment_names=["s"], output_format="list")
    logged = {run.data.params["x"]: run.data.metrics["value"] for run in runs}
    assert logged == {str(t.params["x"]): t.value for t in tuner.study.trials}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_callback_for_weights_and_biases(
    make_tuner: MakeTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb: Any = importlib.import_module("wandb")
    integration: Any = importlib.import_module("optuna_integration.wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    callback = integration.WeightsAndBiasesCallback(
        metric_name="value", wandb_kwargs={"project": "p", "dir": "."}
    )
    make_tuner().optimize(n_trials=3, callbacks=[callback])
    summary = dict(wandb.run.summary)
    wandb.finish()
    assert 0.0 <= summary["value"] <= 1.0
