"""Throwaway in-memory studies, created without Optuna's log line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def unannounced() -> Iterator[None]:
    """Suppress Optuna's log line about a new in-memory study."""
    logger = logging.getLogger("optuna.storages._in_memory")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


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
