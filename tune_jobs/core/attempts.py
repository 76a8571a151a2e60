"""Attempts: the job runs of a trial, and the states they go through.

The ledger records an attempt before its run is started and again when the run has ended:

    INTENDED ──▶ SUBMITTED ──▶ (PRUNING) ──▶ SUCCEEDED | FAILED | CANCELED | LOST
    (before the    (with the     (before the    (in the transaction that reports
     submission)    next turn)    cancel)        the trial's result to Optuna)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tune_jobs.core.formatting import html_table
from tune_jobs.core.resource_usage import ResourceUsage, usage_columns
from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import StudyError

SIMULATED = "simulated"
"""Name of the backend whose job runs are simulated, with a clock that begins at 0."""


class AttemptState(StrEnum):
    """State of an attempt; the life cycle is drawn at the top of this module."""

    INTENDED = "INTENDED"
    SUBMITTED = "SUBMITTED"
    PRUNING = "PRUNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    LOST = "LOST"


RUNNING = "RUNNING"
"""Stage of an attempt whose script runs, see `Attempt.stage`."""


@dataclass(frozen=True)
class Invocation:
    """What a job run is started with.

    Args:
        argv: Arguments after the entry point.
        env: Environment variables beside the backend's own.
        files: Files to write into the working directory, as UTF-8: relative path to content.
        budget: Value of the promotion's argument, such as the number of epochs; None without
            promotion.
        resume: Names of earlier attempts, the latest first. The run resumes from the checkpoints
            of the first one that left some.
        resources: What the run gets instead of the job's own resources; see the backend.
        key: Of a final run: identifies its configuration and arguments.
    """

    argv: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    budget: int | None = None
    resume: tuple[str, ...] = ()
    resources: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of arguments, environment and files: equal for equal configurations."""
        what = {"argv": self.argv, "env": dict(self.env), "files": dict(self.files)}
        return hashlib.sha256(encode_json(what, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Attempt:
    """One job run of a trial, as the ledger records it.

    Args:
        name: ``trial-000012-1`` or ``final-1-1``: identifies the run within its study.
        trial: Trial number; of a final run, the trial whose configuration it trains.
        attempt: Number of the attempt, from 1.
        invocation: What is run, so that it can be submitted again.
        intended, accepted, started, finished, told: Seconds since the epoch at which the attempt
            was recorded, accepted by the backend, running, over, and reported to Optuna.
        shape: The compute shape it ran on, if the backend has shapes.
        cause: Why it ended, in a sentence; None after a success.
        usage: What it used; None if that is not known.
    """

    name: str
    trial: int | None
    attempt: int
    backend: str
    state: AttemptState
    invocation: Invocation
    intended: float
    run_id: str | None = None
    shape: str | None = None
    accepted: float | None = None
    started: float | None = None
    finished: float | None = None
    told: float | None = None
    cause: str | None = None
    exit_code: int | None = None
    usage: ResourceUsage | None = None

    @property
    def is_final(self) -> bool:
        """Whether this is an attempt of a final run."""
        return self.name.startswith("final-")

    @property
    def is_pruning(self) -> bool:
        """Whether it was decided to stop the run because it is not worth finishing."""
        return self.state == AttemptState.PRUNING

    @property
    def stage(self) -> str:
        """Its state as people see it: a submitted run whose script has started is running."""
        is_running = self.state == AttemptState.SUBMITTED and self.started is not None
        return RUNNING if is_running else self.state.value

    @property
    def ended(self) -> float | None:
        """When it ended, or when its end was told; None before."""
        return self.told if self.finished is None else self.finished

    @property
    def seconds(self) -> float | None:
        """How long its script ran; None until it has ended, or if it never started."""
        if self.started is None or self.finished is None:
            return None
        return max(0.0, self.finished - self.started)

    def _repr_html_(self) -> str:
        shown = {**run_columns(self), "command line": " ".join(self.invocation.argv)}
        return html_table((k.replace("_", " "), str(v)) for k, v in shown.items() if v is not None)


def find_last_event(attempts: Sequence[Attempt]) -> float:
    """Return the last time that attempts record, in seconds since the epoch; 0 without any."""
    times = [(a.intended, a.accepted, a.started, a.told) for a in attempts]
    return max((at for each in times for at in each if at is not None), default=0.0)


_COLUMNS = ("run", "run_state", "run_attempt", "run_shape", "run_seconds", "cause")


def run_columns(attempt: Attempt | None) -> dict[str, Any]:
    """Return the columns of a trial's last attempt; all None for a trial without one."""
    if attempt is None:
        return {**dict.fromkeys(_COLUMNS), **usage_columns(None)}
    values = (attempt.name, attempt.state.value, attempt.attempt, attempt.shape, attempt.seconds)
    columns = zip(_COLUMNS, (*values, attempt.cause), strict=True)
    return {**dict(columns), **usage_columns(attempt.usage)}


def trial_attempt_name(trial: int, attempt: int) -> str:
    """Return the name of an attempt of a trial; names sort by trial number."""
    return f"trial-{trial:06d}-{attempt}"


def final_attempt_name(final: int, attempt: int) -> str:
    """Return the name of an attempt of the ``final``-th final run of a study."""
    return f"final-{final}-{attempt}"


def attempt_name(previous: Attempt, attempt: int) -> str:
    """Return the name of another attempt of the same trial or final run."""
    return f"{previous.name.rpartition('-')[0]}-{attempt}"


def earlier_attempts(name: str) -> tuple[str, ...]:
    """Return the names of the attempts before ``name``, the latest first."""
    stem, _, attempt = name.rpartition("-")
    return tuple(f"{stem}-{n}" for n in range(int(attempt) - 1, 0, -1))


def select_attempt(
    attempts: Sequence[Attempt], wanted: int | str, attempt: int | None = None
) -> Attempt:
    """Return the attempt that a person means.

    Args:
        attempts: All attempts of a study, oldest first.
        wanted: Number of a trial, name of an attempt (``trial-000012-1``, ``final-1-1``), the name
            of a final run (``final-1``), or ``final`` for the last one.
        attempt: Number of the attempt; by default the last one.

    Raises:
        StudyError: If there is none.
    """
    word = str(wanted)
    found = [a for a in attempts if _is_meant(a, word)]
    if not found:
        raise StudyError(
            f"the study has no job run for {word!r}: give a trial number or a name of an attempt "
            "(trial-000012-1, final-1-1)"
        )
    chosen = [a for a in found if attempt is None or a.attempt == attempt]
    if not chosen:
        known = ", ".join(str(a.attempt) for a in found)
        raise StudyError(f"{word} has no attempt {attempt}: it has {known}")
    return chosen[-1]


def _is_meant(attempt: Attempt, word: str) -> bool:
    if attempt.is_final:
        stem = attempt.name.rpartition("-")[0]
        return word in (attempt.name, stem, "final")
    return word == attempt.name or (word.isdecimal() and attempt.trial == int(word))
