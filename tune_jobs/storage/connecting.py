"""Open the database of a study, which may be restarting or have no free connection.

Two processes may open an empty database, or create the same study, at the same moment: one of them
is refused for a moment, and tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url

from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.sqlite_files import create_file

logger = logging.getLogger(__name__)

OPENING_PATIENCE = 60.0
"""Seconds during which a database that does not answer is tried again when it is opened."""


def connect(url: str) -> BaseStorage:
    """Open an Optuna storage, and create its tables if they are missing; try once.

    A new SQLite file is private to this user, unless its folder is shared.
    """
    create_file(url)
    return optuna.storages.get_storage(url)


def open_storage(url: str) -> BaseStorage:
    """Open an Optuna storage as `connect` does, and wait for a database that does not answer.

    Raises:
        StudyError: If the database cannot be used, or does not answer for `OPENING_PATIENCE`
            seconds.
    """
    return _build_retry(url).call(lambda: connect(url))


def open_or_create_study(
    study_name: str,
    storage: BaseStorage,
    url: str,
    directions: Sequence[str],
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
) -> optuna.Study:
    """Open a study, or create it with these directions if it does not exist.

    Args:
        study_name: Its name.
        storage, url: Its storage, opened, and the URL of that.
        directions: ``minimize`` or ``maximize`` for each objective.
        sampler, pruner: See `optuna.create_study`.

    Raises:
        StudyError: See `open_storage`.
    """
    return _build_retry(url).call(
        lambda: optuna.create_study(
            study_name=study_name,
            storage=storage,
            directions=[StudyDirection[name.upper()] for name in directions],
            sampler=sampler,
            pruner=pruner,
            load_if_exists=True,
        )
    )


def _build_retry(url: str) -> DatabaseRetry:
    where = make_url(url).render_as_string(hide_password=True)
    return DatabaseRetry(where, logger.warning, patience=OPENING_PATIENCE)
