"""References to the storage of a study, by which another process opens it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from sqlalchemy.engine import URL, make_url

from tune_jobs.errors import StudyError
from tune_jobs.storage.database import unwrap_storage
from tune_jobs.storage.sqlite_files import find_file

_REACHABLE = (
    "use a bucket, `storage: oci://bucket@namespace/prefix`, or a database server such as "
    "`storage: postgresql+psycopg://user@host/database`"
)


@dataclass(frozen=True)
class StorageReference:
    """Storage of a study.

    Args:
        url: Its URL, with the password if it has one.
        options: Arguments of SQLAlchemy's ``create_engine``.
    """

    url: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return make_url(self.url).render_as_string(hide_password=True)

    def open(self) -> BaseStorage:
        """Open the storage."""
        if not self.options:
            return optuna.storages.get_storage(self.url)
        return RDBStorage(self.url, engine_kwargs=dict(self.options))


def refer_to_storage(study: optuna.Study, *, elsewhere: bool) -> StorageReference:
    """Return a reference to the storage of a study.

    Args:
        study: The study.
        elsewhere: Whether a process on another machine is to open it.

    Raises:
        StudyError: If no such process could; the message says which storage to use.
    """
    storage = unwrap_storage(study)
    name = study.study_name
    if isinstance(storage, InMemoryStorage):
        raise _in_memory(name, elsewhere)
    if not isinstance(storage, RDBStorage):
        raise StudyError(
            f"study {name!r} is in {type(storage).__name__}, and a detached controller needs an "
            f"SQL storage: {_REACHABLE if elsewhere else _name_file(name)}"
        )
    url = storage.engine.url
    if url.get_backend_name() == "sqlite":
        shown = url.render_as_string(hide_password=False)
        path = find_file(shown)
        if path is None:
            raise _in_memory(name, elsewhere)
        if elsewhere:
            raise StudyError(
                f"study {name!r} is in the file {path.absolute()}, which a controller on OCI does "
                f"not reach: {_REACHABLE}"
            )
        url = url.set(database=str(path.absolute()))
    if elsewhere and url.drivername == "bucket+file":
        raise StudyError(
            f"study {name!r} is in the folder /{url.database}, which a controller on OCI does not "
            f"reach: {_REACHABLE}"
        )
    options = dict(storage.engine_kwargs)
    if elsewhere:
        check_password(name, url)
        options.pop("connect_args", None)  # of this machine, such as a profile of its user
    return StorageReference(url.render_as_string(hide_password=False), options)


def check_password(name: str, url: URL) -> None:
    """Check that no password would travel with a URL.

    Raises:
        StudyError: If one would.
    """
    if url.password or "password" in url.query:
        raise StudyError(
            f"the URL of the storage of study {name!r} has a password, which would travel in the "
            "controller's job, where anyone who may read the job can read it: use a bucket, "
            "`storage: oci://bucket@namespace/prefix`, or a server that needs no password in the "
            "URL, such as by a password file in the controller's image"
        )


def _in_memory(name: str, elsewhere: bool) -> StudyError:
    fix = _REACHABLE if elsewhere else _name_file(name)
    return StudyError(
        f"study {name!r} is in memory, and ends with this process; a detached controller needs a "
        f"storage that outlives it: {fix}"
    )


def _name_file(name: str) -> str:
    return f"use a file, `storage: sqlite:///{name}.db`, or a database server"
