"""Validation of parameter values, for suggested and for enqueued trials alike.

Optuna accepts fixed values that are out of range, rounds 1.1 to 1 for an integer, converts
``"0.5"`` and ``True`` to numbers, and raises an exception for others. This module rejects all of
them, with a message that names the parameter, the value and the allowed values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_jobs.core.formatting import abbreviate
from tune_jobs.errors import SpaceError, TuneJobsError
from tune_jobs.space.sampler_errors import explain_sampler_errors

_SHOWN_CHOICES = 10
_ON_GRID = 1e-8  # the tolerance of Optuna's own check
_ROUNDING = 1e-9  # of a sampler, as a share of the range

_T = TypeVar("_T")


def describe_allowed(distribution: BaseDistribution) -> str:
    """Return the values of a distribution as a noun phrase."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            listed = ", ".join(map(abbreviate, choices[:_SHOWN_CHOICES]))
            more = len(choices) - _SHOWN_CHOICES
            return f"one of {listed}" + (f" and {more} more" if more > 0 else "")
        case IntDistribution(low=low, high=high, step=step):
            steps = f" in steps of {step}" if step != 1 else ""
            return f"a whole number from {low} to {high}{steps}"
        case FloatDistribution(low=low, high=high, step=step):
            steps = f" in steps of {step}" if step is not None else ""
            return f"a number from {low} to {high}{steps}"
    return str(distribution)


def find_problem(
    name: str, value: object, distribution: BaseDistribution, tolerance: float = 0.0
) -> str | None:
    """Return why a parameter cannot have a value; None if it can.

    Args:
        name: The parameter.
        value: The value, before any conversion.
        distribution: Its distribution.
        tolerance: How far a number may be beside its range and grid, as a share of the range.
    """
    if isinstance(distribution, CategoricalDistribution):
        wrong = None if _is_choice(value, distribution.choices) else "is not a choice"
    elif isinstance(distribution, FloatDistribution | IntDistribution):
        wrong = _find_wrong_number(value, distribution, tolerance)
    else:
        return None  # a type of a later Optuna
    if wrong is None:
        return None
    allowed = describe_allowed(distribution)
    return f"parameter {name}={abbreviate(value)} {wrong}: use {allowed}"


def _is_choice(value: Any, choices: Sequence[Any]) -> bool:
    return any(are_same(value, choice) for choice in choices)


def are_same(value: Any, choice: Any) -> bool:
    """Return whether two values are equal and True, False and numbers are not mixed up."""
    if isinstance(value, bool) is not isinstance(choice, bool):
        return False  # in Python, True equals 1
    if isinstance(choice, float) and math.isnan(choice):
        return isinstance(value, float) and math.isnan(value)
    try:
        return bool(value == choice)
    except ValueError:  # an array
        return False


def _find_wrong_number(
    value: object, distribution: FloatDistribution | IntDistribution, tolerance: float
) -> str | None:
    if not isinstance(value, Real) or isinstance(value, bool):
        return "is not a number"
    try:
        number = float(value)
    except OverflowError:
        return "is out of range"
    if not math.isfinite(number):
        return "is not a finite number"
    if number != value:
        return "cannot be stored exactly"
    if isinstance(distribution, IntDistribution) and not number.is_integer():
        return "is not a whole number"
    slack = tolerance * (distribution.high - distribution.low)
    if not distribution.low - slack <= number <= distribution.high + slack:
        return "is out of range"
    if distribution.step is None:
        return None
    steps = (number - distribution.low) / distribution.step
    off = abs(steps - round(steps))
    return None if off < _ON_GRID or off * distribution.step <= slack else "is not on the grid"


class CheckedTrial(optuna.Trial):
    """A trial that refuses values which its parameters cannot have.

    Args:
        trial: The trial; both are views of the same one.
        requested: Parameters that it was enqueued with.

    Raises:
        SpaceError: By the ``suggest`` methods, if the requested value is invalid, or if Optuna
            refuses the distribution.
        SamplerError: By the ``suggest`` methods, if the sampler raises an error.
    """

    __slots__ = ("_known", "_met", "_requested")  # beside the attributes that are shared

    def __init__(self, trial: optuna.Trial, requested: Mapping[str, Any]) -> None:
        self.__dict__ = trial.__dict__
        self._requested = requested
        self._known = trial.params.keys()  # of a trial that is resumed
        self._met: dict[str, BaseDistribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        distribution = FloatDistribution(low, high, log=log, step=step)
        suggest = super().suggest_float
        return self._checked(
            name, distribution, lambda: suggest(name, low, high, step=step, log=log)
        )

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        distribution = IntDistribution(low, high, log=log, step=step)
        suggest = super().suggest_int
        return self._checked(
            name, distribution, lambda: suggest(name, low, high, step=step, log=log)
        )

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        distribution = CategoricalDistribution(choices)
        suggest = super().suggest_categorical
        return self._checked(name, distribution, lambda: suggest(name, choices))

    def _checked(self, name: str, distribution: BaseDistribution, suggest: Callable[[], _T]) -> _T:
        """Suggest a value, unless an invalid one was requested."""
        if name in self._requested:
            problem = find_problem(name, self._requested[name], distribution)
            if problem is not None:
                raise SpaceError(problem)
        self._met[name] = distribution
        try:
            with explain_sampler_errors(self.study.sampler):
                return suggest()
        except (ValueError, TypeError, OverflowError) as error:
            if isinstance(error, TuneJobsError):
                raise
            allowed = describe_allowed(distribution)
            raise SpaceError(
                f"parameter {name!r} ({allowed}) cannot be suggested: {error}"
            ) from error

    def find_wrong_suggestion(self) -> str | None:
        """Return why a value that the sampler suggested is invalid; None if all are valid."""
        for name, value in self.params.items():
            if name in self._met and name not in self._requested and name not in self._known:
                problem = find_problem(name, value, self._met[name], _ROUNDING)
                if problem is not None:
                    return f"{type(self.study.sampler).__name__} suggested it: {problem}"
        return None
