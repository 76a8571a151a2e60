"""The search space of a study: type, scale and range of each parameter."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.report import phrases
from tune_jobs.space.search_space import describe_distribution

_KINDS = {"float": "float", "int": "integer", "categorical": "categorical"}
_SHOWN_CHOICES = 8


@dataclass(frozen=True)
class Range:
    """What a parameter can be.

    Args:
        name: Name of the parameter.
        kind: "float", "integer", "categorical" or "constant".
        log: Whether its scale is logarithmic.
        low, high: Limits; None if it is not a number.
        step: Distance of neighboring values; None if there is none.
        choices: Values of a categorical parameter, or the constant.
        when: Condition under which it exists; empty if it always does.
        observed: Whether only the values of trials are known.
    """

    name: str
    kind: str
    log: bool = False
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    when: str = ""
    observed: bool = False

    @property
    def scale(self) -> str:
        """The name of its scale; a dash if it has none."""
        if self.low is None:
            return "–"
        return "log" if self.log else "linear"

    @property
    def values(self) -> str:
        """Its range or choices in words."""
        if self.low is None or self.high is None:
            left = len(self.choices) - _SHOWN_CHOICES
            more = [f"{left} more"] if left > 0 else []
            return ", ".join([*self.choices[:_SHOWN_CHOICES], *more]) or "–"
        low, high = f"{self.low:.6g}", f"{self.high:.6g}"
        step = f", step {self.step:.6g}" if self.step and self.step != 1 else ""
        return f"{low} to {high}{step}{', as observed' if self.observed else ''}"

    def __str__(self) -> str:
        if self.kind == "constant":
            return f"{self.name} (always {self.values})"
        return f"{self.name} ({self.values}{', log scale' if self.log else ''})"

    def locate(self, value: object) -> float | None:
        """Return where a value lies between the limits: 0 at the lower one, 1 at the upper one."""
        number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
        if number is None or self.low is None or self.high is None or self.low >= self.high:
            return None
        if not self.log:
            return (number - self.low) / (self.high - self.low)
        if number <= 0 or self.low <= 0:
            return None
        return math.log(number / self.low) / math.log(self.high / self.low)

    def share_near_limit(self, edge: float) -> float:
        """Return the share of its values whose place (see `locate`) is at most ``edge``."""
        if self.low is None or self.high is None or not self.step or self.log:
            return edge
        steps = round((self.high - self.low) / self.step)
        return (math.floor(edge * steps) + 1) / (steps + 1)


def read_ranges(study: Study) -> list[Range]:
    """Return the ranges of the parameters that vary, and the constants.

    They are those of a declared space; of other studies, those that Optuna recorded with the
    trials; without either, the values that trials had.
    """
    space = study.definition.get("space")
    declared = space.get("parameters") if isinstance(space, Mapping) else None
    if isinstance(declared, Mapping) and declared:
        return [_read_range(key, described) for key, described in declared.items()]
    found: dict[str, Range] = {}
    observed: dict[str, list[Any]] = {}
    for trial in study.trials:
        for key, distribution in trial.distributions.items():
            read = _read_range(key, describe_distribution(distribution))
            found[key] = _merge(found[key], read) if key in found else read
        for key, value in trial.params.items():
            if key not in trial.distributions:
                observed.setdefault(key, []).append(value)
    missing = (_observe(key, values) for key, values in observed.items() if key not in found)
    return [*found.values(), *missing]


def describe_constraints(study: Study) -> list[str]:
    """Return the conditions that every configuration satisfies."""
    space = study.definition.get("space")
    written = space.get("constraints") if isinstance(space, Mapping) else None
    return [phrases.name(each) for each in written] if isinstance(written, list) else []


def _read_range(key: str, described: object) -> Range:
    name = phrases.name(key)
    if not isinstance(described, Mapping):
        return Range(name, "constant", choices=(phrases.name(described),))
    when = phrases.name(described.get("when") or "")
    kind = _KINDS.get(str(described.get("type")))
    if kind == "categorical":
        choices = tuple(phrases.value(each) for each in described.get("choices", ()))
        return Range(name, kind, choices=choices, when=when)
    if kind is None:
        return Range(name, "constant", choices=(phrases.value(described.get("value")),), when=when)
    step = described.get("step")
    return Range(
        name,
        kind,
        log=bool(described.get("log")),
        low=float(described["low"]),
        high=float(described["high"]),
        step=None if step is None else float(step),
        when=when,
    )


def _merge(a: Range, b: Range) -> Range:
    """Return the union of two ranges of a parameter that a function suggested."""
    if a == b or a.low is None or b.low is None or a.high is None or b.high is None:
        return b
    return Range(b.name, b.kind, b.log, min(a.low, b.low), max(a.high, b.high), b.step)


def _observe(key: str, values: Sequence[Any]) -> Range:
    name = phrases.name(key)
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        kind = "integer" if all(isinstance(v, int) for v in values) else "float"
        low, high = float(min(values)), float(max(values))
        return Range(name, kind, low=low, high=high, observed=True)
    choices = tuple(dict.fromkeys(phrases.value(v) for v in values))
    return Range(name, "categorical", choices=choices, observed=True)
