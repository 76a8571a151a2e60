"""Metrics of runs without a runner, extracted from what they print to the Logging service.

One search per poll covers all live runs. The metrics are written to the metric store, where a
runner would have written them, so that they are read from one place.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tune_jobs.backends.base import Notice
from tune_jobs.backends.data_science.log_search import READ, Line, RunLogs
from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.core.job_runs import MetricSources, RunState, RunUpdate
from tune_jobs.errors import BackendError, StoreError
from tune_jobs.metric_store.base import Folder
from tune_jobs.runtime.backoff import Backoff
from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.oci_answers import Outage, describe_answer
from tune_jobs.runtime.records import Record, encode

PATIENCE = 60.0
"""Seconds for which the lines of an ended run may still arrive."""

STORE_PATIENCE = 600.0
"""Seconds after that for which the store may refuse the log of a run."""


class LogMetrics:
    """Extraction of metrics from the logs of runs.

    Args:
        logs: The logs.
        folder: The study's folder in the metric store.
        sources: What to extract.
        interval: Seconds between two searches.
        notice: Called with what a person should know.
    """

    def __init__(
        self,
        logs: RunLogs,
        folder: Folder,
        sources: MetricSources,
        interval: float,
        notice: Notice = lambda line: None,
    ) -> None:
        self._notice = notice
        self._outage = Outage(time.monotonic, Backoff(first=2.0 * interval, longest=120.0))
        self._logs, self._folder, self._sources = logs, folder, sources
        self._interval = interval
        self._next_search = 0.0
        self._extractors: dict[str, Extractor] = {}
        self._metrics: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}
        self._unsaved: set[str] = set()
        self._ended: dict[str, RunUpdate] = {}

    def follow(self, updates: Collection[RunUpdate]) -> list[RunUpdate]:
        """Extract the metrics that the runs of a poll printed.

        Returns:
            The updates; the end of a run is delayed until its last lines have arrived.

        Raises:
            BackendError: If the service refuses to search the log.
            StoreError: If the store cannot be written for `STORE_PATIENCE` seconds.
        """
        self._ended |= {u.name: u for u in updates if u.state.is_terminal}
        live = {u.name: u for u in updates if not u.state.is_terminal}
        changed = self._search({**live, **self._ended}) if updates or self._ended else set()
        now = time.time()
        due = [u for u in self._ended.values() if now - (u.finished or 0.0) > PATIENCE]
        finished = [update for update in due if self._finish(update, now)]
        return [
            *(replace(u, has_metrics=n in changed) for n, u in live.items()),
            *(replace(u, has_metrics=True) for u in finished),
        ]

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
            lines = self._logs.read(names.keys(), now)
        except Exception as error:
            self._postpone_search(error, now)
            return set()
        self._outage.succeed()
        self._extract(lines, names)
        return self._save()

    def _postpone_search(self, error: Exception, now: float) -> None:
        """Search later, which covers the same time.

        Raises:
            BackendError: If searches have been refused for too long.
        """
        is_new = not self._outage
        pause = self._outage.fail(error)
        if pause is None:
            raise BackendError(str(explain_refusal(error, "searching the log", READ))) from error
        self._next_search = now + pause
        if is_new:
            self._notice(f"the log cannot be searched, retrying: {describe_answer(error)}")

    def _extract(self, lines: Collection[Line], names: Mapping[str, str]) -> None:
        for line in lines:
            name = names[line.run_id]
            self._lines.setdefault(name, []).append(line.message)
            extractor = self._extractors.setdefault(name, self._build_extractor())
            self._add(name, extractor.feed(f"{line.message}\n".encode(), line.time))

    def _add(self, name: str, records: Sequence[Record]) -> None:
        if records:
            self._metrics[name] = self._metrics.get(name, "") + "".join(map(encode, records))
            self._unsaved.add(name)

    def _save(self) -> set[str]:
        """Store new metrics, and return their runs; what the store refuses is saved later."""
        saved = set()
        with contextlib.suppress(StoreError):
            for name in sorted(self._unsaved):
                self._folder.write(f"metrics/{name}.jsonl", self._metrics[name].encode())
                self._unsaved.discard(name)
                saved.add(name)
        return saved

    def _finish(self, update: RunUpdate, now: float) -> bool:
        """Store metrics and log of an ended run; return False if the store refuses them for now."""
        name = update.name
        if name in self._extractors:
            self._add(name, self._extractors[name].finish(update.finished or now))
        log = "".join(f"{line}\n" for line in self._lines.get(name, []))
        try:
            if name in self._unsaved:
                self._folder.write(f"metrics/{name}.jsonl", self._metrics[name].encode())
            if log:
                self._folder.write(f"runs/{name}/log.txt", log.encode())
        except StoreError:
            if now - (update.finished or 0.0) > PATIENCE + STORE_PATIENCE:
                raise
            return False
        self._unsaved.discard(name)
        for kept in (self._ended, self._lines, self._extractors, self._metrics):
            kept.pop(name, None)
        return True

    def _build_extractor(self) -> Extractor:
        sources = self._sources
        return Extractor(sources.names, patterns=sources.patterns, step=sources.step)
