"""Which metrics are read again, when the store has not shown its latest state."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_jobs.errors import StoreError
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


def test_any_history_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "s-1" / "runs" / NAME
    folder.mkdir(parents=True)
    store = MetricStore(str(tmp_path), "s-1")
    ends = ("[" * 100_000, '{"event":"ended","usage":' + '{"a":' * 100_000, "1" * 10_000, "[]")
    for end in ends:
        (folder / "run.jsonl").write_text(end + "\n")
        assert store.read_history(NAME) is None
        assert store.read_usage(NAME) == {}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    folder = tmp_path / "s-1" / "runs" / NAME
    folder.mkdir(parents=True)
    make(folder / "usage.jsonl")
    with pytest.raises(StoreError, match=r"usage\.jsonl failed.*not a regular file"):
        MetricStore(str(tmp_path), "s-1").read_usage(NAME)
