"""A thread that says that a database server leaves an operation without an answer.

A server that is down refuses connections, which is retried and said (`retry`). One that is
suspended, or cut off by a network that drops packets, answers nothing: the thread that waits for it
cannot say so.
"""

from __future__ import annotations

import threading

from tune_jobs.storage.retry import DatabaseRetry

SILENCE = 4.0
"""Seconds without an answer after which it is said."""


class StallWatch:
    """Looks at the operations of a `DatabaseRetry` from `start` to `stop`.

    Args:
        retry: The operations.
        interval: Seconds between two looks.
    """

    def __init__(self, retry: DatabaseRetry, interval: float = 1.0) -> None:
        self._retry, self._interval = retry, interval
        self._said: float | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tune_jobs-stall", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; does not wait for it."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(self._interval):
            self.look()

    def look(self) -> None:
        """Say once of an operation that it has been waiting for long."""
        since = self._retry.waiting_since
        if since is None or since == self._said or self._retry.clock() - since < SILENCE:
            return
        self._said = since
        self._retry.notice(
            f"the study's database has not answered for {SILENCE:.0f} s: waiting for it (Ctrl-C "
            "ends the wait)"
        )
