"""Studies in memory that nobody needs to hear of: copies, and ones to draw samples from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def unannounced() -> Iterator[None]:
    """Optuna says of every study that is created in memory that it was; not in here."""
    logger = logging.getLogger("optuna.storages._in_memory")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def scratch_study(study: optuna.Study) -> optuna.Study:
    """An empty study with the directions and attributes of ``study``, to sample from at random.

    The same samples come every time.
    """
    with unannounced():
        scratch = optuna.create_study(
            directions=study.directions, sampler=optuna.samplers.RandomSampler(seed=0)
        )
    for key, value in study.user_attrs.items():
        scratch.set_user_attr(key, value)  # a search space may read them
    return scratch
