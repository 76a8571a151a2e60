"""What others ask of whoever tunes a study: rows that the owner reads and does.

    pause, resume            no new trials, or again
    stop                     end: live runs are let finish, or stopped
    cancel                   stop one trial's run; the trial fails
    set                      other limits: max_parallel, n_trials
    hand_over                end at once and leave the live runs to the next owner

A command is done when its row says so: an owner that is killed in between leaves it to the next.
"""

from __future__ import annotations

import json
import time
from typing import Any

from sqlalchemy import Engine, insert, select, update

from tune_jobs.core.commands import Control
from tune_jobs.storage.schema import controls


class Controls:
    """The commands to the owner of one study."""

    def __init__(self, engine: Engine, study: str) -> None:
        self._engine, self._study = engine, study

    def ask(self, command: str, **argument: Any) -> int:
        """Ask the owner for something; returns the command's number."""
        row = {
            "study": self._study,
            "command": command,
            "argument": json.dumps(argument),
            "issued": time.time(),
        }
        with self._engine.begin() as connection:
            done = connection.execute(insert(controls), row)
            return int(done.inserted_primary_key[0])  # type: ignore[index]

    def pending(self) -> list[Control]:
        """What is not done yet, oldest first."""
        query = (
            select(controls)
            .where(controls.c.study == self._study, controls.c.done.is_(None))
            .order_by(controls.c.id)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [Control(r.id, r.command, json.loads(r.argument)) for r in rows]

    def done(self, *ids: int) -> None:
        """Note that these are done."""
        if ids:
            with self._engine.begin() as connection:
                connection.execute(
                    update(controls).where(controls.c.id.in_(ids)).values(done=time.time())
                )

    def is_done(self, number: int) -> bool:
        """Whether a command is done."""
        query = select(controls.c.done).where(controls.c.id == number)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() is not None
