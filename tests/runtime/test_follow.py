"""Collection of a run's output, reports and metrics file in one file of records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tune_jobs.runtime.follow import Follower
from tune_jobs.runtime.records import Record, decode, encode


class Run:
    """The files of one run, and its follower."""

    def __init__(self, folder: Path, **sources: Any) -> None:
        self.log, self.reported = folder / "log.txt", folder / "reported.jsonl"
        self.file, self._metrics = folder / "metrics.csv", folder / "metrics.jsonl"
        settings = {"names": ["value"], "step": "epoch", **sources}
        paths = [self.log, self.reported, folder, self._metrics]
        self.follower = Follower(settings, *map(str, paths))

    def records(self) -> list[tuple[int | None, float]]:
        data = self._metrics.read_bytes() if self._metrics.exists() else b""
        return [(r.step, r.values["value"]) for r in decode(data).records]


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    run = Run(tmp_path, file="metrics.csv")
    assert (run.follower.poll(1.0), run.follower.finish(2.0)) == (0, 0)
    assert run.records() == []


def test_all_three_ways_end_in_one_file_in_order(tmp_path: Path) -> None:
    run = Run(tmp_path, file="metrics.csv")
    append(run.log, "epoch 1 value=0.1\nepoch 2 val")
    assert run.follower.poll(1.0) == 1
    append(run.log, "ue=0.2\n")
    append(run.reported, encode(Record(2.0, 3, {"value": 0.3})))
    assert run.follower.poll(2.0) == 2
    append(run.file, "epoch,value\n4,0.4\n")
    append(run.log, "epoch 5 value=0.5")
    run.follower.finish(3.0)
    assert run.records() == [(1, 0.1), (2, 0.2), (3, 0.3), (5, 0.5), (4, 0.4)]


def test_a_report_that_is_half_written_waits(tmp_path: Path) -> None:
    run = Run(tmp_path)
    line = encode(Record(1.0, 1, {"value": 0.5}))
    append(run.reported, line[:10])
    assert run.follower.poll(1.0) == 0
    append(run.reported, line[10:])
    assert run.follower.poll(2.0) == 1
    run.follower.finish(3.0)
    assert run.records() == [(1, 0.5)]


def test_a_table_that_grows_gives_each_row_once(tmp_path: Path) -> None:
    run = Run(tmp_path, file="metrics.csv")
    append(run.file, "epoch,value\n1,0.1\n")
    run.follower.poll(1.0)
    append(run.file, "2,0.2\n3,0.3")  # the last row may be incomplete
    run.follower.poll(2.0)
    append(run.file, "5\n")
    run.follower.poll(3.0)
    run.follower.finish(4.0)
    assert run.records() == [(1, 0.1), (2, 0.2), (3, 0.35)]


def test_the_last_row_of_a_table_is_complete_when_the_script_has_ended(tmp_path: Path) -> None:
    run = Run(tmp_path, file="metrics.csv")
    append(run.file, "epoch,value\n1,0.1\n2,0.2")
    run.follower.poll(1.0)
    assert run.records() == [(1, 0.1)]
    run.follower.finish(2.0)
    assert run.records() == [(1, 0.1), (2, 0.2)]


def test_a_file_that_is_rewritten_gives_its_new_value(tmp_path: Path) -> None:
    run = Run(tmp_path, file="metrics.json")
    file = tmp_path / "metrics.json"
    file.write_text('{"value": 0.1}')
    run.follower.poll(1.0)
    file.write_text("")  # it is being rewritten
    run.follower.poll(2.0)
    file.write_text('{"value": 0.25}')
    run.follower.finish(3.0)
    assert [value for _, value in run.records()] == [0.1, 0.25]


@pytest.mark.parametrize("text", ["{", "[1, 2", '{"other": 1}', "\0\0\0"])
def test_a_file_that_cannot_be_read_says_why(text: str, tmp_path: Path) -> None:
    run = Run(tmp_path, file="metrics.json")
    (tmp_path / "metrics.json").write_text(text)
    run.follower.finish(1.0)
    assert run.records() == []
    assert run.follower.problem


def test_garbage_among_the_reports(tmp_path: Path) -> None:
    run = Run(tmp_path)
    append(run.reported, "garbage\n" + encode(Record(1.0, 1, {"value": 0.5})))
    run.follower.finish(1.0)
    assert run.records() == [(1, 0.5)]
    assert "a report could not be decoded" in run.follower.problem


def test_the_records_are_lines_of_json(tmp_path: Path) -> None:
    run = Run(tmp_path)
    append(run.log, "value=0.5\n")
    run.follower.finish(7.0)
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert (line["time"], line["metrics"]) == (7.0, {"value": 0.5})
