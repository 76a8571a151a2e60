"""The records of a study's controllers, in its database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, insert, inspect, select, update
from sqlalchemy.exc import IntegrityError

from tune_jobs.core.controllers import PREFIX, ControllerRecord
from tune_jobs.storage.retry import write_beside_owner
from tune_jobs.storage.schema import controllers

_COLUMNS = (
    *("name", "place", "user", "launched", "run_id", "shape", "log", "started", "finished"),
)


class ControllerRows:
    """The controllers of one study.

    Args:
        engine: The ledger's database.
        study: The study's uid.
    """

    def __init__(self, engine: Engine, study: str) -> None:
        self._engine, self._study = engine, study

    def add(
        self, record: ControllerRecord, find_log: Callable[[str], str] = lambda name: ""
    ) -> ControllerRecord:
        """Add a record and return it with the next name that is free.

        Args:
            record: The record.
            find_log: Returns where the log of a controller is, by name.
        """
        while True:
            name = f"{PREFIX}{len(self.read()) + 1}"
            named = replace(record, name=name, log=find_log(name))
            row = {column: getattr(named, column) for column in _COLUMNS}
            added = insert(controllers).values(study=self._study, **row)
            try:
                write_beside_owner(self._engine, lambda connection: connection.execute(added))  # noqa: B023
            except IntegrityError:  # another process has added one
                continue
            return named

    def change(self, name: str, **values: object) -> None:
        """Change columns of a record, such as ``finished``."""
        changed = (
            update(controllers)
            .where(controllers.c.study == self._study, controllers.c.name == name)
            .values(**values)
        )
        write_beside_owner(self._engine, lambda connection: connection.execute(changed))

    def read(self) -> list[ControllerRecord]:
        """Return all records, oldest first."""
        return read_controllers(self._engine, self._study)


def read_controllers(engine: Engine, study: str) -> list[ControllerRecord]:
    """Return the controllers of a study, oldest first; none where no version knew them."""
    if not inspect(engine).has_table(controllers.name):
        return []
    query = select(controllers).where(controllers.c.study == study).order_by(controllers.c.id)
    with engine.connect() as connection:
        rows: Sequence[Any] = connection.execute(query).all()
    return [ControllerRecord(**{c: getattr(row, c) for c in _COLUMNS}) for row in rows]
