"""What is shown of trials, and at the end of a call."""

from __future__ import annotations

import logging
import re
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from tests.conftest import MakeTuner
from tests.recording_display import RecordingDisplay
from tests.simulation import simulated
from tune_jobs.core.failures import describe_failures, group_failures
from tune_jobs.errors import ConfigError, StudyError

OUTPUT = """\
mkdir -p "$TUNE_JOBS_OUTPUTS_DIR"
echo weights > "$TUNE_JOBS_OUTPUTS_DIR/model"
[ "$n" = 1 ] && exit 3
echo "value=$x"
"""


def test_each_finished_trial_and_the_best_ones_are_lines_of_a_file(
    make_tuner: MakeTuner, capsys: pytest.CaptureFixture[str]
) -> None:
    tuner = make_tuner(OUTPUT, progress=True, max_parallel=1)
    for x, n in [(0.25, 0), (0.75, 2), (0.5, 1)]:
        tuner.study.enqueue_trial({"x": x, "n": n})
    tuner.optimize(n_trials=3)
    lines = [re.sub(r"\(0\.\ds\)", "(0s)", line) for line in capsys.readouterr().err.splitlines()]
    assert "trial 0 COMPLETE  value=0.25  x=0.25 n=0  (0s)" in lines
    assert "trial 2 FAIL  exit code 3  x=0.5 n=1  (0s)" in lines
    folder = tuner.attempts(1)[0].name
    best = lines[-2]
    assert best.startswith("best: trial 1  value=0.75  x=0.75 n=2  outputs: ")
    assert best.endswith(f"/runs/{folder}/outputs")
    assert lines[-1] == "1 trial failed, such as trial 2: exit code 3"


@pytest.mark.parametrize(
    ("verbosity", "shows_trials", "results", "starts", "counts"),
    [
        ("quiet", True, 0, 0, 1),
        ("normal", True, 1, 0, 1),
        ("normal", False, 0, 0, 1),
        ("verbose", False, 1, 1, 1),
    ],
)
def test_verbosity(
    verbosity: Any, shows_trials: bool, results: int, starts: int, counts: int
) -> None:
    display = RecordingDisplay(shows_trials=shows_trials)
    tuner, _ = simulated(verbosity=verbosity, max_parallel=1)
    tuner.progress = display
    tuner.study.enqueue_trial({"x": "?"})
    tuner.optimize(n_trials=3, target=-99)
    assert len(display.show("trial 0 is refused: parameter x='?'")) == 1, "a warning"
    assert len(display.show("trial 1 COMPLETE  acc=")) == results
    assert len(display.show("best: trial 1  acc=")) == results
    assert len(display.show("trial-000001-1: starting")) == starts
    assert len(display.show("ended: target")) == (verbosity != "quiet")
    assert len(display.show("1 of 3 done")) == counts
    assert tuner.end_reason.startswith("target=-99 is reached")


def test_unknown_verbosity() -> None:
    with pytest.raises(ConfigError, match="verbosity='loud': must be one of quiet, normal, verb"):
        simulated(verbosity="loud")


def test_a_call_without_a_complete_trial_shows_the_causes(
    make_tuner: MakeTuner, caplog: pytest.LogCaptureFixture
) -> None:
    display = RecordingDisplay(shows_trials=False)
    tuner = make_tuner("echo ModuleNotFoundError: no torch; exit 1", progress=display)
    tuner.optimize(n_trials=3)
    (shown,) = display.show("no trial is complete yet (3 failed):\n  3 trials, such as trial")
    assert shown.endswith(": exit code 1\n    ModuleNotFoundError: no torch")
    assert (shown, logging.WARNING) in [(r.getMessage(), r.levelno) for r in caplog.records]
    with pytest.raises(StudyError, match=r"(?s)3 failed.*exit code 1\n    ModuleNotFoundError"):
        tuner.train_best()


def failed(number: int, cause: str | None) -> optuna.trial.FrozenTrial:
    attributes = {} if cause is None else {"tune_jobs:cause": cause}
    trial = create_trial(state=TrialState.FAIL, user_attrs=attributes)
    trial.number = number
    return trial


def test_failures_are_grouped_whatever_numbers_their_causes_have() -> None:
    causes = [
        "exit code 1\nepoch 1\nCUDA out of memory: 17.2 GiB at 0x7f00",
        "exit code 1\nepoch 12\nCUDA out of memory: 3 GiB at 0xffee",
        "exit code 1\nKeyError: 'lr'",
        None,
        "metric 'value' was not reported",
    ]
    trials = [failed(number, cause) for number, cause in enumerate(causes)]
    groups = group_failures(trials)
    assert [(g.count, g.trial) for g in groups] == [(2, 1), (1, 4), (1, 3), (1, 2)]
    assert groups[0].summary == (
        "2 trials failed, such as trial 1: exit code 1: CUDA out of memory: 3 GiB at 0xffee"
    )
    text = describe_failures(trials)
    assert text.splitlines()[:3] == [
        "  2 trials, such as trial 1: exit code 1",
        "    epoch 12",
        "    CUDA out of memory: 3 GiB at 0xffee",
    ]
    assert text.endswith("  1 more with 1 other causes")
    assert describe_failures([]) == ""


def test_long_logs_are_cut_in_the_middle() -> None:
    cause = "exit code 1\n" + "\n".join(f"line {i}" for i in range(99))
    text = describe_failures([failed(0, cause)])
    assert len(text.splitlines()) == 12
    assert text.splitlines()[0].endswith("exit code 1")
    assert text.splitlines()[-1] == "    line 98"
