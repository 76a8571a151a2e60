"""Call functions as another user of the machine, which only root can."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

USER, COLLEAGUE, GROUP = 50_001, 50_002, 50_003

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user"
)


def call_as(user: int, function: Callable[[], object], *, groups: Sequence[int] = ()) -> str:
    """Return the string of what a function returns as another user, or the traceback of its error.

    It runs in a forked process, which cannot import modules that only root may read.
    """
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads
        child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(user)
            os.setuid(user)
            result = str(function())
        except BaseException:
            result = traceback.format_exc()
        os.write(writing, result.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read().decode()
    os.waitpid(child, 0)
    return result


@contextmanager
def open_folder() -> Iterator[Path]:
    """Create a temporary folder that every user may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="tune-jobs-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
