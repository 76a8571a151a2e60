"""``tune-jobs check --log``: what would be read from a log that exists already."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from tune_jobs.cli.output import print_result
from tune_jobs.config.study_config import StudyConfig
from tune_jobs.core.job_runs import MetricSources
from tune_jobs.core.objectives import as_metrics
from tune_jobs.errors import ConfigError
from tune_jobs.tuning.log_reading import FoundValue, LogReading, read_log

_CHUNK = 1 << 20
_SHOWN = 5


def add_log_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that read a log instead of running the script."""
    group = parser.add_argument_group(
        "reading a log", "Show what would be read from a log, without running anything."
    )
    group.add_argument("--log", metavar="FILE", help="the log; - reads standard input")
    group.add_argument(
        "--metric", action="append", metavar="NAME", help="metric to read (repeatable)"
    )
    group.add_argument("--step", metavar="NAME", help="name of the step, such as epoch")
    group.add_argument(
        "--pattern",
        action="append",
        metavar="[NAME=]REGEX",
        help="pattern of a metric that its name does not find (repeatable)",
    )


def check_log(options: argparse.Namespace, config: StudyConfig | None) -> int:
    """Print the metrics of a log; return 0 if every one has a value.

    Raises:
        ConfigError: If no metric is given, or the log cannot be read.
    """
    reading = read_log(_read_chunks(options.log), _find_sources(options, config))
    print_result(options, _describe(reading), "\n".join(_format(options.log, reading)))
    return 0 if reading.complete else 1


def _find_sources(options: argparse.Namespace, config: StudyConfig | None) -> MetricSources:
    """Return the metrics that the options name, or else those of the study."""
    names, patterns, step = list(options.metric or []), {}, options.step
    if config is not None:
        metrics = as_metrics(config.options.metric)
        patterns = {
            m.name: m.pattern for m in metrics if m.pattern and (m.name in names or not names)
        }
        names = names or [metric.name for metric in metrics]
        step = step or config.options.step
    if not names:
        raise ConfigError(
            "check --log needs the metric to read: add --metric NAME, or a study.yaml"
        )
    for item in options.pattern or []:
        name, equals, pattern = item.partition("=")
        if equals and name in names:
            patterns[name] = pattern
        elif len(names) == 1:
            patterns[names[0]] = item
        else:
            raise ConfigError(
                f"--pattern {item!r}: with several metrics, write NAME=REGEX with one of the names "
                f"{', '.join(names)}"
            )
    return MetricSources(tuple(dict.fromkeys(names)), patterns, step)


def _read_chunks(log: str) -> Iterator[bytes]:
    try:
        with _open(log) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise ConfigError(f"the log {log} cannot be read: {error.strerror}") from None


def _open(log: str) -> BinaryIO | nullcontext[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if log == "-" else Path(log).open("rb")


def _describe(reading: LogReading) -> dict[str, object]:
    """Return the reading as it is printed as JSON."""
    return {
        "lines": reading.lines,
        "metrics": {
            name: {
                "values": [
                    {"line": found.line, "step": found.step, "value": found.value}
                    for found in values
                ],
                "problem": reading.problems.get(name, ""),
            }
            for name, values in reading.values.items()
        },
        "step_names": list(reading.step_names),
        "step_problem": reading.step_problem,
    }


def _format(log: str, reading: LogReading) -> Iterator[str]:
    yield f"{'standard input' if log == '-' else log}: {reading.lines} lines"
    for name, values in reading.values.items():
        yield ""
        yield f"{name}: {_summarize(values)}"
        if reading.problems.get(name):
            yield f"  {reading.problems[name]}"
        yield from _format_values(values)
    if reading.step_names and any(reading.values.values()):
        steps = " or ".join(f"--step {name}" for name in reading.step_names)
        yield ""
        yield f"The values have no steps; the log has some: add {steps}."
    if reading.step_problem:
        yield ""
        yield f"The values have no steps: {reading.step_problem}."


def _summarize(values: Sequence[FoundValue]) -> str:
    if not values:
        return "not found"
    steps = {found.step for found in values} - {None}
    count = f"{len(values)} value{'s' * (len(values) > 1)}"
    return f"{count}, {len(steps)} step{'s' * (len(steps) != 1)}; the last is {values[-1].value:g}"


def _format_values(values: Sequence[FoundValue]) -> Iterator[str]:
    """Yield a table of the first and the last values."""
    if not values:
        return
    yield f"  {'line':>8}  {'step':>8}  {'value':<12}  text"
    first, last = values[:_SHOWN], values[_SHOWN:][-_SHOWN:]
    for found in first:
        yield _format_value(found)
    if len(values) > 2 * _SHOWN:
        yield f"  {'...':>8}"
    for found in last:
        yield _format_value(found)


def _format_value(found: FoundValue) -> str:
    step = "" if found.step is None else str(found.step)
    text = found.text if len(found.text) <= 80 else found.text[:77] + "..."
    return f"  {found.line:>8}  {step:>8}  {found.value:<12g}  {text}"
