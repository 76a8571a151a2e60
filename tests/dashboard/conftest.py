"""Studies tuned in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from werkzeug.serving import BaseWSGIServer
from werkzeug.test import Client

from tests.dashboard_browser import serving
from tests.simulation import simulated
from tune_jobs.dashboard.access import Access
from tune_jobs.dashboard.model import Study
from tune_jobs.dashboard.reading import read_study
from tune_jobs.dashboard.server import Dashboard

MakeStudy = Callable[..., optuna.Study]
Serve = Callable[..., tuple[BaseWSGIServer, str]]

TOKEN = "the-token-of-the-tests"
HOSTILE = "<script>alert(1)</script>\"'&\u202e" + "x" * 200


def sign_in(storages: Sequence[str], **options: Any) -> Client:
    """Return a client of a dashboard whose requests have the token."""
    dashboard = Dashboard(storages, access=Access(TOKEN), **options)

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ.setdefault("HTTP_AUTHORIZATION", f"Bearer {TOKEN}")
        return dashboard(environ, start_response)

    return Client(application)


@pytest.fixture
def start_server() -> Iterator[Serve]:
    """Return a function that serves storages until the test ends."""
    with ExitStack() as stack:
        yield lambda *storages, **options: stack.enter_context(serving(*storages, **options))


@pytest.fixture
def served(start_server: Serve) -> Callable[..., str]:
    """Return a function that serves storages until the test ends, and returns the address."""
    return lambda *storages, **options: start_server(*storages, **options)[1]


@pytest.fixture
def tuned(tmp_path: Path) -> MakeStudy:
    """Return a function that tunes a study in a database or journal of the test."""

    def make(
        name: str = "s", n_trials: int = 20, storage: str = "sqlite", **options: Any
    ) -> optuna.Study:
        where = (
            f"sqlite:///{tmp_path}/studies.db"
            if storage == "sqlite"
            else JournalStorage(JournalFileBackend(f"{tmp_path}/journal.log"))
        )
        study = optuna.create_study(
            study_name=name,
            storage=where,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=1),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        )
        backend = {"provisioning": 120.0, "stopping": 5.0}
        tuner, _ = simulated(study=study, backend=backend, prices={"simulated": 2.0}, **options)
        tuner.optimize(n_trials=n_trials)
        return study

    return make


@pytest.fixture
def seen(tuned: MakeStudy) -> Study:
    """Return a tuned study as the dashboard reads it."""
    return read_study(tuned())
