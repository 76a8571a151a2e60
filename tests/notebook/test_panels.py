"""Displays of progress."""

from __future__ import annotations

import io
from dataclasses import replace

from tune_jobs.core.formatting import duration
from tune_jobs.core.snapshot import Snapshot
from tune_jobs.notebook.html import draw_progress
from tune_jobs.notebook.panels import Lines, Silent, _panel, open_progress

NOW = Snapshot(
    study="digits <b>",
    n_trials=40,
    complete=8,
    pruned=1,
    failed=1,
    live=2,
    max_parallel=2,
    metric="accuracy",
    best=((3, (0.9375,)),),
    best_params={"lr": "<script>alert(1)</script>"},
    elapsed=30.0,
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_line_contains_all_figures() -> None:
    assert NOW.line() == (
        "digits <b>: 10 of 40 done, running 2 of 2 slots, pruned 1, failed 1, "
        "rate 20.0 trials/min, elapsed 30s, left about 1m30s, best accuracy 0.9375 (trial 3)"
    )


def test_the_rate_is_that_of_the_time_shown() -> None:
    assert replace(NOW, earlier=5).per_minute == 10.0
    assert "rate" not in replace(NOW, elapsed=None).line()


def test_no_eta_before_the_first_trial() -> None:
    begin = Snapshot("s", 40, 0, 0, 0, 2, 2, "accuracy", (), {}, 0.0)
    assert begin.eta is None
    assert "left" not in begin.line()


def test_lines_are_printed_on_change_and_at_most_every_interval() -> None:
    out, clock = io.StringIO(), Clock()
    lines = Lines(out, seconds=10.0, clock=clock)
    for second in range(60):
        clock.now = float(second)
        lines.update(lambda: NOW)
    assert out.getvalue().count("\n") == 1
    lines.update(lambda: NOW, last=True)
    assert out.getvalue().count("\n") == 2


def test_snapshots_are_made_only_when_shown() -> None:
    clock, made = Clock(), []
    lines = Lines(io.StringIO(), clock=clock)
    for _ in range(100):
        lines.update(lambda: made.append(1) or NOW)  # type: ignore[func-returns-value]
    assert made == []


def test_durations() -> None:
    assert [duration(s) for s in (0, 0.42, 59, 61, 3661)] == ["0s", "0.4s", "59s", "1m01s", "1h01m"]


def test_display_suits_the_environment() -> None:
    assert isinstance(open_progress(False), Silent)
    assert isinstance(open_progress(True, io.StringIO()), Lines)
    given = Silent()
    assert open_progress(given) is given


def test_terminal_panel_shows_the_snapshot() -> None:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, record=True)
    console.print(_panel(NOW))
    text = console.export_text()
    assert any(
        line.startswith("│ trials") and "10 of 40 done" in line for line in text.splitlines()
    )
    assert "0.9375 (trial 3)" in text
    assert "digits <b>" in text


def test_notebook_line_escapes_names_and_values() -> None:
    page = draw_progress(replace(NOW, no_best="<script>", best=()), "ended")
    assert "<script>" not in page
    assert "digits <b>" not in page
    assert "&lt;script&gt;" in page
    assert "10 of 40 done" in page
    assert page.endswith("ended</div>")
