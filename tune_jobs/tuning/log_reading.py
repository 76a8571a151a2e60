"""What would be read from a log, without running anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from tune_jobs.core.job_runs import MetricSources
from tune_jobs.errors import ConfigError
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.lines import clean
from tune_jobs.runtime.records import Record
from tune_jobs.runtime.unread import explain_unread
from tune_jobs.tuning.step_hints import explain_unread_step, find_step_names

_TAIL = 1 << 20
_MAX_SHOWN = 160
_MAX_HELD = 2000


@dataclass(frozen=True)
class FoundValue:
    """Value of a metric in a log.

    Args:
        line: Number of the line, from 1.
        step: The step, or None.
        value: The value; may be NaN or infinite.
        text: The line, shortened.
    """

    line: int
    step: int | None
    value: float
    text: str


@dataclass(frozen=True)
class LogReading:
    """Metrics that were read from a log.

    Args:
        lines: Number of lines.
        values: Values by metric, in the order of the log.
        problems: Why nothing was read, by metric; or why a pattern was not searched to the end.
        step_names: Names of steps that the log contains, if no step was requested.
        step_problem: Why no value has a step, if one was requested; empty otherwise.
    """

    lines: int
    values: Mapping[str, tuple[FoundValue, ...]]
    problems: Mapping[str, str]
    step_names: tuple[str, ...] = ()
    step_problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether every metric has a value."""
        return all(self.values.values())


def read_log(chunks: Iterable[bytes], sources: MetricSources) -> LogReading:
    """Read the metrics of a log as they would be read from a run's output.

    Args:
        chunks: The log in pieces.
        sources: Metrics, patterns and step.

    Raises:
        ConfigError: If a name or a pattern is invalid.
    """
    try:
        extractor = Extractor(sources.names, sources.patterns, sources.step)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    values: dict[str, list[FoundValue]] = {name: [] for name in sources.names}
    recent = _RecentLines()
    for line in _split_lines(chunks):
        recent.add(line)
        _add(values, extractor.feed(line, float(recent.count)), recent)
    _add(values, extractor.finish(float(recent.count)), recent)
    tail = bytes(recent.tail)
    problems = {
        name: explain_unread(tail, name, sources.patterns.get(name), sources.step)
        for name, found in values.items()
        if not found
    }
    if extractor.problem:
        problems = {**dict.fromkeys(sources.patterns, extractor.problem), **problems}
    reading = LogReading(recent.count, {n: tuple(v) for n, v in values.items()}, problems)
    if sources.step is None:
        return replace(reading, step_names=find_step_names(tail))
    found = [value for of_metric in values.values() for value in of_metric]
    if not found or any(value.step is not None for value in found):
        return reading
    return replace(reading, step_problem=explain_unread_step(tail, sources.step))


class _RecentLines:
    """The last lines of a log, to quote them and to explain from."""

    def __init__(self) -> None:
        self.count = 0
        self.tail = bytearray()
        self._texts: deque[str] = deque(maxlen=_MAX_HELD)

    def add(self, line: bytes) -> None:
        self.count += 1
        self._texts.append(_shorten(line))
        self.tail += line[:_TAIL]
        if len(self.tail) > 2 * _TAIL:
            del self.tail[:-_TAIL]

    def find(self, number: int) -> str:
        """Return a line by its number; empty if it is too long ago."""
        place = len(self._texts) - 1 - (self.count - number)
        return self._texts[place] if place >= 0 else ""


def _split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines with their ends, progress bars with all redraws; a very long one in pieces."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line + b"\n" for line in lines)
        if len(rest) > _TAIL:
            yield rest
            rest = b""
    if rest:
        yield rest


def _shorten(line: bytes) -> str:
    """Return what a line shows in the end, in printable characters."""
    shown = clean(line.rstrip(b"\r\n").rpartition(b"\r")[2][:4096])
    return "".join(c if c.isprintable() else " " for c in shown).strip()[:_MAX_SHOWN]


def _add(
    values: Mapping[str, list[FoundValue]], records: Iterable[Record], recent: _RecentLines
) -> None:
    """Add records whose time is the number of their line."""
    for record in records:
        number = int(record.time)
        for name, value in record.values.items():
            values[name].append(FoundValue(number, record.step, value, recent.find(number)))
