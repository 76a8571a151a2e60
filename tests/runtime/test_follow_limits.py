"""What one run can do to its follower: odd files, and much output."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from tests.runtime.test_follow import Run, append
from tune_jobs.runtime import follow, regular_files
from tune_jobs.runtime.records import MAX_LINE


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
@pytest.mark.parametrize("name", ["reported", "log"])
def test_only_regular_files_are_opened(
    name: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    run = Run(tmp_path)
    make(getattr(run, name))
    for _ in range(2):
        with pytest.raises(OSError, match="not a regular file"):
            run.follower.poll(1.0)
    with pytest.raises(OSError, match="not a regular file"):
        run.follower.finish(2.0)


def test_a_broken_link_is_a_file_that_does_not_exist_yet(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.reported.symlink_to(tmp_path / "nothing")
    append(run.log, "value=0.5\n")
    assert run.follower.finish(1.0) == 1


def test_a_look_is_bounded_and_the_next_one_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_BYTES", 100)
    monkeypatch.setattr(follow, "LOOK_SECONDS", float("inf"))
    monkeypatch.setattr(follow, "_CHUNK", 50)
    run = Run(tmp_path)
    append(run.log, "".join(f"epoch {i} value=0.{i}\n" for i in range(10, 90)))
    looks: list[int] = []
    while not looks or run.follower.is_behind:
        looks.append(run.follower.poll(1.0))
    assert max(looks) <= 100 // len("epoch 10 value=0.10") + 1
    run.follower.finish(2.0)
    assert run.records() == [(i, float(f"0.{i}")) for i in range(10, 90)]


def test_a_look_that_takes_long_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "LOOK_SECONDS", 0.0)
    run = Run(tmp_path)
    append(run.log, "value=0.5\n")
    assert run.follower.poll(1.0) == 0
    assert run.follower.is_behind
    assert run.follower.finish(2.0) == 1


def test_no_file_stays_open(tmp_path: Path) -> None:
    run = Run(tmp_path)
    append(run.log, "value=0.5\n")
    before = os.listdir("/proc/self/fd")
    run.follower.poll(1.0)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_a_truncated_log_is_read_from_its_start(tmp_path: Path) -> None:
    run = Run(tmp_path)
    append(run.log, "value=0.1\nnothing\n")
    run.follower.poll(1.0)
    run.log.write_text("value=0.2\n")
    run.follower.finish(2.0)
    assert [value for _, value in run.records()] == [0.1, 0.2]


@pytest.mark.parametrize("size", [MAX_LINE + 1, 5 * MAX_LINE])
def test_a_metric_after_the_end_of_what_is_read_of_a_line_is_mentioned(
    size: int, tmp_path: Path
) -> None:
    run = Run(tmp_path)
    append(run.log, "z" * size + " value=0.5\n")
    run.follower.finish(1.0)
    assert run.records() == []
    assert run.follower.problem == (
        "'value' was printed after the first 65536 bytes of a line, which are not read: print it "
        "on a line of its own"
    )


def test_a_long_line_without_a_metric_is_no_problem(tmp_path: Path) -> None:
    run = Run(tmp_path)
    append(run.log, "z" * 5 * MAX_LINE + "\nvalue=0.5\n")
    assert run.follower.finish(1.0) == 1
    assert run.follower.problem == ""


def test_what_was_read_before_an_error_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    append(run.log, "epoch 1 value=0.5\n")
    run.reported.touch()
    refused = [OSError(24, "Too many open files")]
    open_regular = regular_files.open_regular

    def refuse_once(path: str) -> BinaryIO:
        if path == str(run.reported) and refused:
            raise refused.pop()
        return open_regular(path)

    monkeypatch.setattr(follow, "open_regular", refuse_once)
    with pytest.raises(OSError, match="Too many open files"):
        run.follower.finish(1.0)
    assert run.follower.finish(2.0) == 1
    assert run.records() == [(1, 0.5)]
