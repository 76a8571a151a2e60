"""TPE for a controller that may be restarted: a seed never repeats its start-up points."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class JobSampler(BaseSampler):
    """Optuna's TPE, set up for many pending trials and conditional parameters.

    A seeded `TPESampler` that is made anew after a restart draws the points of its beginning
    again. This one makes its TPE when it is first asked, with a seed derived from the given one and
    the number of the trial that it is asked for: the same seed and the same history give the same
    suggestions, and a restarted controller goes on with new ones.

    Args:
        seed: Makes the suggestions reproducible; None draws a seed from the system.
        n_startup_trials: So many trials must be finished before TPE takes over from random search.
    """

    _tpe: TPESampler | None = None

    def __init__(self, seed: int | None = None, n_startup_trials: int = 10) -> None:
        self._seed = seed
        self._n_startup_trials = n_startup_trials

    def reseed_rng(self) -> None:
        """Draw a new seed from the system; Optuna does so for each of several threads."""
        self._seed = None
        if self._tpe is not None:
            self._tpe.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Called by Optuna when a trial begins."""
        self._delegate(trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that are chosen together."""
        return self._delegate(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose them."""
        return self._delegate(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Choose any other parameter."""
        return self._delegate(trial).sample_independent(
            study, trial, param_name, param_distribution
        )

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Called by Optuna when a trial ends."""
        # A restarted controller may first tell the trials of its predecessor. Their numbers are
        # used: a seed derived from one of them could be the predecessor's own.
        if self._tpe is not None:
            self._tpe.after_trial(study, trial, state, values)

    def _delegate(self, trial: FrozenTrial) -> TPESampler:
        if self._tpe is None:
            tpe = _tpe(_derived(self._seed, trial.number), self._n_startup_trials)
            vars(self).setdefault("_tpe", tpe)  # of two threads at once, one wins
        assert self._tpe is not None
        return self._tpe


def _derived(seed: int | None, number: int) -> int | None:
    # A trial begins once, so no two samplers of a study derive their seeds from the same number.
    if seed is None:
        return None
    digest = hashlib.sha256(f"{seed}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # numpy's RandomState takes 32 bits


def _tpe(seed: int | None, n_startup_trials: int) -> TPESampler:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*``group``", ExperimentalWarning)
        return TPESampler(
            seed=seed,
            n_startup_trials=n_startup_trials,
            multivariate=True,
            group=True,
            constant_liar=True,
        )
