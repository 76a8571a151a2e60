"""Explain why a log has no steps: the names of steps that it has, or the line that is not read."""

from __future__ import annotations

import re

from tune_jobs.runtime.lines import LINE_END, clean, remove_progress
from tune_jobs.runtime.objects import remove_objects
from tune_jobs.runtime.steps import StepFinder

STEP_NAMES = ("epoch", "step", "iteration", "iter", "round", "checkpoint", "update")
_SEARCHED = 1 << 20
_MAX_LINES = 2000
_MAX_QUOTED = 80


def find_step_names(log: bytes) -> tuple[str, ...]:
    """Return the usual names of steps that a log has."""
    return tuple(name for name in STEP_NAMES if _find_line(log, StepFinder(name)) is not None)


def explain_unread_step(log: bytes, step: str) -> str:
    """Return why the values of a log have no steps, and what would give them some.

    Args:
        log: The output, or its end; only the last MiB is searched.
        step: Name of the step, as the study has it.
    """
    log = log[-_SEARCHED:]
    line = _find_line(log, StepFinder(step))
    if line is not None:
        return (
            f"{step!r} is printed, as in {_quote(line)}, but neither in the metric's line nor in a "
            "line before it: print it there"
        )
    names = [name for name in find_step_names(log) if name != step.casefold()]
    if names:
        return f"no step {step!r} is printed; the log has {', '.join(names)}: set step={names[0]!r}"
    line = _find_unread(log, step)
    if line is None:
        return f"no step {step!r} is printed: correct its name, or print it, as in '{step} 3'"
    return (
        f"the step in {_quote(line)} is not read: print it as '{step} 3', or give the metric a "
        r"pattern with the group (?P<step>\d+)"
    )


def _find_line(log: bytes, finder: StepFinder) -> str | None:
    """Return the last line with a step."""
    for start, end in finder.find_lines(log):
        line = clean(log[start:end])
        numbers, rest = remove_objects(line)
        if finder.find(remove_progress(rest), numbers) is not None:
            return line
    return None


def _find_unread(log: bytes, step: str) -> str | None:
    """Return the last line in which a number follows the name in any form."""
    pattern = re.compile(rf"{re.escape(step)}(?!s)[^0-9]{{0,16}}[0-9]", re.IGNORECASE)
    for data in LINE_END.split(log)[: -_MAX_LINES - 1 : -1]:
        line = clean(data)
        if pattern.search(line):
            return line
    return None


def _quote(line: str) -> str:
    shown = "".join(c if c.isprintable() else " " for c in line.strip())
    return repr(shown if len(shown) <= _MAX_QUOTED else shown[:_MAX_QUOTED] + "...")
