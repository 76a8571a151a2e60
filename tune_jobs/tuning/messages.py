"""What is said while a study is tuned: to the log, and to people who look on."""

from __future__ import annotations

import logging

from tune_jobs.core.snapshot import Progress

logger = logging.getLogger("tune_jobs.tuning")

# Without a handler of the application, warnings would be printed beside the display.
logging.getLogger("tune_jobs").addHandler(logging.NullHandler())


class Messages:
    """Writes each line to the log ``tune_jobs.tuning`` and shows it.

    Args:
        progress: The display; None shows nothing.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress

    def say(self, line: str) -> None:
        """Say what happened."""
        logger.info(line)
        self._show(line)

    def warn(self, line: str) -> None:
        """Say what a person may have to act on, such as a service that does not answer."""
        logger.warning(line)
        self._show(line)

    def _show(self, line: str) -> None:
        if self._progress is not None:
            self._progress.say(line)
