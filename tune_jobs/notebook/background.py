"""A tuning in a thread, so that a notebook stays usable."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Background:
    """Work in a thread, with what it raised.

    Args:
        work: What to do.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tune_jobs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # for whoever waits
            self._failure = error

    @property
    def is_alive(self) -> bool:
        """Whether it is not done yet."""
        return self._thread.is_alive()

    def wait(self, timeout: float | None) -> bool:
        """Wait for its end; whether it came within ``timeout`` seconds.

        Raises:
            BaseException: what it raised, once.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return True
