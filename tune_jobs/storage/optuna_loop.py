"""Notice that the thread of ``study.optimize(n_jobs=...)`` was interrupted.

Optuna runs several trials at once in a `ThreadPoolExecutor`. A KeyboardInterrupt, or a SystemExit
that a handler of SIGTERM raises, reaches only the thread that called ``study.optimize``, which then
waits in ``Executor.__exit__`` for the trials; and a second one leaves them behind. The threads of
the trials are told of neither, so they look at the stack of that thread.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from types import FrameType

import optuna
from optuna.study import _optimize


class LoopWatch:
    """Watches the call of ``study.optimize`` that a trial belongs to, from the trial's thread.

    Args:
        study: The study.
    """

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        self._was_running = False
        # With one job at a time, this thread is interrupted itself.
        self._runs_here = self._examine(sys._getframe())[0]

    def is_interrupted(self) -> bool:
        """Return whether the call was interrupted, or left its trials behind."""
        if self._runs_here:
            return False
        running = interrupted = False
        for thread, frame in sys._current_frames().items():
            if thread != threading.get_ident():
                is_loop, is_interrupted = self._examine(frame)
                running, interrupted = running or is_loop, interrupted or is_interrupted
        is_gone = self._was_running and not running
        self._was_running = running
        return interrupted or is_gone

    def _examine(self, frame: FrameType) -> tuple[bool, bool]:
        """Return whether a thread runs the call, and whether it was interrupted there."""
        leaving: object = None
        for caller in _walk(frame):
            if caller.f_code is Executor.__exit__.__code__:
                leaving = caller.f_locals.get("exc_type")
            elif caller.f_code is _optimize._optimize.__code__:
                if caller.f_locals.get("study") is self._study:
                    return True, isinstance(leaving, type) and not issubclass(leaving, Exception)
                leaving = None
        return False, False


def _walk(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
