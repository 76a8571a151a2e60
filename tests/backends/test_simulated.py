"""Simulated backend."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from tests.simulation import EPOCHS, MINUTE, SPACE, curve, fails, simulated
from tune_jobs.backends.simulated.courses import Course, SimulatedReport, SimulatedRun
from tune_jobs.core.attempts import AttemptState
from tune_jobs.errors import ConfigError, TuningStopped


def test_time_is_virtual_and_free_slots_are_refilled_at_once() -> None:
    tuner, backend = simulated(backend={"provisioning": 120.0})
    tuner.optimize(n_trials=40)
    # Each of four slots has ten runs in a row, each with its provisioning.
    assert backend.now == pytest.approx(10 * (120.0 + EPOCHS * MINUTE))
    assert {t.state for t in tuner.study.trials} == {TrialState.COMPLETE}
    for trial in tuner.study.trials:
        assert trial.value == pytest.approx(trial.params["x"] - 1 / EPOCHS)
        assert sorted(trial.intermediate_values) == list(range(1, EPOCHS + 1))


def test_seed_determines_the_study() -> None:
    def outcome(seed: int) -> list[object]:
        tuner, backend = simulated(
            pruner=optuna.pruners.MedianPruner(),
            backend={"provisioning": (10.0, 300.0), "stopping": (1.0, 30.0), "seed": seed},
        )
        tuner.optimize(n_trials=30)
        attempts = [(a.name, a.state, a.started, a.finished) for a in tuner.attempts()]
        return [backend.now, [t.value for t in tuner.study.trials], attempts]

    assert outcome(3) == outcome(3)
    assert outcome(3) != outcome(4)


def test_reports_of_a_run_that_is_being_stopped_are_kept() -> None:
    tuner, _ = simulated(
        pruner=optuna.pruners.ThresholdPruner(lower=-0.2),
        backend={"stopping": 2.5 * MINUTE},
        max_parallel=1,
    )
    tuner.study.enqueue_trial({"x": 0.0})
    tuner.optimize(n_trials=1)
    (trial,) = tuner.study.trials
    assert trial.state == TrialState.PRUNED
    assert sorted(trial.intermediate_values) == [1, 2, 3], "two of them after the decision to prune"
    assert tuner.attempts()[0].finished == 3.5 * MINUTE


def test_failures_and_preemptions() -> None:
    tuner, _ = simulated(fails)
    tuner.optimize(n_trials=20)
    for trial in tuner.study.trials:
        assert (trial.state == TrialState.FAIL) == (trial.params["x"] > 0.5)
    preempted, _ = simulated(backend={"preempted": 0.5})
    preempted.optimize(n_trials=20)
    states = [a.state for a in preempted.attempts()]
    assert states.count(AttemptState.FAILED) > 3
    assert sum(t.state == TrialState.COMPLETE for t in preempted.study.trials) > 15


def test_retried_run_resumes_from_its_checkpoint() -> None:
    resumed = []

    def record_and_simulate(run: SimulatedRun) -> list[SimulatedReport]:
        if run.resume_step is not None:
            resumed.append((run.name, run.resume_step))
        return curve(run)

    tuner, _ = simulated(record_and_simulate, backend={"preempted": 0.5, "checkpoints": True})
    tuner.optimize(n_trials=20)
    assert resumed
    for name, step in resumed:
        assert not name.endswith("-1")
        assert 1 <= step < EPOCHS


def test_arguments_are_parsed() -> None:
    run = SimulatedRun("r", None, ["--batch-size=64", "--lr", "1e-3", "x", "--flag"], None, None)  # type: ignore[arg-type]
    assert run.arguments == {"batch_size": "64", "lr": "1e-3", "flag": "true"}
    assert run.number("lr") == 0.001


@pytest.mark.parametrize(
    "options", [{"provisioning": -1.0}, {"stopping": -1.0}, {"preempted": 1.0}]
)
def test_invalid_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        simulated(backend=options)


def test_study_without_metrics_is_stopped() -> None:
    tuner, _ = simulated(lambda run: Course([], seconds=5.0))
    with pytest.raises(TuningStopped, match=r"the first .* trials all failed"):
        tuner.optimize(n_trials=20)


def test_durable_study(tmp_path: object) -> None:
    study = optuna.create_study(
        study_name="s", storage=f"sqlite:///{tmp_path}/s.db", direction="maximize"
    )
    tuner, _ = simulated(study=study)
    tuner.optimize(n_trials=8)
    assert len(optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/s.db").trials) == 8
    assert set(SPACE) == set(study.trials[0].params)
