"""Work in a background thread, so that a notebook stays responsive."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Background:
    """Work in a thread; keeps the exception that it raises.

    Args:
        work: Function that the thread calls; it is started at once.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tune_jobs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # raised again by `wait`
            self._failure = error

    @property
    def is_alive(self) -> bool:
        """Whether the work has not ended yet."""
        return self._thread.is_alive()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end of the work.

        Args:
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether the work has ended.

        Raises:
            BaseException: What the work raised, at the first call after its end.
        """
        self._thread.join(timeout)
        if self._thread.is_alive():
            return False
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        return True
