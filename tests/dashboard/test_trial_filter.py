"""The filter of trials."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tune_jobs.dashboard import trial_filter
from tune_jobs.dashboard.best_fields import list_best_fields
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.trial_filter import FilterError, filter_study, format_ranges, parse_ranges

TRIALS: list[dict[str, Any]] = [
    {"values": (0.9,), "params": {"lr": 0.1, "optimizer": "sgd", "batch size": 32}},
    {"values": (0.5,), "params": {"lr": 0.001, "optimizer": "adam", "batch size": 64}},
    {"state": "FAIL", "params": {"lr": 1e-5}, "attributes": {"tune_jobs:cause": "out of memory"}},
    {"values": (math.inf,), "params": {"lr": "auto"}, "attributes": {"fold": 3, "lr": 1.0}},
    {"values": (0.7,), "params": {"optimizer": None}, "constraints": {"memory": 2.0}},
    {
        "state": "RUNNING",
        "params": {"lr": 0.2},
        "steps": {1: 0.3, 2: 0.6},
        "attributes": {"tune_jobs:metrics": {"latency": 12.0, "accuracy": 0.6}},
    },
]


@pytest.fixture
def study() -> Study:
    """A study whose trials differ in everything that a filter may ask for."""
    trials = [build_trial(number, **facts) for number, facts in enumerate(TRIALS)]
    definition = {"metrics": [{"name": "accuracy"}]}
    return Study("s0-1", "s", (True,), trials, definition=definition)


def build_trial(number: int, state: str = "COMPLETE", **facts: Any) -> Trial:
    facts = {"values": (), "params": {}, "started": None, "finished": None, **facts}
    return Trial(number, state, **facts)


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ("params.lr > 0.01", [0, 5]),
        ('params.lr > 0.01 and state == "complete" and value > 0.88', [0]),
        ("state == 'COMPLETE'", [0, 1, 3, 4]),
        ("state in ['fail', 'Running']", [2, 5]),
        ("accuracy >= 0.7", [0, 3, 4]),
        ("metrics.accuracy < 0.7", [1]),
        ("value != 0.9", [1, 3, 4]),
        ("not value > 0.6", [1, 2, 5]),
        ("optimizer in ['sgd', 'adam']", [0, 1]),
        ("`batch size` == 64", [1]),
        ("'memory' in cause", [2]),
        ("fold == 3 or attrs.lr == 2", [3]),
        ("memory > 0", [4]),
        ("feasible", [0, 1, 3]),
        ("feasible == false", [4]),
        ("latest > 0.5 and step == 2", [5]),
        ("number in [1, 3]", [1, 3]),
        ("latency > 10 and metrics.latency < 20", [5]),
        ("params.lr == 'auto'", [3]),
        ("value > 1e308", [3]),
        ("gap < 0.25 or value == best", [0]),
        ("gap > 0.4", [1]),
        ("  ", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_which_trials_match(study: Study, where: str, numbers: list[int]) -> None:
    assert filter_study(study, where) == numbers


@pytest.mark.parametrize(
    ("maximize", "best", "other", "gap"),
    [
        (True, 0.8, 0.6, 0.25),
        (True, -0.8, -1.0, 0.25),
        (False, 0.8, 1.0, 0.25),
        (False, 0.0, 1.0, None),
    ],
)
def test_a_gap_is_a_share_of_the_best_value(
    maximize: bool, best: float, other: float, gap: float | None
) -> None:
    trials = [build_trial(0, values=(best,)), build_trial(1, values=(other,))]
    _, field = list_best_fields(Study("s0-1", "s", (maximize,), trials))
    assert field.read(trials[0], None) == 0.0
    assert field.read(trials[1], None) == (None if gap is None else pytest.approx(gap))


def test_a_running_trial_is_compared_with_the_best_one_at_the_same_step() -> None:
    trials = [
        build_trial(0, values=(0.9,), steps={1: 0.5, 3: 0.8, 9: 0.9}),
        build_trial(1, "RUNNING", steps={1: 0.4, 4: 0.4}),
        build_trial(2, "RUNNING", steps={2: 0.6}),
        build_trial(3, "RUNNING", steps={0: 0.1}),
        build_trial(4, "PRUNED", steps={1: 0.5}),
        build_trial(5, values=(0.95,), constraints={"memory": 1.0}),
    ]
    study = Study("s0-1", "s", (True,), trials)
    _, gap = list_best_fields(study)
    found = [gap.read(trial, None) for trial in trials]
    assert found == [0.0, 0.5, pytest.approx(-0.2), None, None, None]
    assert filter_study(study, 'state == "running" and gap >= 0.1') == [1]
    assert list_best_fields(Study("s0-1", "s", (True, False), trials)) == []


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("optimiser == 'sgd'", "column 1: unknown name 'optimiser' (did you mean 'optimizer'?)"),
        ("state == complete", "column 10: unknown name 'complete'"),
        ("state == complete", "in quotes: 'complete'"),
        ("state = 'complete'", "column 7: write == instead of ="),
        ("state == 'completed'", "unknown state 'completed' (did you mean 'complete'?)"),
        ("lr > 0.1", "column 1: 'lr' may be params.lr or attrs.lr: write which"),
        ("value > 0.1 && step > 1", "column 13: write and instead of &&"),
        ("cause > 3", "cannot be evaluated"),
        ("__import__('os').system('true')", "is not supported"),
        ("1 < 2", "contains no parameter"),
        ("value > " + "1 + " * 300 + "1", "use at most 500"),
    ],
)
def test_errors_name_the_place_and_what_would_do(study: Study, where: str, problem: str) -> None:
    with pytest.raises(FilterError) as error:
        filter_study(study, where)
    assert problem in str(error.value)


def test_the_time_of_a_filter_is_bounded(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_filter, "MAX_EVALUATIONS", 60)
    assert filter_study(study, "value > 0.6") == [0, 3, 4]
    with pytest.raises(FilterError, match="too long for 6 trials"):
        filter_study(study, "value + 1 + 1 + 1 + 1 > 0.6")


def test_ranges() -> None:
    assert format_ranges([]) == ""
    assert format_ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert parse_ranges("0-2,5,7-8", 100) == {0, 1, 2, 5, 7, 8}
    assert parse_ranges("0-999999999", 3) == {0, 1, 2}
    for wrong in ("x", "1-x", "-1", "1-2-3"):
        with pytest.raises(ValueError, match="not a range"):
            parse_ranges(wrong, 10)
