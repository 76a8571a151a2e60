"""What a turn of the tuner changes in a study, and who writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import Engine


@dataclass(frozen=True)
class TrialChange:
    """What changed of a trial that the storage already has."""

    row: int
    trial: FrozenTrial
    params: frozenset[str] = frozenset()
    user_attrs: frozenset[str] = frozenset()
    system_attrs: frozenset[str] = frozenset()
    steps: frozenset[int] = frozenset()
    finished: bool = False


@dataclass(frozen=True)
class Changes:
    """One turn's changes of one study: written whole or not at all."""

    created: Sequence[FrozenTrial] = ()
    changed: Sequence[TrialChange] = field(default=())

    def __bool__(self) -> bool:
        return bool(self.created or self.changed)


class TrialNumberConflict(Exception):
    """Somebody else added trials to the study, so the provisional trial numbers are wrong.

    Without transactions everything but the tuner's own rows is written nevertheless; ``rows`` are
    the created trials then, under their true numbers.
    """

    def __init__(self, rows: Sequence[int] = ()) -> None:
        super().__init__(f"created under other numbers: {list(rows)}")
        self.rows = rows


ExtraWrites = Callable[["Connection | None"], None]
"""The tuner's own rows of the same turn; gets the open transaction, None if there is none."""


class StudyWriter(Protocol):
    """Writes changes of one study; the rows of the created trials come back in order."""

    engine: Engine | None

    def write(self, changes: Changes, also: ExtraWrites) -> list[int]:
        """Write everything, or nothing.

        Raises:
            TrialNumberConflict: a created trial would get another number than it has.
            StudyError: the database cannot be written, or somebody else owns the study.
        """
        ...

    def claim(self, row: int, attempt: str) -> bool:
        """Make a waiting trial a running one; False if somebody else was faster.

        Args:
            row: The trial's id.
            attempt: Its attempt to come, noted on it (`RUN_ATTRIBUTE`): if the tuner is killed
                before its next commit, the next tuner knows whose trial it is.
        """
        ...

    def rows_after(self, row: int) -> list[int]:
        """The trials whose id is greater than ``row``, in order of their number."""
        ...

    def read(self, row: int) -> FrozenTrial:
        """One trial as it is stored now."""
        ...
