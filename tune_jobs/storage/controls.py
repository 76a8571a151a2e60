"""Commands to the process that tunes a study, as rows that the owner reads and executes.

    pause, resume            start no new trials, or start them again
    stop                     end; live runs are finished or canceled
    cancel                   cancel one trial's run; the trial fails
    set                      change limits: max_parallel, n_trials
    hand_over                end at once and leave the live runs to the next owner

A command is pending until its row is marked as done. If the owner is killed before that, the next
owner executes it.
"""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import Engine, insert, select, update

from tune_jobs.core.commands import Control
from tune_jobs.core.strict_json import encode_json
from tune_jobs.storage.schema import controls


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
        with self._engine.begin() as connection:
            done = connection.execute(insert(controls), row)
            return int(done.inserted_primary_key[0])  # type: ignore[index]

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

    def mark_done(self, *ids: int) -> None:
        """Mark commands as done."""
        if ids:
            with self._engine.begin() as connection:
                connection.execute(
                    update(controls).where(controls.c.id.in_(ids)).values(done=time.time())
                )

    def is_done(self, id: int) -> bool:
        """Return whether a command is done."""
        query = select(controls.c.done).where(controls.c.id == id)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() is not None
