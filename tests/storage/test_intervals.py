"""Intervals of leases and looks, by the kind of storage."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from sqlalchemy import Engine
from sqlalchemy.engine import make_url

from tune_jobs.storage.intervals import BUCKET, DATABASE, Intervals, find_intervals
from tune_jobs.storage.lease import Lease


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///s.db", DATABASE),
        ("oci://bucket@namespace/prefix", BUCKET),
        ("bucket+s3://bucket/prefix", BUCKET),
        ("bucket+file:///folder", DATABASE),
        ("postgresql+psycopg://host/db", DATABASE),
    ],
)
def test_intervals_are_those_of_the_storage(url: str, expected: Intervals) -> None:
    engine = Mock(spec=Engine, url=make_url(url))
    assert find_intervals(engine) is expected
    assert Lease(engine, "s").intervals is expected


def test_a_tuner_makes_few_requests_of_a_bucket() -> None:
    looks = 3600 / min(BUCKET.commands, BUCKET.trials)
    beats = 3600 / BUCKET.renewal
    assert looks + beats <= 1000
    assert BUCKET.ttl >= 3 * BUCKET.renewal + BUCKET.rival
