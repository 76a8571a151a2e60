"""A study on OCI whose bucket lags behind: late is not missing, and old is not final."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from optuna.trial import TrialState

from tests.backends.data_science.conftest import MakeBackend
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Tuner
from tune_jobs.errors import TuningStopped
from tune_jobs.tuning import tracker

MakeTuner = Callable[..., Tuner]

TWO_VALUES = (
    "import sys\nfrom tune_jobs import report\n"
    "report(value=-1.0, step=1)\nreport(value=float(sys.argv[1].split('=')[1]), step=2)\n"
)
READS_BEFORE_RUNS = 2  # of the check whether the store is writable, and of the job


def test_listings_that_lag(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    emulator.faults.add(Fault("frozen", "list_objects", at=time.time()))
    study = build_tuner(make_backend(TWO_VALUES)).optimize(n_trials=2)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 2
    assert [t.value for t in study.trials] == [t.params["x"] for t in study.trials]


def test_files_that_come_late(
    make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator
) -> None:
    late = Fault("frozen", "get_object", at=time.time(), after=READS_BEFORE_RUNS, times=6)
    emulator.faults.add(late)
    study = build_tuner(make_backend(TWO_VALUES)).optimize(n_trials=1)
    assert study.trials[0].value == study.trials[0].params["x"]


def test_files_that_never_come(
    make_backend: MakeBackend,
    build_tuner: MakeTuner,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "METRICS_PATIENCE", 0.1)
    never = Fault("frozen", "get_object", at=time.time(), after=READS_BEFORE_RUNS)
    emulator.faults.add(never)
    tuner = build_tuner(make_backend(TWO_VALUES), max_failures=0)
    with pytest.raises(TuningStopped):
        tuner.optimize(n_trials=1)
    (trial,) = tuner.study.trials
    assert trial.state == TrialState.FAIL
    assert "its metrics are incomplete after 0.1 s" in trial.user_attrs["tune_jobs:cause"]
    assert "run.jsonl has no end yet" in trial.user_attrs["tune_jobs:cause"]
