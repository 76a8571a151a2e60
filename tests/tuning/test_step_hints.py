"""Why values have no steps."""

from __future__ import annotations

import pytest

from tests.conftest import MakeTuner
from tune_jobs.core.job_runs import MetricSources
from tune_jobs.tuning.log_reading import read_log
from tune_jobs.tuning.step_hints import explain_unread_step


@pytest.mark.parametrize(
    ("log", "step", "explanation"),
    [
        (
            "epoch 3 acc 0.5",
            "epohc",
            "no step 'epohc' is printed; the log has epoch: set step='epo",
        ),
        ("acc 0.5", "epoch", "no step 'epoch' is printed: correct its name, or print it, as in"),
        ("epoch3: acc 0.5", "epoch", "the step in 'epoch3: acc 0.5' is not read: print it as 'epo"),
        ("Epoch no. 3 acc 0.5", "epoch", "the step in 'Epoch no. 3 acc 0.5' is not read"),
        ("step 1.2k acc 0.5", "step", "the step in 'step 1.2k acc 0.5' is not read"),
        ("Training for epochs: 10\nacc 0.5", "epoch", "no step 'epoch' is printed"),
        ("acc 0.5\n\n\nepoch 3", "epoch", "'epoch' is printed, as in 'epoch 3', but neither in"),
    ],
)
def test_explanations(log: str, step: str, explanation: str) -> None:
    assert explanation in explain_unread_step(log.encode(), step)
    reading = read_log([log.encode()], MetricSources(("acc",), {}, step))
    assert [found.step for found in reading.values["acc"]] == [None]
    assert explanation in reading.step_problem


@pytest.mark.parametrize("log", ["epoch 3 acc 0.5", "acc 0.5\nepoch 3 acc 0.6", "loss 0.5"])
def test_steps_that_are_read_need_no_explanation(log: str) -> None:
    assert read_log([log.encode()], MetricSources(("acc",), {}, "epoch")).step_problem == ""


def test_a_smoke_check_finds_a_misspelt_step(make_tuner: MakeTuner) -> None:
    body = "echo epoch 3 value=0.5"
    report = make_tuner(body, step="epohc").check()
    assert not report
    assert "FAIL  step: value = 0.5; no step 'epohc' is printed; the log has epoch" in str(report)
    assert make_tuner(body, step="epoch").check()


def test_tuning_says_once_that_a_step_is_misspelt(
    make_tuner: MakeTuner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    make_tuner("echo epoch 3 value=0.5", step="epohc").optimize(n_trials=2)
    assert caplog.text.count("counted from 0: no step 'epohc' is printed; the log has epoch") == 1
    caplog.clear()
    make_tuner("echo epoch 3 value=0.5", step="epoch").optimize(n_trials=1)
    assert "counted from 0" not in caplog.text
