"""Exponential backoff."""

from __future__ import annotations

from tune_jobs.runtime.backoff import Backoff


def test_pauses_grow_up_to_the_longest() -> None:
    backoff = Backoff(first=0.5, longest=3.0)
    assert [backoff.pause(attempt) for attempt in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert backoff.pause(100_000) == 3.0


def test_another_factor() -> None:
    assert Backoff(first=1.0, longest=100.0, factor=10.0).pause(2) == 10.0
