"""Displays of progress: a panel in a terminal, a table in a notebook, lines in a pipe.

They are for people; the logger ``tune_jobs`` gets the same messages.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from tune_jobs.core.formatting import html_table
from tune_jobs.core.snapshot import Progress, Snapshot, Verbosity

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
    """Display of a table in the output of a notebook cell that is replaced in place."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        display: Any = import_module("IPython.display")  # which has no types
        self._html = display.HTML
        self._clock = clock
        self._due = 0.0
        self._handle = display.display(self._html(""), display_id=True)

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        if not last and self._clock() < self._due:
            return
        self._due = self._clock() + 0.5
        self._handle.update(self._html(_table(snapshot())))

    def say(self, line: str) -> None:
        print(line)

    def close(self) -> None:
        pass


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
    if _is_notebook():
        return Notebook()
    return Terminal() if out.isatty() else Lines(out)


def _is_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


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


def _table(now: Snapshot) -> str:
    """Return HTML in which names and values of the study are escaped."""
    rows = [
        *now.counts(),
        *((f"best {name}", str(value)) for name, value in now.best_params.items()),
    ]
    share = 0 if not now.n_trials else min(100, round(100 * now.done / now.n_trials))
    bar = f"<progress max='100' value='{share}'>{share}%</progress>"
    return f"<b>{html.escape(now.study)}</b> {bar}{html_table(rows)}{_live_runs(now)}"


def _live_runs(now: Snapshot) -> str:
    """Return a table of the live runs as HTML."""
    if not now.running:
        return ""
    rows = [
        (
            run.name,
            ("stopping" if run.stopping else "running")
            + ("" if run.step is None else f", {run.value:.6g} at step {run.step}"),
        )
        for run in now.running
    ]
    return f"<details open><summary>live runs</summary>{html_table(rows)}</details>"
