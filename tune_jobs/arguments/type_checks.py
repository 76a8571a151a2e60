"""Check the types of arguments against their annotations, with errors that name the argument."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tune_jobs.errors import ConfigError, suggest

_LONGEST = 60

_NOUNS: Mapping[Any, str] = {
    str: "a string",
    bool: "True or False",
    int: "an integer",
    float: "a number",
    os.PathLike: "a path",
    Callable: "a function",
    type(None): "None",
}


def invalid(name: str, value: object, label: str) -> ConfigError:
    """Return the error for an argument with an invalid value.

    Args:
        name: Name of the argument.
        value: Its value.
        label: Noun phrase for a valid value.
    """
    return ConfigError(f"{name}={shorten(value)}: must be {label}")


def shorten(value: object) -> str:
    """Return the representation of a value, cut to the length that a message can have."""
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


def check_types(annotated: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Check arguments against the annotations of a function, or of a class's attributes.

    Only scalars, paths, mappings, sequences, literals and classes are checked.

    Args:
        annotated: The function or class.
        arguments: Arguments by name; names without an annotation are ignored.

    Raises:
        ConfigError: If one is of another type; the message names it, its value and what is valid.
    """
    hints = _type_hints(annotated)
    for name, value in arguments.items():
        if name in hints:
            _check(name, value, hints[name])


@cache
def _type_hints(annotated: Callable[..., Any]) -> Mapping[str, Any]:
    return get_type_hints(annotated)


def _check(name: str, value: object, hint: Any) -> None:
    if _accepts(hint, value):
        return
    for alternative in _alternatives(hint):
        _check_items(name, value, alternative)
    raise invalid(name, value, _describe(hint, value))


def _check_items(name: str, value: Any, hint: Any) -> None:
    """Raise an error about an item of a mapping or a sequence, if the value is one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Mapping and isinstance(value, Mapping):
        for key, item in value.items():
            _check(f"the key of {name}", key, arguments[0])
            _check(f"{name}[{key!r}]", item, arguments[1])
    if origin is Sequence and _is_list(value):
        for number, item in enumerate(value):
            _check(f"{name}[{number}]", item, arguments[0])


def _accepts(hint: Any, value: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if _is_union(hint):
        return any(_accepts(each, value) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in arguments)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(
            _accepts(arguments[0], key) and _accepts(arguments[1], item)
            for key, item in value.items()
        )
    if origin is Sequence:
        return _is_list(value) and all(_accepts(arguments[0], item) for item in value)
    return _is_instance(value, origin or hint)


def _is_instance(value: object, kind: Any) -> bool:
    if kind is Any:
        return True
    if kind in (int, float):  # True and NaN are no numbers
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool) and value == value
    if kind is Callable or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return kind is not Callable or callable(value)
    return isinstance(value, kind)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if _is_union(hint) else (hint,)


def _describe(hint: Any, value: object) -> str:
    """Return a noun phrase for the values that an annotation accepts."""
    alternatives = _alternatives(hint)
    words = list(dict.fromkeys(_describe_one(each, value) for each in alternatives))
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _describe_one(hint: Any, value: object) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        near = suggest(value, arguments) if isinstance(value, str) else ""
        return f"one of {', '.join(map(repr, arguments))} {near}".rstrip()
    if origin is Mapping:
        return f"a mapping of {_plural(arguments[0])} to {_plural(arguments[1])}"
    if origin is Sequence:
        return f"a list of {_plural(arguments[0])}"
    kind = origin or hint
    name = getattr(kind, "__name__", str(kind))
    return _NOUNS.get(kind, f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}")


def _plural(hint: Any) -> str:
    if hint is Any:
        return "values"
    return " or ".join(_plural_one(each) for each in _alternatives(hint))


def _plural_one(hint: Any) -> str:
    singular = _describe_one(hint, None)
    if singular[:2] == "a " and singular[2:].islower() and " " not in singular[2:]:
        return f"{singular[2:]}s"  # of "a string"; not of "a list of numbers"
    return f"{hint.__name__} objects" if isinstance(hint, type) and hint not in _NOUNS else singular
