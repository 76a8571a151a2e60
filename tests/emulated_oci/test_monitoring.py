"""The emulated Monitoring service, with oci-cli as a client that is not ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.oci_emulator import Emulator
from tests.oci_emulator.monitoring import NAMESPACE

START = 1_700_000_040.0


def format_time(seconds: float) -> str:
    """Return a time in seconds since the epoch as the service writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


@pytest.mark.slow
def test_oci_cli(emulator: Emulator, cli: Callable[..., Any]) -> None:
    for minute, cpu in enumerate((20.0, 40.0)):
        emulator.monitoring.add("run-1", START + 60 * minute, CpuUtilization=cpu)
        emulator.monitoring.add("run-2", START + 60 * minute, CpuUtilization=90.0)
    place = ("--compartment-id", emulator.compartment)
    listed = cli("monitoring", "metric", "list", *place, "--namespace", NAMESPACE)["data"]
    assert {each["name"] for each in listed} == {"CpuUtilization"}
    found = cli(
        *("monitoring", "metric-data", "summarize-metrics-data", *place),
        *("--namespace", NAMESPACE),
        *("--query-text", "CpuUtilization[1m].groupBy(resourceId).mean()"),
        *("--start-time", format_time(START - 60), "--end-time", format_time(START + 180)),
    )["data"]
    values = {
        each["dimensions"]["resourceId"]: [p["value"] for p in each["aggregated-datapoints"]]
        for each in found
    }
    assert values == {"run-1": [20.0, 40.0], "run-2": [90.0, 90.0]}
