"""The search space: what Optuna may choose, and what then goes on the command line.

`as_space` takes it in any of three forms: a define-by-run function, a dict of Optuna's
distributions, or the form of study.yaml:

    parameters:
      lr: {type: float, low: 1e-5, high: 1e-1, log: true}
      batch_size: [32, 64, 128]
      optimizer: {choices: [adam, sgd]}
      momentum: {type: float, low: 0, high: 0.99, when: optimizer == 'sgd'}
      epochs: 20                             # a constant: on the command line, not tuned
    constraints:
      - batch_size * epochs <= 1280          # other configurations are never sent
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_jobs.errors import ConfigError, SpaceError
from tune_jobs.space.expressions import Expression
from tune_jobs.space.yaml_source import Located, load, located

SpaceFunction = Callable[[optuna.Trial], Mapping[str, Any]]
Valid = Callable[[dict[str, Any]], "bool | str | None"]

_MAX_NAME = 512  # Optuna's column


@dataclass(frozen=True)
class Parameter:
    """One entry of a declared search space.

    Attributes:
        distribution: What Optuna chooses from; None for a constant.
        constant: The value if there is no distribution.
        when: Active only in configurations where this holds.
        coded: Choices that Optuna cannot store (lists), which it sees as their JSON text.
    """

    name: str
    distribution: BaseDistribution | None
    constant: Any = None
    when: Expression | None = None
    coded: frozenset[str] = frozenset()

    def active(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration that has these parameters so far has this one as well."""
        return self.when is None or self.when.holds(params) is True

    def suggest(self, trial: optuna.Trial) -> Any:
        """Let Optuna choose the value that goes on the command line."""
        if self.distribution is None:
            return self.constant
        value = suggest(trial, self.name, self.distribution)
        return json.loads(value) if isinstance(value, str) and value in self.coded else value

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        if self.distribution is None:
            described = {"value": self.constant}
        else:
            described = _describe_distribution(self.distribution)
        return {**described, "when": self.when.text} if self.when else described


@dataclass(frozen=True)
class Space:
    """A search space; made by `as_space`.

    Attributes:
        function: The define-by-run function, or None for a declared space.
        parameters: The declared parameters, in order; empty for a function.
        constraints: Conditions that every configuration on the command line fulfils.
        valid: A check in Python of the same.
        names: What may be on the command line; of a function, what was on one so far.
    """

    function: SpaceFunction | None = None
    parameters: tuple[Parameter, ...] = ()
    constraints: tuple[Expression, ...] = ()
    valid: Valid | None = None
    names: set[str] = field(default_factory=set, compare=False, repr=False)

    def sample(self, trial: optuna.Trial) -> dict[str, Any]:
        """Choose a configuration: the parameters for the command line.

        Raises:
            SpaceError: the function raised, or returned something else than named parameters.
        """
        try:
            returned = self.function(trial) if self.function else self._suggest(trial)
        except optuna.exceptions.StorageInternalError:
            raise  # the database failed, not the function
        except Exception as error:
            raise SpaceError(
                f"{self.label} raised {type(error).__name__} after {_so_far(trial)}: {error}"
            ) from error
        params = _checked(returned, self.label)
        self.names.update(params)
        return params

    def refusal(self, params: Mapping[str, Any]) -> str | None:
        """Why this configuration must not be sent; None if it may.

        A constraint over a parameter that this configuration does not have says nothing about it.

        Raises:
            SpaceError: a constraint cannot be computed, or `valid` raised.
        """
        for constraint in self.constraints:
            if refusal := _violation(constraint, params):
                return refusal
        return self._invalid(params) if self.valid else None

    def describe(self) -> dict[str, Any]:
        """As JSON, to record and to compare; of a function its hash and the names seen."""
        described: dict[str, Any] = {}
        if self.function:
            described["function"] = {**_fingerprint(self.function), "names": sorted(self.names)}
        else:
            described["parameters"] = {p.name: p.describe() for p in self.parameters}
        if self.constraints:
            described["constraints"] = [constraint.text for constraint in self.constraints]
        if self.valid:
            described["valid"] = _fingerprint(self.valid)
        return described

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"search space {_name(self.function)}()" if self.function else "search space"

    def _suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.active(params):
                params[parameter.name] = parameter.suggest(trial)
        return params

    def _invalid(self, params: Mapping[str, Any]) -> str | None:
        assert self.valid is not None
        try:
            answer = self.valid(dict(params))
        except Exception as error:
            raise SpaceError(
                f"{_name(self.valid)}() raised {type(error).__name__} for {dict(params)!r}: {error}"
            ) from error
        if isinstance(answer, str):
            return answer or f"{_name(self.valid)}() refused it"
        return None if answer is None or answer else f"{_name(self.valid)}() refused it"


