"""Which metrics are read again, when the store has not shown its latest state."""

from __future__ import annotations

from pathlib import Path

import pytest

from tune_jobs.metric_store.store import MetricStore
from tune_jobs.runtime.records import Record, encode

NAME = "trial-000000-1"


def test_a_body_that_is_older_than_its_listing_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = tmp_path / "s-1" / "metrics"
    metrics.mkdir(parents=True)
    (metrics / f"{NAME}.jsonl").write_text(encode(Record(1.0, 1, {"value": 0.5})))
    store = MetricStore(str(tmp_path), "s-1")
    assert store.changed([NAME]) == {NAME}
    with monkeypatch.context() as stale:
        stale.setattr(store._folder, "read", lambda path, start=0: b"")
        assert store.records(NAME) == []
    assert store.changed([NAME]) == {NAME}
    assert [r.values for r in store.records(NAME)] == [{"value": 0.5}]
    assert store.changed([NAME]) == set()
