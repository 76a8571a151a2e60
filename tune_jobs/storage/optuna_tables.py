"""Optuna's relational tables, and the encodings of their values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages._rdb import models
from optuna.storages._rdb.models import (
    TrialIntermediateValueModel,
    TrialValueModel,
)
from sqlalchemy import Table

studies: Table = models.StudyModel.__table__
directions: Table = models.StudyDirectionModel.__table__
study_attrs: Table = models.StudyUserAttributeModel.__table__
study_system_attrs: Table = models.StudySystemAttributeModel.__table__
trials: Table = models.TrialModel.__table__
params: Table = models.TrialParamModel.__table__
values: Table = models.TrialValueModel.__table__
steps: Table = models.TrialIntermediateValueModel.__table__
user_attrs: Table = models.TrialUserAttributeModel.__table__
system_attrs: Table = models.TrialSystemAttributeModel.__table__

encode_value = TrialValueModel.value_to_stored_repr
decode_value = TrialValueModel.stored_repr_to_value
encode_step = TrialIntermediateValueModel.intermediate_value_to_stored_repr
decode_step = TrialIntermediateValueModel.stored_repr_to_intermediate_value
"""Infinite numbers and NaN are stored as a type beside an empty number."""


def encode_attribute(value: Any) -> str:
    """Return the JSON of an attribute as Optuna writes it, with NaN for samplers that store it.

    The attributes of tune_jobs hold no such numbers, see `core.strict_json`.
    """
    return json.dumps(value)


@lru_cache(maxsize=4096)
def encode_distribution(distribution: BaseDistribution) -> str:
    """Return the JSON of a distribution; a study has few distributions and many trials."""
    return distribution_to_json(distribution)


@lru_cache(maxsize=10_000)
def decode_distribution(encoded: str) -> BaseDistribution:
    """Return the distribution of its JSON."""
    return json_to_distribution(encoded)


def encode_time(local: datetime | None) -> datetime | None:
    """Convert the naive local time of a trial to the naive UTC of the tables."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)


def decode_time(utc: datetime | None) -> datetime | None:
    """Convert the naive UTC of the tables to the naive local time of a trial."""
    return None if utc is None else utc.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
