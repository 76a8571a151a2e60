"""One `DataScienceBackend` object, several tuners."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna

from tests.backends.data_science.conftest import MakeBackend
from tests.oci_emulator import Emulator
from tune_jobs import Tuner

PRINTS = "import sys\nprint('value:', sys.argv[1].split('=')[1])\n"
TRIALS = 4


def test_two_studies_share_a_backend(
    make_backend: MakeBackend, build_tuner: Callable[..., Tuner], store: str
) -> None:
    backend = make_backend(PRINTS)
    first = build_tuner(backend)
    study = optuna.create_study(direction="maximize")
    definition = first.definition
    second = Tuner(study, definition.space, backend, metric="value", store=store, progress=False)
    for tuner in (first, second):
        tuner.start(n_trials=TRIALS)
    for tuner in (first, second):
        assert tuner.wait(120.0)
        trials = tuner.study.trials
        assert [t.state.name for t in trials] == ["COMPLETE"] * TRIALS
        assert [t.value for t in trials] == [t.params["x"] for t in trials]


def test_a_study_is_checked_while_it_is_tuned(
    make_backend: MakeBackend, build_tuner: Callable[..., Tuner], emulator: Emulator, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    script = (
        "import os, sys, time\n"
        f"while 'trial' in os.environ['TUNE_JOBS_RUN'] and not os.path.exists({str(go)!r}):\n"
        "    time.sleep(0.02)\n"
        "print('value:', sys.argv[1].split('=')[1])\n"
    )
    tuner = build_tuner(make_backend(script))
    tuner.start(n_trials=2)
    while len(emulator.data_science.runs()) < 2:
        tuner.wait(0.05)
    report = tuner.check()
    go.touch()
    assert report, str(report)
    assert tuner.wait(120.0)
    assert [t.state.name for t in tuner.study.trials] == ["COMPLETE"] * 2
