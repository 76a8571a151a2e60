"""A run's metrics as text: one JSON object a line, which people can read too.

    {"time": 1763000000.123, "step": 3, "metrics": {"accuracy": 0.91, "loss": "nan"}}

It is strict JSON: what JSON has no number for is the text "nan", "inf" or "-inf". What is read was
written by somebody's script, perhaps by one that was killed while it wrote, so reading never fails:
it says how many lines were bad, and what is wrong with the first of them.

Run side: standard library only, Python 3.8 on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_LINE = 64 * 1024
"""Bytes in a line, without its newline."""

MAX_METRICS = 256
"""Metrics in a record."""

MAX_NAME = 256
"""Characters in a metric's name."""

MAX_STEP = 2**53
"""The largest step; JSON readers that have only floats still read it exactly."""

_NUMBER = re.compile(
    r"[-+]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[-+]?[0-9]+)?|nan|inf(?:inity)?)", re.IGNORECASE
)
# Control characters, line ends, and halves of characters, which UTF-8 cannot say.
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_encode_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True)
class Record:
    """What a run reported at one moment.

    Args:
        time: Seconds since the epoch.
        step: The epoch, iteration or the like, if the script says it.
        values: The metrics by name; a value may be NaN or infinite.
    """

    time: float
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True)
class Decoded:
    """What `decode` read.

    Args:
        records: Of the good lines.
        bad: How many lines were not records.
        first_bad: What is wrong with the first of those; empty if there is none.
        consumed: How many bytes were dealt with; hand in the rest again with what follows it.
    """

    records: list[Record]
    bad: int
    first_bad: str
    consumed: int


def encode(record: Record) -> str:
    """The record as one line, with its newline.

    Raises:
        ValueError: it is one that `decode` would not take; the message says why.
    """
    fields: dict[str, object] = {"time": _checked_time(record.time)}
    if record.step is not None:
        fields["step"] = _checked_step(record.step)
    fields["metrics"] = {
        name: value if math.isfinite(value) else str(value)
        for name, value in _checked_values(record.values).items()
    }
    line = _encode_json(fields)
    if len(line.encode("utf-8")) > MAX_LINE:
        raise ValueError(
            f"the record takes more than {MAX_LINE} bytes: report fewer metrics at once"
        )
    return line + "\n"


def decode(data: bytes) -> Decoded:
    """Read the complete lines of ``data``; an unfinished last line is left for later."""
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
    # Of a line that is too long already, as much is left as keeps it too long: it stays bounded,
    # and is bad once, when its newline comes.
    consumed = max(end, len(data) - MAX_LINE - 1)
    return Decoded(records, bad, first_bad, consumed)


def number(value: object) -> float:
    """A number, or a text that is one and nothing else (``"0.91"``, ``"nan"``), as a float.

    There is only one NaN, ``math.nan``, so that records with the same values are equal.

    Raises:
        ValueError: it is anything else: another text, true or false, null, a list, an object.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{str(value)[:40]!r} ({type(value).__name__}) is not a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"the text {value[:40]!r} is not a number")
    try:
        converted = float(value)
    except OverflowError:
        raise ValueError("a whole number is too large") from None
    return math.nan if converted != converted else converted


def check_name(name: object) -> str:
    """The name, if a metric can be called that.

    Raises:
        ValueError: it is empty, too long, or has control characters; the message says which.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"a metric's name is a text that is not empty, not {str(name)[:40]!r}")
    if len(name) > MAX_NAME:
        raise ValueError(f"a metric's name has more than {MAX_NAME} characters: {name[:40]!r}...")
    if _NOT_IN_NAMES.search(name):
        raise ValueError(f"a metric's name has control characters: {name!r}")
    return name


def leaves(tree: Mapping[Any, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """What nested mappings hold, by dotted name: ``{"val": {"loss": 1}}`` has ``val.loss``.

    What would have a name of more than `MAX_NAME` characters, and so what is nested deeper than
    any name can say, is left out.
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
        raise ValueError(f"a line of more than {MAX_LINE} bytes")
    try:
        fields = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("not a JSON object") from None
    if not isinstance(fields, dict):
        raise ValueError("not a JSON object")
    step = fields.get("step")
    return Record(
        time=_checked_time(fields.get("time")),
        step=None if step is None else _checked_step(step),
        values=_checked_values(fields.get("metrics")),
    )


def _checked_time(time: object) -> float:
    if isinstance(time, (int, float)) and math.isfinite(number(time)):
        return number(time)
    raise ValueError(f"'time' is {str(time)[:40]!r}, not seconds since the epoch")


def _checked_step(step: object) -> int:
    value = number(step)
    if not abs(value) <= MAX_STEP or value != math.floor(value):
        raise ValueError(f"'step' is {str(step)[:40]!r}, not a whole number of at most 2**53")
    return int(value)


def _checked_values(values: object) -> dict[str, float]:
    if not isinstance(values, Mapping) or not values:
        raise ValueError("'metrics' is not an object with at least one metric")
    if len(values) > MAX_METRICS:
        raise ValueError(f"{len(values)} metrics in one record, at most {MAX_METRICS} are allowed")
    checked = {}
    for name, value in values.items():
        check_name(name)
        try:
            checked[name] = number(value)
        except ValueError as error:
            raise ValueError(f"metric {name[:40]!r}: {error}") from None
    return checked
