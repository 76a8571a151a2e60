"""Monitoring: metrics of job runs, and queries with a subset of the query language.

CpuUtilization[1m]{resourceId = "ocid1..."}.groupBy(resourceId).mean()
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from werkzeug import Request, Response

from tests.oci_emulator.errors import ServiceError, invalid
from tests.oci_emulator.world import World

NAMESPACE = "oci_datascience_jobrun"
PER_SECOND = 10

_SUMMARIZE = "/20180401/metrics/actions/summarizeMetricsData"
_LIST = "/20180401/metrics/actions/listMetrics"
_QUERY = re.compile(
    r"\s*(?P<name>[A-Za-z][\w.]*)\[(?P<interval>\d+[mhd])\]"
    r"(?:\{\s*resourceId\s*=\s*\"(?P<resource>[^\"]+)\"\s*\})?"
    r"(?:\.groupBy\((?P<group>\w+)\))?"
    r"\.(?P<statistic>mean|max|min|sum|count|rate)\(\)\s*"
)
_STATISTICS: dict[str, Any] = {
    "mean": lambda values: sum(values) / len(values),
    "max": max,
    "min": min,
    "sum": sum,
    "count": len,
    "rate": lambda values: sum(values) / 60.0,
}


@dataclass(frozen=True)
class Point:
    """Value of a metric of a run at a time, in seconds since the epoch."""

    compartment: str
    name: str
    run: str
    time: float
    value: float


class Monitoring:
    """The Monitoring service; ``points`` has what runs have used."""

    prefixes: tuple[str, ...] = ("/20180401",)

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls: deque[float] = deque()
        self.points: list[Point] = []

    def add(self, run: str, time: float, **values: float) -> None:
        """Add a point of each metric, by its name."""
        place = self._world.compartment
        with self._world.lock:
            self.points += [Point(place, name, run, time, v) for name, v in values.items()]

    def operation(self, request: Request) -> str:
        """See `Service.operation`."""
        names = {_SUMMARIZE: "summarize_metrics_data", _LIST: "list_metrics"}
        return names.get(request.path, "none") if request.method == "POST" else "none"

    def handle(self, request: Request, body: bytes) -> Response:
        """See `Service.handle`."""
        operation = self.operation(request)
        if operation == "none":
            raise ServiceError(404, "NotFound", f"there is no {request.method} {request.path}")
        compartment = request.args.get("compartmentId")
        if not compartment:
            raise invalid("compartmentId is missing")
        self._world.require(request, "read", "metrics", compartment)
        self._throttle()
        details = json.loads(body)
        answer = self._list if operation == "list_metrics" else self._summarize
        return Response(json.dumps(answer(details, compartment)), content_type="application/json")

    def _throttle(self) -> None:
        now = self._world.clock()
        with self._world.lock:
            while self._calls and self._calls[0] <= now - 1.0:
                self._calls.popleft()
            if len(self._calls) >= PER_SECOND:
                raise ServiceError(429, "TooManyRequests", "Tenancy request throttled")
            self._calls.append(now)

    def _select(self, details: dict[str, Any], compartment: str) -> list[Point]:
        with self._world.lock:
            points = list(self.points)
        if details.get("namespace", NAMESPACE) != NAMESPACE:
            return []
        return [point for point in points if point.compartment == compartment]

    def _list(self, details: dict[str, Any], compartment: str) -> list[dict[str, Any]]:
        unknown = details.keys() - {
            *("name", "namespace", "resourceGroup", "dimensionFilters", "groupBy"),
            *("sortBy", "sortOrder"),
        }
        if unknown:
            raise invalid(f"unknown field {sorted(unknown)[0]!r}")
        names = {point.name for point in self._select(details, compartment)}
        if self._world.deviates("metric-names"):
            names = {f"jobrun.{name}" for name in names}
        return [{"name": name, "namespace": NAMESPACE} for name in sorted(names)]

    def _summarize(self, details: dict[str, Any], compartment: str) -> list[dict[str, Any]]:
        unknown = details.keys() - {
            *("namespace", "resourceGroup", "query", "startTime", "endTime", "resolution"),
        }
        if unknown:
            raise invalid(f"unknown field {sorted(unknown)[0]!r}")
        for name in ("namespace", "query"):
            if not details.get(name):
                raise invalid(f"{name} is missing")
        query = _QUERY.fullmatch(details["query"])
        if query is None:
            raise invalid(
                f"invalid query (interval and statistic are required): {details['query']}"
            )
        now = self._world.clock()
        end = _parse_time(details.get("endTime"), now)
        start = _parse_time(details.get("startTime"), end - 3 * 3600.0)
        if not start < end:
            raise invalid("startTime must be before endTime")
        groups: dict[str, dict[float, list[float]]] = {}
        for point in self._select(details, compartment):
            is_asked = query["resource"] in (None, point.run)
            if point.name == query["name"] and is_asked and start <= point.time < end:
                group = point.run if query["group"] == "resourceId" or query["resource"] else ""
                minute = point.time - point.time % 60.0
                groups.setdefault(group, {}).setdefault(minute, []).append(point.value)
        return [
            _show(query, compartment, group, _STATISTICS[query["statistic"]], minutes)
            for group, minutes in sorted(groups.items())
        ]


def _show(
    query: re.Match[str],
    compartment: str,
    group: str,
    statistic: Any,
    minutes: dict[float, list[float]],
) -> dict[str, Any]:
    return {
        "namespace": NAMESPACE,
        "compartmentId": compartment,
        "name": query["name"],
        "dimensions": {"resourceId": group} if group else {},
        "metadata": {"unit": "percent"},
        "aggregatedDatapoints": [
            {"timestamp": _format_time(at), "value": float(statistic(values))}
            for at, values in sorted(minutes.items())
        ],
    }


def _format_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _parse_time(text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise invalid(f"{text!r} is no time") from None
