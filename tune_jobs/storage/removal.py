"""Remove a study from its storage, and from a bucket the database that only it had."""

from __future__ import annotations

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import Engine, delete

from tune_jobs.storage.bucket.opening import is_bucket
from tune_jobs.storage.bucket.removal import remove_database
from tune_jobs.storage.database import unwrap_storage
from tune_jobs.storage.schema import attempts, controllers, controls, owners, studies, usage

_TABLES = (attempts, controls, controllers, owners, usage)


def has_database_alone(study: optuna.Study) -> bool:
    """Return whether a study is the only one in a database in a bucket."""
    storage = unwrap_storage(study)
    if not isinstance(storage, RDBStorage) or not is_bucket(storage.engine.url):
        return False
    return optuna.get_all_study_names(storage) == [study.study_name]


def remove_rows(study: optuna.Study, engine: Engine, uid: str) -> None:
    """Remove the rows of a study, those of tune_jobs first.

    Args:
        study: The study.
        engine: Database of its ledger.
        uid: Its uid.
    """
    with engine.begin() as connection:
        for table in _TABLES:
            connection.execute(delete(table).where(table.c.study == uid))
        connection.execute(delete(studies).where(studies.c.uid == uid))
    optuna.delete_study(study_name=study.study_name, storage=unwrap_storage(study))


def remove_whole_database(study: optuna.Study) -> None:
    """Remove the database in a bucket that only a study had, see `has_database_alone`."""
    storage = unwrap_storage(study)
    assert isinstance(storage, RDBStorage)
    url = storage.engine.url
    storage.engine.dispose()
    remove_database(url, storage.engine_kwargs.get("connect_args") or {})
