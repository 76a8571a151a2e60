"""A display for tests."""

from __future__ import annotations

from collections.abc import Callable

from tune_jobs.core.snapshot import Snapshot


class RecordingDisplay:
    """Display that records what it shows."""

    def __init__(self, *, shows_trials: bool = False) -> None:
        self.shows_trials = shows_trials
        self.lines: list[str] = []

    def update(self, snapshot: Callable[[], Snapshot], *, last: bool = False) -> None:
        if last:
            self.lines.append(snapshot().line())

    def say(self, line: str) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass

    def show(self, word: str) -> list[str]:
        return [line for line in self.lines if word in line]
