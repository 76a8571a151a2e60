"""The uid of a study, which ties it to its rows in the ledger and its folder in the metric store.

The uid is a user attribute of the study, so a study that was deleted and created again under the
same name gets another one and never meets the runs of its predecessor.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass

import optuna
from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import IntegrityError

from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import StudyError
from tune_jobs.storage import optuna_tables
from tune_jobs.storage.database import has_relational_storage
from tune_jobs.storage.schema import studies

UID_ATTRIBUTE = "tune_jobs:uid"
"""User attribute of the study."""

_TRIES = 5


@dataclass(frozen=True)
class Registration:
    """A study in the ledger.

    Args:
        uid: Identity of the study.
        store: URI of its metric store.
    """

    uid: str
    store: str


def register_study(study: optuna.Study, engine: Engine, store: str) -> Registration:
    """Register a study in the ledger's database, unless it is registered.

    Processes that do so at the same time get the same registration.

    Raises:
        StudyError: If the rows of the study contradict each other.
    """
    for _ in range(_TRIES):
        with (
            contextlib.suppress(IntegrityError),  # another process was first: read its row
            engine.begin() as connection,
        ):
            return _register(connection, study, store)
    raise StudyError(
        f"study {study.study_name!r} cannot be registered: its attribute {UID_ATTRIBUTE} and the "
        f"table {studies.name} contradict each other"
    )


def _register(connection: Connection, study: optuna.Study, store: str) -> Registration:
    relational = has_relational_storage(study)
    if not relational:
        # Takes SQLite's write lock, so that processes register one after another.
        connection.execute(delete(studies).where(studies.c.uid == ""))
    uid = study.user_attrs.get(UID_ATTRIBUTE)
    query = select(studies.c.store).where(studies.c.uid == uid)
    known = None if uid is None else connection.execute(query).scalar()
    if uid is not None and known is not None:
        return Registration(str(uid), str(known))
    new = str(uid or secrets.token_hex(4))
    row = {"uid": new, "study_name": study.study_name, "store": store, "definition": "{}"}
    connection.execute(insert(studies), row)
    if uid is None and relational:
        # Optuna would overwrite another process's uid; here a unique constraint prevents that.
        attribute = {"study_id": study._study_id, "key": UID_ATTRIBUTE}
        connection.execute(
            insert(optuna_tables.study_attrs), {**attribute, "value_json": encode_json(new)}
        )
    elif uid is None:
        study.set_user_attr(UID_ATTRIBUTE, new)
    return Registration(new, store)
