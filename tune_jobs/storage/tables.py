"""Optuna's relational tables, and how they encode what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from optuna.distributions import BaseDistribution, json_to_distribution

if TYPE_CHECKING:
    from sqlalchemy import Table


@dataclass(frozen=True)
class Tables:
    """Those that are read or written here."""

    studies: Table
    directions: Table
    study_attrs: Table
    trials: Table
    params: Table
    values: Table
    steps: Table
    user_attrs: Table
    system_attrs: Table


@lru_cache(maxsize=1)
def tables() -> Tables:
    """Optuna's own (``optuna.storages._rdb.models``)."""
    from optuna.storages._rdb import models

    return Tables(
        studies=models.StudyModel.__table__,
        directions=models.StudyDirectionModel.__table__,
        study_attrs=models.StudyUserAttributeModel.__table__,
        trials=models.TrialModel.__table__,
        params=models.TrialParamModel.__table__,
        values=models.TrialValueModel.__table__,
        steps=models.TrialIntermediateValueModel.__table__,
        user_attrs=models.TrialUserAttributeModel.__table__,
        system_attrs=models.TrialSystemAttributeModel.__table__,
    )


@lru_cache(maxsize=10_000)
def decode_distribution(text: str) -> BaseDistribution:
    """A stored distribution; those of a study are few, those of its trials many."""
    return json_to_distribution(text)
