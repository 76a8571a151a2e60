"""A study whose metric is another one than in earlier calls."""

from __future__ import annotations

import optuna
import pytest

from tests.conftest import MakeTuner
from tune_jobs.errors import StudyError

BODY = 'echo "value=$x other=1"'


def test_values_of_two_metrics_are_not_mixed(make_tuner: MakeTuner) -> None:
    make_tuner(BODY).optimize(n_trials=1)
    changed = make_tuner(BODY, metric="other")
    for call in (lambda: changed.optimize(n_trials=1), changed.train_best):
        with pytest.raises(StudyError, match="of trial 0, are of the metric value, not of other"):
            call()
    assert len(changed.study.trials) == 1
    make_tuner(BODY).optimize(n_trials=1)
    assert [trial.state.name for trial in changed.study.trials] == ["COMPLETE"] * 2


def test_a_misspelt_metric_without_values_can_be_corrected(make_tuner: MakeTuner) -> None:
    study = make_tuner(BODY, metric="no_value").optimize(n_trials=1)
    study.add_trial(optuna.trial.create_trial(value=0.5))  # not of a job run
    make_tuner(BODY).optimize(n_trials=1)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
