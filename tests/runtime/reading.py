"""Reading of metrics in tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tune_jobs.runtime.extract import Extractor
from tune_jobs.runtime.records import Record

LOGS = Path(__file__).parent / "logs"
Found = list[tuple[int | None, dict[str, float]]]


def find(
    data: bytes | str,
    *names: str,
    step: str | None = "epoch",
    patterns: Mapping[str, str] | None = None,
    chunk: int = 1 << 20,
) -> Found:
    """Feed output in chunks; return the records as pairs of step and values."""
    data = data.encode() if isinstance(data, str) else data
    extractor = Extractor(names, patterns, step)
    records: list[Record] = []
    for i in range(0, len(data), chunk):
        records += extractor.feed(data[i : i + chunk], 1.0)
    return [(r.step, dict(r.values)) for r in records + extractor.finish(1.0)]
