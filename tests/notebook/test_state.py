"""What a notebook shows of a study."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import optuna
import pytest

from tests.conftest import MakeTuner
from tests.simulation import fails, simulated
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.reading import read_study
from tune_jobs.notebook.describing import CURVE_POINTS, SHOWN_RUNS, describe_study, draw_curve
from tune_jobs.notebook.html import draw_state
from tune_jobs.notebook.widget import split_state
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.tuner import Tuner
from tune_jobs.tuning.final_run import FinalRun

HOSTILE = "<script>alert(1)</script>"


def live_study(runs: int, steps: int = 3) -> Study:
    """Return a study with live runs that have reported, and a failed trial."""
    trials = [
        Trial(i, "RUNNING", (), {}, 0.0, None, {s: i * s / 10 for s in range(steps)})
        for i in range(runs)
    ]
    attempts = [
        Attempt(f"trial-{i}-1", i, 1, "local", AttemptState.SUBMITTED, Invocation(("x",)), 0.0)
        for i in range(runs)
    ]
    failed = Trial(runs, "FAIL", (), {}, 0.0, 1.0, {}, {"tune_jobs:cause": HOSTILE})
    return Study("1", HOSTILE, (True,), [*trials, failed], attempts, "uid", owner="process 1")


def test_live_runs_have_curves_on_one_scale_and_are_bounded() -> None:
    state = describe_study(live_study(20, steps=500), "monitor", now=10.0)
    assert (state.n_live, len(state.runs)) == (20, SHOWN_RUNS)
    assert state.runs[0].trial == "trial 0"
    assert state.runs[7].state == "349.3 at step 499"
    points = state.runs[7].curve.split()
    assert len(points) == CURVE_POINTS
    assert (points[0], points[-1]) == ("0,23.0", "120,1.0")  # the highest of all ends on top
    assert state.runs[0].curve.split()[-1] == "120,23.0"
    assert len(json.dumps(split_state(state))) < 8000


def test_a_curve_skips_what_is_not_finite() -> None:
    assert draw_curve({0: 1.0, 1: math.nan, 2: 2.0}, 1.0, 2.0) == "0,23.0 120,1.0"
    assert draw_curve({0: 1.0, 1: math.inf}, 1.0, 2.0) == ""


def test_html_escapes_what_comes_from_a_study() -> None:
    page = draw_state(describe_study(live_study(2), "tuner", now=10.0))
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 2  # the name, and the cause
    assert "<polyline points='0,23.0 60,12.0 120,1.0'" in page
    assert "<details open><summary>live runs (2)" in page
    assert "<details><summary>failed trials (1)" in page


def test_only_what_changed_differs_in_the_widget() -> None:
    before = describe_study(live_study(2), "tuner", now=10.0)
    after = describe_study(live_study(2, steps=4), "tuner", now=11.0)
    old, new = split_state(before), split_state(after)
    assert {name for name in old if old[name] != new[name]} == {"runs"}


def test_the_tuner_shows_progress_and_best() -> None:
    tuner, _ = simulated(fails)
    assert "0 done, best: no trial is complete yet" in repr(tuner)
    assert "tuner.check()" in tuner._repr_html_()
    tuner.optimize(n_trials=6)
    best = tuner.best_trials[0]
    failed = sum(t.state == optuna.trial.TrialState.FAIL for t in tuner.study.trials)
    assert failed
    shown = repr(tuner)
    assert f"6 of 6 done, best: acc {best.value:.6g} (trial {best.number})" in shown
    assert f"failed: {failed}" in shown
    assert "no process is tuning it" in shown
    assert "\n" not in shown
    bundle = tuner._repr_mimebundle_()
    assert bundle["text/plain"] == shown
    assert f"best x</th><td style='text-align:left'>{best.params['x']:.6g}" in bundle["text/html"]
    assert "tuner.train_best() trains" in bundle["text/html"]


def test_a_study_that_cannot_be_read_has_a_repr(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    optuna.delete_study(study_name="s", storage=tuner.study._storage)
    assert "s: cannot be read: KeyError" in repr(tuner)


def test_the_monitor_knows_what_was_requested(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    tuner.optimize(n_trials=2)
    uid = read_study(tuner.study).uid
    assert uid is not None
    controls = Controls(find_ledger_engine(tuner.study), uid)
    assert controls.read_last() is None
    pause = controls.request("pause")
    assert controls.read_last() is None
    controls.mark_done(pause, controls.request("set", max_parallel=3))
    assert controls.read_last() == "pause"
    owned = replace(read_study(tuner.study), owner="process 1")
    state = describe_study(owned, "monitor", command="pause")
    assert (state.is_tuned, state.is_paused) == (True, True)
    assert state.status == "tuned by process 1, paused"
    tuner.optimize(n_trials=1)  # another owner, for whom it was not meant
    assert controls.read_last() is None


def test_a_front_is_shown(make_tuner: MakeTuner) -> None:
    study = optuna.create_study(study_name="s", directions=["maximize", "minimize"])
    tuner, _ = simulated(study=study, metric=["acc", "loss"])
    assert isinstance(tuner, Tuner)
    study.add_trial(optuna.trial.create_trial(values=[0.5, 0.5]))
    study.add_trial(optuna.trial.create_trial(values=[0.4, 0.4]))
    assert "0.5, 0.5 (trial 0); 0.4, 0.4 (trial 1)" in repr(tuner)


@pytest.mark.parametrize("shower", ["tuner", "monitor"])
def test_advice_names_methods_that_exist(shower: str) -> None:
    state = describe_study(live_study(1), shower, now=1.0)  # type: ignore[arg-type]
    assert f"{shower}.stop()" in state.advice


def test_a_final_run_is_a_line() -> None:
    final = FinalRun("final-1-1", 7, {"x": 1.0}, {}, {"acc": 0.5}, "out", ("a",), "p.json", 61.0)
    assert repr(final) == "FinalRun(final-1-1 of trial 7, acc=0.5, 1 file, took 1m01s)"
