"""What a store of objects has to offer to hold a log, and the errors that it raises."""

from __future__ import annotations

from typing import Protocol

from tune_jobs.errors import StudyError
from tune_jobs.runtime.oci_answers import Meaning


class ObjectStore(Protocol):
    """Objects below a prefix. Names are relative to it, such as ``log/0000000012.z``.

    Every method raises `BucketTrouble` if the request was refused, or not answered.

    Attributes:
        url: The prefix, for messages.
    """

    url: str

    def get(self, name: str, limit: int) -> bytes | None:
        """Return an object; None if the store answers that there is none.

        Raises:
            StudyError: If it is larger than ``limit`` bytes.
        """
        ...

    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Create an object; return False, and change nothing, if it exists."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Create or replace an object."""
        ...

    def list(self, folder: str, start: str = "") -> list[str]:
        """Return the names in a folder, such as ``log``, from ``start`` on, in order."""
        ...

    def delete(self, name: str) -> None:
        """Delete an object, if it exists."""
        ...


class BucketTrouble(Exception):
    """A request that was refused, or not answered.

    Args:
        message: What the store said.
        meaning: What that means: for how long the request is worth repeating.
    """

    def __init__(self, message: str, meaning: Meaning) -> None:
        super().__init__(message)
        self.meaning = meaning


def build_size_error(url: str, name: str, limit: int) -> StudyError:
    """Return the error of an object that is larger than any that tune_jobs writes."""
    return StudyError(
        f"{url}/{name} is larger than {limit >> 20} MB: tune_jobs writes no such object, so "
        "something else did; remove it if it does not belong to the study"
    )
