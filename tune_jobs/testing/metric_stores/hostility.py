"""What the tuner expects when a metric store lags, lies or fails."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Protocol

import pytest

from tune_jobs.core.strict_json import encode_json
from tune_jobs.errors import StoreError
from tune_jobs.metric_store.base import Folder
from tune_jobs.metric_store.store import READ_BACK_SECONDS, MetricStore
from tune_jobs.runtime.records import Record, encode
from tune_jobs.testing.metric_stores.place import HISTORY, METRICS, RUN, Place


class StoreFaults(Protocol):
    """Faults of a place, which a test switches on. Writes always take effect, unless it fails."""

    def freeze_listings(self) -> None:
        """Let listings show the files that exist now, whatever is written later."""
        ...

    def freeze_files(self) -> None:
        """Let reads return the content of now; files that are written later are not found."""
        ...

    def empty_listings(self) -> None:
        """Let listings have no entries."""
        ...

    def falsify_listings(self) -> None:
        """Let listings give wrong sizes, and versions that never change."""
        ...

    def deny_existence(self) -> None:
        """Answer that nothing exists when only that is asked."""
        ...

    def fail(self) -> None:
        """Let every operation fail."""
        ...

    def clear(self) -> None:
        """Behave well from now on."""
        ...


@dataclass(frozen=True)
class FaultyPlace:
    """A place for a metric store, and its faults."""

    place: Place
    faults: StoreFaults


class HostileMetricStoreTestCase:
    """What is read from a store that lags, lies or fails.

    The result is always a typed error or "not there yet", and never an old value that is taken for
    the last one; once the store behaves well, nothing is missing.
    """

    @pytest.fixture
    def faulty(self) -> FaultyPlace:
        """An empty folder with faults."""
        raise NotImplementedError("override the fixture `faulty`")

    @pytest.fixture
    def faults(self, faulty: FaultyPlace) -> StoreFaults:
        """The faults of the place."""
        return faulty.faults

    @pytest.fixture
    def folder(self, faulty: FaultyPlace) -> Folder:
        """The place, opened to write to it."""
        return faulty.place.open()

    @pytest.fixture
    def store(self, faulty: FaultyPlace) -> MetricStore:
        """The place, opened as the store of a study."""
        return faulty.place.open_store()

    @staticmethod
    def write(folder: Folder, *values: float) -> int:
        """Write a run's metrics; returns their size in bytes."""
        data = "".join(encode(Record(1.0, n, {"value": v})) for n, v in enumerate(values)).encode()
        folder.write(METRICS, data)
        return len(data)

    @staticmethod
    def end(folder: Folder, size: int) -> None:
        """Write the history of a run that has ended with metrics of this size."""
        folder.write(HISTORY, encode_json({"event": "ended", "metrics_bytes": size}).encode())

    @staticmethod
    def values(store: MetricStore) -> list[float]:
        """What was read of the run."""
        return [record.values["value"] for record in store.known(RUN)]

    @pytest.mark.parametrize("fault", ["freeze_listings", "empty_listings", "falsify_listings"])
    def test_a_listing_does_not_hide_the_last_value(
        self, store: MetricStore, folder: Folder, faults: StoreFaults, fault: str
    ) -> None:
        self.write(folder, 0.1)
        store.fetch(store.changed([RUN]))
        getattr(faults, fault)()
        store.fetch(store.changed([RUN]))
        self.end(folder, self.write(folder, 0.1, 0.2))
        store.fetch(store.changed([RUN]))
        assert store.settle({RUN: None}) == {}
        assert self.values(store) == [0.1, 0.2]

    def test_an_old_body_is_read_again(
        self, store: MetricStore, folder: Folder, faults: StoreFaults
    ) -> None:
        self.write(folder, 0.1)
        store.fetch(store.changed([RUN]))
        faults.freeze_files()
        self.write(folder, 0.1, 0.2)
        for _ in range(2):
            assert store.changed([RUN]) == {RUN}
            store.fetch([RUN])
            assert self.values(store) == [0.1]
        faults.clear()
        store.fetch(store.changed([RUN]))
        assert self.values(store) == [0.1, 0.2]

    def test_an_old_body_is_not_the_last_value(
        self, store: MetricStore, folder: Folder, faults: StoreFaults
    ) -> None:
        size = self.write(folder, 0.1, 0.2)
        self.end(folder, size)
        self.write(folder, 0.1)
        faults.freeze_files()
        self.write(folder, 0.1, 0.2)
        for _ in range(2):
            store.fetch(store.changed([RUN]))
            assert f"{size // 2} bytes of the {size}" in store.settle({RUN: None})[RUN]
        faults.clear()
        assert store.settle({RUN: None}) == {}
        assert self.values(store) == [0.1, 0.2]

    def test_an_old_history_is_not_the_end(
        self, store: MetricStore, folder: Folder, faults: StoreFaults
    ) -> None:
        size = self.write(folder, 0.1)
        folder.write(HISTORY, b'{"event": "started"}\n')
        faults.freeze_files()
        self.end(folder, size)
        assert "no end yet" in store.settle({RUN: None})[RUN]
        faults.clear()
        assert store.settle({RUN: None}) == {}

    def test_files_that_are_listed_but_not_found_are_not_there_yet(
        self, store: MetricStore, folder: Folder, faults: StoreFaults
    ) -> None:
        faults.freeze_files()
        self.end(folder, self.write(folder, 0.1))
        for _ in range(2):
            assert store.changed([RUN]) == {RUN}
            store.fetch([RUN])
            assert (self.values(store), store.log(RUN)) == ([], "")
            assert RUN in store.settle({RUN: None})
        faults.clear()
        store.fetch(store.changed([RUN]))
        assert (store.settle({RUN: None}), self.values(store)) == ({}, [0.1])

    def test_a_store_that_denies_what_exists(
        self, store: MetricStore, folder: Folder, faults: StoreFaults
    ) -> None:
        self.write(folder, 0.1)
        folder.write("runs/b/checkpoints/c", b"x")
        faults.deny_existence()
        store.check_writable()
        self.end(folder, self.write(folder, 0.1, 0.2))
        store.fetch(store.changed([RUN]))
        assert (store.settle({RUN: None}), self.values(store)) == ({}, [0.1, 0.2])
        store.remove_checkpoints(["b"])
        assert folder.find("runs/b") == []

    def test_a_failure_is_a_store_error_and_loses_nothing(
        self, store: MetricStore, folder: Folder, faults: StoreFaults
    ) -> None:
        size = self.write(folder, 0.1)
        store.fetch(store.changed([RUN]))
        self.end(folder, 2 * size)
        self.write(folder, 0.1, 0.2)
        assert store.changed([RUN]) == {RUN}
        faults.fail()
        for operation in (
            lambda: store.fetch([RUN]),
            lambda: store.changed([RUN]),
            lambda: store.settle({RUN: None}),
            lambda: store.log(RUN),
            lambda: store.outputs(RUN),
            lambda: store.entries("runs"),
            lambda: store.download(METRICS, io.BytesIO()),
            lambda: store.write("x", "y"),
            lambda: folder.read(METRICS, -5),
            lambda: folder.remove(METRICS),
            lambda: folder.remove_all(["runs"]),
            store.check_writable,
        ):
            with pytest.raises(StoreError):
                operation()
        store.remove_checkpoints([RUN])  # what cannot be removed stays
        faults.clear()
        assert store.changed([RUN]) == {RUN}, "it was not read"
        store.fetch([RUN])
        assert (store.settle({RUN: None}), self.values(store)) == ({}, [0.1, 0.2])

    def test_a_file_that_cannot_be_read_back_makes_a_store_unusable(
        self, faulty: FaultyPlace
    ) -> None:
        uri, _, study = faulty.place.uri.rpartition("/")
        pauses: list[float] = []
        store = MetricStore(uri, study, faulty.place.options, pauses.append)
        faulty.faults.freeze_files()
        with pytest.raises(StoreError, match="a new file was not readable"):
            store.check_writable()
        assert READ_BACK_SECONDS / 2 <= sum(pauses) <= READ_BACK_SECONDS

    def test_a_file_that_can_be_read_back_late_is_waited_for(self, faulty: FaultyPlace) -> None:
        uri, _, study = faulty.place.uri.rpartition("/")
        clear = faulty.faults.clear
        store = MetricStore(uri, study, faulty.place.options, lambda seconds: clear())
        faulty.faults.freeze_files()
        store.check_writable()
