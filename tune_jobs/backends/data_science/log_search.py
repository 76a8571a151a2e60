"""Output of job runs, searched in the Logging service as ADS does it.

A line arrives with a delay of seconds to minutes, and not always in order; so every search covers
the last `OVERLAP` seconds again and skips what was seen before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tune_jobs.backends.oci_runs.failures import explain_refusal
from tune_jobs.errors import BackendError
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection

LIMIT = 1000
"""Entries in an answer, limited by the service."""

OVERLAP = 120.0
"""Seconds by which an entry may be late."""

LONGEST = timedelta(days=14)
"""Time span of a search, limited by the service."""

_SHORTEST = timedelta(milliseconds=1)

READ = str(policies.LOG_CONTENT)


@dataclass(frozen=True)
class Line:
    """Line that a run printed; ``time`` is in seconds since the epoch."""

    id: str
    run_id: str
    time: float
    message: str


class RunLogs:
    """Reader of the lines of one or several runs, each line once.

    Args:
        connection: The connection to OCI.
        stream: ``compartment/log group/log`` to search; parts may be omitted from the right.
        since: Time of the first line of interest, in seconds since the epoch.
    """

    def __init__(self, connection: Connection, stream: str, since: float) -> None:
        import oci

        self._client = connection.client(oci.loggingsearch.LogSearchClient)
        self._retry = oci.retry.DEFAULT_RETRY_STRATEGY
        self._details = oci.loggingsearch.models.SearchLogsDetails
        self._stream = stream
        self._from = since
        self._seen: dict[str, float] = {}

    def read(self, run_ids: Collection[str], now: float) -> list[Line]:
        """Return what these runs printed and was not read before, oldest first.

        Raises:
            Exception: What the SDK raises; see `failures`.
        """
        end = datetime.fromtimestamp(now, UTC) + timedelta(seconds=1)
        start = max(datetime.fromtimestamp(self._from, UTC), end - LONGEST)
        sources = " or ".join(f"source = '*{run_id}'" for run_id in sorted(run_ids))
        query = f'search "{self._stream}" | where {sources} | sort by datetime asc'
        if len(run_ids) > 20:  # the query's length is limited: search all, and select here
            query = f'search "{self._stream}" | sort by datetime asc'
        lines = []
        for line in self._search(query, start, end):
            if line.id not in self._seen and line.run_id in run_ids:
                self._seen[line.id] = line.time
                lines.append(line)
        self._from = max(self._from, now - OVERLAP)
        self._seen = {i: t for i, t in self._seen.items() if t >= self._from - OVERLAP}
        return lines

    def look_back(self, since: float) -> None:
        """Read from this time on, if it is earlier than planned."""
        self._from = min(self._from, since)

    def _search(self, query: str, start: datetime, end: datetime) -> Iterator[Line]:
        """Yield the entries between two times; the span is halved if an answer is full."""
        details = self._details(
            time_start=_rfc3339(start), time_end=_rfc3339(end), search_query=query
        )
        answer = self._client.search_logs(details, limit=LIMIT, retry_strategy=self._retry).data
        results = answer.results or []
        if len(results) >= LIMIT and end - start > _SHORTEST:
            middle = start + (end - start) / 2
            yield from self._search(query, start, middle)
            yield from self._search(query, middle, end)
            return
        for result in results:
            line = _parse_entry(result.data)
            if line is not None:
                yield line


class RunLog:
    """Growing log of one run.

    Args:
        connection: The connection to OCI.
        run_id: The run.
        stream, since: See `RunLogs`.
    """

    def __init__(self, connection: Connection, run_id: str, stream: str, since: float) -> None:
        self._run_id = run_id
        self._logs = RunLogs(connection, stream, since)

    def read(self) -> bytes:
        """See `LogTail.read`."""
        try:
            lines = self._logs.read([self._run_id], time.time())
        except Exception as error:
            raise BackendError(str(explain_refusal(error, "searching the log", READ))) from error
        return "".join(f"{line.message}\n" for line in lines).encode()


def find_stream(connection: Connection, log: Sequence[str], compartment: str) -> str:
    """Return where a log is searched: ``compartment/log group/log``.

    Args:
        connection: The connection to OCI.
        log: OCIDs of the log group, and of the log if there is one.
        compartment: The one to assume if the group, which may be in another one, cannot be read.
    """
    import oci

    client = connection.client(oci.logging.LoggingManagementClient)
    with contextlib.suppress(oci.exceptions.ServiceError):
        found = client.get_log_group(log[0], retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY)
        compartment = found.data.compartment_id or compartment
    return "/".join([compartment, *log])


def open_run_log(connection: Connection, run_id: str) -> RunLog | None:
    """Return the log of a run; None if its job has none.

    Raises:
        BackendError: If the run cannot be read.
    """
    import oci

    client = connection.client(oci.data_science.DataScienceClient)
    try:
        run = client.get_job_run(run_id, retry_strategy=oci.retry.DEFAULT_RETRY_STRATEGY).data
    except Exception as error:
        raise BackendError(str(explain_refusal(error, f"reading {run_id}", READ))) from error
    details = run.log_details
    if details is None or not details.log_group_id:
        return None
    log = [part for part in (details.log_group_id, details.log_id) if part]
    stream = find_stream(connection, log, run.compartment_id)
    return RunLog(connection, run_id, stream, run.time_accepted.timestamp())


def _parse_entry(entry: Any) -> Line | None:
    """Return the line in an entry of the service; None if no job run printed it."""
    content = entry.get("logContent") if isinstance(entry, dict) else None
    if not isinstance(content, dict):
        return None
    source, data = str(content.get("source", "")), content.get("data")
    message = data.get("message") if isinstance(data, dict) else None
    if message is None:
        return None
    seconds = float(entry.get("datetime") or 0.0) / 1000.0
    identity = str(content.get("id") or f"{source} {seconds} {message}")
    return Line(identity, source.lstrip("*"), seconds, str(message))


def _rfc3339(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
