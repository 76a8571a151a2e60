"""Commands to owners of studies in one database."""

from __future__ import annotations

from sqlalchemy import Engine

from tune_jobs.core.commands import Control
from tune_jobs.storage.controls import Controls


def test_each_owner_reads_the_commands_for_its_study(engine: Engine) -> None:
    first, second = Controls(engine, "first"), Controls(engine, "second")
    pause = first.request("pause")
    cancel = second.request("cancel", trial=3)
    assert first.read_pending() == [Control(pause, "pause", {})]
    assert second.read_pending() == [Control(cancel, "cancel", {"trial": 3})]


def test_a_command_that_is_done_is_not_read_again(engine: Engine) -> None:
    controls = Controls(engine, "s")
    pause, resume = controls.request("pause"), controls.request("resume")
    assert not controls.is_done(pause)
    controls.mark_done(pause)
    assert controls.is_done(pause)
    assert not controls.is_done(resume)
    assert controls.read_pending() == [Control(resume, "resume", {})]
