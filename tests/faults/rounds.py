"""One round: a tuner with a fault, tuners without, and a look at what is left."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.findings import find_leftovers, find_problems
from tests.faults.places import Place
from tests.faults.points import Point, read_lines, read_points
from tests.faults.scenarios import TRIALS

LIMIT_SECONDS = 120
"""Seconds after which a forked process is aborted."""


@dataclass(frozen=True)
class Result:
    """Result of a round.

    Args:
        hit: Whether the signal was sent; else the round says nothing.
        problems: What was wrong.
    """

    hit: bool
    problems: list[str]


@dataclass(frozen=True)
class Child:
    """A forked process; ``pipe`` is where it writes what its work returned."""

    pid: int
    pipe: int


def fork(work: Callable[[], Any]) -> Child:
    """Do something in a forked process."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            signal.alarm(LIMIT_SECONDS)
            with os.fdopen(write, "wb") as pipe:
                pipe.write(json.dumps(work()).encode())
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    return Child(pid, read)


def join(child: Child) -> tuple[int, Any]:
    """Wait for a forked process; return its exit code (negative: a signal) and its result."""
    with os.fdopen(child.pipe, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child.pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(answer) if answer else None


def list_points(place: Place) -> list[Point]:
    """Return the points of an undisturbed study, each once, in order.

    Raises:
        AssertionError: If the study fails although nothing is injected.
    """
    join(fork(place.prepare))
    code, modules = join(fork(lambda: _tune_and_list_modules(place)))
    problems = _inspect(place, only_tuners=True)
    assert code == 0, f"an undisturbed tuner ended with {code}"
    assert not problems, f"an undisturbed study is wrong: {problems}"
    for name in modules:  # so that no round spends time on them
        with contextlib.suppress(Exception):  # not every entry of `sys.modules` can be imported
            importlib.import_module(name)
    return list(dict.fromkeys(read_points(place.folder / "passed")))


def _tune_and_list_modules(place: Place) -> list[str]:
    place.tune()
    return sorted(sys.modules)


def play_round(place: Place, point: Point, action: str, second: Point | None = None) -> Result:
    """Inject a fault, tune again until the study is done, and look for problems.

    Args:
        place: A fresh place.
        point: Where the fault is.
        action: ``kill`` or ``suspend``.
        second: Where the next tuner is killed, or its host; None if it is left alone.
    """
    join(fork(place.prepare))
    problems = _suspend(place, point) if action == "suspend" else _kill(place, point)
    hit = bool(list(read_lines(place.folder / "hit")))
    if second is not None:
        problems += _kill(place, second)
    code, _ = join(fork(place.tune))
    if code != 0:
        problems.append(f"the tuner that was left alone ended with {code}")
    roles = {Point.parse(line).role for line in read_lines(place.folder / "hit")}
    only_tuners = action == "kill" and "host" not in roles
    problems += _inspect(place, only_tuners=only_tuners)
    if action == "suspend":  # each of the two was called for as many trials
        problems = [p for p in problems if p != f"there are {2 * TRIALS} trials"]
    return Result(hit, problems)


def _inspect(place: Place, *, only_tuners: bool) -> list[str]:
    _, found = join(fork(lambda: find_problems(place, only_tuners=only_tuners)))
    problems = ["the study could not be read"] if found is None else list(found)
    return problems + find_leftovers(place)


def _kill(place: Place, point: Point) -> list[str]:
    """Kill a tuner or its local host at a point."""
    before = len(list(read_lines(place.folder / "hit")))
    code, _ = join(fork(lambda: place.tune(point)))
    was_hit = len(list(read_lines(place.folder / "hit"))) > before
    if point.role == "tuner":
        expected = -signal.SIGKILL if was_hit else 0
        return [] if code == expected else [f"a tuner ended with {code} instead of {expected}"]
    # A tuner may replace its host, or end with an error that names it.
    return [] if code in (0, 1) else [f"a tuner whose host was killed ended with {code}"]


def _suspend(place: Place, point: Point) -> list[str]:
    """Suspend a tuner at a point, start another one, and let the first continue."""
    first = fork(lambda: place.tune(point, "suspend"))
    _, status = os.waitpid(first.pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        os.close(first.pipe)
        code = os.waitstatus_to_exitcode(status)
        return [] if code == 0 else [f"a tuner that was not suspended ended with {code}"]
    second, _ = join(fork(lambda: place.tune(action="suspend")))
    os.kill(first.pid, signal.SIGCONT)
    code, _ = join(first)
    # One of them tunes to the end; the other is refused, or has lost the study.
    codes = {second, code}
    return [] if 0 in codes and codes <= {0, 1} else [f"two tuners ended with {second} and {code}"]
