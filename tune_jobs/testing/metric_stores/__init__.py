"""Conformance suite for metric stores.

Any file system that fsspec can open may hold a metric store. Inherit the suite to test that yours
does what the tuner expects, and override the fixture that says where it is:

    import pytest
    from tune_jobs.testing.metric_stores import MetricStoreTestCase, Place


    class TestMyStore(MetricStoreTestCase):
        @pytest.fixture
        def place(self) -> Place:
            return Place("myfs://bucket/an-empty-folder", {"token": "..."})

The folder has to be a new one in every test. Class attributes state what a store cannot do; see
`MetricStoreTestCase`. Importing ``myfs`` or installing its package must register the protocol.

`HostileMetricStoreTestCase` tests what happens when a store misbehaves. Its fixture provides a
place together with its `StoreFaults`. To run it over your file system, wrap that in a
`FaultyFileSystem`:

    class TestMyStoreWithFaults(HostileMetricStoreTestCase):
        @pytest.fixture
        def faulty(self) -> FaultyPlace:
            faults = FileSystemFaults(fsspec.filesystem("myfs"), "bucket/an-empty-folder")
            return FaultyPlace(Place("faulty://", {"faults": faults}), faults)

Both suites need pytest.
"""

from tune_jobs.testing.metric_stores.conformance import MetricStoreTestCase
from tune_jobs.testing.metric_stores.hostility import (
    FaultyPlace,
    HostileMetricStoreTestCase,
    StoreFaults,
)
from tune_jobs.testing.metric_stores.place import Place

__all__ = [
    "FaultyPlace",
    "HostileMetricStoreTestCase",
    "MetricStoreTestCase",
    "Place",
    "StoreFaults",
]
