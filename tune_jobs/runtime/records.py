"""Records: a run's metrics as lines of JSON.

    {"time": 1763000000.123, "step": 3, "metrics": {"accuracy": 0.91, "loss": "nan"}}

Lines are strict JSON: NaN and infinity are the strings "nan", "inf" and "-inf". Scripts write them,
and may be killed while they do, so decoding never fails: it counts invalid lines and describes the
first.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_LINE = 64 * 1024
"""Maximum size of a line in bytes, without its newline."""

MAX_METRICS = 256
"""Maximum number of metrics in a record."""

MAX_NAME = 256
"""Maximum length of a metric's name in characters."""

MAX_STEP = 2**53
"""Largest absolute value of a step; JSON readers without integers read it exactly, too."""

_NUMBER = re.compile(
    r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[-+]?[0-9]+)?|nan|inf(?:inity)?)", re.IGNORECASE
)
# Control characters, line separators, and surrogates, which UTF-8 cannot encode.
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True)
class Record:
    """Metrics that a run reported at one time.

    Args:
        time: Seconds since the epoch.
        step: Epoch, iteration or the like; None if the script does not report it.
        values: Metrics by name; a value may be NaN or infinite.
    """

    time: float
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Decoded:
    """Result of `decode`.

    Args:
        records: Records of the valid lines.
        bad: Number of invalid lines.
        first_bad: Description of the first invalid line; empty if there is none.
        consumed: Number of bytes that were processed; pass the rest again with what follows it.
    """

    records: list[Record]
    bad: int
    first_bad: str
    consumed: int


def encode(record: Record) -> str:
    """Encode a record as one line, including the newline.

    Raises:
        ValueError: If `decode` would reject the line; the message says why.
    """
    fields: dict[str, object] = {"time": _check_time(record.time)}
    if record.step is not None:
        fields["step"] = _check_step(record.step)
    fields["metrics"] = {
        name: value if math.isfinite(value) else str(value)
        for name, value in _check_values(record.values).items()
    }
    line = _encode_json(fields)
    if len(line.encode("utf-8")) > MAX_LINE:
        raise ValueError(
            f"the record is larger than {MAX_LINE} bytes: report fewer metrics at once"
        )
    return line + "\n"


def decode(data: bytes) -> Decoded:
    """Decode the complete lines of ``data``; an unfinished last line is not consumed."""
    end = data.rfind(b"\n") + 1
    records: list[Record] = []
    bad, first_bad = 0, ""
    for line in data[:end].split(b"\n"):
        if line.strip():
            try:
                records.append(_decode_line(line))
            except ValueError as error:
                bad += 1
                first_bad = first_bad or f"{error}: {line[:80]!r}"
    # Of an unfinished line that is too long, only so much is kept that it remains too long: memory
    # is bounded, and the line counts as invalid once, when its newline arrives.
    consumed = max(end, len(data) - MAX_LINE - 1)
    return Decoded(records, bad, first_bad, consumed)


def number(value: object) -> float:
    """Convert a number, or a string that is a number (``"0.91"``, ``"nan"``), to a float.

    The result for NaN is always the object ``math.nan``, so that equal records compare as equal.

    Raises:
        ValueError: If it is anything else, such as another string, a boolean, None or a list.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{str(value)[:40]!r} ({type(value).__name__}) is not a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"the string {value[:40]!r} is not a number")
    try:
        converted = float(value)
    except OverflowError:
        raise ValueError("the integer is too large for a float") from None
    return math.nan if converted != converted else converted


def check_name(name: object) -> str:
    """Return a metric's name.

    Raises:
        ValueError: If it is empty, too long, or contains control characters.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"invalid metric name {str(name)[:40]!r}: it must be a non-empty string")
    if len(name) > MAX_NAME:
        raise ValueError(
            f"invalid metric name {name[:40]!r}...: it has more than {MAX_NAME} characters"
        )
    if _NOT_IN_NAMES.search(name):
        raise ValueError(f"invalid metric name {name!r}: it contains control characters")
    return name


def leaves(tree: Mapping[Any, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the values in nested mappings by dotted name: ``{"val": {"loss": 1}}``: ``val.loss``.

    Values whose name would be longer than `MAX_NAME` characters are omitted, which also bounds the
    nesting.
    """
    for key, value in tree.items():
        name = prefix + str(key)
        if len(name) > MAX_NAME:
            continue
        if isinstance(value, Mapping):
            yield from leaves(value, name + ".")
        else:
            yield name, value


def _decode_line(line: bytes) -> Record:
    if len(line) > MAX_LINE:
        raise ValueError(f"the line is longer than {MAX_LINE} bytes")
    try:
        fields = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not a JSON object") from None
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    step = fields.get("step")
    return Record(
        time=_check_time(fields.get("time")),
        step=None if step is None else _check_step(step),
        values=_check_values(fields.get("metrics")),
    )


def _check_time(time: object) -> float:
    if isinstance(time, (int, float)) and math.isfinite(number(time)):
        return number(time)
    raise ValueError(f"invalid time {str(time)[:40]!r}: it must be seconds since the epoch")


def _check_step(step: object) -> int:
    value = number(step)
    if not abs(value) <= MAX_STEP or value != math.floor(value):
        raise ValueError(f"invalid step {str(step)[:40]!r}: it must be an integer up to 2**53")
    return int(value)


def _check_values(values: object) -> dict[str, float]:
    if not isinstance(values, Mapping) or not values:
        raise ValueError("metrics must be an object with at least one metric")
    if len(values) > MAX_METRICS:
        raise ValueError(f"{len(values)} metrics in one record: at most {MAX_METRICS} are allowed")
    checked = {}
    for name, value in values.items():
        check_name(name)
        try:
            checked[name] = number(value)
        except ValueError as error:
            raise ValueError(f"metric {name[:40]!r}: {error}") from None
    return checked
