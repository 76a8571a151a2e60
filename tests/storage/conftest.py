"""A database with the tables of the ledger, and a clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from tests.storage.leases import Clock
from tune_jobs.storage.schema import prepare


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return a database without studies."""
    made = create_engine(f"sqlite:///{tmp_path}/l.db")
    prepare(made)
    return made


@pytest.fixture
def clock() -> Clock:
    """Return a clock that advances when it is slept on."""
    return Clock()
