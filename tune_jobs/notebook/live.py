"""The live view of a study in a notebook.

A view is displayed as HTML, which is replaced while the study is tuned, and a widget whose front
end puts a view with buttons in place of that HTML. Without widgets the HTML remains, and is updated
more often. What is saved in the notebook is the HTML, which needs neither scripts nor a kernel.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any
from uuid import uuid4

from tune_jobs.core.formatting import abbreviate
from tune_jobs.notebook.html import draw_state
from tune_jobs.notebook.state import StudyState
from tune_jobs.notebook.widget import can_make_widgets, make_widget, split_state

SECONDS = 1.0
"""Shortest time between two updates."""

SAVED_SECONDS = 15.0
"""Time between two updates of the HTML under a widget, so that a saved notebook has it."""

SHARE = 0.01
"""Largest share of a core that looking at the study may take."""

LONGEST_PAUSE = 30.0
DISPLAYS = 8
"""Displays of a view that are kept up to date: the latest ones."""

Command = Callable[[str, Mapping[str, str]], None]
"""Sends a command with its arguments to the process that tunes the study."""

_COMMANDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "pause": {},
    "resume": {},
    "stop": {"runs": ("finish", "cancel")},
}


class LiveView:
    """A view of a study, which any number of cells display.

    Args:
        look: Returns the study's state; called in a thread of the view.
        send: Sends a command of a button.
        is_awaited: Whether the study will be tuned, or is tuned by this process.
    """

    def __init__(
        self,
        look: Callable[[], StudyState],
        send: Command,
        is_awaited: Callable[[], bool] = lambda: False,
    ) -> None:
        self._look, self._send, self._is_awaited = look, send, is_awaited
        self._host = uuid4().hex[:12]
        self._handles: deque[Any] = deque(maxlen=DISPLAYS)
        self._widget: Any = None
        self._has_view = False
        self._notice = ""
        self._state: StudyState | None = None
        self._shown = ""
        self._saved_at = 0.0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self) -> None:
        """Display the study in the current cell, and follow it while it is tuned."""
        display: Any = import_module("IPython.display")
        state = self._look()
        with self._lock:
            self._state = state
            handle = display.display(self._bundle(state), raw=True, display_id=True)
            if state.is_tuned or self._is_awaited():
                self._handles.append(handle)
                self._follow(state)

    def _follow(self, state: StudyState) -> None:
        if self._widget is None and can_make_widgets():
            self._widget = make_widget(self._host, state)
            self._widget.on_msg(self._receive)
        self._push(state)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="tune_jobs view", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        pause = SECONDS
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            began = time.thread_time()
            state = self._try_look()
            pause = min(LONGEST_PAUSE, max(SECONDS, (time.thread_time() - began) / SHARE))
            with self._lock:
                is_last = not (state.is_tuned or self._is_awaited())
                self._notice = "" if is_last else self._notice
                self._update(state, last=is_last)
                if is_last:
                    self._thread = None
                    return

    def _try_look(self) -> StudyState:
        """Return the state; if the study cannot be read, the last one with the reason."""
        try:
            return self._look()
        except Exception as error:  # of any storage; the view is no reason to stop anything
            assert self._state is not None
            problem = f"the study cannot be read: {type(error).__name__}: {abbreviate(str(error))}"
            return replace(self._state, problems=(problem,))

    def _update(self, state: StudyState, *, last: bool) -> None:
        self._state = state
        self._push(state)
        now = time.monotonic()
        if last or now - self._saved_at >= (SAVED_SECONDS if self._has_view else SECONDS):
            self._saved_at = now
            shown = repr(replace(state, at=0.0))
            if shown != self._shown:
                self._shown = shown
                bundle = self._bundle(state)
                for handle in self._handles:
                    handle.update(bundle, raw=True)

    def _push(self, state: StudyState) -> None:
        """Send what has changed to the widget."""
        if self._widget is not None:
            with self._widget.hold_sync():
                for name, value in split_state(state, self._notice).items():
                    setattr(self._widget, name, value)

    def _bundle(self, state: StudyState) -> dict[str, str]:
        opened = ("runs",) if self._widget is None else tuple(self._widget.opened)
        place = draw_state(state, opened, f"tune-jobs-{self._host}")
        return {"text/plain": state.line(), "text/html": place}

    def _receive(self, _widget: object, content: object, _buffers: object) -> None:
        """Execute a message of the front end."""
        message = content if isinstance(content, dict) else {}
        command = str(message.get("command"))
        if command == "hello":
            self._has_view = True
            return
        known = _COMMANDS.get(command)
        arguments = {name: message.get(name) for name in known or ()}
        if known is None or any(value not in known[name] for name, value in arguments.items()):
            return
        try:
            self._send(command, {name: str(value) for name, value in arguments.items()})
            self._notice = f"{command} requested at {time.strftime('%H:%M:%S')}"
        except Exception as error:  # shown where the button is
            self._notice = abbreviate(str(error))
        self._wake.set()
