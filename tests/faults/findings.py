"""What is wrong after the last tuner of a round has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from tests.faults.places import MARK, Place
from tune_jobs.core.attempts import Attempt
from tune_jobs.runtime.processes import find_by_environment

LEAVING_SECONDS = 20.0
"""Seconds within which the processes of a round have to leave after its end."""


def find_problems(place: Place, *, only_tuners: bool) -> list[str]:
    """Return what is wrong with the study, its runs and its processes.

    Args:
        place: The round's place.
        only_tuners: Whether only tuners were killed: then every run was adopted.
    """
    tuner = place.make_tuner()
    trials, attempts = tuner.study.trials, tuner.attempts()
    if place.scenario.objective:
        trials = _without_unstarted(trials, attempts)
    found = [
        *place.scenario.find_problems(trials),
        *_compare_values(trials),
        *_compare_runs(place.folder, attempts),
        *_find_open(attempts),
        *_count_ends(trials, attempts),
        *_check_finals(place, attempts),
    ]
    if only_tuners:
        found += _find_abandoned(attempts)
    if tuner.owner() is not None:
        found.append(f"owned by {tuner.owner()}")
    return found


def _without_unstarted(
    trials: Sequence[FrozenTrial], attempts: Sequence[Attempt]
) -> list[FrozenTrial]:
    """Leave out trials whose process was killed after Optuna created them, before it called us.

    They are Optuna's: nothing tells them from the trials of another program that are running.
    """
    known = {a.trial for a in attempts}
    return [
        t
        for t in trials
        if t.params or t.number in known or t.state not in (TrialState.RUNNING, TrialState.WAITING)
    ]


def _compare_values(trials: Sequence[FrozenTrial]) -> Iterator[str]:
    for trial in trials:
        if trial.value != trial.params.get("x"):
            yield f"trial {trial.number} has {trial.value}, its run wrote {trial.params.get('x')}"


def _compare_runs(folder: Path, attempts: Sequence[Attempt]) -> Iterator[str]:
    runs = Counter(path.name.rsplit(".", 1)[0] for path in folder.glob("*-*.*"))
    for name, count in runs.items():
        if count > 1:
            yield f"{name} was run {count} times"
    unknown = set(runs) - {a.name for a in attempts}
    if unknown:
        yield f"runs without an attempt: {sorted(unknown)}"
    for attempt in attempts:
        if attempt.state == "SUCCEEDED" and attempt.name not in runs:
            yield f"{attempt.name} succeeded and was never run"


def _find_open(attempts: Sequence[Attempt]) -> list[str]:
    return [f"{a.name} is open: {a.state}" for a in attempts if a.told is None]


def _count_ends(trials: Sequence[FrozenTrial], attempts: Sequence[Attempt]) -> Iterator[str]:
    """Each value comes from one run that ended; a pruned run may have died with its host."""
    ended = Counter(
        a.trial for a in attempts if a.state in ("SUCCEEDED", "CANCELED") and not a.is_final
    )
    for trial in trials:
        count = ended[trial.number]
        if count > 1 or (count == 0 and trial.state != TrialState.PRUNED):
            yield f"runs of trial {trial.number} ended {count} times"


def _check_finals(place: Place, attempts: Sequence[Attempt]) -> Iterator[str]:
    finals = [a.name for a in attempts if a.is_final and a.state == "SUCCEEDED"]
    if len(finals) != place.scenario.final:
        yield f"final runs that succeeded: {finals}"


def _find_abandoned(attempts: Sequence[Attempt]) -> list[str]:
    """Runs outlive a tuner: each is adopted, so that no configuration needs a second attempt."""
    return [
        f"{a.name} is {a.state}: it was not adopted"
        for a in attempts
        if a.attempt > 1 or a.state not in ("SUCCEEDED", "CANCELED")
    ]


def find_leftovers(place: Place) -> list[str]:
    """Return processes that do not leave, and files that nothing needs."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while (live := find_by_environment(MARK, str(place.folder))) and time.monotonic() < deadline:
        time.sleep(0.05)  # they are not our children: there is nothing to wait for
    left = [f"process {pid} is live" for pid in live]
    return left + [
        f"a temporary file is left: {path.relative_to(place.folder)}"
        for path in place.folder.rglob("*")
        if path.name.endswith((".tmp", ".part")) or path.name.startswith(".tmp")
    ]