def as_space(
    spec: Space | SpaceFunction | Mapping[str, Any],
    constraints: Sequence[str] = (),
    valid: Valid | None = None,
) -> Space:
    """Make a search space from a function, a dict of distributions, or a dict as in study.yaml.

    Args:
        spec: `space(trial) -> dict`; or `{"lr": FloatDistribution(...), ...}` whose values may
            also be written as in study.yaml; or that under the key `parameters`, with `constraints`
            beside it.
        constraints: Further conditions on every configuration, as text.
        valid: Says of a configuration True or None if it may be sent, False or the reason if not.

    Raises:
        SpaceError: the definition is empty or contradicts itself.
    """
    if isinstance(spec, Space):
        if constraints or valid:
            raise SpaceError("this Space has its constraints already: give them to one as_space()")
        return spec
    try:
        conditions = located(constraints, "constraints").items()
        if callable(spec):
            parsed = tuple(_expression(condition, None) for condition in conditions)
            return Space(function=spec, constraints=parsed, valid=valid)
        if not isinstance(spec, Mapping):
            raise SpaceError(
                f"search space {spec!r} is a {type(spec).__name__}: give a function that takes a "
                "trial, or a dict of parameters"
            )
        document = located(spec if "parameters" in spec else {"parameters": spec})
        return _from_document(document, conditions, valid)
    except ConfigError as error:
        raise _as_space_error(error) from None


def load_space(path: str | os.PathLike[str], valid: Valid | None = None) -> Space:
    """Read a search space from a YAML file with `parameters` and, if wanted, `constraints`.

    Raises:
        SpaceError: it cannot be read, or the definition is wrong; with the line.
    """
    try:
        return _from_document(load(path), [], valid)
    except ConfigError as error:
        raise _as_space_error(error) from None


def _from_document(document: Located, further: list[Located], valid: Valid | None) -> Space:
    fields = document.fields("parameters", "constraints")
    if "parameters" not in fields:
        raise document.error("has no 'parameters': add `parameters: ...`")
    written = fields["constraints"].items() if "constraints" in fields else []
    return declared_space(fields["parameters"], [*written, *further], valid)


def declared_space(
    parameters: Located, constraints: Sequence[Located] = (), valid: Valid | None = None
) -> Space:
    """Make a search space from its written form.

    Raises:
        SpaceError: the definition is empty or contradicts itself; with its place.
    """
    try:
        entries = parameters.mapping()
        read: list[Parameter] = []
        for name, entry in entries.items():
            if problem := _bad_name(name):
                raise parameters.error(f"parameter name {name!r} {problem}")
            read.append(_parameter(name, entry, [p.name for p in read], entries))
        if not any(parameter.distribution for parameter in read):
            raise parameters.error("nothing to tune: give a parameter a range or choices")
        conditions = tuple(_expression(constraint, entries) for constraint in constraints)
    except ConfigError as error:
        raise _as_space_error(error) from None
    return Space(None, tuple(read), conditions, valid, names=set(entries))


def _as_space_error(error: ConfigError) -> SpaceError:
    return error if isinstance(error, SpaceError) else SpaceError(str(error))


def _bad_name(name: object) -> str | None:
    if not isinstance(name, str):
        return "is not a text: use names"
    if not name.strip() or not name.isprintable():
        return "is empty or has control characters: use letters, digits, - _ ."
    if len(name) > _MAX_NAME:
        return f"is longer than {_MAX_NAME} characters: shorten it"
    return None


def _parameter(
    name: str, entry: Located, earlier: list[str], all_names: Collection[str]
) -> Parameter:
    value = entry.value
    if isinstance(value, list):
        return _categorical(name, entry, entry)
    if isinstance(value, CategoricalDistribution):
        return _categorical(name, entry, located(value.choices, entry.name))
    if isinstance(value, BaseDistribution):
        return Parameter(name, value)
    if isinstance(value, dict):
        return _from_fields(name, entry, earlier, all_names)
    if not isinstance(value, bool | int | float | str):
        raise entry.error(
            f"{value!r} is no value for a parameter: give a range, choices or a value"
        )
    return Parameter(name, None, constant=value)


def _from_fields(
    name: str, entry: Located, earlier: list[str], all_names: Collection[str]
) -> Parameter:
    fields = entry.fields("type", "low", "high", "log", "step", "choices", "when")
    if "type" in fields:
        kind = fields["type"].one_of("float", "int", "categorical")
    elif "choices" in fields:
        kind = "categorical"
    else:
        raise entry.error("has no type: add `type: float` or `type: int`, or give `choices`")
    when = _when(fields["when"], earlier, all_names) if "when" in fields else None
    if kind == "categorical":
        entry.fields("type", "choices", "when")
        if "choices" not in fields:
            raise entry.error("has no choices: add `choices: [...]`")
        return _categorical(name, entry, fields["choices"], when)
    entry.fields("type", "low", "high", "log", "step", "when")
    return Parameter(name, _numeric(kind, entry, fields), when=when)


