"""Which database holds a study, and which holds its ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import optuna
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine


from weakref import WeakKeyDictionary

from optuna.storages import InMemoryStorage
from sqlalchemy import (
    Engine,
    create_engine,
)
from sqlalchemy.pool import QueuePool

from tune_jobs.storage.fence import FencedStorage

_of_memory: WeakKeyDictionary[InMemoryStorage, Engine] = WeakKeyDictionary()
"""The ledgers of studies in memory: as long-lived as those."""


def find_ledger_engine(study: optuna.Study) -> tuple[bool, Engine]:
    """Whether the study's own database holds the ledger, and the engine of the ledger."""
    storage = unwrap_storage(study)
    if isinstance(storage, RDBStorage):
        return True, storage.engine
    if isinstance(storage, InMemoryStorage):
        if storage not in _of_memory:
            _of_memory.setdefault(storage, _in_memory())
        return False, _of_memory[storage]
    # Beside an Optuna journal file, whose storage keeps its backend, and that its path.
    path = getattr(getattr(storage, "_backend", None), "_file_path", study.study_name)
    return False, create_engine(f"sqlite:///{path}.tune_jobs.db")


def _in_memory() -> Engine:
    """A database in memory is one connection: threads take turns, a transaction each."""
    return create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"check_same_thread": False},
    )


def unwrap_storage(study: optuna.Study) -> BaseStorage:
    """The study's storage, without the cache that Optuna puts around a relational one."""
    storage = study._storage
    if isinstance(storage, FencedStorage):
        storage = storage.inner
    return storage._backend if isinstance(storage, _CachedStorage) else storage
