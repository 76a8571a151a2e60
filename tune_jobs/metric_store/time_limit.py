"""A time limit for places that may never answer."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import FileEntry, FilePart, Folder

_Result = TypeVar("_Result")
_Task = tuple[Callable[[Folder], Any], "Future[Any]"]


class TimeLimitedFolder:
    """Folder whose operations fail after a time limit.

    They run in one thread, which also keeps clients that are not thread-safe correct. A thread
    whose operation does not return is abandoned, and the next operation opens the folder anew.

    Args:
        uri: URI of the folder, for messages.
        open_folder: Function that opens it.
        seconds: Time limit of one operation.

    Raises:
        StoreError: If the folder cannot be opened in time.
    """

    readers = 1

    def __init__(self, uri: str, open_folder: Callable[[], Folder], seconds: float) -> None:
        self._uri, self._open, self._seconds = uri, open_folder, seconds
        self._lock = threading.Lock()
        self._tasks: SimpleQueue[_Task | None] | None = None
        self._run(lambda folder: None, "opening the folder")

    def read(self, path: str, start: int = 0) -> bytes:
        """See `Folder.read`."""
        return self._run(lambda folder: folder.read(path, start), f"reading {path}")

    def read_part(self, path: str, start: int, length: int) -> FilePart:
        """See `Folder.read_part`."""
        return self._run(lambda folder: folder.read_part(path, start, length), f"reading {path}")

    def write(self, path: str, data: bytes) -> None:
        """See `Folder.write`."""
        self._run(lambda folder: folder.write(path, data), f"writing {path}")

    def remove(self, path: str) -> None:
        """See `Folder.remove`."""
        self._run(lambda folder: folder.remove(path), f"removing {path}")

    def remove_all(self, folders: Sequence[str]) -> None:
        """See `Folder.remove_all`."""
        self._run(lambda folder: folder.remove_all(folders), f"removing {', '.join(folders)}")

    def versions(self, folder: str, first: str, last: str) -> dict[str, str]:
        """See `Folder.versions`."""
        return self._run(lambda below: below.versions(folder, first, last), f"listing {folder}")

    def find(self, folder: str) -> list[str]:
        """See `Folder.find`."""
        return self._run(lambda below: below.find(folder), f"listing {folder}")

    def entries(self, folder: str) -> list[FileEntry]:
        """See `Folder.entries`."""
        return self._run(lambda below: below.entries(folder), f"listing {folder}")

    def download(self, path: str, target: BinaryIO) -> None:
        """See `Folder.download`; the time limit is that of each piece."""
        counted = _CountedFile(target)
        copy = cast(BinaryIO, counted)
        doing = f"reading {path}"
        self._run(lambda folder: folder.download(path, copy), doing, lambda: counted.size)

    def _run(
        self,
        operation: Callable[[Folder], _Result],
        doing: str,
        progress: Callable[[], int] = lambda: 0,
    ) -> _Result:
        """Run an operation until it makes no ``progress`` for the time limit."""
        result: Future[_Result] = Future()
        with self._lock:
            tasks = self._tasks or self._start()
        tasks.put((operation, result))
        try:
            seen = 0
            while not _wait(result, self._seconds):
                if progress() == seen:
                    raise self._abandon(tasks, doing)
                seen = progress()
            return result.result()
        finally:
            del result  # break the cycle with an exception that it holds

    def _abandon(self, tasks: SimpleQueue[_Task | None], doing: str) -> StoreError:
        with self._lock:
            if self._tasks is tasks:
                self._tasks = None
        tasks.put(None)  # its thread ends, should the operation ever return
        return StoreError(
            f"the metric store {self._uri} did not answer within {self._seconds:g} s: {doing}"
        )

    def _start(self) -> SimpleQueue[_Task | None]:
        tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._tasks = tasks
        weakref.finalize(self, tasks.put, None)
        arguments = (self._open, tasks)
        threading.Thread(target=_work, args=arguments, name="tune_jobs-store", daemon=True).start()
        return tasks


class _CountedFile:
    """File to write to that counts the bytes."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self.size = 0

    def write(self, data: bytes) -> int:
        """Write and count."""
        self.size += len(data)
        return self._target.write(data)


def _wait(result: Future[Any], seconds: float) -> bool:
    """Return whether an operation has ended, after at most that time."""
    return bool(wait([result], seconds).done)


def _work(open_folder: Callable[[], Folder], tasks: SimpleQueue[_Task | None]) -> None:
    """Run operations on a folder, which is opened for the first one."""
    folder: Folder | None = None
    while task := tasks.get():
        operation, result = task
        try:
            folder = folder or open_folder()
            result.set_result(operation(folder))
        except BaseException as error:
            result.set_exception(error)
        del task, operation, result  # else the thread would keep what they refer to alive


if TYPE_CHECKING:
    _: Folder = TimeLimitedFolder("", lambda: TimeLimitedFolder("", lambda: _, 0.0), 0.0)
