"""Output of a local run that has secrets, which are masked before it is written."""

from __future__ import annotations

import os
import threading
import time
from typing import IO

from tune_jobs.runtime.masking import Masking
from tune_jobs.runtime.regular_files import append
from tune_jobs.runtime.trouble import describe_trouble

PIPE_SECONDS = 5.0
"""Seconds to wait, after a run's end, for the output of processes that it left."""

_RETRY_SECONDS = 1.0


class MaskedOutput:
    """Thread that copies a run's output to its log.

    While the disk is full, it waits, and the run with it as soon as its pipe is full.

    Args:
        pipe: What the run prints.
        log: The log file.
        masking: What is masked in it.
    """

    def __init__(self, pipe: IO[bytes], log: str, masking: Masking) -> None:
        self._pipe, self._log = pipe, log
        self._stream = masking.open_stream()
        self._ended: float | None = None
        self._abandoned = False
        self._thread = threading.Thread(target=self._copy, daemon=True)
        self._thread.start()

    def is_complete(self) -> bool:
        """Return whether everything is written, or what is missing is not waited for any longer.

        To be called after the run has ended.
        """
        now = time.monotonic()
        self._ended = self._ended or now
        if not self._thread.is_alive():
            return True
        self._abandoned = now - self._ended >= PIPE_SECONDS
        return self._abandoned

    def join(self) -> None:
        """Wait until everything is written, as long as `is_complete` does."""
        self._thread.join(PIPE_SECONDS)

    def _copy(self) -> None:
        with self._pipe as pipe:
            while data := os.read(pipe.fileno(), 1 << 16):
                self._write(self._stream.feed(data))
            self._write(self._stream.finish())

    def _write(self, data: bytes) -> None:
        while data and not self._abandoned:
            try:
                return append(self._log, data)
            except OSError as error:
                if not describe_trouble(error):
                    return  # the run's folder was removed, which its end will tell
            time.sleep(_RETRY_SECONDS)
