"""Samplers to compare: Optuna's and those of tune_jobs, each created from a seed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from tune_jobs.samplers import JobSampler, ModelClassSampler


def _create_tpe_group(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, group=True)


CONTENDERS: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "TPE univariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=False),
    "TPE group": _create_tpe_group,
    "CMA-ES": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
    "GP": lambda seed: optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False),
    "JobSampler": lambda seed: JobSampler(seed),
    "ModelClassSampler": lambda seed: ModelClassSampler("model", JobSampler, seed),
}
"""CMA-ES needs the package `cmaes`, and GP needs `torch`, which have to be installed first."""
