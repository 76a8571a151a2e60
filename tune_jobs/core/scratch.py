"""Throwaway in-memory studies, created without Optuna's log line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import optuna

_is_muted: ContextVar[bool] = ContextVar("_is_muted", default=False)


def _is_announced(record: logging.LogRecord) -> bool:
    return not _is_muted.get()


@contextmanager
def unannounced() -> Iterator[None]:
    """Suppress Optuna's log line about a new in-memory study, in this thread only.

    The logger's level is the user's, and threads would restore it in any order.
    """
    logging.getLogger("optuna.storages._in_memory").addFilter(_is_announced)  # has it once
    before = _is_muted.set(True)
    try:
        yield
    finally:
        _is_muted.reset(before)


def scratch_study(study: optuna.Study) -> optuna.Study:
    """Return an empty study with the directions and attributes of ``study``.

    It samples at random, the same samples each time.
    """
    with unannounced():
        scratch = optuna.create_study(
            directions=study.directions, sampler=optuna.samplers.RandomSampler(seed=0)
        )
    for key, value in study.user_attrs.items():
        scratch.set_user_attr(key, value)  # a search space may read them
    return scratch
