"""Where a tested metric store is, and the run whose files are in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.folder import open_folder
from tune_jobs.metric_store.store import MetricStore

RUN = "trial-000001-1"
METRICS = f"metrics/{RUN}.jsonl"
HISTORY = f"runs/{RUN}/run.jsonl"


@dataclass(frozen=True)
class Place:
    """Where a metric store is.

    Args:
        uri: URI of an empty folder.
        options: How it is reached; see `tune_jobs.metric_store.folder.open_folder`.
    """

    uri: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self) -> Folder:
        """Open the folder; every call is another client of the same place."""
        return open_folder(self.uri, self.options)

    def open_store(self) -> MetricStore:
        """Open the folder as the store of a study."""
        uri, _, study = self.uri.rpartition("/")
        return MetricStore(uri, study, self.options)
