"""The log of a job run: as stored, or as a service has it while the run is live."""

from __future__ import annotations

from tune_jobs.backends.base import LogTail
from tune_jobs.core.attempts import Attempt
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.tuning.session import Session


class StoredLog:
    """A log in the metric store, which grows while the run is live."""

    def __init__(self, store: MetricStore, name: str) -> None:
        self._store, self._name = store, name
        self._offset = 0

    def read(self) -> bytes:
        """See `LogTail.read`."""
        data = self._store.log_from(self._name, self._offset)
        self._offset += len(data)
        return data


def open_log(session: Session, attempt: Attempt) -> LogTail:
    """Open the log of an attempt's run.

    An ended run has left its whole log in the store. Otherwise the backend may have it elsewhere,
    such as in OCI Logging.
    """
    stored = attempt.told is not None and session.store.log(attempt.name, 1)
    elsewhere = None if stored else session.spec.backend.log(attempt.name, attempt.run_id)
    return elsewhere or StoredLog(session.store, attempt.name)
