"""What a person sees while the tuner works: a panel in a terminal, a table in a notebook, lines
in a pipe."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Protocol

from tune_jobs.core.costs import Costs
from tune_jobs.core.formatting import duration
from tune_jobs.core.html_table import html_table

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class Running:
    """A live run: its latest metric, if it has reported one."""

    name: str
    stopping: bool
    step: int | None
    value: float | None


@dataclass(frozen=True)
class Snapshot:
    """How far a call of ``optimize`` is.

    Args:
        n_trials: Trials to finish; None without such a limit.
        promoted: Runs told of configurations that went on with a larger budget.
        costs: What the study's runs took.
        running: Some of the live runs.
        best: Trial number and values of the best trials (one, or some of the Pareto front).
        elapsed: Seconds since the call began.
    """

    study: str
    n_trials: int | None
    complete: int
    pruned: int
    failed: int
    live: int
    max_parallel: int
    metric: str
    best: tuple[tuple[int, tuple[float, ...]], ...]
    best_params: Mapping[str, Any]
    elapsed: float
    promoted: int = 0
    costs: Costs = field(default_factory=Costs)
    running: tuple[Running, ...] = ()

    @property
    def done(self) -> int:
        """Trials that were told."""
        return self.complete + self.pruned + self.failed

    @property
    def per_minute(self) -> float:
        """Finished trials per minute so far."""
        return 60.0 * self.done / self.elapsed if self.elapsed > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds until ``n_trials`` are done at this rate; None while that cannot be said."""
        if self.n_trials is None or not self.done or not self.elapsed:
            return None
        return max(0.0, (self.n_trials - self.done) * self.elapsed / self.done)

    def counts(self) -> list[tuple[str, str]]:
        """Label and text of every figure, in the order of display."""
        of = f" of {self.n_trials}" if self.n_trials is not None else ""
        rows = [
            ("trials", f"{self.done}{of} done"),
            ("running", f"{self.live} of {self.max_parallel} slots"),
            ("pruned", str(self.pruned)),
            ("failed", str(self.failed)),
            ("rate", f"{self.per_minute:.1f} trials/min"),
            ("elapsed", duration(self.elapsed)),
        ]
        if self.promoted:
            rows.insert(3, ("promoted", str(self.promoted)))
        if self.costs.has_prices:
            used = self.costs.spent + self.costs.committed
            rows.append(("cost", f"{used.money:.4g} with the live runs"))
        if self.eta is not None:
            rows.append(("left", f"about {duration(self.eta)}"))
        if self.best:
            values = "; ".join(
                f"{', '.join(format(v, '.6g') for v in values)} (trial {number})"
                for number, values in self.best
            )
            rows.append((f"best {self.metric}", values))
        return rows

    def line(self) -> str:
        """All figures in one line."""
        return f"{self.study}: " + ", ".join(
            text if label == "trials" else f"{label} {text}" for label, text in self.counts()
        )


class Progress(Protocol):
    """Where progress goes."""

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        """Show how far it is; the snapshot is made only when it is shown."""
        ...

    def say(self, line: str) -> None:
        """Show something that happened once."""
        ...

    def close(self) -> None:
        """Leave the display as it is."""
        ...


class Silent:
    """Shows nothing."""

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        pass

    def say(self, line: str) -> None:
        pass

    def close(self) -> None:
        pass


class Lines:
    """Plain lines, for pipes and logs: one when something changed, at most every few seconds."""

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
    """A panel that is drawn again in place."""

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
    """A table in the cell's output, replaced in place."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        display: Any = import_module("IPython.display")  # IPython is not typed
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


def progress_for(where: bool | Progress, err: IO[str] | None = None) -> Progress:
    """The display that fits the place: notebook, terminal or pipe; False: none."""
    if where is False:
        return Silent()
    if where is not True:
        return where
    if _in_notebook():
        return Notebook()
    out = err or sys.stderr
    return Terminal() if out.isatty() else Lines(out)


def _in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _panel(now: Snapshot) -> RenderableType:
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for label, text in now.counts():
        table.add_row(Text(label, style="dim"), Text(text))
    for name, value in now.best_params.items():
        table.add_row(Text(f"  {name}", style="dim"), Text(str(value)))
    bar = ProgressBar(total=now.n_trials or 1, completed=now.done if now.n_trials else 0, width=48)
    rows = Table.grid()  # a progress bar alone does not end its line
    rows.add_row(bar)
    rows.add_row(table)
    return Panel(rows, title=Text(now.study), title_align="left", expand=False)


def _table(now: Snapshot) -> str:
    """Names and values come from studies: everything is escaped."""
    rows = [
        *now.counts(),
        *((f"best {name}", str(value)) for name, value in now.best_params.items()),
    ]
    share = 0 if not now.n_trials else min(100, round(100 * now.done / now.n_trials))
    return (
        f"<b>{html.escape(now.study)}</b> "
        f"<progress max='100' value='{share}'>{share}%</progress>{html_table(rows)}{_running(now)}"
    )


def _running(now: Snapshot) -> str:
    """The live runs, one below the other."""
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
