"""The data of figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution

from tests.dashboard.conftest import HOSTILE, MakeStudy
from tests.simulation import EPOCHS
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation
from tune_jobs.dashboard.drawing import LONG, short, thin
from tune_jobs.dashboard.figures import (
    FIGURES,
    best_so_far,
    curves_info,
    draw_printed,
    figure_names,
    history_info,
    pareto,
    timeline_info,
)
from tune_jobs.dashboard.importance import importance_info
from tune_jobs.dashboard.model import Study, Trial
from tune_jobs.dashboard.parameters import axis_info, parameter_names
from tune_jobs.dashboard.reading import read_study


def trial(number: int, *values: float, **params: Any) -> Trial:
    return Trial(number, "COMPLETE" if values else "FAIL", values, params, 0.0, 1.0)


def run(number: int, intended: float, started: float, finished: float | None) -> Attempt:
    return Attempt(
        name=f"trial-{number:06d}-1",
        trial=number,
        attempt=1,
        backend="local",
        state=AttemptState.SUCCEEDED,
        invocation=Invocation(),
        intended=intended,
        started=started,
        finished=finished,
        told=finished,
    )


def test_history(seen: Study) -> None:
    info = history_info(seen)
    done = seen.complete()
    assert list(info.numbers) == [t.number for t in done]
    assert max(info.best) == max(info.values)
    assert list(info.best) == sorted(info.best)


def test_best_so_far() -> None:
    points = [(1, 3.0), (2, 5.0), (3, 1.0), (4, 4.0)]
    assert best_so_far(points, maximize=True) == ([1, 2, 4], [3.0, 5.0, 5.0])
    assert best_so_far(points, maximize=False) == ([1, 3, 4], [3.0, 1.0, 1.0])
    assert best_so_far([], maximize=True) == ([], [])


def test_learning_curves_end_where_a_run_was_pruned(seen: Study) -> None:
    curves = {c.state: c for c in curves_info(seen)}
    assert {step for step, _ in curves["COMPLETE"].ends} == {EPOCHS}
    pruned = [t for t in seen.trials if t.state == "PRUNED"]
    assert pruned
    assert sorted(curves["PRUNED"].ends) == sorted(
        (max(t.steps), t.steps[max(t.steps)]) for t in pruned
    )
    assert curves["PRUNED"].steps.count(None) == len(pruned), "a gap after each"


def test_timeline_assigns_the_lowest_free_slot() -> None:
    runs = [run(0, 0, 10, 50), run(1, 0, 10, 30), run(2, 30, 40, 60), run(3, 50, 55, None)]
    info = timeline_info(runs, now=70.0)
    assert [(b.name[-3:-2], b.slot) for b in info.bars] == [("0", 0), ("1", 1), ("2", 1), ("3", 0)]
    assert info.slots == 2
    assert info.utilization == pytest.approx((40 + 20 + 20 + 15) / 140)
    assert info.provisioning == pytest.approx((10 + 10 + 10 + 5) / 140)
    assert timeline_info([], 0.0).slots == 0


def test_axes() -> None:
    trials = [
        trial(0, 1.0, lr=1e-5, c="b", n=1),
        trial(1, 1.0, lr=1e-1, c=None, n=9),
        trial(2, 1.0),
    ]
    lr = axis_info("lr", trials)
    assert lr.log
    assert lr.positions == [pytest.approx(-5), pytest.approx(-1), None]
    assert dict(lr.ticks)[-5.0] == "1e-5"
    linear = {"lr": FloatDistribution(1e-5, 1.0)}
    assert not axis_info("lr", [replace(t, distributions=linear) for t in trials]).log
    by_log = {"n": IntDistribution(1, 9, log=True)}
    assert axis_info("n", [replace(t, distributions=by_log) for t in trials]).log
    c = axis_info("c", trials)
    assert c.positions == [1.0, 0.0, None]
    assert [text for _, text in c.ticks] == ["None", "b"]
    assert axis_info("n", trials).positions == [1.0, 9.0, None]
    assert parameter_names(trials) == ["lr", "c", "n"]


def test_importance() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))

    def objective(trial: optuna.Trial) -> float:
        a, _ = trial.suggest_float("a", 0, 1), trial.suggest_float("b", 0, 1)
        c = trial.suggest_categorical("c", ["x", "y"])
        return a + (0.2 if c == "x" else 0.0)

    study.optimize(objective, n_trials=60)
    found = importance_info(read_study(study))
    assert found[0][0] == "a"
    assert dict(found)["b"] < 0.3
    few = optuna.create_study()
    few.optimize(objective, n_trials=2)
    assert importance_info(read_study(few)) == []


def test_pareto() -> None:
    trials = [trial(0, 1.0, 5.0), trial(1, 2.0, 2.0), trial(2, 3.0, 3.0), trial(3, 5.0, 1.0)]
    assert sorted(pareto(trials, (False, False))) == [0, 1, 3]
    assert sorted(pareto(trials, (True, True))) == [0, 2, 3]


def texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [t for v in value.values() for t in texts(v)]
    if isinstance(value, list | tuple):
        return [t for v in value for t in texts(v)]
    return [value] if isinstance(value, str) else []


def test_figures_contain_no_markup_and_bounded_strings(tuned: MakeStudy) -> None:
    study = tuned(HOSTILE)
    study.enqueue_trial({"x": 0.5})
    seen = read_study(study)
    hostile = [
        Trial(
            t.number,
            t.state,
            t.values,
            {HOSTILE: HOSTILE + str(t.number), **t.params},
            0,
            1,
            t.steps,
        )
        for t in seen.trials
    ]
    shown = Study(seen.key, seen.name, seen.maximize, hostile, seen.runs)
    for name in figure_names(shown):
        figure = FIGURES[name][1](shown, 0.0)
        for text in texts(figure):
            plain = text.replace("<extra></extra>", "")
            assert "<" not in plain, name
            assert len(plain) <= LONG + 40, name
            assert "\u202e" not in plain


def points(trace: Mapping[str, Any]) -> int:
    """Return the number of points, bars or lines of a trace."""
    if trace["type"] == "parcoords":
        return len(trace["dimensions"][0]["values"])
    return len(trace["x"])


NO_TRIALS = {
    ("cost", "used"),
    ("contour", "contour"),
    ("distribution", "share of trials up to a value"),
}
"""Traces whose points are not trials."""


def test_points_have_the_numbers_of_their_trials(tuned: MakeStudy) -> None:
    shown = read_study(tuned())
    two = Study("k", "two", (True, False), [trial(0, 1.0, 2.0, x=1), trial(1, 2.0, 1.0, x=2)])
    numbers = {t.number for t in shown.trials}
    for study in (shown, two):
        for name in set(figure_names(study)) - {"importance"}:
            for trace in FIGURES[name][1](study, 0.0)["data"]:
                if (name, trace.get("name", trace["type"])) in NO_TRIALS:
                    continue
                assert len(trace["customdata"]) == points(trace), name
                assert set(trace["customdata"]) <= {*numbers, None}, name
    curves = FIGURES["curves"][1](shown, 0.0)["data"][0]
    gaps = [i for i, x in enumerate(curves["x"]) if x is None]
    assert gaps
    assert [i for i, n in enumerate(curves["customdata"]) if n is None] == gaps


def test_figures_are_bounded_and_deterministic(tuned: MakeStudy) -> None:
    many = Study(
        "k",
        "many",
        (True,),
        [
            Trial(
                i, "COMPLETE", (math.sin(i),), {"x": i / 2e4, "c": str(i % 3)}, 0, 1, {1: 0.1, 2: i}
            )
            for i in range(20_000)
        ],
        [run(i, i, i + 1, i + 8) for i in range(20_000)],
    )
    for name in figure_names(many):
        figure = FIGURES[name][1](many, 0.0)
        assert len(json.dumps(figure)) < 1_500_000, name
        assert figure == FIGURES[name][1](many, 0.0)


def test_figure_names_depend_on_the_study() -> None:
    empty = Study("k", "empty", (True,), [])
    assert figure_names(empty) == []
    two = Study("k", "two", (True, False), [trial(0, 1.0, 2.0, x=1), trial(1, 2.0, 1.0, x=2)])
    assert "front" in figure_names(two)
    assert "importance" not in figure_names(two)
    for name in figure_names(two):
        assert FIGURES[name][1](two, 0.0)["data"]


def test_short_and_thin() -> None:
    assert short("<b>") == "\u2039b\u203a"
    assert thin(range(10), 20) == list(range(10))
    assert len(thin(range(1000), 20)) == 20


def test_samples_are_nearly_the_same_when_items_are_added() -> None:
    before = thin(range(1000), 100)
    for count in range(1001, 1100):
        now = thin(range(count), 100)
        assert now == sorted(now)
        assert len(set(before) - set(now)) <= 1
        before = now


@pytest.mark.parametrize("values", [(-1e308, 1e308), (0.0, 5e-324)])
def test_parallel_coordinates_of_extreme_values(values: tuple[float, float]) -> None:
    seen = Study("k", "s", (True,), [trial(i, v, x=v) for i, v in enumerate(values)])
    for name in figure_names(seen):
        assert draw_printed(seen, name, 0.0), name
