"""Logging: the output of job runs, and a search with a subset of the query language.

search "compartment/group/log" | where source = '*ocid1...' or ... | sort by datetime asc
"""

from __future__ import annotations

import json
import re
import secrets
from bisect import bisect_left
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from werkzeug import Request, Response

from tests.oci_emulator.errors import ServiceError, invalid
from tests.oci_emulator.object_storage import rfc3339
from tests.oci_emulator.world import World

MAX_RESULTS = 1000
LONGEST = timedelta(days=14)

_QUERY = re.compile(
    r'\s*search\s+(?P<streams>"[^"]+"(?:\s*,\s*"[^"]+")*)'
    r"(?:\s*\|\s*where\s+(?P<where>.*?))?"
    r"(?:\s*\|\s*sort\s+by\s+(?P<by>\w+)(?:\s+(?P<order>asc|desc))?)?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TERM = re.compile(r"\(?\s*(?P<field>[\w.]+)\s*=\s*'(?P<value>[^']*)'\s*\)?", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """Line of a run; ``seen`` is the time from which it is found."""

    time: float
    seen: float
    log_group: str
    log: str
    run: str
    message: str
    id: str


class LogSearch:
    """Search of the Logging service."""

    prefixes: tuple[str, ...] = ("/20190909",)

    def __init__(self, world: World) -> None:
        self._world = world
        self._entries: list[Entry] = []

    def add(self, log_group: str, log: str, run: str, message: str) -> None:
        """Add a line that a run printed."""
        if self._world.deviates("output-logged"):
            return
        now = self._world.clock()
        entry = Entry(
            now, now + self._world.delays.log, log_group, log, run, message, secrets.token_hex(8)
        )
        with self._world.lock:
            self._entries.append(entry)

    def entries(self) -> list[Entry]:
        """Return all lines."""
        with self._world.lock:
            return list(self._entries)

    def operation(self, request: Request) -> str:
        """See `Service.operation`."""
        return "search_logs" if request.path == "/20190909/search" else "none"

    def handle(self, request: Request, body: bytes) -> Response:
        """See `Service.handle`."""
        if request.path != "/20190909/search" or request.method != "POST":
            raise ServiceError(404, "NotFound", f"there is no {request.method} {request.path}")
        details = json.loads(body)
        unknown = details.keys() - {"timeStart", "timeEnd", "searchQuery", "isReturnFieldInfo"}
        if unknown:
            raise invalid(f"unknown field {sorted(unknown)[0]!r}")
        limit = int(request.args.get("limit", 100))
        if not 1 <= limit <= MAX_RESULTS:
            raise invalid(f"limit {limit} is not in 1..{MAX_RESULTS}")
        start, end = _parse_time(details["timeStart"]), _parse_time(details["timeEnd"])
        if not start < end or end - start > LONGEST:
            raise invalid("timeStart must be before timeEnd, by at most 14 days")
        for stream in _parse_streams(details["searchQuery"]):
            self._world.require(request, "read", "log-content", stream[0])
        found = self._find(details["searchQuery"], start.timestamp(), end.timestamp())[:limit]
        answer = {
            "results": [{"data": _show(entry)} for entry in found],
            "summary": {"resultCount": len(found), "fieldCount": 0},
        }
        return Response(json.dumps(answer), content_type="application/json")

    def _find(self, query: str, start: float, end: float) -> list[Entry]:
        parsed = _QUERY.fullmatch(query)
        if parsed is None:
            raise invalid(f"invalid query: {query}")
        streams = _parse_streams(query)
        alternatives = _parse_condition(parsed["where"])
        now = self._world.clock()
        with self._world.lock:
            # The entries are sorted by time.
            first = bisect_left(self._entries, start, key=lambda e: e.time)
            last = bisect_left(self._entries, end, key=lambda e: e.time)
            entries = self._entries[first:last]
        found = [
            e
            for e in entries
            if e.seen <= now
            and any(self._is_in(e, stream) for stream in streams)
            and (not alternatives or any(_matches(e, terms) for terms in alternatives))
        ]
        return found[::-1] if (parsed["order"] or "desc").lower() == "desc" else found

    def _is_in(self, entry: Entry, stream: list[str]) -> bool:
        compartment = self._world.log_groups.get(entry.log_group, self._world.compartment)
        place = [compartment, entry.log_group, entry.log]
        return place[: len(stream)] == stream


def _parse_streams(query: str) -> list[list[str]]:
    """Return the streams of a query, each of compartment, log group and log."""
    parsed = _QUERY.fullmatch(query)
    if parsed is None:
        raise invalid(f"invalid query: {query}")
    return [s.strip().strip('"').split("/") for s in parsed["streams"].split(",")]


def _parse_condition(where: str | None) -> list[list[tuple[str, str]]]:
    """Return the alternatives of a condition, each a list of terms that must all hold."""
    if not where:
        return []
    alternatives = []
    for part in re.split(r"\s+or\s+", where, flags=re.IGNORECASE):
        matches = [_TERM.fullmatch(t.strip()) for t in re.split(r"\s+and\s+", part, flags=re.I)]
        if None in matches:
            raise invalid(f"invalid condition: {part}")
        alternatives.append([(m["field"], m["value"]) for m in matches if m])
    return alternatives


def _matches(entry: Entry, terms: list[tuple[str, str]]) -> bool:
    values = {"source": entry.run, "subject": "", "data.message": entry.message}
    return all(
        values.get(field, "").endswith(value[1:])
        if value.startswith("*")
        # The service does not find an OCID without the asterisk.
        else not value.startswith("ocid1.") and values.get(field) == value
        for field, value in terms
    )


def _parse_time(string: str) -> datetime:
    try:
        return datetime.fromisoformat(string)
    except ValueError:
        raise invalid(f"invalid time {string!r}") from None


def _show(entry: Entry) -> dict[str, Any]:
    return {
        "datetime": int(entry.time * 1000),
        "logContent": {
            "id": entry.id,
            "source": entry.run,
            "subject": "",
            "time": rfc3339(entry.time),
            "type": "com.oraclecloud.datascience.jobrun.stdout",
            "specversion": "1.0",
            "oracle": {"logid": entry.log, "loggroupid": entry.log_group},
            "data": {"message": entry.message},
        },
    }
