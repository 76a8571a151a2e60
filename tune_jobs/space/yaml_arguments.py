"""Read the arguments of a class from YAML, as its signature declares them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tune_jobs.errors import ConfigError
from tune_jobs.space.yaml_source import Located

Types = Mapping[str, tuple[type, ...]]

_SCALARS: Types = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "None": (type(None),),
}

_READERS: Sequence[tuple[type, Callable[[Located], Any]]] = (
    (float, Located.number),
    (int, Located.integer),
    (bool, Located.flag),
    (str, Located.string),
)
"""How a value of another type is read, which may be an error; the first type counts."""


def argument_types(cls: type[Any]) -> dict[str, tuple[type, ...]]:
    """Return the arguments of a class that YAML can express, with the types that they accept."""
    types: dict[str, tuple[type, ...]] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        annotation = parameter.annotation
        words = str(getattr(annotation, "__name__", annotation)).split(" | ")
        scalars = [word for word in words if word in _SCALARS]
        if any(word != "None" for word in scalars):
            types[name] = tuple(kind for word in scalars for kind in _SCALARS[word])
    return types


def check_required(
    owner: Located, cls: type[Any], given: Mapping[str, Any], types: Types, label: str = ""
) -> None:
    """Check that no argument without a default is missing.

    Args:
        owner: Mapping that the arguments stand in.
        cls: Class that takes them.
        given: Arguments by name.
        types: Arguments that YAML can express.
        label: Name of the class in messages.

    Raises:
        ConfigError: If one is missing; the message names it.
    """
    for name, parameter in inspect.signature(cls).parameters.items():
        if parameter.default is parameter.empty and name in types and name not in given:
            problem = f"has no {name!r}: add `{name}: ...`"
            raise owner.error(f"{label!r} {problem}" if label else problem)


def read_scalar(written: Located, types: tuple[type, ...]) -> Any:
    """Return a scalar of one of these types; a string that contains a number is converted.

    Raises:
        ConfigError: If the value is of another type.
    """
    if type(written.value) in types:
        return written.value
    for kind, read in _READERS:
        if kind in types:
            return read(written)
    raise written.error(f"{written.plain()!r} cannot be written here: remove it")


def read_arguments(written: Located, cls: type[Any]) -> dict[str, Any]:
    """Return the arguments of a class from a mapping.

    Raises:
        ConfigError: If an argument is unknown, missing or of another type.
    """
    types = argument_types(cls)
    given = written.fields(*types)
    check_required(written, cls, given, types)
    return {name: read_scalar(item, types[name]) for name, item in given.items()}


@contextmanager
def at_place(place: str) -> Iterator[None]:
    """Prefix the message of a ConfigError with a place such as ``study.yaml:12``."""
    try:
        yield
    except ConfigError as error:
        raise type(error)(f"{place}: {error}" if place else str(error)) from error
