"""Throwaway studies."""

from __future__ import annotations

import logging
import threading

import optuna
import pytest

from tune_jobs.core.scratch import unannounced


def test_studies_of_other_threads_are_announced(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("optuna.storages._in_memory")
    level = logger.level
    logger.addHandler(caplog.handler)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    entered, leave = threading.Event(), threading.Event()

    def mute() -> None:
        with unannounced():
            entered.set()
            leave.wait(60)
            optuna.create_study(study_name="muted")

    thread = threading.Thread(target=mute)
    try:
        with unannounced():
            thread.start()
            assert entered.wait(60)
        optuna.create_study(study_name="announced")
        leave.set()
        thread.join()
    finally:
        leave.set()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logger.removeHandler(caplog.handler)
    messages = {record.getMessage() for record in caplog.records}
    assert messages == {"A new study created in memory with name: announced"}
    assert logger.level == level
