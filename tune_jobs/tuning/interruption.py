"""Ctrl-C ends a call after its turn; a second one, or one during a stall, ends it at once.

SIGTERM does the same in programs that call `interrupt_on_termination`. After `leave_on_termination`
it ends the call as well, but the live runs continue, to be adopted by the next call. A SIGINT that
is ignored when the program starts, as in background jobs of a shell script, remains ignored.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType

_entered: list[Interruption] = []


class Interruption:
    """Handles interruptions while it is entered; outside of the main thread it does nothing.

    Args:
        is_stalled: Whether the call waits for something that may never answer.

    Attributes:
        asked: Whether the end of the call was requested.
        leaves: Whether its live runs are to continue.
    """

    def __init__(self, is_stalled: Callable[[], bool] = lambda: False) -> None:
        self.asked = self.leaves = False
        self._is_stalled = is_stalled
        self._before: object = None

    def __enter__(self) -> Interruption:
        if _in_main_thread():
            _entered.append(self)
            if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
                self._before = signal.signal(signal.SIGINT, lambda *_: self.ask())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not _in_main_thread():
            return
        if self in _entered:
            _entered.remove(self)
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]
            self._before = None

    def ask(self, *, leave: bool = False) -> None:
        """Request the end of the call.

        Args:
            leave: Whether its live runs are to continue.

        Raises:
            KeyboardInterrupt: If the end was requested before, or the turn is stalled.
        """
        at_once = self.asked or self._is_stalled()
        self.asked = True
        self.leaves = self.leaves or leave
        if at_once:
            raise KeyboardInterrupt


def interrupt_on_termination() -> None:
    """Let SIGTERM interrupt this program as Ctrl-C does, unless it inherited it as ignored."""
    if _in_main_thread() and signal.getsignal(signal.SIGTERM) != signal.SIG_IGN:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _entered:
        raise KeyboardInterrupt
    _entered[-1].ask()


def leave_on_termination() -> None:
    """Let SIGTERM end the call of this program, and leave its live runs to the next one."""
    if _in_main_thread():
        signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    if not _entered:
        raise KeyboardInterrupt
    _entered[-1].ask(leave=True)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
