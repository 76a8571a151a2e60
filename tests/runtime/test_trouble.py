"""Which errors are trouble of the machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tune_jobs.runtime import trouble
from tune_jobs.runtime.trouble import (
    check_room,
    describe_trouble,
    is_freed_by_runs,
    is_in_output,
    is_trouble_message,
)


def raise_from(cause: BaseException) -> BaseException:
    try:
        raise ValueError("the store cannot be read") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "free space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "raise the quota"),
        (OSError(errno.EROFS, "Read-only file system"), "mount it writable"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (MemoryError(), "no memory is left"),
        (raise_from(OSError(errno.ENOSPC, "No space left on device")), "free space"),
    ],
)
def test_trouble_names_the_fix(error: BaseException, advice: str) -> None:
    assert advice in describe_trouble(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        OSError(errno.E2BIG, "Argument list too long"),
        OSError(errno.ENOEXEC, "Exec format error"),
        PermissionError(errno.EACCES, "Permission denied"),
        ValueError("no"),
    ],
)
def test_what_a_run_does_is_no_trouble(error: BaseException) -> None:
    assert describe_trouble(error) == ""


def test_live_runs_free_files_and_not_disks() -> None:
    assert is_freed_by_runs(OSError(errno.EMFILE, ""))
    assert not is_freed_by_runs(OSError(errno.ENOSPC, ""))


def test_messages() -> None:
    assert is_trouble_message("(sqlite3.OperationalError) database or disk is full")
    assert not is_trouble_message("database is locked")
    assert is_in_output(b"OSError: [Errno 28] No space left on device\n")
    assert not is_in_output(b"Errno 2: no such file")


def test_a_file_system_without_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    check_room(os.path.join(tmp_path, "not", "there", "yet"))
    status = os.statvfs(tmp_path)
    monkeypatch.setattr(trouble, "MIN_BYTES", status.f_bavail * status.f_frsize * 2)
    with pytest.raises(OSError, match=r"No space left on device.*yet"):
        check_room(os.path.join(tmp_path, "not", "there", "yet"))
