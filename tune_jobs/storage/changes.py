"""What a turn of the tuner changes in a study, and the protocol of its writers.

Trial ids are those of the study's storage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine


@dataclass(frozen=True)
class TrialChange:
    """What changed in a trial that the storage has.

    Args:
        trial: The trial as it is now.
        params, user_attrs, system_attrs, steps: What of it was set.
        finished: Whether it was finished.
    """

    trial_id: int
    trial: FrozenTrial
    params: frozenset[str] = frozenset()
    user_attrs: frozenset[str] = frozenset()
    system_attrs: frozenset[str] = frozenset()
    steps: frozenset[int] = frozenset()
    finished: bool = False


@dataclass(frozen=True)
class Changes:
    """Changes of one turn.

    Args:
        created: Trials that the storage does not have, in the order of their numbers.
        changed: Changes of other trials.
    """

    created: Sequence[FrozenTrial] = ()
    changed: Sequence[TrialChange] = ()

    def __bool__(self) -> bool:
        return bool(self.created or self.changed)


class TrialNumberConflict(Exception):
    """Other processes added trials, so the created trials cannot have their numbers.

    Args:
        trial_ids: The created trials, if the storage has no transactions: everything but the extra
            writes is written then, with the numbers that the storage assigned.
    """

    def __init__(self, trial_ids: Sequence[int] = ()) -> None:
        super().__init__(f"other processes added trials; created under other numbers: {trial_ids}")
        self.trial_ids = trial_ids


ExtraWrites = Callable[["Connection | None"], None]
"""Writes to tables of tune_jobs in the same transaction; None for storages without them."""


class StudyWriter(Protocol):
    """Writes the changes of one study."""

    engine: Engine | None

    def write(self, changes: Changes, extra_writes: ExtraWrites) -> list[int]:
        """Write all changes, or none; return the ids of the created trials in order.

        Raises:
            TrialNumberConflict: If a created trial would get another number than it has.
            StudyError: If the database cannot be written, or another process owns the study.
        """
        ...

    def claim(self, trial_id: int, attempt: str) -> bool:
        """Change the state of a waiting trial to running.

        Args:
            trial_id: The trial.
            attempt: Name of its first attempt, written to `RUN_ATTRIBUTE` at the same time, so
                that the next tuner knows that the trial is the tuner's if this one is killed.

        Returns:
            False if another process was faster.
        """
        ...

    def list_trials_after(self, trial_id: int) -> list[int]:
        """Return the trials with a greater id, in order of their numbers."""
        ...

    def read_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial as it is stored now."""
        ...
