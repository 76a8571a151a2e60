"""Search spaces: the parameters that Optuna tunes and that the command line gets.

A `Space` knows its parameters, samples them from a trial, and says which configurations it refuses.
`declaration` creates one from what people write.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import CodeType
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_jobs.core.formatting import abbreviate
from tune_jobs.core.strict_json import encode_exact_json, encode_json
from tune_jobs.errors import (
    ConfigError,
    MissingPackage,
    SamplerError,
    SpaceError,
    StudyError,
    did_you_mean,
)
from tune_jobs.space.expressions import Expression
from tune_jobs.space.validity import CheckedTrial, are_same

SpaceFunction = Callable[[optuna.Trial], Mapping[str, Any]]
Valid = Callable[[dict[str, Any]], "bool | str | None"]

_NOT_OF_THE_FUNCTION = (
    optuna.exceptions.StorageInternalError,
    SpaceError,  # of a suggestion
    SamplerError,
    MissingPackage,  # of the sampler
    StudyError,
)
"""Errors that are not those of the function which asks for suggestions."""


_MAX_NAME = 512  # size of the column in Optuna's database


@dataclass(frozen=True)
class Parameter:
    """Parameter of a declared search space.

    Attributes:
        name: Name of the parameter.
        distribution: Distribution to sample from; None for a constant.
        constant: Value of a constant.
        when: Condition under which the parameter is active; None means always.
        coded: Choices that Optuna cannot store, such as lists, as JSON strings.
    """

    name: str
    distribution: BaseDistribution | None
    constant: Any = None
    when: Expression | None = None
    coded: frozenset[str] = frozenset()

    def active(self, params: Mapping[str, Any]) -> bool:
        """Return whether a configuration with these parameters so far has this one, too.

        Raises:
            SpaceError: If the condition cannot be evaluated.
        """
        try:
            return self.when is None or self.when.holds(params) is True
        except ConfigError as error:
            assert self.when is not None
            raise SpaceError(_locate(self.when, f"when of {self.name!r}", error)) from error

    def suggest(self, trial: optuna.Trial) -> Any:
        """Return the value for the command line, which Optuna suggests."""
        if self.distribution is None:
            return self.constant
        value = suggest(trial, self.name, self.distribution)
        return json.loads(value) if isinstance(value, str) and value in self.coded else value

    def describe(self) -> dict[str, Any]:
        """Return the definition as JSON."""
        if self.distribution is None:
            described = {"value": self.constant}
        else:
            described = describe_distribution(self.distribution)
        return {**described, "when": self.when.source} if self.when else described


@dataclass(frozen=True)
class Space:
    """Search space, created by `as_space`.

    Attributes:
        function: Define-by-run function, or None for a declared space.
        parameters: Declared parameters, in order; empty for a function.
        constraints: Conditions that every configuration satisfies.
        valid: Function that checks a configuration.
        names: Names of the parameters; of a function, those that occurred so far.
    """

    function: SpaceFunction | None = None
    parameters: tuple[Parameter, ...] = ()
    constraints: tuple[Expression, ...] = ()
    valid: Valid | None = None
    names: set[str] = field(default_factory=set, compare=False, repr=False)

    def sample(
        self, trial: optuna.Trial, requested: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Sample a configuration: the parameters for the command line.

        Args:
            trial: The trial, whose parameters are suggested unless it has them already.
            requested: Parameters that it was enqueued with: all of them are used as they are, or
                it is an error.

        Raises:
            SpaceError: If the function raises, or returns anything but named parameters; or if a
                parameter cannot have the value that was requested, or that the sampler suggested.
            SamplerError: If the sampler raises an error.
        """
        if not isinstance(trial, optuna.Trial):  # an `optuna.trial.FixedTrial`
            return self._call(trial)
        requested = requested or {}
        checked = CheckedTrial(trial, requested)
        params = self._call(checked)
        if problem := checked.find_wrong_suggestion():
            raise SpaceError(problem)
        for name in sorted(requested.keys() - trial.params.keys(), key=str):
            if name not in params or not are_same(requested[name], params[name]):
                raise SpaceError(self._explain_unused(name, requested[name], params))
        return params

    def _call(self, trial: optuna.Trial) -> dict[str, Any]:
        try:
            returned = self.function(trial) if self.function else self._suggest(trial)
        except _NOT_OF_THE_FUNCTION:
            raise
        except Exception as error:
            raise SpaceError(
                f"{self.label} raised {type(error).__name__} after {_describe_progress(trial)}: "
                f"{error}"
            ) from error
        params = _validate(returned, self.label)
        self.names.update(params)
        return params

    def mentions(self, name: str) -> bool:
        """Return whether a name is among the string constants of the space's function.

        A parameter that is suggested only in a rare branch need not occur in any sample.
        """
        function = self.function
        while isinstance(function, partial):
            function = function.func
        if function is None:
            return False
        called = function if inspect.isroutine(function) else type(function).__call__
        code = getattr(inspect.unwrap(called), "__code__", None)
        return code is not None and name in _string_constants(code)

    def _explain_unused(self, name: str, value: object, params: Mapping[str, Any]) -> str:
        """Return why a configuration has no parameter of this name and value."""
        subject = f"parameter {name}={abbreviate(value)}"
        if name in params:
            return f"{subject} is not tuned: use {abbreviate(params[name])}"
        declared = {parameter.name: parameter for parameter in self.parameters}.get(name)
        if declared is not None and declared.when is not None:
            return f"{subject} is not active: it needs {declared.when.source}"
        if name in self.names:
            return f"{subject} is not active in this configuration: leave it out"
        return f"{subject} is not in the search space {did_you_mean(str(name), self.names)}"

    def refusal(self, params: Mapping[str, Any]) -> str | None:
        """Return why a configuration is invalid; None if it is valid.

        Constraints with a parameter that the configuration lacks are ignored.

        Raises:
            SpaceError: If a constraint cannot be evaluated, or `valid` raises.
        """
        for constraint in self.constraints:
            if refusal := _find_violation(constraint, params):
                return refusal
        return self._reject(params) if self.valid else None

    def describe(self) -> dict[str, Any]:
        """Return the definition as JSON; of a function, its hash and the names that occurred."""
        described: dict[str, Any] = {}
        if self.function:
            described["function"] = {**_fingerprint(self.function), "names": sorted(self.names)}
        else:
            described["parameters"] = {p.name: p.describe() for p in self.parameters}
        if self.constraints:
            described["constraints"] = [constraint.source for constraint in self.constraints]
        if self.valid:
            described["valid"] = _fingerprint(self.valid)
        return described

    @property
    def label(self) -> str:
        """Name of the space in messages."""
        return f"search space {_get_name(self.function)}()" if self.function else "search space"

    def _suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.active(params):
                params[parameter.name] = parameter.suggest(trial)
        return params

    def _reject(self, params: Mapping[str, Any]) -> str | None:
        assert self.valid is not None
        try:
            answer = self.valid(dict(params))
        except Exception as error:
            raise SpaceError(
                f"{_get_name(self.valid)}() raised {type(error).__name__} for {dict(params)!r}: "
                f"{error}"
            ) from error
        if isinstance(answer, str):
            return answer or f"{_get_name(self.valid)}() rejected it"
        return None if answer is None or answer else f"{_get_name(self.valid)}() rejected it"


