"""Controllers that are processes of this machine and survive the terminal."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_jobs.core.controllers import LOCAL, ControllerRecord
from tune_jobs.core.strict_json import encode_json
from tune_jobs.detached.places import read_file
from tune_jobs.detached.recipe import Recipe, check_recipe, write_recipe
from tune_jobs.errors import StudyError, TuneJobsError
from tune_jobs.runtime.private_files import make_folders, open_private
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.lease import StudyOwned
from tune_jobs.storage.owner_identity import is_dead

CONTROLLER_MODULE = "tune_jobs.cli.controller"
"""The module that a controller runs."""

_START = (
    "import json, runpy, sys; module, path, *rest = sys.argv[1:]; sys.path[:0] = json.loads(path); "
    "sys.argv[1:] = rest; runpy.run_module(module, run_name='__main__', alter_sys=True)"
)
_ERRORS = "tune_jobs.errors"
_TAIL = 2000


class LocalPlace:
    """Controllers of one study on this machine.

    Args:
        folder: The study's local folder, with a folder of each controller in it.
        uid: The study's uid.
    """

    name, elsewhere = LOCAL, False

    def __init__(self, folder: Path, uid: str) -> None:
        self._folder, self._uid = folder / "controllers", uid

    def check(self, recipe: Recipe) -> None:
        """See `Place.check`."""
        check_recipe(recipe)

    def launch(self, recipe: Recipe, record: ControllerRecord, rows: ControllerRows) -> None:
        """See `Place.launch`: waits until the controller owns the study."""
        folder = self._folder / record.name
        make_folders(folder)
        facts = {"name": record.name, "place": LOCAL, "uid": self._uid, "user": record.user}
        write_recipe(folder, recipe, {**facts, "launched": record.launched, "log": record.log})
        with _pipe() as (reading, writing):
            process = _start(folder, Path(record.log), writing)
            os.close(writing)
            try:
                answer = _read_all(reading)
            except BaseException:  # such as Ctrl-C: the process is not recorded yet
                process.send_signal(signal.SIGTERM)
                raise
        threading.Thread(target=process.wait, daemon=True).start()  # reaps it when it ends
        if answer:
            raise _as_error(answer)
        self._check_alive(process, record)

    def _check_alive(self, process: subprocess.Popen[bytes], record: ControllerRecord) -> None:
        """Check a controller that closed its pipe without a word.

        Raises:
            StudyError: If it was killed.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(0.2)
            if code < 0:
                tail = self.read_log(record, 0)[-_TAIL:].decode("utf-8", "replace").strip()
                raise StudyError(
                    f"{record.name} was ended by signal {-code} before it began: {tail}"
                )

    def find_end(self, record: ControllerRecord) -> float | None:
        """See `Place.find_end`."""
        if record.finished is not None:
            return record.finished
        if record.run_id is None or not is_dead(record.run_id):
            return None
        return _find_last_word(record)

    def describe_end(self, record: ControllerRecord) -> str:
        """See `Place.describe_end`."""
        if record.finished is not None or self.find_end(record) is None:
            return ""
        return f"{record.name} was killed: the next `tune-jobs run` continues"

    def log_path(self, name: str) -> str:
        """See `Place.log_path`."""
        return str(self._folder / name / "log.txt")

    def read_log(self, record: ControllerRecord, offset: int) -> bytes:
        """See `Place.read_log`."""
        return read_file(record.log, offset)


def _find_last_word(record: ControllerRecord) -> float:
    with contextlib.suppress(OSError):
        return os.path.getmtime(record.log)
    return time.time()


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for descriptor in (reading, writing):
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _start(folder: Path, log: Path, writing: int) -> subprocess.Popen[bytes]:
    """Start a controller in a session of its own, so that no terminal ends it."""
    path = [os.path.abspath(entry) for entry in sys.path]
    words = [CONTROLLER_MODULE, encode_json(path), str(folder), str(writing)]
    with open(log, "ab", opener=open_private) as out:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _START, *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(writing,),
        )


def _read_all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
    return b"".join(parts)


def _as_error(answer: bytes) -> TuneJobsError:
    """Return the error that a controller reported."""
    reported: dict[str, Any] = json.loads(answer)
    kind, message = reported["kind"], reported["message"]
    if kind == StudyOwned.__name__:
        return StudyOwned(message)
    known = getattr(importlib.import_module(_ERRORS), kind, None)
    if isinstance(known, type) and issubclass(known, TuneJobsError):
        return known(message)
    return StudyError(f"the controller ended with {kind}: {message}")
