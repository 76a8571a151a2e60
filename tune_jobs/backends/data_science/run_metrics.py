"""What job runs without the runner use, from OCI Monitoring: one query for each metric and minute,
whatever the number of runs.

The service's metrics of job runs are percentages, a point a minute, with the run's OCID as the
dimension ``resourceId``. Their names are taken from the listing of metrics. What the runs use is
only for people: a service that refuses or does not answer changes nothing else.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.core.resource_usage import GIBIBYTE, ResourceUsage
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import describe_answer, read_answer

NAMESPACE = "oci_datascience_jobrun"

INTERVAL = 60.0
"""Seconds between two queries of a metric: there is a point a minute."""

LONGEST_PAUSE = 900.0
"""Seconds between two queries, at most, while the service does not answer."""

OVERLAP = 300.0
"""Seconds that a query goes back behind the last one, as points arrive late."""

_KINDS: Mapping[str, str] = {
    # what it is: names of the metric, without case
    "cpu": r"cpu_?utilization",
    "memory": r"memory_?utilization",
    "gpu": r"gpu(\.gpu)?_?utilization",
    "gpu_memory": r"gpu(\.)?_?memory_?utilization",
}


@dataclass
class _Series:
    """Points of a metric of a run, each as a share; ``last`` is the time of the last one."""

    values: list[float] = field(default_factory=list)
    last: float = 0.0


class RunMetrics:
    """What the live runs of a study use.

    Args:
        connection: The connection.
        compartment: The compartment of the runs.
        cores, memory_gb: What each run has; None if unknown.
        notice: Called with what a person should know.
        monotonic: Monotonic clock, in seconds.
        now: The service's clock, in seconds since the epoch.
    """

    def __init__(
        self,
        connection: Connection,
        compartment: str,
        cores: float | None,
        memory_gb: float | None,
        notice: Callable[[str], None],
        monotonic: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._connection, self._compartment, self._notice = connection, compartment, notice
        self._cores, self._memory_gb = cores, memory_gb
        self._monotonic, self._now = monotonic, now
        self._names: dict[str, str] = {}
        self._series: dict[str, dict[str, _Series]] = {}  # by OCID and kind
        self._next = monotonic() + INTERVAL
        self._until = now()
        self._pause = INTERVAL
        self._is_refused = False

    def follow(self, updates: Iterable[RunUpdate]) -> list[RunUpdate]:
        """Return the updates of live runs, those of ended runs with what they used."""
        found = list(updates)
        for update in found:
            if update.run_id is not None and update.started is not None:
                self._series.setdefault(update.run_id, defaultdict(_Series))
        if self._series and not self._is_refused and self._monotonic() >= self._next:
            self._ask()
        return [self._add_usage(u) if u.state.is_terminal else u for u in found]

    def _ask(self) -> None:
        now = self._now()
        try:
            self._names = self._names or self._list_names()
            for kind, name in self._names.items():
                self._take(kind, self._query(name, self._until - OVERLAP, now))
        except Exception as error:
            self._postpone(error)
        else:
            self._until, self._pause = now, INTERVAL
        self._next = self._monotonic() + self._pause

    def _postpone(self, error: Exception) -> None:
        meaning = read_answer(error)
        if meaning.is_transient:
            self._pause = min(2.0 * self._pause, LONGEST_PAUSE)
            return
        self._is_refused = True
        self._notice(
            f"what the job runs use is not known: {describe_answer(error)}. It needs "
            f"`{policies.METRICS}`"
        )

    def _list_names(self) -> dict[str, str]:
        """Return the names of the metrics, by kind; empty until the service has some."""
        import oci

        client = self._connection.client(oci.monitoring.MonitoringClient)
        details = oci.monitoring.models.ListMetricsDetails(namespace=NAMESPACE, group_by=["name"])
        names = {
            str(metric.name) for metric in client.list_metrics(self._compartment, details).data
        }
        return {
            kind: name
            for kind, pattern in _KINDS.items()
            for name in sorted(names)
            if re.fullmatch(pattern, name, re.IGNORECASE)
        }

    def _query(self, name: str, start: float, end: float) -> Any:
        import oci

        client = self._connection.client(oci.monitoring.MonitoringClient)
        details = oci.monitoring.models.SummarizeMetricsDataDetails(
            namespace=NAMESPACE,
            query=f"{name}[1m].groupBy(resourceId).mean()",
            start_time=datetime.fromtimestamp(start, UTC),
            end_time=datetime.fromtimestamp(end, UTC),
        )
        return client.summarize_metrics_data(self._compartment, details).data

    def _take(self, kind: str, metrics: Any) -> None:
        for metric in metrics:
            known = self._series.get(str((metric.dimensions or {}).get("resourceId")))
            if known is None:
                continue
            series = known[kind]
            for point in metric.aggregated_datapoints or ():
                at = point.timestamp.timestamp()
                if at > series.last and point.value is not None and 0 <= point.value <= 100:
                    series.values.append(float(point.value) / 100.0)
                    series.last = at

    def _add_usage(self, update: RunUpdate) -> RunUpdate:
        series = self._series.pop(str(update.run_id), {})
        known = {kind: each.values for kind, each in series.items() if each.values}
        if not known:
            return update
        cpu, gpu = known.get("cpu"), known.get("gpu")
        memory = known.get("memory")
        limit = None if self._memory_gb is None else self._memory_gb * GIBIBYTE
        peak = None if memory is None or limit is None else max(memory) * limit
        usage = ResourceUsage(
            seconds=60.0 * max(map(len, known.values())),
            cores=self._cores,
            cpu_mean=None if cpu is None else sum(cpu) / len(cpu),
            cpu_p95=None if cpu is None else sorted(cpu)[math.ceil(0.95 * len(cpu)) - 1],
            cpu_peak=None if cpu is None else max(cpu),
            memory_limit=limit,
            memory_peak=peak,
            gpu_mean=None if gpu is None else sum(gpu) / len(gpu),
            gpu_peak=None if gpu is None else max(gpu),
            source="service",
        )
        return replace(update, usage=usage)


def find_size(infrastructure: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the cores and the GB of memory of a job's runs; None for a fixed shape.

    Args:
        infrastructure: The job's, as the REST API spells it.
    """
    size = infrastructure.get("jobShapeConfigDetails") or {}
    per_ocpu = 1.0 if ".A1." in str(infrastructure.get("shapeName")) else 2.0
    ocpus, memory = size.get("ocpus"), size.get("memoryInGBs")
    return (per_ocpu * ocpus if ocpus else None), (float(memory) if memory else None)
