"""Copies of what local runs leave, in a metric store that is not a local folder."""

from __future__ import annotations

import contextlib
import os
import re
from functools import partial
from pathlib import Path

from tune_jobs.backends.local.run import StartRequest
from tune_jobs.core.strict_json import encode_json
from tune_jobs.runtime.left_files import find_left_files, portable_name
from tune_jobs.runtime.private_files import open_private

_IN_WORK = re.compile(r"(rank-\d+/)?work/")
"""Paths in the working directory of the run, or of one of its nodes."""


def publish(start: StartRequest, *, whole: bool) -> str:
    """Copy a run's metrics to a metric store that is not a local folder.

    Args:
        start: The run.
        whole: Whether to copy all that it left, at its end.

    Returns:
        The reason for a failure, or an empty string.
    """
    import fsspec

    assert start.publish is not None
    metrics, folder = start.publish
    try:
        if os.path.exists(start.metrics):
            fs, path = fsspec.core.url_to_fs(metrics)
            fs.put_file(start.metrics, path)
        for relative in _list_published(start) if whole else ():
            fs, path = fsspec.core.url_to_fs(f"{folder}/{portable_name(relative)}")
            fs.put_file(os.path.join(start.folder, relative), path)
    except Exception as error:  # each file system of fsspec raises errors of its own
        return f"its data could not be copied to {folder}: {error}"
    return ""


def _list_published(start: StartRequest) -> list[str]:
    """Return what a run left: paths relative to its folder, the history last."""
    root = Path(start.folder)
    paths = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    below = [path for path in paths if not _IN_WORK.match(path)]
    left = find_left_files(os.path.join(root, "work"), {}, start.env, partial(is_input, start))
    omitted = left.describe_omitted()
    if omitted is not None:
        with open(root / "omitted.json", "w", encoding="utf-8", opener=open_private) as file:
            file.write(encode_json(omitted))
        below.append("omitted.json")
    below += [f"work/{path}" for path, _ in left.kept]
    return sorted(below, key=lambda path: (path == "run.jsonl", path))


def is_input(start: StartRequest, path: str) -> bool:
    """Return whether a file in the working folder is a configuration file as it was written."""
    content = start.files.get(path)
    if content is None:
        return False
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(start.folder, "work", path).read_text(encoding="utf-8") == content
    return False
