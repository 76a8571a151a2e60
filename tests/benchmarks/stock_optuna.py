"""Optuna as it comes: what a user writes who has no tuner for processes."""

from __future__ import annotations

import subprocess

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from tests.benchmarks.workload import Params, Workload, read_value, run_in_pool, space, to_argv

STORAGES = ("memory", "journal", "sqlite")
SAMPLERS = ("random", "tpe")


def open_study(storage: str, sampler: str, seed: int) -> optuna.Study:
    """An empty study, in the current folder unless in memory."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name="overhead", storage=_storage(storage), sampler=_sampler(sampler, seed)
    )


def _storage(name: str) -> BaseStorage:
    if name == "sqlite":
        return RDBStorage("sqlite:///study.db")
    if name == "journal":
        return JournalStorage(JournalFileBackend("journal.log"))
    return InMemoryStorage()


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def run_optimize(workload: Workload, study: optuna.Study) -> None:
    """A thread for every slot, each waiting for its process."""

    def objective(trial: optuna.Trial) -> float:
        command = workload.command + to_argv(space(trial))
        return read_value(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)

    study.optimize(objective, n_trials=workload.trials, n_jobs=workload.slots)


def run_ask_tell(workload: Workload, study: optuna.Study) -> None:
    """The loop of the bare pool with Optuna's ask and tell in it."""

    def ask() -> tuple[optuna.Trial, Params]:
        trial = study.ask()
        return trial, space(trial)

    def tell(trial: optuna.Trial, value: float) -> None:
        study.tell(trial, value)

    run_in_pool(workload, ask, tell)
