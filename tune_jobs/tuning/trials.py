"""Where the engine gets trials from and where their results go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from tune_jobs.core.events import (
    Committed,
    Finish,
    Finished,
    Intend,
    Intended,
    NotSuggested,
    Report,
    Retry,
)
from tune_jobs.core.promotion import Rung

if TYPE_CHECKING:
    from sqlalchemy import Connection

WriteLedger = Callable[[Sequence[Intended], "Connection | None"], None]
"""Writes the turn's rows of the ledger; gets the open transaction, or None without one."""


class Trials(Protocol):
    """The trials of one call: those of a study, of Optuna's own loop, or a final run.

    Attributes:
        exhausted: Why nothing is left to try, or an empty string.
        has_changes: Whether anything waits for a commit.
    """

    @property
    def exhausted(self) -> str: ...

    @property
    def has_changes(self) -> bool: ...

    def suggest(self) -> int | NotSuggested:
        """Create a trial; return its number, which may change until it is committed."""
        ...

    def promote(self, rung: Rung) -> int:
        """Create a trial that resumes trial ``rung.after``; return its number."""
        ...

    def report(self, report: Report) -> int | None:
        """Report intermediate values; return the step at which the pruner wants to stop."""
        ...

    def finish(self, result: Finish) -> Finished:
        """Take a trial's result; return what it counts as, and the attempts to close with it."""
        ...

    def commit(self, intents: Sequence[Intend | Retry], write: WriteLedger) -> Committed:
        """Make the new attempts and write everything, in one transaction if possible.

        Raises:
            LeaseLost: If another process owns the study.
            StudyError: If the database cannot be written.
        """
        ...

    def attempts_of(self, number: int) -> Sequence[str]:
        """Return the names of a trial's attempts, the latest first."""
        ...

    def take_finished(self) -> Sequence[int]:
        """Return, once, the numbers of the trials finished by the last commit, in order."""
        ...

    def sync(self) -> None:
        """Take over what other processes have changed."""
        ...
