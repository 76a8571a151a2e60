"""Which of a run's metrics count."""

from __future__ import annotations

import math

import pytest

from tune_jobs.core.objectives import Bound, Metric, Objectives, as_metrics
from tune_jobs.errors import MetricError
from tune_jobs.runtime.records import Record


def history(*values: dict[str, float], steps: bool = True) -> list[Record]:
    """Records at the steps 1, 2, ..."""
    return [Record(float(i), i if steps else None, v) for i, v in enumerate(values, start=1)]


def objectives(
    *metrics: Metric, maximize: bool = True, bounds: dict[str, str] | None = None
) -> Objectives:
    parsed = tuple(Bound.parse(name, text) for name, text in (bounds or {}).items())
    return Objectives(metrics, (maximize,) * len(metrics), parsed)


CURVE = history({"a": 0.2}, {"a": 0.9}, {"a": math.nan}, {"a": 0.5})


@pytest.mark.parametrize(
    ("counts", "maximize", "value"),
    [("last", True, 0.5), ("best", True, 0.9), ("best", False, 0.2)],
)
def test_which_value_counts(counts: str, maximize: bool, value: float) -> None:
    metric = Metric("a", counts=counts)  # type: ignore[arg-type]
    assert objectives(metric, maximize=maximize).read(CURVE).values == (value,)


def test_at_the_best_step_of_the_objective() -> None:
    chosen = objectives(Metric("acc", "best"), Metric("size", "at_best"))
    same_record = history({"acc": 0.1, "size": 1}, {"acc": 0.9, "size": 2}, {"acc": 0.2, "size": 3})
    assert chosen.read(same_record).values == (0.9, 2)
    same_step = [
        Record(0, 1, {"acc": 0.9}),
        Record(0, 1, {"size": 7}),
        Record(0, 2, {"acc": 0.1}),
        Record(0, 2, {"size": 8}),
    ]
    assert chosen.read(same_step).values == (0.9, 7)
    no_steps = history({"size": 5}, {"acc": 0.9}, {"size": 6}, steps=False)
    assert chosen.read(no_steps).values == (0.9, 5)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_problem(value: float) -> None:
    reading = objectives(Metric("a")).read(history({"a": value}))
    assert reading.values is None
    assert reading.problem == reading.diverged == f"metric 'a' was {value} at step 1"
    assert reading.diverged_steps == 1


def test_where_a_metric_diverged() -> None:
    values = [0.5, math.nan, 0.4, math.inf, math.nan]
    single = objectives(Metric("a"))
    reading = single.read(history(*({"a": v} for v in values)))
    assert reading.diverged == "metric 'a' was nan at step 5 (not finite from step 4 on)"
    assert reading.diverged_steps == 2
    reading = single.read(history(*({"a": v} for v in values), steps=False))
    assert reading.diverged == "metric 'a' was nan, like all of its last 2 values"


def test_a_metric_that_recovers_has_not_diverged() -> None:
    reading = objectives(Metric("a")).read(history({"a": math.nan}, {"a": math.inf}, {"a": 0.5}))
    assert (reading.values, reading.diverged, reading.diverged_steps) == ((0.5,), "", 0)
    best = objectives(Metric("a", counts="best"))
    reading = best.read(history({"a": 0.5}, {"a": math.nan}, {"a": math.nan}))
    assert (reading.values, reading.diverged, reading.diverged_steps) == ((0.5,), "", 0)


def test_a_diverged_objective_explains_what_else_is_missing() -> None:
    bounded = objectives(Metric("a"), bounds={"m": "<= 5"})
    assert bounded.read(history({"a": math.nan})).diverged
    assert not bounded.read(history({"m": math.nan})).diverged
    reading = bounded.read(history({"a": 1.0, "m": math.nan}))
    assert reading.diverged == "metric 'm' was nan at step 1"
    assert reading.violations == {}


def test_what_is_missing_is_a_problem() -> None:
    reading = objectives(Metric("a"), bounds={"m": "<= 5"}).read(history({"b": 1.0}))
    assert reading.problem == "metric 'a' was not reported"
    reading = objectives(Metric("a"), bounds={"m": "<= 5"}).read(history({"a": 1.0}))
    assert reading.problem == "metric 'm', which is constrained, was not reported"


def test_steps_keep_the_first_value_and_count_where_none_is_given() -> None:
    single = objectives(Metric("a"))
    repeated = [Record(0, 1, {"a": 0.1}), Record(0, 1, {"a": 0.2}), Record(0, 2, {"a": 0.3})]
    assert single.read(repeated).steps == {1: 0.1, 2: 0.3}
    assert single.read(history({"a": 0.1}, {"b": 1}, {"a": 0.2}, steps=False)).steps == {
        0: 0.1,
        1: 0.2,
    }


def test_violations() -> None:
    both = objectives(Metric("a"), bounds={"m": "<= 5", "n": ">= 2"})
    reading = both.read(history({"a": 1, "m": 7, "n": 7}))
    assert reading.violations == {"m": 2.0, "n": -5.0}
    assert reading.values == (1,)


@pytest.mark.parametrize("text", ["", "5", "< 5", "<= five", "<= nan", "<= 1 2"])
def test_bounds_that_make_no_sense(text: str) -> None:
    with pytest.raises(MetricError, match="write '<= NUMBER' or '>= NUMBER'"):
        Bound.parse("m", text)


def test_metrics_that_make_no_sense() -> None:
    with pytest.raises(MetricError, match="counts must be one of"):
        Metric("a", counts="worst")  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="needs the name"):
        Metric(" ")
    with pytest.raises(MetricError, match="is not valid"):
        Metric("a", pattern="(")
    with pytest.raises(MetricError, match="named twice: a, a"):
        objectives(Metric("a"), Metric("a"))
    with pytest.raises(MetricError, match="at least one metric"):
        as_metrics([])
    with pytest.raises(MetricError, match="not 3"):
        as_metrics([3])
