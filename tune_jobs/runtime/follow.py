"""Collect the metrics of one live run in one file of `records.Record` lines.

A script may print its metrics, report them with `report`, or write a metrics file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

from .extract import Extractor
from .files import read_metrics_file
from .records import Record, decode, encode

_CHUNK = 1 << 20


class Follower:
    """Reader of a run's log, reports and metrics file.

    Args:
        sources: ``names``, ``patterns``, ``step`` and ``file`` (see ``MetricSources``).
        log: File with the script's output; it grows.
        reported: File that ``report()`` writes.
        work: The script's working directory, in which the metrics file is.
        metrics: File to append records to; created with the first record.

    Attributes:
        problem: Description of metrics that could not be read; empty if there is none.
    """

    def __init__(
        self, sources: Mapping[str, Any], log: str, reported: str, work: str, metrics: str
    ) -> None:
        self._names = list(sources["names"])
        self._patterns = sources.get("patterns") or {}
        self._extractor = Extractor(self._names, patterns=self._patterns, step=sources.get("step"))
        self._log = _Tail(log)
        self._reported = _Tail(reported)
        self._pending = b""
        self._step = sources.get("step")
        file = sources.get("file")
        self._file = os.path.join(work, file) if file else None
        self._file_version: tuple[int, int] | None = None
        self._file_records: list[Record] = []
        self._metrics = metrics
        self.problem = ""

    def poll(self, now: float) -> int:
        """Append the records that are new; return their number.

        Args:
            now: Time in seconds since the epoch.

        Raises:
            OSError: If the records cannot be written, for example to a full disk.
        """
        return self._append(self._read_output(now) + self._read_file(live=True))

    def finish(self, now: float) -> int:
        """Poll for the last time, after the script has ended: unfinished lines count, too.

        Raises:
            OSError: If the records cannot be written.
        """
        try:
            found = self._read_output(now) + self._extractor.finish(now)
            return self._append(found + self._read_file(live=False))
        finally:
            self._log.close()
            self._reported.close()

    @property
    def size(self) -> int:
        """Size of the metrics file in bytes; 0 before the first record."""
        try:
            return os.stat(self._metrics).st_size
        except OSError:
            return 0

    def _read_output(self, now: float) -> list[Record]:
        """Return the records that were printed or reported since the last call."""
        found: list[Record] = []
        for data in self._log.chunks():
            found += self._extractor.feed(data, now)
        self.problem = self.problem or self._extractor.problem
        for data in self._reported.chunks():
            self._pending += data
            decoded = decode(self._pending)
            self._pending = self._pending[decoded.consumed :]
            found += decoded.records
            if decoded.bad:
                self.problem = f"a report could not be decoded: {decoded.first_bad}"
        return found

    def _read_file(self, live: bool) -> list[Record]:
        """Return the new records of the metrics file: rows that were added, or the last changed.

        While the run is live, the last row may be incomplete; it is read again at the end.
        """
        if self._file is None:
            return []
        try:
            status = os.stat(self._file)
        except OSError:
            return []
        version = (status.st_mtime_ns, status.st_size)
        if live and version == self._file_version:
            return []
        self._file_version = version
        records, problem = read_metrics_file(
            self._file, self._names, self._step, live=live, patterns=self._patterns
        )
        self.problem = problem or ""
        if not records:
            return []  # it may be about to be rewritten
        known = [_content(record) for record in self._file_records]
        self._file_records = records
        same_start = [_content(record) for record in records[: len(known)]] == known
        return records[len(known) :] if same_start else records[-1:]

    def _append(self, records: list[Record]) -> int:
        if records:
            lines = "".join(encode(record) for record in records)
            with open(self._metrics, "ab") as file:
                file.write(lines.encode("utf-8"))
        return len(records)


def _content(record: Record) -> tuple[int | None, dict[str, float]]:
    return record.step, dict(record.values)


class _Tail:
    """Reader of a growing file, which may not exist yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def chunks(self) -> Iterator[bytes]:
        """Yield the new content in pieces of bounded size."""
        if self._file is None:
            try:
                self._file = open(self._path, "rb")  # noqa: SIM115
            except OSError:
                return
        while True:
            data = self._file.read(_CHUNK)
            if not data:
                return
            yield data

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
