"""Contenders of `overhead` that use Optuna alone."""

from __future__ import annotations

import os
import subprocess

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from tests.benchmarks.distant_store import DistantStore
from tests.benchmarks.workload import Params, Workload, parse_value, run_in_pool, suggest, to_argv

STORAGES = ("memory", "journal", "sqlite", "bucket")
SAMPLERS = ("random", "tpe")


def open_study(storage: str, sampler: str, seed: int) -> optuna.Study:
    """Create an empty study, in the current folder unless in memory."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="overhead",
        storage=_create_storage(storage),
        sampler=_create_sampler(sampler, seed),
    )


def _create_storage(name: str) -> BaseStorage:
    if name == "sqlite":
        return RDBStorage("sqlite:///study.db")
    if name == "bucket":
        arguments = {"store": DistantStore(os.path.abspath("bucket"))}
        return RDBStorage("oci://bucket@namespace/study", {"connect_args": arguments})
    if name == "journal":
        return JournalStorage(JournalFileBackend("journal.log"))
    return InMemoryStorage()


def _create_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def run_optimize(workload: Workload, study: optuna.Study) -> None:
    """Run a workload by `study.optimize`, with one thread per slot that waits for its process."""

    def objective(trial: optuna.Trial) -> float:
        command = workload.command + to_argv(suggest(trial))
        return parse_value(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)

    study.optimize(objective, n_trials=workload.trials, n_jobs=workload.slots)


def run_ask_tell(workload: Workload, study: optuna.Study) -> None:
    """Run a workload by the loop of the bare pool, with `study.ask` and `study.tell` in it."""

    def ask() -> tuple[optuna.Trial, Params]:
        trial = study.ask()
        return trial, suggest(trial)

    def tell(trial: optuna.Trial, value: float) -> None:
        study.tell(trial, value)

    run_in_pool(workload, ask, tell)
