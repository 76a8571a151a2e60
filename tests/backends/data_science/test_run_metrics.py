"""What job runs without the runner use, from the emulated Monitoring service."""

from __future__ import annotations

from dataclasses import dataclass, field

import oci
import pytest

from tests.emulated_oci.clients import open_client, raises_error
from tests.oci_emulator import Emulator
from tests.oci_emulator.faults import Fault, Kind
from tune_jobs import Connection
from tune_jobs.backends.data_science.run_metrics import NAMESPACE, RunMetrics, find_size
from tune_jobs.core.job_runs import RunState, RunUpdate

models = oci.monitoring.models
START = 1_700_000_040.0


@dataclass
class Bench:
    """Runs that are followed, in virtual time; a run's OCID is its name."""

    emulator: Emulator
    connection: Connection
    now: float = START
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = RunMetrics(
            self.connection,
            self.emulator.compartment,
            4.0,
            16.0,
            self.notices.append,
            lambda: self.now,
            lambda: self.now,
        )

    def live(self, *runs: str, minutes: int = 1, **values: float) -> None:
        """Let runs use this for some minutes."""
        for _ in range(minutes):
            for run in runs:
                self.emulator.monitoring.add(run, self.now, **values)
            self.now += 60.0
            updates = [RunUpdate(r, RunState.IN_PROGRESS, r, started=START) for r in runs]
            assert self.metrics.follow(updates) == updates

    def end(self, run: str) -> RunUpdate:
        """End a run."""
        ended = RunUpdate(run, RunState.SUCCEEDED, run, started=START, finished=self.now)
        (update,) = self.metrics.follow([ended])
        return update

    def queries(self) -> int:
        """Return the number of queries that were made."""
        seen = [each.operation for each in self.emulator.requests]
        return seen.count("summarize_metrics_data")


@pytest.fixture
def bench(emulator: Emulator, connection: Connection) -> Bench:
    return Bench(emulator, connection)


def test_one_query_for_each_metric_and_minute_whatever_the_number_of_runs(bench: Bench) -> None:
    runs = [f"run{number}" for number in range(40)]
    bench.live(*runs, minutes=3, CpuUtilization=25.0, MemoryUtilization=50.0)
    assert bench.queries() == 2 * 3
    usage = bench.end("run7").usage
    assert usage is not None
    assert (usage.source, usage.cpu_mean, usage.cores) == ("service", 0.25, 4.0)
    assert usage.memory_peak == 8 * 2**30
    assert usage.seconds == 180.0


def test_of_few_points_the_highest_is_that_of_most_of_the_time(bench: Bench) -> None:
    bench.live("a", CpuUtilization=10.0)
    bench.live("a", CpuUtilization=90.0)
    bench.live("a", CpuUtilization=20.0)
    usage = bench.end("a").usage
    assert usage is not None
    assert (usage.cpu_p95, usage.cpu_peak) == (0.9, 0.9)


def test_nothing_is_asked_without_runs(bench: Bench) -> None:
    bench.live(minutes=3)
    assert bench.emulator.requests == []


def test_each_run_has_its_own_points_and_each_point_counts_once(bench: Bench) -> None:
    bench.live("a", CpuUtilization=10.0)
    bench.emulator.monitoring.add("b", bench.now, CpuUtilization=90.0)
    bench.live("a", "b", CpuUtilization=30.0)
    bench.live("a", "b", CpuUtilization=30.0)
    first, second = bench.end("a").usage, bench.end("b").usage
    assert first is not None
    assert second is not None
    assert first.cpu_mean == pytest.approx((10 + 30 + 30) / 300)
    assert second.cpu_peak == pytest.approx(0.6), "two points of a minute are one, their mean"


def test_a_refusal_is_said_once_with_the_policy(bench: Bench) -> None:
    bench.emulator.access.permit("allow group tuners to manage objects in tenancy")
    bench.live("a", minutes=3, CpuUtilization=10.0)
    (notice,) = bench.notices
    assert "allow group <tuners> to read metrics in compartment <compartment>" in notice
    assert len(bench.emulator.requests) == 1
    assert bench.end("a").usage is None


@pytest.mark.parametrize("kind", ["throttle", "drop_before"])
def test_a_service_that_does_not_answer_is_asked_later(kind: Kind, bench: Bench) -> None:
    bench.emulator.faults.add(Fault(kind, "list_metrics", times=1))
    bench.live("a", minutes=3, CpuUtilization=10.0)
    usage = bench.end("a").usage
    assert usage is not None
    assert usage.seconds == 180.0
    assert bench.notices == []


def test_a_run_without_points_has_no_usage(bench: Bench) -> None:
    bench.live("a", CpuUtilization=10.0)
    assert bench.end("b").usage is None


def test_sizes() -> None:
    flex = {"shapeName": "VM.Standard.E4.Flex"}
    size = {"ocpus": 2, "memoryInGBs": 32}
    assert find_size({**flex, "jobShapeConfigDetails": size}) == (4.0, 32.0)
    arm = {"shapeName": "VM.Standard.A1.Flex", "jobShapeConfigDetails": size}
    assert find_size(arm) == (2.0, 32.0)
    assert find_size({"shapeName": "VM.Standard2.1"}) == (None, None)


# -- what the emulator rejects --------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["CpuUtilization", "CpuUtilization[1m]", "CpuUtilization.mean()", "CpuUtilization[1m].mid()"],
)
def test_a_query_without_interval_or_statistic_is_refused(query: str, emulator: Emulator) -> None:
    client = open_client(oci.monitoring.MonitoringClient, emulator)
    details = models.SummarizeMetricsDataDetails(namespace=NAMESPACE, query=query)
    with raises_error(400, "InvalidParameter"):
        client.summarize_metrics_data(emulator.compartment, details)


def test_calls_are_limited_and_compartments_are_apart(emulator: Emulator) -> None:
    client = open_client(oci.monitoring.MonitoringClient, emulator)
    emulator.world.clock = lambda: START
    emulator.monitoring.add("a", START - 60.0, CpuUtilization=10.0)
    query = "CpuUtilization[1m].groupBy(resourceId).mean()"
    details = models.SummarizeMetricsDataDetails(namespace=NAMESPACE, query=query)
    (found,) = client.summarize_metrics_data(emulator.compartment, details).data
    assert found.dimensions == {"resourceId": "a"}
    assert [point.value for point in found.aggregated_datapoints] == [10.0]
    other = emulator.world.add_compartment("other")
    assert client.summarize_metrics_data(other, details).data == []
    for _ in range(8):
        client.summarize_metrics_data(emulator.compartment, details)
    with raises_error(429, "TooManyRequests"):
        client.summarize_metrics_data(emulator.compartment, details)
