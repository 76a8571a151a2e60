"""Optuna's samplers and ours, each made from a seed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from tune_jobs.samplers import JobSampler, ModelClassSampler


def _tpe(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed)


def _tpe_univariate(seed: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, multivariate=False)


def _tpe_group(seed: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, group=True)


def _random(seed: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def _cmaes(seed: int) -> BaseSampler:
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


def _gp(seed: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False)


STOCK: Mapping[str, Callable[[int], BaseSampler]] = {
    "random": _random,
    "TPE": _tpe,
    "TPE univariate": _tpe_univariate,
    "TPE group": _tpe_group,
    "CMA-ES": _cmaes,
    "GP": _gp,
}
"""Optuna's own. CMA-ES needs the package `cmaes`, and GP needs `torch`: install them first."""


def _classes(seed: int) -> BaseSampler:
    return ModelClassSampler("model", JobSampler, seed)


OURS: Mapping[str, Callable[[int], BaseSampler]] = {
    "JobSampler": lambda seed: JobSampler(seed),
    "ModelClassSampler": _classes,
}

CONTENDERS = {**STOCK, **OURS}
