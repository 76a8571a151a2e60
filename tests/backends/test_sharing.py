"""One backend object, several tuners: nothing can be mixed up, and nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.conftest import Script, space
from tests.simulation import simulated
from tune_jobs.backends.base import Backend
from tune_jobs.backends.local.backend import LocalBackend
from tune_jobs.backends.simulated import SimulatedBackend
from tune_jobs.errors import BackendError
from tune_jobs.tuner import Tuner

TRIALS = 6


def build_tuner(name: str, backend: Backend, folder: Path, **options: Any) -> Tuner:
    """A tuner of ``x`` in a durable study of its own."""
    study = optuna.create_study(
        study_name=name,
        storage=f"sqlite:///{folder}/{name}.db",
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(),
        load_if_exists=True,
    )
    settings = {"metric": "value", "max_parallel": 2, "progress": False, **options}
    return Tuner(study, space, backend, **settings)
