"""Metrics of runs without a runner, found in what they print, through the Logging service.

One search a poll for all live runs. What is found goes into the metric store, where it would be
had a runner found it: whoever collects knows only one place.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from tune_jobs.backends.data_science.log_search import READ, Line, RunLogs
from tune_jobs.backends.oci_runs.failures import is_transient, refusal
from tune_jobs.core.job_runs import MetricSources, RunState, RunUpdate
from tune_jobs.errors import BackendError
from tune_jobs.metric_store.base import Folder
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import encode

PATIENCE = 60.0
"""Seconds for which a run that has ended may still have lines on their way."""


class LogMetrics:
    """Follows the logs of runs.

    Args:
        logs: Where they are.
        folder: The study's folder in the metric store.
        sources: What to look for.
        interval: Seconds between two searches.
    """

    def __init__(
        self,
        logs: RunLogs,
        folder: Folder,
        sources: MetricSources,
        interval: float,
    ) -> None:
        self._logs, self._folder, self._sources = logs, folder, sources
        self._interval = interval
        self._next = 0.0
        self._extractors: dict[str, Extractor] = {}
        self._texts: dict[str, str] = {}
        self._printed: dict[str, list[str]] = {}
        self._held: dict[str, RunUpdate] = {}

    def follow(self, updates: Collection[RunUpdate]) -> list[RunUpdate]:
        """Take what the runs of a poll printed; the end of a run is held back for its last lines.

        Raises:
            BackendError: the log cannot be searched, and will not be.
        """
        self._held |= {u.name: u for u in updates if u.state.is_terminal}
        live = {u.name: u for u in updates if not u.state.is_terminal}
        changed = self._search({**live, **self._held}) if updates or self._held else set()
        now = time.time()
        due = [n for n, u in self._held.items() if now - (u.finished or 0.0) > PATIENCE]
        over = [self._finish(self._held.pop(name)) for name in due]
        return [*(replace(u, has_metrics=n in changed) for n, u in live.items()), *over]

    def adopt(self, update: RunUpdate) -> RunUpdate:
        """Take over a run that somebody else started: its log is read from its beginning.

        One that has ended is said to be live; its end comes when its log was read.
        """
        self._logs.look_back(update.started or update.finished or time.time())
        if not update.state.is_terminal:
            return update
        self._held[update.name] = update
        return replace(update, state=RunState.IN_PROGRESS, has_metrics=False)

    def _search(self, updates: Mapping[str, RunUpdate]) -> set[str]:
        """Search, if it is time to; returns the names of runs with new metrics."""
        now = time.time()
        names = {u.run_id: name for name, u in updates.items() if u.run_id}
        if now < self._next or not names:
            return set()
        self._next = now + self._interval
        try:
            return self._take(self._logs.read(names.keys(), now), names)
        except Exception as error:
            if is_transient(error):  # the next search looks at the same time again
                return set()
            raise BackendError(str(refusal(error, "searching the log", READ))) from error

    def _take(self, lines: Collection[Line], names: Mapping[str, str]) -> set[str]:
        changed = set()
        for line in lines:
            name = names[line.run_id]
            self._printed.setdefault(name, []).append(line.text)
            extractor = self._extractors.setdefault(name, self._extractor())
            found = extractor.feed(f"{line.text}\n".encode(), line.time)
            if found:
                self._texts[name] = self._texts.get(name, "") + "".join(map(encode, found))
                changed.add(name)
        for name in changed:
            self._folder.write(f"metrics/{name}.jsonl", self._texts[name].encode())
        return changed

    def _finish(self, update: RunUpdate) -> RunUpdate:
        """A run whose log is whole: kept in the store, where its failure is explained from."""
        text = "".join(f"{line}\n" for line in self._printed.pop(update.name, []))
        if text:
            self._folder.write(f"runs/{update.name}/log.txt", text.encode())
        self._extractors.pop(update.name, None)
        self._texts.pop(update.name, None)
        return replace(update, has_metrics=True)

    def _extractor(self) -> Extractor:
        sources = self._sources
        return Extractor(sources.names, patterns=sources.patterns, step=sources.step)
