"""Which files of a working folder are kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tune_jobs.runtime import left_files
from tune_jobs.runtime.left_files import find_left_files, portable_name, take_snapshot


def write(folder: Path, *paths: str, size: int = 1) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x" * size)


def kept(folder: Path, before: object = None, **env: str) -> list[str]:
    found = find_left_files(str(folder), before or {}, env)  # type: ignore[arg-type]
    return sorted(path for path, _ in found.kept)


def test_new_and_changed_files_are_found(tmp_path: Path) -> None:
    write(tmp_path, "old", "changed", "replaced", "code/train.py")
    before = take_snapshot(str(tmp_path))
    write(tmp_path, "new", "a/b/c")
    write(tmp_path, "changed", size=2)
    write(tmp_path, "other")
    (tmp_path / "other").replace(tmp_path / "replaced")
    assert kept(tmp_path, before) == ["a/b/c", "changed", "new", "replaced"]


def test_links_pipes_and_caches_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/data/big.csv", "work/real", "work/code/__pycache__/a.pyc")
    work = tmp_path / "work"
    (work / "data").symlink_to(tmp_path / "elsewhere/data")
    (work / "file").symlink_to(tmp_path / "elsewhere/data/big.csv")
    (work / "loop").symlink_to(work)
    (work / "dangling").symlink_to("nowhere")
    os.mkfifo(work / "pipe")
    assert kept(work) == ["real"]


def test_a_folder_that_does_not_exist_has_no_files(tmp_path: Path) -> None:
    assert kept(tmp_path / "nowhere") == []


def test_large_files_are_omitted_before_small_ones(tmp_path: Path) -> None:
    write(tmp_path, "a", "b", size=10)
    write(tmp_path, "large", size=1000)
    found = find_left_files(str(tmp_path), {}, {"TUNE_JOBS_WORK_BYTES": "100"})
    assert sorted(path for path, _ in found.kept) == ["a", "b"]
    assert found.describe_omitted() == {"files": 1, "bytes": 1000, "names": ["large"]}


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, *map(str, range(30)))
    monkeypatch.setattr(left_files, "MAX_FILES", 10)
    found = find_left_files(str(tmp_path), {}, {})
    assert (len(found.kept), len(found.omitted)) == (10, 20)
    monkeypatch.setattr(left_files, "MAX_SEEN", 25)
    found = find_left_files(str(tmp_path), {}, {})
    assert (found.kept, found.describe_omitted()) == ([], {"files": 25, "bytes": 0, "names": []})


def test_names_that_no_store_can_have_are_encoded(tmp_path: Path) -> None:
    for name, portable in {
        "a/b c.txt": "a/b c.txt",
        "ü €.pt": "ü €.pt",
        "100%": "100%",
        "line\nbreak\t": "line%0Abreak%09",
        os.fsdecode(b"bad\xff/x y"): "bad%FF/x y",
    }.items():
        assert portable_name(name) == portable
        portable.encode("utf-8")
