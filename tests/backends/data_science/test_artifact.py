"""Archives of what is uploaded."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

from tune_jobs.backends.data_science.artifact import pack_folder


def test_large_files_are_packed_in_pieces(tmp_path: Path) -> None:
    folder, size = tmp_path / "project", 32 << 20
    folder.mkdir()
    with (folder / "data.bin").open("wb") as file:
        file.truncate(size)
    tracemalloc.start()
    try:
        packed = pack_folder(folder, tmp_path / "project.zip")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size / 4
    with zipfile.ZipFile(packed) as archive:
        assert archive.getinfo("data.bin").file_size == size
