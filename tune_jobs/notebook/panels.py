"""Displays of progress: a panel in a terminal, a line in a notebook, lines in a pipe.

They are for people; the logger ``tune_jobs`` gets the same messages.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from tune_jobs.core.snapshot import Progress, Snapshot, Verbosity
from tune_jobs.notebook.environment import in_notebook
from tune_jobs.notebook.html import draw_progress

if TYPE_CHECKING:
    from rich.console import RenderableType


class Silent:
    """Display that shows nothing."""

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        pass

    def say(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass


class MessagesOnly:
    """Display that shows messages, but no progress.

    Args:
        out: Where they are printed.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=self._out, flush=True)

    def close(self) -> None:
        pass


class Lines:
    """Display of plain lines, for pipes and files: the progress whenever trials have finished.

    Args:
        out: Where the lines are printed.
        seconds: Least time between two lines of progress.
        clock: Returns seconds.
    """

    shows_trials = True

    def __init__(
        self, out: IO[str], seconds: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._seconds = seconds
        self._clock = clock
        self._due = clock() + 1.0
        self._shown = -1

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        if not last and self._clock() < self._due:
            return
        now = snapshot()
        self._due = self._clock() + self._seconds
        if last or now.done != self._shown:
            self._shown = now.done
            self.say(now.line())

    def say(self, line: str) -> None:
        print(line, file=self._out, flush=True)

    def close(self) -> None:
        pass


class Terminal:
    """Display of a panel on standard error that is redrawn in place."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clock = clock
        self._due = 0.0
        self._live = Live(console=Console(stderr=True), auto_refresh=False)
        self._live.start()

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        if not last and self._clock() < self._due:
            return
        self._due = self._clock() + 0.25
        self._live.update(_panel(snapshot()), refresh=True)

    def say(self, line: str) -> None:
        from rich.text import Text

        self._live.console.print(Text(line))

    def close(self) -> None:
        self._live.stop()


class Notebook:
    """Display of a line with a progress bar in the output of a notebook cell.

    The output is text and HTML and is replaced in place. Messages are printed below it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        display: Any = import_module("IPython.display")  # which has no types
        self._clock = clock
        self._due = 0.0
        self._shown: Snapshot | None = None
        self._has_ended = False
        self._handle = display.display({"text/plain": ""}, raw=True, display_id=True)

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        if not last and self._clock() < self._due:
            return
        self._due = self._clock() + 1.0
        self._shown, self._has_ended = snapshot(), last
        self._show()

    def _show(self, note: str = "") -> None:
        if self._shown is not None:
            line = ", ".join(part for part in (self._shown.line(), note) if part)
            bundle = {"text/plain": line, "text/html": draw_progress(self._shown, note)}
            self._handle.update(bundle, raw=True)

    def say(self, line: str) -> None:
        print(line)

    def close(self) -> None:
        if not self._has_ended:
            self._show("ended early; the next call continues")


def open_progress(
    progress: bool | Progress, out: IO[str] | None = None, verbosity: Verbosity = "normal"
) -> Progress:
    """Return a display for the tuner's options ``progress`` and ``verbosity``.

    Args:
        progress: True for a display that suits the environment: notebook, terminal or pipe; False
            for none; or a display to use.
        out: Where lines are printed; by default standard error.
        verbosity: "quiet" shows no progress.
    """
    if progress is False:
        return Silent()
    if progress is not True:
        return progress
    out = out or sys.stderr
    if verbosity == "quiet":
        return MessagesOnly(out)
    if in_notebook():
        # What runs in the background has a live view.
        in_background = threading.current_thread() is not threading.main_thread()
        return MessagesOnly(out) if in_background else Notebook()
    return Terminal() if out.isatty() else Lines(out)


def _panel(now: Snapshot) -> RenderableType:
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for label, value in now.counts():
        table.add_row(Text(label, style="dim"), Text(value))
    for name, parameter in now.best_params.items():
        table.add_row(Text(f"  {name}", style="dim"), Text(str(parameter)))
    bar = ProgressBar(total=now.n_trials or 1, completed=now.done if now.n_trials else 0, width=48)
    rows = Table.grid()  # without it, the progress bar would not end its line
    rows.add_row(bar)
    rows.add_row(table)
    return Panel(rows, title=Text(now.study), title_align="left", expand=False)
