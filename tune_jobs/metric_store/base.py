"""The port of the metric store: files below one URI, wherever they are.

`tune_jobs.testing.metric_stores` has the conformance suite of its implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from tune_jobs.errors import StoreError


@dataclass(frozen=True)
class FileEntry:
    """A file in a listing.

    Args:
        path: Its path, relative to the folder that was listed.
        size: Its size in bytes.
        modified: When it was modified, in seconds since the epoch; None if the place does not say.
    """

    path: str
    size: int
    modified: float | None = None


@dataclass(frozen=True)
class FilePart:
    """A part of a file.

    Args:
        data: Its bytes.
        start: Offset of the first of them in the file.
        size: Size of the whole file in bytes.
    """

    data: bytes
    start: int
    size: int


class Folder(Protocol):
    """Files below one URI, addressed by paths relative to it.

    Every method raises a StoreError if the place cannot be reached or refuses the operation.

    Attributes:
        readers: Number of files that are worth reading in parallel.
    """

    readers: int

    def read(self, path: str, start: int = 0) -> bytes:
        """Return the content of a file.

        Args:
            path: The file.
            start: Offset in bytes of the first byte to return; at or beyond the file's end the
                result is empty. If negative, the last ``-start`` bytes are returned.

        Raises:
            FileNotFoundError: If the file does not exist.
        """
        ...

    def read_part(self, path: str, start: int, length: int) -> FilePart:
        """Return a part of a file.

        Args:
            path: The file.
            start: Offset in bytes of the first byte to return; at or beyond the file's end there
                are none. If negative, the part begins that many bytes before the end.
            length: The most bytes to return; at least 1.

        Raises:
            FileNotFoundError: If the file does not exist.
        """
        ...

    def write(self, path: str, data: bytes) -> None:
        """Write a whole file, replacing one that exists."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file.

        Raises:
            FileNotFoundError: If the file does not exist.
        """
        ...

    def remove_all(self, folders: Sequence[str]) -> None:
        """Remove all files below these folders; a folder that does not exist is ignored."""
        ...

    def versions(self, folder: str, first: str, last: str) -> dict[str, str]:
        """List the files directly in ``folder`` with ``first <= name <= last``.

        Returns:
            By name, a version: a string that changes whenever the file does. An empty one says
            that the place cannot tell versions apart.
        """
        ...

    def find(self, folder: str) -> list[str]:
        """Return the paths of all files below ``folder``, relative to it, sorted."""
        ...

    def entries(self, folder: str) -> list[FileEntry]:
        """Return all regular files below ``folder``, sorted by path.

        Symbolic links are neither listed nor followed.
        """
        ...

    def download(self, path: str, target: BinaryIO) -> None:
        """Copy the content of a file, in pieces.

        Args:
            path: The file.
            target: What it is written to. After an error it may have a part of the content.

        Raises:
            FileNotFoundError: If the file does not exist.
        """
        ...


@contextmanager
def store_errors(
    action: str,
    advise: Callable[[Exception], str] = lambda error: "",
    describe: Callable[[Exception], str] | None = None,
) -> Iterator[None]:
    """Raise whatever goes wrong as a StoreError; a missing file remains a FileNotFoundError.

    Args:
        action: What fails, as in "reading ftp://host/runs/log.txt".
        advise: Returns what a person can do about an error; empty if that is not known.
        describe: Returns what an error says; by default `describe_error`.
    """
    try:
        yield
    except (StoreError, FileNotFoundError):
        raise
    except Exception as error:  # every file system and every SDK has errors of its own
        advice = advise(error)
        said = (describe or describe_error)(error)
        message = f"{action} failed: {said}" + (f". {advice}" if advice else "")
        raise StoreError(message, has_advice=bool(advice)) from error


def describe_error(error: Exception) -> str:
    """Return the message of an error, of an OCI service's answer only code and message."""
    code, message = getattr(error, "code", None), getattr(error, "message", None)
    return f"{code}: {message}" if code and message else str(error) or type(error).__name__
