"""Sampler for studies whose trials are job runs: many pending, few in total, often restarted."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .encoding import Array
from .fast_tpe import FastTPESampler
from .model import Model
from .study_cache import StudySummary
from .threads import limit_blas_threads

MAX_MODEL_TRIALS = 400
"""With more finished trials than this the Gaussian process is too slow; TPE takes over."""

MAX_MODEL_PARAMETERS = 24
"""With more parameters than this the Gaussian process has no advantage over TPE."""


def _hours(trial: FrozenTrial) -> float | None:
    recorded: Mapping[str, float] = trial.user_attrs.get("tune_jobs:cost", {})
    return recorded.get("run_hours")


def _money(trial: FrozenTrial) -> float | None:
    recorded: Mapping[str, float] = trial.user_attrs.get("tune_jobs:cost", {})
    return recorded.get("money")


def _seconds(trial: FrozenTrial) -> float | None:
    return trial.duration.total_seconds() if trial.duration else None


COSTS: Mapping[str, Callable[[FrozenTrial], float | None]] = {
    "hours": _hours,
    "money": _money,
    "seconds": _seconds,
}


class JobSampler(BaseSampler):
    """Gaussian process or TPE, whichever suits the study, made for many pending trials.

    A search space is flat if all trials have the same parameters. In a flat space of at most 24
    parameters, with at most 400 finished trials, JobSampler maximizes expected improvement under a
    Gaussian process, and treats pending trials as the kriging believer does: as if they had
    returned the posterior mean. In all other cases, and with constraints or several objectives, it
    samples each parameter independently by TPE (`FastTPESampler`).

    Suggestions depend only on the seed and the history, not on the order in which parameters are
    suggested. A sampler created anew after a restart does not repeat start-up points. It fits its
    model anew, so later suggestions may differ from those of an uninterrupted sampler, but are
    reproducible as well.

    Args:
        seed: Seed of the random number generator. None takes one from the operating system.
        n_startup_trials: Trials are sampled at random until this many have finished.
        cost: Cost of a trial, if it depends on the configuration: expected improvement is then
            divided by predicted cost. ``"hours"`` and ``"money"`` are the amounts recorded by a
            tuner, ``"seconds"`` is the trial's duration. A function gets a finished trial and
            returns its cost, or None if it is unknown. None ignores costs.

    Raises:
        ValueError: If ``cost`` is a string but none of these.
    """

    def __init__(
        self,
        seed: int | None = None,
        n_startup_trials: int = 10,
        cost: str | Callable[[FrozenTrial], float | None] | None = None,
    ) -> None:
        if isinstance(cost, str) and cost not in COSTS:
            names = ", ".join(map(repr, COSTS))
            raise ValueError(f"invalid cost {cost!r}: use {names}, or a function of a trial")
        self._cost = COSTS[cost] if isinstance(cost, str) else cost
        self._seed = seed
        self._n_startup_trials = n_startup_trials
        # With many pending trials univariate TPE is better: see the benchmarks in README.md.
        self._tpe = FastTPESampler(seed=seed, n_startup_trials=n_startup_trials, multivariate=False)
        self._rng = np.random.RandomState(seed)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._model_key: tuple[Any, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        # The model is fitted again from the study.
        dropped = ("_lock", "_model", "_model_key")
        return {k: v for k, v in vars(self).items() if k not in dropped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reset()

    def reseed_rng(self) -> None:
        """Take a new seed from the operating system, as Optuna requires for parallel workers."""
        self._seed = None
        self._rng = np.random.RandomState()
        self._tpe.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Prepare for a new trial."""
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters for the Gaussian process; none where TPE is used."""
        if study._is_multi_objective():
            return {}
        summary = self._tpe.summarize(study)
        return dict(summary.intersection) if self._fits_model(summary) else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample all parameters of a flat space jointly."""
        if not search_space:
            return {}
        with self._lock, limit_blas_threads():
            if self._seed is not None:
                self._rng.seed(_derive_seed(self._seed, trial.number, ""))
            return self._suggest_by_model(study, trial, search_space) or {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample one parameter by TPE, or at random during start-up."""
        if self._seed is not None:
            self._tpe.seed(_derive_seed(self._seed, trial.number, param_name))
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Process a trial's end."""
        self._tpe.after_trial(study, trial, state, values)

    def _fits_model(self, summary: StudySummary) -> bool:
        """Return whether the Gaussian process can be used."""
        if not self._n_startup_trials <= len(summary.finished) <= MAX_MODEL_TRIALS:
            return False
        n_complete = sum(t.state == TrialState.COMPLETE for t in summary.finished)
        is_small = 1 <= len(summary.intersection) <= MAX_MODEL_PARAMETERS
        return n_complete >= 2 and is_small and summary.is_flat and not summary.has_infeasible

    def _suggest_by_model(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]
    ) -> dict[str, Any] | None:
        key = (study._storage, study._study_id, space)
        if self._model is None or self._model_key != key:
            self._model, self._model_key = Model(space), key
        summary = self._tpe.summarize(study)
        trials = [t for t in summary.finished if space.keys() <= t.params.keys()]
        pending = [
            t.params
            for t in summary.running
            if t.number != trial.number and space.keys() <= t.params.keys()
        ]
        values = _collect_values(trials, study.direction)
        costs = None if self._cost is None else _clean_costs([self._cost(t) for t in trials])
        params = [t.params for t in trials]
        return self._model.suggest(params, values, pending, self._rng, costs)


def _collect_values(trials: Sequence[FrozenTrial], direction: StudyDirection) -> Array:
    """Return values to be minimized, (n,), with finite ones for pruned and diverged trials.

    A pruned trial counts with its last intermediate value, but as no better than the median. An
    infinite or missing value counts as the worst (or, if negative, best) finite one.
    """
    sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
    is_complete = np.array([t.state == TrialState.COMPLETE for t in trials])
    values = np.array([_last_value(t, sign) for t in trials])
    finite = values[is_complete & np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    values = np.clip(np.nan_to_num(values, nan=high), low, high)
    values[~is_complete] = np.maximum(values[~is_complete], np.median(values[is_complete]))
    return np.asarray(values)


def _last_value(trial: FrozenTrial, sign: float) -> float:
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return sign * trial.value
    if trial.intermediate_values:
        return sign * max(trial.intermediate_values.items())[1]
    return float("nan")


def _clean_costs(costs: Sequence[float | None]) -> Array:
    """Return positive costs, (n,), and nan for those that are unknown or not positive."""
    known = np.array([np.nan if cost is None else cost for cost in costs], dtype=float)
    return np.where(known > 0.0, known, np.nan)


def _derive_seed(seed: int, number: int, name: str) -> int:
    """Return a seed for one suggestion, which does not depend on the suggestions before.

    The other sampler folders have the same function, as each folder must work without the others.
    """
    digest = hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # NumPy's RandomState takes 32 bits
