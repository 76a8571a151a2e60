"""Remove a database from a bucket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL

from tune_jobs.storage.bucket import bases, entries
from tune_jobs.storage.bucket.opening import open_store
from tune_jobs.storage.bucket.requests import Requests


def remove_database(url: URL, options: Mapping[str, Any]) -> int:
    """Remove the log and the bases of a database; return the number of objects.

    The last entry is removed first, so that a removal that was interrupted leaves an earlier state
    of the database, and can be repeated.

    Args:
        url: URL of the database.
        options: ``connect_args`` of its engine.

    Raises:
        StudyError: If the store refuses.
        sqlite3.OperationalError: If it does not answer.
    """
    store = options.get("store") or open_store(
        url, options.get("connection"), options.get("storage_options")
    )
    requests = Requests(store)
    names = [*requests.list(bases.FOLDER), *reversed(requests.list(entries.FOLDER))]
    for name in names:
        requests.delete(name)
    return len(names)