def find_name_problem(name: object) -> str | None:
    """Return what is wrong with a parameter's name; None if nothing is."""
    if not isinstance(name, str):
        return "is not a string: quote it"
    if not name.strip() or not name.isprintable():
        return "is empty or has control characters: use letters, digits, - _ ."
    if len(name) > _MAX_NAME:
        return f"is longer than {_MAX_NAME} characters: shorten it"
    return None


def to_json(value: object) -> str:
    """Encode a choice that Optuna cannot store."""
    return encode_exact_json(value)


def _find_violation(constraint: Expression, params: Mapping[str, Any]) -> str | None:
    try:
        if constraint.holds(params) is not False:
            return None
    except ConfigError as error:
        raise SpaceError(_locate(constraint, "constraint", error)) from error
    values = ", ".join(f"{n}={params[n]!r}" for n in sorted(constraint.names) if n in params)
    return f"constraint {constraint.source!r} does not hold for {values}"


def _locate(condition: Expression, label: str, error: ConfigError) -> str:
    """Return the message of an error with its place and what it is about."""
    return ": ".join(filter(None, [condition.place, label, str(error)]))


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Suggest a value by the public method of the distribution's type."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{distribution!r} of {name!r} is not one of Optuna's distributions")


def _validate(returned: object, label: str) -> dict[str, Any]:
    if not isinstance(returned, Mapping):
        raise SpaceError(
            f"{label} returned {returned!r}, a {type(returned).__name__}: "
            "return a dict of parameters"
        )
    if not returned:
        raise SpaceError(f"{label} returned no parameters: return at least one")
    for name, value in returned.items():
        if problem := find_name_problem(name):
            raise SpaceError(f"{label} returned the parameter name {name!r}, which {problem}")
        try:
            encode_json(value)
        except (TypeError, ValueError):
            raise SpaceError(
                f"{label} returned {name}={value!r}, a {type(value).__name__}: convert it with "
                "int(), float() or str(), or return a list of such values"
            ) from None
    return dict(returned)


def _describe_progress(trial: optuna.Trial) -> str:
    names = ", ".join(trial.params)
    return f"suggesting {names}" if names else "suggesting nothing"


def describe_distribution(distribution: BaseDistribution) -> dict[str, Any]:
    """Return type and limits of a distribution as JSON."""
    written = json.loads(optuna.distributions.distribution_to_json(distribution))
    kind = written["name"].removesuffix("Distribution").lower()
    return {"type": kind, **written["attributes"]}


def _string_constants(code: CodeType) -> set[str]:
    """Return the strings in a function's code and in that of functions inside it."""
    constants: set[str] = set()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            constants |= _string_constants(constant)
        elif isinstance(constant, str):
            constants.add(constant)
    return constants


def _get_name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _fingerprint(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # defined in a shell, compiled, or an object with __call__
        return {"name": _get_name(function), "source_sha256": None}
    return {
        "name": _get_name(function),
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
    }
