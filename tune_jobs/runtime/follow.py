"""Collect the metrics of one live run in one file of `records.Record` lines.

A script may print its metrics, report them with `report`, or write a metrics file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from .extract import Extractor
from .files import read_metrics_file
from .masking import Masking
from .records import Record, decode, encode
from .regular_files import append, open_regular

_CHUNK = 1 << 15

LOOK_BYTES = 1 << 23
"""Bytes that one call of `Follower.poll` reads."""

LOOK_SECONDS = 0.1
"""Seconds after which a call of `Follower.poll` reads no further chunk."""


class Follower:
    """Reader of a run's log, reports and metrics file.

    Args:
        sources: ``names``, ``patterns``, ``step`` and ``file`` (see ``MetricSources``).
        log: File with the script's output; it grows.
        reported: File that ``report()`` writes.
        work: The script's working directory, in which the metrics file is.
        metrics: File to append records to; created with the first record.
        masking: What is masked in reports, and in the names of metrics; the log is masked already.

    Attributes:
        problem: Description of metrics that could not be read; empty if there is none.
        is_behind: Whether the last call of `poll` left something for the next one.
    """

    def __init__(
        self,
        sources: Mapping[str, Any],
        log: str,
        reported: str,
        work: str,
        metrics: str,
        *,
        masking: Masking | None = None,
    ) -> None:
        self._masking = masking or Masking()
        self._reports = self._masking.open_stream()
        self._names = list(sources["names"])
        self._patterns = sources.get("patterns") or {}
        self._extractor = Extractor(self._names, patterns=self._patterns, step=sources.get("step"))
        self._log = _Tail(log)
        self._reported = _Tail(reported)
        self._pending = b""
        self._new: list[Record] = []
        self._unwritten = b""
        self._finished = False
        self.is_behind = False
        self._step = sources.get("step")
        file = sources.get("file")
        self._file = os.path.join(work, file) if file else None
        self._file_version: tuple[int, int] | None = None
        self._file_records: list[Record] = []
        self._metrics = metrics
        self.problem = ""

    def poll(self, now: float) -> int:
        """Append the records that are new, as far as `LOOK_BYTES` go; return their number.

        After an error the next call continues: nothing is lost or written twice.

        Args:
            now: Time in seconds since the epoch.

        Raises:
            OSError: If a file cannot be read, or the records cannot be written, for example to a
                full disk.
        """
        self._write()
        limit = _Limit(LOOK_BYTES, time.perf_counter() + LOOK_SECONDS)
        self._read_output(now, limit)
        self.is_behind = limit.reached
        self._new += self._read_file(live=True)
        return self._append()

    def finish(self, now: float) -> int:
        """Poll for the last time, after the script has ended: unfinished lines count, too.

        Raises:
            OSError: See `poll`.
        """
        self._write()
        if self._finished:
            return 0
        self._read_output(now, _Limit())
        self._decode(self._reports.finish())
        in_file = self._read_file(live=False)
        self._new += self._extractor.finish(now) + in_file
        self._finished = True
        return self._append()

    def read_tail(self, size: int) -> bytes:
        """Return the last bytes of the output; none if it cannot be read."""
        try:
            with open_regular(self._log.path) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                return file.read(size)
        except OSError:
            return b""

    @property
    def size(self) -> int:
        """Size of the metrics file in bytes; 0 before the first record."""
        try:
            return os.stat(self._metrics).st_size
        except OSError:
            return 0

    def _read_output(self, now: float, limit: _Limit) -> None:
        """Add the records that were printed or reported since the last call.

        They are kept if an error follows: what was read is not read again.
        """
        for data in self._log.chunks(limit):
            self._new += self._extractor.feed(data, now)
        self.problem = self.problem or self._extractor.problem
        for data in self._reported.chunks(limit):
            self._decode(self._reports.feed(data))

    def _decode(self, data: bytes) -> None:
        self._pending += data
        decoded = decode(self._pending)
        self._pending = self._pending[decoded.consumed :]
        self._new += decoded.records
        if decoded.bad:
            self.problem = f"a report could not be decoded: {decoded.first_bad}"

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
        self.problem = self._masking.mask_string(problem or "")
        if not records:
            return []  # it may be about to be rewritten
        records = [self._mask(record) for record in records]
        known = [_content(record) for record in self._file_records]
        self._file_records = records
        same_start = [_content(record) for record in records[: len(known)]] == known
        return records[len(known) :] if same_start else records[-1:]

    def _mask(self, record: Record) -> Record:
        if not self._masking:
            return record
        values = {self._masking.mask_string(name): v for name, v in record.values.items()}
        return Record(record.time, record.step, values)

    def _append(self) -> int:
        count = len(self._new)
        self._unwritten += "".join(map(encode, self._new)).encode("utf-8")
        self._new = []
        self._write()
        return count

    def _write(self) -> None:
        if self._unwritten:
            append(self._metrics, self._unwritten)
            self._unwritten = b""


def _content(record: Record) -> tuple[int | None, dict[str, float]]:
    return record.step, dict(record.values)


class _Limit:
    """What may be read; unlimited by default.

    Args:
        size: Bytes.
        until: By ``time.perf_counter``.
    """

    def __init__(self, size: int | None = None, until: float = 0.0) -> None:
        self._left, self._until = size, until

    @property
    def reached(self) -> bool:
        """Whether nothing more may be read."""
        if self._left is None:
            return False
        return self._left <= 0 or time.perf_counter() >= self._until

    def count(self, size: int) -> None:
        """Count bytes that were read."""
        if self._left is not None:
            self._left -= size


class _Tail:
    """Reader of a growing file, which may not exist yet.

    It is open only while it is read: a host of many runs may not have as many open files.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._offset = 0

    def chunks(self, limit: _Limit) -> Iterator[bytes]:
        """Yield the new content in pieces of bounded size, up to a limit.

        Raises:
            OSError: If the file exists and cannot be read, or is not a regular file.
        """
        try:
            file = open_regular(self.path)
        except FileNotFoundError:
            return
        with file:
            if os.fstat(file.fileno()).st_size < self._offset:
                self._offset = 0  # it was truncated
            file.seek(self._offset)
            while not limit.reached:
                data = file.read(_CHUNK)
                limit.count(len(data))
                if not data:
                    return
                self._offset += len(data)
                yield data
