"""Attempts: one job run of one trial, and the states it goes through.

An attempt's row in the ledger is written before its run is started and after it ended:

    INTENDED ──▶ SUBMITTED ──▶ (PRUNING) ──▶ SUCCEEDED | FAILED | CANCELED | LOST, and told
     (before the     (with the     (before the      (what the run did, in the transaction
      effect)        next turn)     cancel)          that tells Optuna)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tune_jobs.core.formatting import html_table


class AttemptState(StrEnum):
    """Where an attempt is; the life cycle is drawn at the top of this module."""

    INTENDED = "INTENDED"
    SUBMITTED = "SUBMITTED"
    PRUNING = "PRUNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    LOST = "LOST"


@dataclass(frozen=True)
class Attempt:
    """One job run of one trial, as the ledger has it.

    Args:
        name: ``trial-000012-1`` or ``final-1-1``: with the study's uid, the run's identity.
        trial: Trial number; of a final run, the trial whose configuration it trains.
        invocation: What is run (``argv``, ``env``, ``files``), so that it can be submitted again.
        intended, accepted, started, finished, told: Seconds since the epoch; when it was written
            down, taken by the backend, running, over, and told to Optuna.
        shape: What it ran on, where a backend says so.
        cause: Why it ended, in a sentence; empty for a success.
    """

    name: str
    trial: int | None
    attempt: int
    backend: str
    state: AttemptState
    invocation: Mapping[str, Any]
    intended: float
    run_id: str | None = None
    shape: str | None = None
    accepted: float | None = None
    started: float | None = None
    finished: float | None = None
    told: float | None = None
    cause: str | None = None
    exit_code: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of what is run: the same for attempts of the same configuration."""
        what = {key: self.invocation.get(key) for key in ("argv", "env", "files")}
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    def _repr_html_(self) -> str:
        shown = {**run_columns(self), "command line": " ".join(self.invocation.get("argv", ()))}
        return html_table((k.replace("_", " "), str(v)) for k, v in shown.items() if v is not None)

    @property
    def is_final(self) -> bool:
        """Whether this is a final run and not a trial's."""
        return self.name.startswith("final-")


def run_columns(attempt: Attempt | None) -> dict[str, Any]:
    """What a table of trials shows of a trial's last attempt; None for a trial without one."""
    if attempt is None:
        return dict.fromkeys(_COLUMNS)
    seconds = None
    if attempt.started is not None and attempt.finished is not None:
        seconds = attempt.finished - attempt.started
    said = (attempt.name, attempt.state.value, attempt.attempt, attempt.shape, seconds)
    return dict(zip(_COLUMNS, (*said, attempt.cause), strict=True))


_COLUMNS = ("run", "run_state", "run_attempt", "run_shape", "run_seconds", "cause")


def trial_attempt_name(trial: int, attempt: int) -> str:
    """The name of an attempt of a trial; sorts by trial number."""
    return f"trial-{trial:06d}-{attempt}"


def final_attempt_name(final: int, attempt: int) -> str:
    """The name of an attempt of the ``final``-th final run of a study."""
    return f"final-{final}-{attempt}"