def _when(condition: Located, earlier: list[str], all_names: Collection[str]) -> Expression:
    parsed = _expression(condition, all_names)
    for name in sorted(parsed.names - {*earlier}):
        raise condition.error(
            f"{parsed.text!r} needs {name!r}, which is not chosen yet: write {name!r} above"
        )
    return parsed


def _expression(text: Located, names: Collection[str] | None) -> Expression:
    try:
        return Expression.parse(text.string(), names)
    except ConfigError as error:
        raise text.error(str(error)) from None


def _numeric(kind: str, entry: Located, fields: dict[str, Located]) -> BaseDistribution:
    for bound in ("low", "high"):
        if bound not in fields:
            raise entry.error(f"has no {bound}: add `{bound}: ...`")
    log = fields["log"].flag() if "log" in fields else False
    as_number = Located.number if kind == "float" else Located.integer
    low, high = as_number(fields["low"]), as_number(fields["high"])
    step = as_number(fields["step"]) if "step" in fields else None
    if low > high:
        raise entry.error(f"low {low} is above high {high}: exchange them")
    if log and low <= 0:
        raise fields["low"].error(f"{low} has no logarithm: write a low above 0, or drop `log`")
    if step is not None and log:
        raise fields["step"].error("a log scale has no steps: drop `step` or `log`")
    if step is not None and step <= 0:
        raise fields["step"].error(f"{step} is no step: write one above 0")
    if kind == "float":
        return FloatDistribution(low, high, log=log, step=step)
    return IntDistribution(int(low), int(high), log=log, step=int(step or 1))


def _categorical(
    name: str, entry: Located, choices: Located, when: Expression | None = None
) -> Parameter:
    values: list[bool | int | float | str | None] = []
    coded: set[str] = set()
    for choice in choices.items():
        value = choice.plain()
        if not (value is None or isinstance(value, bool | int | float | str)):
            value = _encoded(choice)
            coded.add(value)
        if value in values:
            other = values[values.index(value)]
            raise choice.error(f"{value!r} and {other!r} are the same to Optuna: remove one")
        values.append(value)
    if not values:
        raise entry.error("choices are empty: give at least one")
    written = not isinstance(entry.value, BaseDistribution)
    if written and {bool, str} <= {type(value) for value in values}:
        raise entry.error(
            "choices mix true/false with text: put every choice in quotes ('true', 'off')"
        )
    return Parameter(name, CategoricalDistribution(values), when=when, coded=frozenset(coded))


def _encoded(choice: Located) -> str:
    try:
        return to_json(choice.plain())
    except (TypeError, ValueError) as error:
        raise choice.error(f"{choice.plain()!r} is no choice: {error}") from None


def to_json(value: object) -> str:
    """A choice that Optuna cannot store, as it is stored instead."""
    return json.dumps(value, sort_keys=True)


def _violation(constraint: Expression, params: Mapping[str, Any]) -> str | None:
    try:
        if constraint.holds(params) is not False:
            return None
    except ConfigError as error:
        raise SpaceError(f"constraint: {error}") from error
    values = ", ".join(f"{n}={params[n]!r}" for n in sorted(constraint.names) if n in params)
    return f"constraint {constraint.text!r} does not hold for {values}"


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Suggest a value by the public method of the distribution's type."""
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{distribution!r} of {name!r} is not one of Optuna's three distributions")


def _checked(returned: object, label: str) -> dict[str, Any]:
    if not isinstance(returned, Mapping):
        raise SpaceError(
            f"{label} returned {returned!r}, a {type(returned).__name__}: "
            "return a dict of the parameters for the command line"
        )
    if not returned:
        raise SpaceError(f"{label} returned no parameters: return at least one")
    for name, value in returned.items():
        if problem := _bad_name(name):
            raise SpaceError(f"{label} returned the parameter name {name!r}, which {problem}")
        try:
            to_json(value)
        except (TypeError, ValueError):
            raise SpaceError(
                f"{label} returned {name}={value!r}, a {type(value).__name__}: convert it with "
                "int(), float() or str(), or return a list of such values"
            ) from None
    return dict(returned)


def _so_far(trial: optuna.Trial) -> str:
    names = ", ".join(trial.params)
    return f"choosing {names}" if names else "choosing nothing"


def _describe_distribution(distribution: BaseDistribution) -> dict[str, Any]:
    written = json.loads(optuna.distributions.distribution_to_json(distribution))
    kind = written["name"].removesuffix("Distribution").lower()
    return {"type": kind, **written["attributes"]}


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def _fingerprint(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):  # typed into a shell, compiled, or an object with __call__
        return {"name": _name(function), "source_sha256": None}
    return {"name": _name(function), "source_sha256": hashlib.sha256(source.encode()).hexdigest()}
