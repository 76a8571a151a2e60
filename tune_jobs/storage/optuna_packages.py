"""Packages that Optuna's samplers and pruners import only after the first trials have run."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.pruners import BasePruner, WilcoxonPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, QMCSampler

from tune_jobs.errors import require_package
from tune_jobs.storage.sampler_view import find_innermost_sampler

_PACKAGES: Mapping[type[BaseSampler] | type[BasePruner], tuple[str, ...]] = {
    GPSampler: ("torch", "scipy"),
    CmaEsSampler: ("cmaes",),
    QMCSampler: ("scipy",),
    WilcoxonPruner: ("scipy",),
}


def require_packages(cls: type[object], label: str) -> None:
    """Check that the packages which a sampler or a pruner needs are installed.

    Args:
        cls: Class of the sampler or pruner.
        label: Its name in the message.

    Raises:
        MissingPackage: If one is not; the message says what to install.
    """
    for base, packages in _PACKAGES.items():
        if issubclass(cls, base):
            for package in packages:
                require_package(label, package)


def require_packages_of_study(study: optuna.Study) -> None:
    """Check that the packages which a study's sampler and pruner need are installed.

    Raises:
        MissingPackage: If one is not; the message says what to install.
    """
    for chosen in (find_innermost_sampler(study.sampler), study.pruner):
        require_packages(type(chosen), type(chosen).__name__)
