"""Transactions on owners and commands that another process precedes."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from tests.conftest import MakeTuner
from tune_jobs.storage.controls import Controls
from tune_jobs.tuning.session import Session


class Rival:
    """Another process that is faster than this one's next transaction."""

    def __init__(self, engine: Engine) -> None:
        self.is_faster = True

        @event.listens_for(engine, "before_cursor_execute")
        def lose(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            if self.is_faster and not statement.startswith("SELECT"):
                self.is_faster = False
                raise OperationalError(statement, {}, sqlite3.OperationalError("locked"))


def test_a_release_that_loses_a_race_is_repeated(make_tuner: MakeTuner) -> None:
    tuner = make_tuner()
    with Session(tuner.definition) as session:
        session.own()
        assert tuner.owner() is not None
        rival = Rival(session.ledger.engine)
    assert not rival.is_faster
    assert tuner.owner() is None


def test_a_command_that_loses_a_race_is_repeated(engine: Engine) -> None:
    rival = Rival(engine)
    number = Controls(engine, "s").request("pause")
    assert not rival.is_faster
    assert [each.id for each in Controls(engine, "s").read_pending()] == [number]
