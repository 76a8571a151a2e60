"""Open studies that exist, and explain why one cannot be opened."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tune_jobs.errors import StudyError, StudyNotFound, TuneJobsError
from tune_jobs.storage.bucket.opening import has_log, is_bucket
from tune_jobs.storage.database_errors import explain_database_error
from tune_jobs.storage.sqlite_files import find_file

_SQLITE_HEADER = b"SQLite format 3"
_SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")


def find_url_problem(storage: str) -> str:
    """Return why a string is not the URL of a database, with the fix; empty if it is one."""
    try:
        make_url(storage)
    except ArgumentError:
        return f"{storage!r} is not the URL of a database: {_propose_url(Path(storage))}"
    return ""


def _propose_url(path: Path) -> str:
    if path.suffix in _SQLITE_SUFFIXES or is_sqlite_file(path):
        return f"write sqlite:///{path}"
    return (
        f"write sqlite:///{path.stem or 'study'}.db or another URL of Optuna's; of a journal file, "
        f"pass Optuna's storage in Python: JournalStorage(JournalFileBackend({str(path)!r}))"
    )


def is_sqlite_file(path: Path) -> bool:
    """Return whether a file is an SQLite database."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER
    except OSError:
        return False


def find_missing_file(storage: str) -> Path | None:
    """Return the file of an SQLite URL if there is none, which opening it would create."""
    path = find_file(storage)
    return None if path is None or is_there(path) else path


def find_missing_database(storage: str) -> str:
    """Return what is missing if there is no database at a URL, where opening it would create one.

    Raises:
        StudyError: If the URL is not valid.
        sqlite3.OperationalError: If a bucket refuses, or does not answer.
    """
    if path := find_missing_file(storage):
        return f"the database {path} does not exist: check the path"
    if is_bucket(storage) and not has_log(storage):
        return f"there is no study in {storage}: check the bucket and the prefix"
    return ""


def is_there(path: Path) -> bool:
    """Return whether a path exists, as far as its folders may be entered."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError:
        return True
    return True


def open_existing_study(
    study_name: str | None,
    storage: str | BaseStorage,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
) -> optuna.Study:
    """Open a study without creating anything.

    Args:
        study_name: Its name; None for the only study of the storage.
        storage: URL of a database, or Optuna's storage.
        sampler, pruner: See `optuna.load_study`.

    Raises:
        StudyError: If its storage cannot be opened, or has no such study; the message has the fix.
    """
    if isinstance(storage, str) and (problem := find_url_problem(storage)):
        raise StudyError(problem)
    try:
        if isinstance(storage, str) and (missing := find_missing_database(storage)):
            raise StudyError(missing)
        return optuna.load_study(
            study_name=study_name, storage=storage, sampler=sampler, pruner=pruner
        )
    except (KeyError, ValueError):
        names = optuna.get_all_study_names(storage)
        known = ", ".join(map(repr, names[:10])) or "no studies"
        if study_name is None and len(names) > 1:
            raise StudyError(f"name one of the storage's studies: {known}") from None
        raise StudyNotFound(f"the storage has no study {study_name!r}; it has: {known}") from None
    except TuneJobsError:
        raise
    except Exception as error:  # each database driver has errors of its own
        url = storage if isinstance(storage, str) else None
        problem = explain_database_error(error, url)
        raise StudyError(f"the storage {_show(storage)} cannot be opened: {problem}") from error


def _show(storage: str | BaseStorage) -> str:
    if isinstance(storage, str):
        return make_url(storage).render_as_string(hide_password=True)
    return repr(storage)
