"""Commands to the process that tunes a study, as rows that the owner reads and executes.

    pause, resume            start no new trials, or start them again
    stop                     end; live runs are finished or canceled
    cancel                   cancel one trial's run; the trial fails
    set                      change limits: max_parallel, n_trials
    hand_over                end at once and leave the live runs to the next owner

A command is pending until its row is marked as done. If the owner is killed before that, the next
owner executes a ``cancel``; the others were for the owner that is gone, and are void.
"""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import Connection, Engine, insert, select, update

from tune_jobs.core.commands import Control
from tune_jobs.core.strict_json import encode_json
from tune_jobs.storage.retry import write_beside_owner
from tune_jobs.storage.schema import controls, owners


class Controls:
    """The commands to the owner of one study.

    Args:
        engine: The ledger's database.
        study: The study's uid.
    """

    def __init__(self, engine: Engine, study: str) -> None:
        self._engine, self._study = engine, study

    def request(self, command: str, **argument: Any) -> int:
        """Add a command; return its id."""
        row = {
            "study": self._study,
            "command": command,
            "argument": encode_json(argument),
            "issued": time.time(),
        }

        def add(connection: Connection) -> int:
            done = connection.execute(insert(controls), row)
            return int(done.inserted_primary_key[0])  # type: ignore[index]

        return write_beside_owner(self._engine, add)

    def read_pending(self) -> list[Control]:
        """Return the commands that are not done, oldest first."""
        query = (
            select(controls)
            .where(controls.c.study == self._study, controls.c.done.is_(None))
            .order_by(controls.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [Control(r.id, r.command, json.loads(r.argument)) for r in rows]

    def read_last(self) -> str | None:
        """Return the last pause, resume or stop that the owner executed; None if there is none."""
        since = select(owners.c.since).where(owners.c.study == self._study).scalar_subquery()
        query = (
            select(controls.c.command)
            .where(
                controls.c.study == self._study,
                controls.c.command.in_(("pause", "resume", "stop")),
                controls.c.issued >= since,
                controls.c.done.is_not(None),
            )
            .order_by(controls.c.id.desc())
            .limit(1)
        )
        with self._engine.connect() as connection:
            command = connection.execute(query).scalar()
        return None if command is None else str(command)

    def mark_done(self, *ids: int) -> None:
        """Mark commands as done."""
        if ids:
            with self._engine.begin() as connection:
                connection.execute(
                    update(controls).where(controls.c.id.in_(ids)).values(done=time.time())
                )

    def find_command(self, id: int) -> str | None:
        """Return the name of a command to this study; None if there is none with this id."""
        query = select(controls.c.command).where(
            controls.c.id == id, controls.c.study == self._study
        )
        with self._engine.connect() as connection:
            command: str | None = connection.execute(query).scalar()
        return command

    def is_done(self, id: int) -> bool:
        """Return whether a command is done."""
        query = select(controls.c.done).where(controls.c.id == id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() is not None
