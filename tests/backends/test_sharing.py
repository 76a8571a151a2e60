"""One backend object, several tuners: their runs cannot be mixed up, and none of them hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.conftest import Script, space
from tests.simulation import SPACE, curve
from tune_jobs.backends.base import Backend
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.simulated.backend import SimulatedBackend
from tune_jobs.backends.simulated.courses import SimulatedReport, SimulatedRun
from tune_jobs.errors import TuneJobsError
from tune_jobs.tuner import Tuner

TRIALS = 8
SECONDS = 60.0


def build_tuner(name: str, backend: Backend, folder: Path | None, **options: Any) -> Tuner:
    """Return a tuner of ``x`` in a study of its own, in memory if there is no folder."""
    study = optuna.create_study(
        study_name=name,
        storage=None if folder is None else f"sqlite:///{folder}/{name}.db",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=len(name)),
    )
    settings = {"space": space, "metric": "value", "max_parallel": 2, "progress": False, **options}
    return Tuner(study, settings.pop("space"), backend, **settings)


def tune_at_once(*tuners: Tuner) -> None:
    """Tune studies at the same time, each in a thread."""
    for tuner in tuners:
        tuner.start(n_trials=TRIALS)
    for tuner in tuners:
        assert tuner.wait(SECONDS)


def test_two_studies_share_a_local_backend(script: Script, tmp_path: Path) -> None:
    # No run ends before both studies have one.
    body = (
        f"mkdir -p {tmp_path}/began/${{TUNE_JOBS_RUN%%/*}}\n"
        f"until [ $(ls {tmp_path}/began | wc -l) = 2 ]; do sleep 0.02; done\n"
        'echo "value=$x"\n'
    )
    backend = LocalBackend(script(body), time_limit=SECONDS)
    tuners = [build_tuner(name, backend, tmp_path) for name in ("a", "bb")]
    tune_at_once(*tuners)
    for tuner in tuners:
        trials = tuner.study.trials
        assert [t.state.name for t in trials] == ["COMPLETE"] * TRIALS
        assert [t.value for t in trials] == [t.params["x"] for t in trials]
        assert len(tuner.attempts()) == TRIALS


def test_two_studies_share_a_simulated_backend() -> None:
    """Each study goes as it would alone."""
    both = threading.Barrier(2)

    def wait_for_the_other(run: SimulatedRun) -> list[SimulatedReport]:
        if run.trial == 0:
            both.wait(SECONDS)
        return curve(run)

    def build(name: str, backend: Backend) -> Tuner:
        return build_tuner(name, backend, None, space=SPACE, metric="acc")

    def outcome(tuner: Tuner) -> list[object]:
        values = [t.value for t in tuner.study.trials]
        return [values, [(a.name, a.intended, a.started, a.finished) for a in tuner.attempts()]]

    shared = SimulatedBackend(wait_for_the_other, provisioning=(10.0, 100.0))
    together = [build(name, shared) for name in ("a", "bb")]
    tune_at_once(*together)
    for tuner in together:
        own = SimulatedBackend(curve, provisioning=(10.0, 100.0))
        alone = build(tuner.study.study_name, own)
        alone.optimize(n_trials=TRIALS)
        assert outcome(alone) == outcome(tuner)
        assert len(alone.study.trials) == TRIALS


@pytest.mark.parametrize("call", [Tuner.train_best, Tuner.check])
def test_a_study_that_is_tuned_locally_has_no_second_tuner(
    call: Callable[[Tuner], object], script: Script, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    body = f'[ "$x" = 0.5 ] || until [ -e {go} ]; do sleep 0.02; done; echo "value=$x"\n'
    tuner = build_tuner("s", LocalBackend(script(body), time_limit=SECONDS), tmp_path)
    tuner.study.enqueue_trial({"x": 0.5, "n": 1})
    tuner.optimize(n_trials=1)
    tuner.start(n_trials=TRIALS)
    while len(tuner.attempts()) < 2:
        threading.Event().wait(0.02)
    outcome = in_thread(lambda: call(tuner))
    go.touch()
    assert "another tuner" in outcome
    assert tuner.wait(SECONDS)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"] * (TRIALS + 1)


def in_thread(call: Callable[[], object]) -> str:
    """Return what a call returned or raised, as a string; fail if it does neither."""
    outcome: list[str] = []

    def work() -> None:
        try:
            outcome.append(str(call()))
        except TuneJobsError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert outcome, "it hangs"
    return outcome[0]
