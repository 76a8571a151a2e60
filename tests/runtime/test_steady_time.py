"""Time of day that changes of the system clock do not affect."""

from __future__ import annotations

import time

import pytest

from tune_jobs.backends.data_science.backend import DataScienceBackend
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.runtime.steady_time import read_time


def test_it_is_the_system_clock_that_was_found() -> None:
    assert read_time() == pytest.approx(time.time(), abs=60)


def test_a_clock_that_is_set_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_time()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert before <= read_time() < before + 60
    assert before <= LocalBackend.clock() < before + 60
    assert before <= DataScienceBackend._clock.now() < before + 60
