"""Objectives and bounds: which of a run's metrics count, and the values they give."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tune_jobs.arguments.calls import strict_names
from tune_jobs.errors import MetricError
from tune_jobs.runtime.records import Record

Counts = Literal["last", "best", "at_best"]
_COUNTS = ("last", "best", "at_best")


@strict_names
@dataclass(frozen=True)
class Metric:
    """One objective.

    Args:
        name: As the script prints or reports it.
        counts: Which value is the trial's: the ``last`` one, the ``best`` one, or the one
            ``at_best``, at the step where the first objective is best.
        pattern: A regular expression with a group (named ``value``, or the first) that finds the
            value in the output, if the name does not.

    Raises:
        MetricError: If an argument is invalid.
    """

    name: str
    counts: Counts = "last"
    pattern: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise MetricError(f"a metric needs the name that the script prints, not {self.name!r}")
        if self.counts not in _COUNTS:
            raise MetricError(
                f"metric {self.name!r}: counts must be one of {', '.join(_COUNTS)}, "
                f"not {self.counts!r}"
            )
        if self.pattern is not None:
            _check_pattern(self.name, self.pattern)


@dataclass(frozen=True)
class Bound:
    """A constraint on a metric: ``memory_mb <= 2000``."""

    name: str
    sense: Literal["<=", ">="]
    limit: float

    @classmethod
    def parse(cls, name: str, text: str) -> Bound:
        """Read ``"<= 2000"``.

        Raises:
            MetricError: If it is not ``<=`` or ``>=`` followed by a finite number.
        """
        found = re.fullmatch(r"\s*(<=|>=)\s*(\S+)\s*", str(text))
        try:
            limit = float(found[2]) if found else math.nan
        except ValueError:
            limit = math.nan
        if found is None or not math.isfinite(limit):
            raise MetricError(
                f"constraint on metric {name!r}: write '<= NUMBER' or '>= NUMBER', not {text!r}"
            )
        return cls(name, "<=" if found[1] == "<=" else ">=", limit)

    def violation(self, value: float) -> float:
        """Return how far ``value`` violates the bound; at most zero if it is satisfied."""
        return value - self.limit if self.sense == "<=" else self.limit - value


@dataclass(frozen=True)
class Reading:
    """What the records of a run say so far.

    Args:
        values: One for each objective; None if one is missing or not finite.
        problem: Why ``values`` is None.
        steps: The first objective by step: Optuna's intermediate values.
        violations: Of each bound, by metric name; only of reported, finite metrics.
        last: The last value of each reported metric.
        diverged: Which value that counts is not finite; empty if there is none.
        diverged_steps: How many values in a row led to an objective that is not finite.
        is_counted: Whether ``steps`` are counted from 0, since no value has a step.
    """

    values: tuple[float, ...] | None
    problem: str
    steps: Mapping[int, float]
    violations: Mapping[str, float]
    last: Mapping[str, float]
    diverged: str = ""
    diverged_steps: int = 0
    is_counted: bool = False


@dataclass(frozen=True)
class Objectives:
    """What a study optimizes.

    Args:
        metrics: One for each direction of the study.
        maximize: Whether each is maximized.
        bounds: Constraints on other metrics.
    """

    metrics: tuple[Metric, ...]
    maximize: tuple[bool, ...]
    bounds: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        names = [m.name for m in self.metrics]
        if len(set(names)) != len(names):
            raise MetricError(f"a metric is named twice: {', '.join(names)}")
        if len(self.metrics) != len(self.maximize):
            raise MetricError(
                f"{len(self.metrics)} metrics ({', '.join(names)}) for a study with "
                f"{len(self.maximize)} directions: name one metric for each direction"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """All metrics that have to be found."""
        return tuple(dict.fromkeys([m.name for m in self.metrics] + [b.name for b in self.bounds]))

    @property
    def patterns(self) -> dict[str, str]:
        """Regular expressions, by metric name."""
        return {m.name: m.pattern for m in self.metrics if m.pattern is not None}

    def read(self, records: Sequence[Record]) -> Reading:
        """Read records, oldest first."""
        last: dict[str, float] = {}
        for record in records:
            last.update(record.values)
        values = [self._value(i, records) for i in range(len(self.metrics))]
        numbers = {m.name: v for m, v in zip(self.metrics, values, strict=True) if v is not None}
        diverged = _describe_divergence(numbers, records)
        missing = "" if diverged else self._find_missing(numbers, last)
        if not (diverged or missing):
            constrained = {bound.name: last[bound.name] for bound in self.bounds}
            diverged = _describe_divergence(constrained, records)
        problem = diverged or missing
        return Reading(
            values=None if problem else tuple(v for v in values if v is not None),
            problem=problem,
            steps=_by_step(records, self.metrics[0].name),
            violations=self._violations(last),
            last=last,
            diverged=diverged,
            diverged_steps=max(
                (
                    len(_diverged_tail(n, records))
                    for n, v in numbers.items()
                    if not math.isfinite(v)
                ),
                default=0,
            ),
            is_counted=bool(records) and all(record.step is None for record in records),
        )

    def _violations(self, last: Mapping[str, float]) -> dict[str, float]:
        reported = [(b, last[b.name]) for b in self.bounds if b.name in last]
        return {b.name: b.violation(value) for b, value in reported if math.isfinite(value)}

    def _value(self, index: int, records: Sequence[Record]) -> float | None:
        metric = self.metrics[index]
        series = [
            (i, r.values[metric.name]) for i, r in enumerate(records) if metric.name in r.values
        ]
        if not series:
            return None
        if metric.counts == "last":
            return series[-1][1]
        if metric.counts == "best":
            return series[_best([v for _, v in series], self.maximize[index])][1]
        return self._value_at_best(metric.name, records, series)

    def _value_at_best(
        self, name: str, records: Sequence[Record], series: Sequence[tuple[int, float]]
    ) -> float | None:
        first = self.metrics[0].name
        leading = _series(first, records)
        if not leading:
            return None
        position = leading[_best([v for _, v in leading], self.maximize[0])][0]
        step = records[position].step
        same_step = [v for i, v in series if step is not None and records[i].step == step]
        until_then = [v for i, v in series if i <= position]
        return (same_step or until_then or [series[0][1]])[-1]

    def _find_missing(self, values: Mapping[str, float], last: Mapping[str, float]) -> str:
        for metric in self.metrics:
            if metric.name not in values:
                return f"metric {metric.name!r} was not reported"
        for bound in self.bounds:
            if bound.name not in last:
                return f"metric {bound.name!r}, which is constrained, was not reported"
        return ""


def _describe_divergence(values: Mapping[str, float], records: Sequence[Record]) -> str:
    """Return which of the metrics is not finite, and since when; an empty string if all are."""
    for name, value in values.items():
        if not math.isfinite(value):
            return f"metric {name!r} was {value}{_since(name, records)}"
    return ""


def _diverged_tail(name: str, records: Sequence[Record]) -> list[Record]:
    """Return the last records of a metric, in a row, in which it is not finite."""
    tail: list[Record] = []
    for record in reversed(records):
        if name in record.values:
            if math.isfinite(record.values[name]):
                break
            tail.append(record)
    return tail[::-1]


def _since(name: str, records: Sequence[Record]) -> str:
    """Return where the last values of a metric that are not finite begin and end."""
    tail = _diverged_tail(name, records)
    steps = [record.step for record in tail if record.step is not None]
    if not steps:
        return f", like all of its last {len(tail)} values" if len(tail) > 1 else ""
    since = f" (not finite from step {steps[0]} on)" if steps[0] != steps[-1] else ""
    return f" at step {steps[-1]}{since}"


def _series(name: str, records: Sequence[Record]) -> list[tuple[int, float]]:
    """Return a metric's values with the positions of their records."""
    return [(i, r.values[name]) for i, r in enumerate(records) if name in r.values]


