"""Follow one run while it is live: what it prints, reports and writes becomes one metrics file.

Run side: standard library only, Python 3.8 on. The three ways in which a script can report end in
one place, JSON lines of `records.Record`, so that whoever collects needs to know only that.
"""

from __future__ import annotations

import os
from typing import IO, Any, Dict, Iterator, List, Mapping, Optional, Tuple

from .extract import Extractor
from .files import read_metrics_file
from .records import Record, decode, encode

_CHUNK = 1 << 20


class Follower:
    """Reads what a run's log, reports and metrics file gained and appends it to its metrics.

    Args:
        sources: ``names``, ``patterns``, ``step`` and ``file`` (see ``MetricSources``).
        log: What the script prints, as a growing file.
        reported: What ``report()`` writes.
        work: The script's working directory, where a metrics file is looked for.
        metrics: The file to append records to; created with the first of them.
    """

    def __init__(
        self, sources: Mapping[str, Any], log: str, reported: str, work: str, metrics: str
    ) -> None:
        self._names = list(sources["names"])
        self._extractor = Extractor(
            self._names, patterns=sources.get("patterns") or {}, step=sources.get("step")
        )
        self._log = _Tail(log)
        self._reported = _Tail(reported)
        self._pending = b""
        self._step = sources.get("step")
        file = sources.get("file")
        self._file = os.path.join(work, file) if file else None
        self._file_seen: Optional[Tuple[int, int]] = None
        self._file_records: List[Record] = []
        self._metrics = metrics
        self.problem = ""

    def poll(self, now: float) -> int:
        """Take what is new at time ``now`` (seconds since the epoch); returns how many records.

        Raises:
            OSError: the metrics file cannot be written (a full disk).
        """
        return self._append(self._printed(now) + self._from_file(live=True))

    def finish(self, now: float) -> int:
        """The last poll, after the script has ended: an unfinished last line counts too."""
        try:
            printed = self._printed(now) + self._extractor.finish(now)
            return self._append(printed + self._from_file(live=False))
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

    def _printed(self, now: float) -> List[Record]:
        """What was printed and reported since the last look."""
        found: List[Record] = []
        for data in self._log.chunks():
            found += self._extractor.feed(data, now)
        for data in self._reported.chunks():
            self._pending += data
            decoded = decode(self._pending)
            self._pending = self._pending[decoded.consumed :]
            found += decoded.records
            if decoded.bad:
                self.problem = f"a report could not be read: {decoded.first_bad}"
        return found

    def _from_file(self, live: bool) -> List[Record]:
        """New records of the metrics file: rows added since, or its one record if it changed.

        While the run is live its last row may be half written; at the end it is read once more.
        """
        if self._file is None:
            return []
        try:
            status = os.stat(self._file)
        except OSError:
            return []
        version = (status.st_mtime_ns, status.st_size)
        if live and version == self._file_seen:
            return []
        self._file_seen = version
        records, problem = read_metrics_file(self._file, self._names, self._step, live=live)
        self.problem = problem or ""
        if not records:
            return []  # perhaps being rewritten just now
        known = [_key(record) for record in self._file_records]
        self._file_records = records
        same_start = [_key(record) for record in records[: len(known)]] == known
        return records[len(known) :] if same_start else records[-1:]

    def _append(self, records: List[Record]) -> int:
        if records:
            text = "".join(encode(record) for record in records)
            with open(self._metrics, "ab") as file:
                file.write(text.encode("utf-8"))
        return len(records)


def _key(record: Record) -> Tuple[Optional[int], Dict[str, float]]:
    return record.step, dict(record.values)


class _Tail:
    """What was appended to a file since the last look; the file may not exist yet."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Optional[IO[bytes]] = None

    def chunks(self) -> Iterator[bytes]:
        """What is new, a bounded piece at a time."""
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
        if self._file is not None:
            self._file.close()
