"""A bucket that answers after a round trip."""

from __future__ import annotations

import time

from tune_jobs.storage.bucket.folder_store import FolderStore

ROUND_TRIP = 0.03
"""Seconds of each request."""


class DistantStore(FolderStore):
    """A folder whose every request takes a round trip."""

    def get(self, name: str, limit: int) -> bytes | None:
        time.sleep(ROUND_TRIP)
        return super().get(name, limit)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        time.sleep(ROUND_TRIP)
        return super().put_if_absent(name, data)

    def put(self, name: str, data: bytes) -> None:
        time.sleep(ROUND_TRIP)
        super().put(name, data)

    def list(self, folder: str, start: str = "") -> list[str]:
        time.sleep(ROUND_TRIP)
        return super().list(folder, start)

    def delete(self, name: str) -> None:
        time.sleep(ROUND_TRIP)
        super().delete(name)
