"""What is said while a study is tuned: to the log, and to people who look on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tune_jobs.core.snapshot import Progress, Verbosity

logger = logging.getLogger("tune_jobs.tuning")

# Without a handler of the application, warnings would be printed beside the display.
logging.getLogger("tune_jobs").addHandler(logging.NullHandler())


class Messages:
    """Writes each line to the log ``tune_jobs.tuning`` and shows it.

    Args:
        progress: The display; None shows nothing.
        verbosity: What is shown of the messages; all of them are logged.
    """

    def __init__(self, progress: Progress | None = None, verbosity: Verbosity = "normal") -> None:
        self._progress, self._verbosity = progress, verbosity
        shows_trials = bool(getattr(progress, "shows_trials", False))
        self._shows_results = verbosity == "verbose" or (shows_trials and verbosity == "normal")

    def say(self, line: str) -> None:
        """Say what happened."""
        logger.info(line)
        if self._verbosity != "quiet":
            self._show(line)

    def result(self, describe: Callable[[], str]) -> None:
        """Say a result, which a table of the display shows anyway."""
        self._say_lazily(describe, show=self._shows_results)

    def detail(self, describe: Callable[[], str]) -> None:
        """Say what is only shown if everything is to be shown."""
        self._say_lazily(describe, show=self._verbosity == "verbose")

    def _say_lazily(self, describe: Callable[[], str], *, show: bool) -> None:
        if show or logger.isEnabledFor(logging.INFO):
            line = describe()
            logger.info(line)
            if show:
                self._show(line)

    def warn(self, line: str) -> None:
        """Say what a person may have to act on, such as a service that does not answer."""
        logger.warning(line)
        self._show(line)

    def _show(self, line: str) -> None:
        if self._progress is not None:
            self._progress.say(line)
