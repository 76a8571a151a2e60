"""The JSON that tune_jobs writes: files, attributes, answers and command output.

JSON has no numbers that are not finite, and readers other than Python's reject ``NaN``. In the JSON
written here they are the strings ``"nan"``, ``"inf"`` and ``"-inf"``, as in the records of metrics
(`runtime.records`); `read_number` turns them back into numbers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

_PLAIN = json.JSONEncoder(allow_nan=False)  # built once, as the local host sends many messages

Default = Callable[[Any], Any]
"""Replaces a value that JSON cannot express by one that it can."""


def encode_json(
    value: object,
    *,
    indent: int | None = None,
    sort_keys: bool = False,
    default: Default | None = None,
) -> str:
    """Return strict JSON.

    Args:
        indent: Spaces of each level; None for a single line.
        sort_keys: Whether objects are sorted by key.
        default: See `Default`; without it such values raise TypeError.
    """
    encoder = _PLAIN
    if indent is not None or sort_keys or default is not None:
        encoder = json.JSONEncoder(
            indent=indent, sort_keys=sort_keys, default=default, allow_nan=False
        )
    try:
        return encoder.encode(value)
    except ValueError:  # rare, so that finite values are not copied
        return encoder.encode(replace_nonfinite(value, default))


def encode_exact_json(value: object) -> str:
    """Return sorted JSON from which the same value can be read back.

    Raises:
        TypeError, ValueError: If there is none: a number is not finite, or a type is not JSON's.
    """
    return json.dumps(value, sort_keys=True, allow_nan=False)


def replace_nonfinite(value: Any, default: Default | None = None) -> Any:
    """Return a copy in which numbers that are not finite are strings."""
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(float(value))
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dict):
        return {
            replace_nonfinite(key): replace_nonfinite(item, default) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [replace_nonfinite(item, default) for item in value]
    if default is None:
        raise TypeError(f"{type(value).__name__} is not one of JSON's types")
    return replace_nonfinite(default(value), default)


def read_number(encoded: object) -> float:
    """Return a number that `encode_json` wrote, also one that earlier releases wrote as NaN.

    Raises:
        ValueError: If it is not a number.
    """
    if isinstance(encoded, bool) or not isinstance(encoded, int | float | str):
        raise ValueError(f"{encoded!r} is not a number")
    return float(encoded)


def read_numbers(encoded: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers of an object by key, see `read_number`."""
    return {name: read_number(value) for name, value in encoded.items()}
