"""What writers that were killed leave in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.storage.bucket.conftest import OpenCopy, find_replica, insert, names
from tune_jobs.storage.bucket.folder_store import LEFT_SECONDS, FolderStore

OURS = ".new-0123456789abcdef"


def make(file: Path, age: float) -> Path:
    """Create a file that was changed some seconds ago."""
    file.write_bytes(b"half an ent")
    changed = file.stat().st_mtime - age
    os.utime(file, (changed, changed))
    return file


@pytest.mark.parametrize("where", ["log", "base"])
def test_files_of_killed_writers_are_removed(open_copy: OpenCopy, folder: Path, where: str) -> None:
    engine = open_copy()
    insert(engine, "a")
    find_replica(engine).write_base()
    left = make(folder / where / OURS, LEFT_SECONDS + 10)
    kept = [
        make(folder / where / f"{OURS[:-1]}e", LEFT_SECONDS - 60),  # its writer may live
        make(folder / where / ".new-mine", LEFT_SECONDS + 10),
        make(folder / where / "0000000099.old", LEFT_SECONDS + 10),
        make(folder / OURS, LEFT_SECONDS + 10),
    ]
    find_replica(engine).write_base()
    assert not left.exists()
    assert all(file.exists() for file in kept)
    assert names(open_copy()) == ["a"]


def test_a_suspended_writer_whose_file_was_removed_repeats_the_request(
    open_copy: OpenCopy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    engine = open_copy(sleep=slept.append)
    insert(engine, "a")
    link = os.link

    def lose(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        source.unlink()
        link(source, target)

    monkeypatch.setattr(os, "link", lose)
    insert(engine, "b")
    assert len(slept) == 1
    assert names(open_copy()) == ["a", "b"]


def test_only_a_folder_of_the_store_is_looked_into(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    left = make(outside / OURS, LEFT_SECONDS + 10)
    store = FolderStore(str(tmp_path / "bucket"))
    store.put("base/0000000001.z", b"")
    (tmp_path / "bucket" / "elsewhere").symlink_to(outside)
    store.put("base/0000000002.z", b"")
    assert left.exists()
