"""Search spaces as they are written: a function, Optuna's distributions, or the form of study.yaml.

parameters:
  lr: {type: float, low: 1e-5, high: 1e-1, log: true}
  batch_size: [32, 64, 128]
  optimizer: {choices: [adam, sgd]}
  momentum: {type: float, low: 0, high: 0.99, when: optimizer == 'sgd'}
  epochs: 20                             # a constant, which is not tuned
constraints:
  - batch_size * epochs <= 1280          # other configurations are never run
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from numbers import Real
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tune_jobs.errors import ConfigError, SpaceError
from tune_jobs.space.expressions import Expression
from tune_jobs.space.search_space import (
    Parameter,
    Space,
    SpaceFunction,
    Valid,
    find_name_problem,
    to_json,
)
from tune_jobs.space.yaml_source import Located, load, located


def as_space(
    spec: Space | SpaceFunction | Mapping[str, Any],
    constraints: Sequence[str] = (),
    valid: Valid | None = None,
) -> Space:
    """Create a search space from a function, a dict of distributions, or a dict as in study.yaml.

    Args:
        spec: `space(trial) -> dict`; or `{"lr": FloatDistribution(...), ...}`, whose values may
            also be written as in study.yaml; or a dict with that under the key `parameters`, and
            the key `constraints`.
        constraints: Further conditions on every configuration.
        valid: Function that returns True or None for a valid configuration, and False or the
            reason for an invalid one.

    Raises:
        SpaceError: If the definition is empty or contradictory.
    """
    if isinstance(spec, Space):
        if constraints or valid:
            raise SpaceError(
                "this Space already has constraints: pass all of them to one as_space()"
            )
        return spec
    try:
        conditions = located(constraints, "constraints").items()
        if callable(spec):
            parsed = tuple(_parse_expression(condition, None) for condition in conditions)
            return Space(function=spec, constraints=parsed, valid=valid)
        if not isinstance(spec, Mapping):
            raise SpaceError(
                f"search space {spec!r} is a {type(spec).__name__}: pass a function of a trial, "
                "or a dict of parameters"
            )
        _check_no_pairs(spec.get("parameters", spec))
        document = located(spec if "parameters" in spec else {"parameters": spec})
        return _parse_document(document, conditions, valid)
    except ConfigError as error:
        raise _as_space_error(error) from None


def _check_no_pairs(parameters: object) -> None:
    """Refuse pairs of numbers, which other libraries read as ranges, and a list here as choices."""
    for name, value in parameters.items() if isinstance(parameters, Mapping) else ():
        if isinstance(value, tuple) and len(value) == 2 and all(map(_is_number, value)):
            raise SpaceError(
                f"parameter {name!r} is the pair {value}: write FloatDistribution{value} or "
                f"IntDistribution{value} for a range, or {list(value)} for two choices"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def load_space(path: str | os.PathLike[str], valid: Valid | None = None) -> Space:
    """Read a search space from a YAML file with `parameters` and, optionally, `constraints`.

    Raises:
        SpaceError: If the file cannot be read or the definition is invalid; the message names the
            line.
    """
    try:
        return _parse_document(load(path), [], valid)
    except ConfigError as error:
        raise _as_space_error(error) from None


def _parse_document(document: Located, further: list[Located], valid: Valid | None) -> Space:
    fields = document.fields("parameters", "constraints")
    if "parameters" not in fields:
        raise document.error("has no 'parameters': add `parameters: ...`")
    written = fields["constraints"].items() if "constraints" in fields else []
    return declared_space(fields["parameters"], [*written, *further], valid)


def declared_space(
    parameters: Located, constraints: Sequence[Located] = (), valid: Valid | None = None
) -> Space:
    """Create a search space from its definition in YAML.

    Raises:
        SpaceError: If the definition is empty or contradictory; the message names the line.
    """
    try:
        entries = parameters.mapping()
        read: list[Parameter] = []
        for name, entry in entries.items():
            if problem := find_name_problem(name):
                raise parameters.error(f"parameter name {name!r} {problem}")
            read.append(_parse_parameter(name, entry, [p.name for p in read], entries))
        if not any(parameter.distribution for parameter in read):
            raise parameters.error("nothing to tune: give a parameter a range or choices")
        conditions = tuple(_parse_expression(constraint, entries) for constraint in constraints)
    except ConfigError as error:
        raise _as_space_error(error) from None
    return Space(None, tuple(read), conditions, valid, names=set(entries))


def _as_space_error(error: ConfigError) -> SpaceError:
    return error if isinstance(error, SpaceError) else SpaceError(str(error))


def _parse_parameter(
    name: str, entry: Located, earlier: list[str], all_names: Collection[str]
) -> Parameter:
    value = entry.value
    if isinstance(value, list):
        return _parse_categorical(name, entry, entry)
    if isinstance(value, CategoricalDistribution):
        return _parse_categorical(name, entry, located(value.choices, entry.name))
    if isinstance(value, BaseDistribution):
        return Parameter(name, value)
    if isinstance(value, dict):
        return _parse_fields(name, entry, earlier, all_names)
    if value is None:
        raise entry.error("is empty: write a range, choices or a value, or remove it")
    if not isinstance(value, bool | int | float | str):
        raise entry.error(f"invalid parameter {value!r}: write a range, choices or a value")
    return Parameter(name, None, constant=value)


def _parse_fields(
    name: str, entry: Located, earlier: list[str], all_names: Collection[str]
) -> Parameter:
    fields = entry.fields("type", "low", "high", "log", "step", "choices", "when")
    if "type" in fields:
        kind = fields["type"].one_of("float", "int", "categorical")
    elif "choices" in fields:
        kind = "categorical"
    else:
        raise entry.error("has no type: add `type: float`, `type: int` or `choices`")
    when = _parse_when(fields["when"], earlier, all_names) if "when" in fields else None
    if kind == "categorical":
        entry.fields("type", "choices", "when")
        if "choices" not in fields:
            raise entry.error("has no choices: add `choices: [...]`")
        return _parse_categorical(name, entry, fields["choices"], when)
    entry.fields("type", "low", "high", "log", "step", "when")
    return Parameter(name, _parse_numeric(kind, entry, fields), when=when)


def _parse_when(condition: Located, earlier: list[str], all_names: Collection[str]) -> Expression:
    parsed = _parse_expression(condition, all_names)
    for name in sorted(parsed.names - {*earlier}):
        raise condition.error(
            f"{parsed.source!r} needs {name!r}, which is defined below: move {name!r} above"
        )
    return parsed


def _parse_expression(condition: Located, names: Collection[str] | None) -> Expression:
    try:
        return Expression.parse(condition.string(), names, condition.place)
    except ConfigError as error:
        raise condition.error(str(error)) from None


def _parse_numeric(kind: str, entry: Located, fields: dict[str, Located]) -> BaseDistribution:
    for bound in ("low", "high"):
        if bound not in fields:
            raise entry.error(f"has no {bound}: add `{bound}: ...`")
    log = fields["log"].flag() if "log" in fields else False
    as_number = Located.number if kind == "float" else Located.integer
    low, high = as_number(fields["low"]), as_number(fields["high"])
    step = as_number(fields["step"]) if "step" in fields else None
    if low > high:
        raise entry.error(f"low {low} is above high {high}: swap them")
    if log and low <= 0:
        raise fields["low"].error(f"{low} has no logarithm: set low above 0, or remove `log`")
    if step is not None and log:
        raise fields["step"].error("a log scale has no steps: remove `step` or `log`")
    if step is not None and step <= 0:
        raise fields["step"].error(f"invalid step {step}: it must be above 0")
    if kind == "float":
        return FloatDistribution(low, high, log=log, step=step)
    return IntDistribution(int(low), int(high), log=log, step=int(step or 1))


def _parse_categorical(
    name: str, entry: Located, choices: Located, when: Expression | None = None
) -> Parameter:
    values: list[bool | int | float | str | None] = []
    coded: set[str] = set()
    for choice in choices.items():
        value = choice.plain()
        if not (value is None or isinstance(value, bool | int | float | str)):
            value = _encode(choice)
            coded.add(value)
        if value in values:
            other = values[values.index(value)]
            raise choice.error(f"{value!r} and {other!r} are equal to Optuna: remove one")
        values.append(value)
    if not values:
        raise entry.error("choices are empty: add at least one")
    written = not isinstance(entry.value, BaseDistribution)
    if written and {bool, str} <= {type(value) for value in values}:
        raise entry.error("choices mix booleans and strings: quote every choice ('true', 'off')")
    return Parameter(name, CategoricalDistribution(values), when=when, coded=frozenset(coded))


def _encode(choice: Located) -> str:
    try:
        return to_json(choice.plain())
    except (TypeError, ValueError) as error:
        raise choice.error(f"invalid choice {choice.plain()!r}: {error}") from None
