"""Which database holds a study, and which one its ledger."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage, _CachedStorage
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import QueuePool

from tune_jobs.runtime.private_files import find_refusal
from tune_jobs.storage.fence import remove_fence
from tune_jobs.storage.sqlite_files import create_file_first, find_file_refusal

_memory_engines: WeakKeyDictionary[InMemoryStorage, Engine] = WeakKeyDictionary()
"""Ledgers of studies in memory; they live as long as the studies."""


def find_ledger_engine(study: optuna.Study) -> Engine:
    """Return the database of a study's ledger.

    The study's own if its storage is relational; otherwise an SQLite file beside the journal file,
    or a database in memory.
    """
    storage = unwrap_storage(study)
    if isinstance(storage, RDBStorage):
        return storage.engine
    if isinstance(storage, InMemoryStorage):
        if storage not in _memory_engines:
            _memory_engines.setdefault(storage, _create_memory_engine())
        return _memory_engines[storage]
    path = getattr(getattr(storage, "_backend", None), "_file_path", study.study_name)
    return create_file_first(create_engine(f"sqlite:///{path}.tune_jobs.db"))


def has_relational_storage(study: optuna.Study) -> bool:
    """Return whether the study's own database holds its ledger, so that they share transactions."""
    return isinstance(unwrap_storage(study), RDBStorage)


def _create_memory_engine() -> Engine:
    """Create a database in memory: one connection, which threads use one after another."""
    return create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"check_same_thread": False},
    )


def unwrap_storage(study: optuna.Study) -> BaseStorage:
    """Return the study's storage without its fence and without Optuna's cache around it."""
    storage = remove_fence(study)
    return storage._backend if isinstance(storage, _CachedStorage) else storage


def find_storage_refusal(study: optuna.Study) -> str:
    """Return why this user may not write a study's file; empty if that is allowed."""
    storage = unwrap_storage(study)
    if isinstance(storage, RDBStorage):
        return find_file_refusal(storage.engine.url.render_as_string(False), write=True)
    path = getattr(getattr(storage, "_backend", None), "_file_path", None)
    return "" if path is None else find_refusal(path, write=True)
