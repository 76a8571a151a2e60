"""A folder whose requests fail as those of a bucket do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tune_jobs.runtime.oci_answers import NO_ANSWER, THROTTLED, Meaning
from tune_jobs.storage.bucket.folder_store import FolderStore
from tune_jobs.storage.bucket.stores import BucketTrouble

FAULTS = ("before", "after", "late", "throttled", "twice", "killed before", "killed after")
"""What may happen to the PUT of an entry."""


class Killed(BaseException):
    """The process of a tuner ends here."""


class FaultyStore(FolderStore):
    """A folder whose next requests fail.

    Args:
        folder: The folder.
        late: Where requests are kept that take effect later.
    """

    def __init__(self, folder: Path, late: list[Callable[[], object]]) -> None:
        super().__init__(str(folder))
        self._late = late
        self.faults: list[str] = []
        self.is_down = False

    def get(self, name: str, limit: int) -> bytes | None:
        self._answer()
        return super().get(name, limit)

    def list(self, folder: str, start: str = "") -> list[str]:
        self._answer()
        return super().list(folder, start)

    def _answer(self) -> None:
        if self.is_down:
            self.is_down = False
            raise BucketTrouble("429", Meaning(THROTTLED, float("inf")))

    def put_if_absent(self, name: str, data: bytes) -> bool:
        fault = self.faults.pop() if self.faults else ""
        put = super().put_if_absent
        if fault == "killed before":
            raise Killed
        if fault in ("after", "twice", "killed after"):
            put(name, data)
        if fault == "killed after":
            raise Killed
        if fault == "late":
            self._late.append(lambda: put(name, data))
        if fault in ("before", "after", "late"):
            raise BucketTrouble("no answer", Meaning(NO_ANSWER, float("inf")))
        if fault == "throttled":
            raise BucketTrouble("429", Meaning(THROTTLED, float("inf")))
        return put(name, data)
