"""Connect to the database of a study, which may be restarting or have no free connection."""

from __future__ import annotations

import logging

import optuna
from optuna.storages import BaseStorage
from sqlalchemy.engine import make_url

from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.sqlite_files import create_file

logger = logging.getLogger(__name__)

OPENING_PATIENCE = 60.0
"""Seconds during which a database that does not answer is tried again when it is opened."""


def open_storage(url: str) -> BaseStorage:
    """Open an Optuna storage, and create its tables if they are missing.

    A new SQLite file is private to this user, unless its folder is shared.

    Raises:
        StudyError: If the database cannot be used, or does not answer for `OPENING_PATIENCE`
            seconds.
    """
    where = make_url(url).render_as_string(hide_password=True)
    create_file(url)
    retry = DatabaseRetry(where, logger.warning, patience=OPENING_PATIENCE)
    return retry.call(lambda: optuna.storages.get_storage(url))