def _best(values: Sequence[float], maximize: bool) -> int:
    """Return the position of the best finite value, or of the last value if none is finite."""
    finite = [(v, -i) for i, v in enumerate(values) if math.isfinite(v)]
    if not finite:
        return len(values) - 1
    best = max(finite) if maximize else min(finite, key=lambda pair: (pair[0], -pair[1]))
    return -best[1]


def _by_step(records: Sequence[Record], name: str) -> dict[int, float]:
    """Return a metric by step; values without a step are counted from 0.

    Of several values for a step the first one counts, as in Optuna.
    """
    steps: dict[int, float] = {}
    count = 0
    for record in records:
        if name in record.values:
            step = record.step if record.step is not None else count
            count += 1
            if step >= 0:
                steps.setdefault(step, record.values[name])
    return steps


def _check_pattern(name: str, pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise MetricError(
            f"metric {name!r}: the pattern {pattern!r} is not valid: {error}"
        ) from error
    if groups == 0:
        raise MetricError(
            f"metric {name!r}: the pattern {pattern!r} needs a group around the number, "
            r"for example 'accuracy is (\S+)'"
        )


def as_metrics(spec: Any) -> tuple[Metric, ...]:
    """Return a name, a `Metric`, or a sequence of them as metrics.

    Raises:
        MetricError: If it is something else, or empty.
    """
    items = [spec] if isinstance(spec, str | Metric) else list(spec)
    if not items:
        raise MetricError("name at least one metric, for example metric='accuracy'")
    for item in items:
        if not isinstance(item, str | Metric):
            raise MetricError(f"a metric is a name or a Metric(...), not {item!r}")
    return tuple(Metric(item) if isinstance(item, str) else item for item in items)
