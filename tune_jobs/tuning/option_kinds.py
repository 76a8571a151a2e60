"""Kinds of options: which values an option accepts, and how study.yaml writes them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, cast

from tune_jobs.arguments.type_checks import invalid
from tune_jobs.errors import suggest
from tune_jobs.space.yaml_arguments import at_place, read_arguments
from tune_jobs.space.yaml_source import Located

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Kind:
    """Values of an option.

    Args:
        label: Noun phrase for a value, such as "a string".
        check: Takes the option's name and a Python value; raises ConfigError if it is invalid.
        read: Reads a value from study.yaml; None if it cannot be written there.
        yaml: Noun phrase for a value in study.yaml, if it differs from ``label``.
    """

    label: str
    check: Callable[[str, Any], None]
    read: Callable[[Located], Any] | None = None
    yaml: str = ""


def accepting(
    label: str,
    accepts: Callable[[Any], bool],
    read: Callable[[Located], Any] | None = None,
    *,
    yaml: str = "",
) -> Kind:
    """Return the kind of the values that ``accepts`` returns True for."""

    def check(name: str, value: Any) -> None:
        if not accepts(value):
            raise invalid(name, value, label)

    return Kind(label, check, read, yaml)


def integer(at_least: int, *, in_yaml_at_least: int | None = None) -> Kind:
    """Return the kind of integers with a lower bound."""
    lowest = at_least if in_yaml_at_least is None else in_yaml_at_least
    return accepting(
        f"an integer of at least {at_least}",
        lambda value: _is(value, Integral) and value >= at_least,
        lambda written: written.integer(lowest),
        yaml=f"an integer of at least {lowest}",
    )


def number(low: float = -math.inf, high: float = math.inf) -> Kind:
    """Return the kind of real numbers in an interval."""
    label = "a number"
    if high < math.inf:
        label = f"a number from {low:g} to {high:g}"
    elif low > -math.inf:
        label = f"a number of at least {low:g}"

    def read(written: Located) -> float:
        if not low <= (value := written.number()) <= high:
            raise written.error(f"{value:g} is out of range: write {label}")
        return value

    return accepting(label, lambda value: _is(value, Real) and low <= value <= high, read)


def one_of(*choices: str, in_yaml: bool = True) -> Kind:
    """Return the kind of a fixed set of strings."""
    label = f"one of {', '.join(choices)}"

    def check(name: str, value: Any) -> None:
        if value not in choices:
            hint = suggest(value, choices) if isinstance(value, str) else ""
            raise invalid(name, value, f"{label} {hint}".rstrip())

    return Kind(label, check, (lambda written: written.one_of(*choices)) if in_yaml else None)


def instance_of(
    classes: type[Any] | tuple[type[Any], ...],
    label: str,
    read: Callable[[Located], Any] | None = None,
    *,
    yaml: str = "",
) -> Kind:
    """Return the kind of the instances of a class, or of one of several classes."""
    return accepting(label, lambda value: isinstance(value, classes), read, yaml=yaml)


def settings_of(cls: type[Any]) -> Kind:
    """Return the kind of the instances of a class whose arguments YAML can express."""

    def read(written: Located) -> Any:
        arguments = read_arguments(written, cls)
        with at_place(written.place):
            return cls(**arguments)

    label = f"a {cls.__name__}"
    return instance_of(cls, label, read, yaml=f"a mapping of the arguments of `{cls.__name__}`")


def parsed(label: str, parse: Callable[[Any], object], item: Callable[[Located], Any]) -> Kind:
    """Return the kind of the mappings that ``parse`` accepts.

    Args:
        label: Noun phrase for a value.
        parse: Takes a mapping with one item or more; raises ConfigError if it is invalid.
        item: Reads the value of one key from study.yaml.
    """

    def check(name: str, value: Any) -> None:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise invalid(name, value, label)
        parse(value)

    def read(written: Located) -> dict[str, Any]:
        values = {}
        for key, located in written.mapping().items():
            values[key] = item(located)
            with at_place(located.place):
                parse({key: values[key]})
        return values

    return Kind(label, check, read)


def _is(value: object, kind: type[Any]) -> bool:
    """Return whether a value is a number of this kind; True and False are not numbers."""
    return isinstance(value, kind) and not isinstance(value, bool) and value == value


def _is_list_of(value: object, kinds: type[Any] | tuple[type[Any], ...]) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return is_list and all(isinstance(item, kinds) for item in cast(Sequence[Any], value))


def read_strings(written: Located) -> tuple[str, ...]:
    """Read a list of strings.

    Raises:
        ConfigError: If it is not one; the message has its place.
    """
    return tuple(item.string() for item in written.items())


def read_seconds(written: Located) -> float:
    """Read a duration: ``90s``, ``30m``, ``2h``, ``1d``, or a number of seconds.

    Raises:
        ConfigError: If it is not a duration above 0; the message has its place.
    """
    if isinstance(written.value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", written.value.strip(), re.ASCII)
        if found is None:
            raise written.error(
                f"invalid duration {written.value!r}: write 90s, 30m, 2h, 1d, or seconds"
            )
        seconds = float(found[1]) * _SECONDS[found[2]]
    else:
        seconds = written.number()
    if not 0 < seconds < math.inf:
        raise written.error(f"invalid duration {written.value!r}: write one above 0, such as 30m")
    return seconds


STRING = instance_of(str, "a string", Located.string)
STRINGS = accepting("a list of strings", lambda value: _is_list_of(value, str), read_strings)
PATH = instance_of((str, os.PathLike), "a path or a URI", Located.string)
PATHS = accepting(
    "a list of paths", lambda value: _is_list_of(value, (str, os.PathLike)), read_strings
)
SECONDS = accepting(
    "a number of seconds, such as 3600",
    lambda value: _is(value, Real) and value >= 0,
    read_seconds,
    yaml="a duration: seconds, or a number with s, m, h or d",
)
CALLABLE = accepting("a function", callable)
