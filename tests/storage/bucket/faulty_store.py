"""A store of objects in memory, with requests that are lost, late, repeated or refused."""

from __future__ import annotations

from collections.abc import Callable

from tune_jobs.runtime.oci_answers import NO_ANSWER, THROTTLED, Meaning
from tune_jobs.storage.bucket.stores import BucketTrouble, ObjectStore

FAULTS = ("lost", "answer lost", "late", "throttled", "twice")


class MemoryStore:
    """Objects in memory.

    Attributes:
        objects: The objects, by name.
        created: Called with the name of each object that `put_if_absent` creates.
        faults: Faults of the next calls of `put_if_absent`; None for a call without one.
        late: Requests whose answer was not awaited, and which take effect by `land`.
    """

    url = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.created: Callable[[str], None] = lambda name: None
        self.faults: list[str | None] = []
        self.late: list[Callable[[], object]] = []
        self.requests = 0
        self.sent = self.received = 0

    def get(self, name: str, limit: int) -> bytes | None:
        self.requests += 1
        data = self.objects.get(name)
        self.received += len(data or b"")
        return data

    def list(self, folder: str, start: str = "") -> list[str]:
        self.requests += 1
        found = [name for name in self.objects if name.startswith(f"{folder}/") and name >= start]
        return sorted(found)

    def put(self, name: str, data: bytes) -> None:
        self.requests += 1
        self.sent += len(data)
        self.objects[name] = data

    def delete(self, name: str) -> None:
        self.requests += 1
        self.objects.pop(name, None)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        self.requests += 1
        self.sent += len(data)
        fault = self.faults.pop(0) if self.faults else None
        created = self.created
        if fault == "late":
            self.late.append(lambda: self._create(name, data, created))
        if fault == "throttled":
            raise BucketTrouble("429 TooManyRequests", Meaning(THROTTLED, float("inf")))
        if fault in ("lost", "late"):
            raise BucketTrouble("no answer", Meaning(NO_ANSWER, float("inf")))
        done = self._create(name, data, created)
        if fault == "answer lost":
            raise BucketTrouble("no answer", Meaning(NO_ANSWER, float("inf")))
        return self._create(name, data, created) if fault == "twice" else done

    def _create(self, name: str, data: bytes, created: Callable[[str], None]) -> bool:
        if name in self.objects:
            return False
        self.objects[name] = data
        created(name)
        return True

    def land(self) -> None:
        """Have the requests that are late take effect, if they still can."""
        while self.late:
            self.late.pop(0)()


_: ObjectStore = MemoryStore()
