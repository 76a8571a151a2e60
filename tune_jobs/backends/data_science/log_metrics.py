"""Metrics of runs without a runner, extracted from what they print to the Logging service.

One search per poll covers all live runs. The metrics are written to the metric store, where a
runner would have written them, so that they are read from one place.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from tune_jobs.backends.data_science.log_search import READ, Line, RunLogs
from tune_jobs.backends.oci_runs.failures import explain_refusal, is_transient
from tune_jobs.core.job_runs import MetricSources, RunState, RunUpdate
from tune_jobs.errors import BackendError
from tune_jobs.metric_store.base import Folder
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import encode

PATIENCE = 60.0
"""Seconds for which the lines of an ended run may still arrive."""


class LogMetrics:
    """Extraction of metrics from the logs of runs.

    Args:
        logs: The logs.
        folder: The study's folder in the metric store.
        sources: What to extract.
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
        self._next_search = 0.0
        self._extractors: dict[str, Extractor] = {}
        self._metrics: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}
        self._ended: dict[str, RunUpdate] = {}

    def follow(self, updates: Collection[RunUpdate]) -> list[RunUpdate]:
        """Extract the metrics that the runs of a poll printed.

        Returns:
            The updates; the end of a run is delayed until its last lines have arrived.

        Raises:
            BackendError: If the service refuses to search the log.
        """
        self._ended |= {u.name: u for u in updates if u.state.is_terminal}
        live = {u.name: u for u in updates if not u.state.is_terminal}
        changed = self._search({**live, **self._ended}) if updates or self._ended else set()
        now = time.time()
        due = [n for n, u in self._ended.items() if now - (u.finished or 0.0) > PATIENCE]
        finished = [self._finish(self._ended.pop(name)) for name in due]
        return [*(replace(u, has_metrics=n in changed) for n, u in live.items()), *finished]

    def adopt(self, update: RunUpdate) -> RunUpdate:
        """Read the log of a run that another service started from its beginning.

        Returns:
            The update. A run that has ended is reported as live, until its log was read.
        """
        self._logs.look_back(update.started or update.finished or time.time())
        if not update.state.is_terminal:
            return update
        self._ended[update.name] = update
        return replace(update, state=RunState.IN_PROGRESS, has_metrics=False)

    def _search(self, updates: Mapping[str, RunUpdate]) -> set[str]:
        """Search if a search is due, and return the names of runs with new metrics."""
        now = time.time()
        names = {u.run_id: name for name, u in updates.items() if u.run_id}
        if now < self._next_search or not names:
            return set()
        self._next_search = now + self._interval
        try:
            return self._extract(self._logs.read(names.keys(), now), names)
        except Exception as error:
            if is_transient(error):  # the next search covers the same time
                return set()
            raise BackendError(str(explain_refusal(error, "searching the log", READ))) from error

    def _extract(self, lines: Collection[Line], names: Mapping[str, str]) -> set[str]:
        changed = set()
        for line in lines:
            name = names[line.run_id]
            self._lines.setdefault(name, []).append(line.message)
            extractor = self._extractors.setdefault(name, self._build_extractor())
            records = extractor.feed(f"{line.message}\n".encode(), line.time)
            if records:
                self._metrics[name] = self._metrics.get(name, "") + "".join(map(encode, records))
                changed.add(name)
        for name in changed:
            self._folder.write(f"metrics/{name}.jsonl", self._metrics[name].encode())
        return changed

    def _finish(self, update: RunUpdate) -> RunUpdate:
        """Store the complete log of a run, from which its failure is explained."""
        log = "".join(f"{line}\n" for line in self._lines.pop(update.name, []))
        if log:
            self._folder.write(f"runs/{update.name}/log.txt", log.encode())
        self._extractors.pop(update.name, None)
        self._metrics.pop(update.name, None)
        return replace(update, has_metrics=True)

    def _build_extractor(self) -> Extractor:
        sources = self._sources
        return Extractor(sources.names, patterns=sources.patterns, step=sources.step)
