"""The sampler for studies whose trials are job runs: many pending, few in all, restarted often."""

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
from .fast_tpe import Facts, FastTPESampler
from .model import Model
from .threads import one_thread

MODEL_TRIALS = 400
"""With more finished trials than this a Gaussian process takes too long, and TPE takes over."""

MODEL_PARAMETERS = 24
"""With more parameters than this it has no advantage."""


def _hours(trial: FrozenTrial) -> float | None:
    noted: Mapping[str, float] = trial.user_attrs.get("tune_jobs:cost", {})
    return noted.get("run_hours")


def _money(trial: FrozenTrial) -> float | None:
    noted: Mapping[str, float] = trial.user_attrs.get("tune_jobs:cost", {})
    return noted.get("money")


def _seconds(trial: FrozenTrial) -> float | None:
    return trial.duration.total_seconds() if trial.duration else None


COSTS: Mapping[str, Callable[[FrozenTrial], float | None]] = {
    "hours": _hours,
    "money": _money,
    "seconds": _seconds,
}


class JobSampler(BaseSampler):
    """A Gaussian process where it is affordable, TPE elsewhere; made for many pending trials.

    A space is flat if every trial has the same parameters. As long as a flat space has at most 24
    parameters and the study at most 400 finished trials, the next configuration is where the
    expected improvement is largest under a Gaussian process, in which pending trials are taken to
    end as expected. Otherwise, and with constraints or several objectives, TPE chooses each
    parameter by itself (`FastTPESampler`).

    The same seed and the same history give the same suggestions, in whatever order parameters are
    asked for. A sampler that was made anew after a restart never repeats start-up points; it fits
    its model anew, so it may go on otherwise than the one before would have, but always in the
    same way.

    Args:
        seed: Makes the suggestions reproducible; None draws a seed from the system.
        n_startup_trials: So many trials must be finished before a model takes over from random
            search.
        cost: What a trial has cost, for studies in which that depends on the configuration: then
            the model looks for the improvement to be expected for the cost to be expected.
            ``"hours"`` and ``"money"`` are what the tuner has noted, ``"seconds"`` the time from
            the trial's begin to its end, or a function of a finished trial; None: costs do not
            count.

    Raises:
        ValueError: ``cost`` is none of these.
    """

    def __init__(
        self,
        seed: int | None = None,
        n_startup_trials: int = 10,
        cost: str | Callable[[FrozenTrial], float | None] | None = None,
    ) -> None:
        if isinstance(cost, str) and cost not in COSTS:
            raise ValueError(f"cost={cost!r}: it must be one of {', '.join(COSTS)}, or a function")
        self._cost = COSTS[cost] if isinstance(cost, str) else cost
        self._seed = seed
        self._n_startup_trials = n_startup_trials
        # With many pending trials TPE is better at choosing each parameter by itself: see the
        # benchmark.
        self._tpe = FastTPESampler(seed=seed, n_startup_trials=n_startup_trials, multivariate=False)
        self._rng = np.random.RandomState(seed)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._model_of: tuple[Any, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(vars(self))
        for name in ("_lock", "_model", "_model_of"):
            state.pop(name)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def reseed_rng(self) -> None:
        """Draw a new seed from the system; Optuna does so for each of several processes."""
        self._seed = None
        self._rng = np.random.RandomState()
        self._tpe.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Called by Optuna when a trial begins."""
        self._tpe.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that the model chooses together; none where TPE chooses each."""
        if study._is_multi_objective():
            return {}
        facts = self._tpe.facts(study)
        return dict(facts.common) if self._is_for_model(facts) else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Choose them."""
        if not search_space:
            return {}
        with self._lock, one_thread():
            if self._seed is not None:
                self._rng.seed(_derived(self._seed, trial.number, ""))
            return self._from_model(study, trial, search_space) or {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Choose any other parameter."""
        if self._seed is not None:
            self._tpe.seed(_derived(self._seed, trial.number, param_name))
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Called by Optuna when a trial ends."""
        self._tpe.after_trial(study, trial, state, values)

    def _is_for_model(self, facts: Facts) -> bool:
        if not self._n_startup_trials <= len(facts.ended) <= MODEL_TRIALS:
            return False
        complete = sum(t.state == TrialState.COMPLETE for t in facts.ended)
        small = 1 <= len(facts.common) <= MODEL_PARAMETERS
        return complete >= 2 and small and facts.flat and not facts.constrained

    def _from_model(
        self, study: Study, trial: FrozenTrial, space: dict[str, BaseDistribution]
    ) -> dict[str, Any] | None:
        model_of = (study._storage, study._study_id, space)
        if self._model is None or self._model_of != model_of:
            self._model, self._model_of = Model(space), model_of
        facts = self._tpe.facts(study)
        trials = [t for t in facts.ended if space.keys() <= t.params.keys()]
        pending = [
            t.params
            for t in facts.running
            if t.number != trial.number and space.keys() <= t.params.keys()
        ]
        values = _values(trials, study.direction)
        costs = None if self._cost is None else _positive([self._cost(t) for t in trials])
        params = [t.params for t in trials]
        return self._model.suggest(params, values, pending, self._rng, costs)


def _values(trials: Sequence[FrozenTrial], direction: StudyDirection) -> Array:
    """Values of which less is better; a pruned trial is no better than the median."""
    sign = -1.0 if direction == StudyDirection.MAXIMIZE else 1.0
    complete = [t.state == TrialState.COMPLETE for t in trials]
    values = np.array([_shown(t, sign) for t in trials])
    finite = values[complete]
    # Infinite values are allowed: they are as bad, or as good, as what is there.
    low, high = _ends(finite[np.isfinite(finite)])
    values = np.clip(np.nan_to_num(values, nan=high), low, high)
    pruned = ~np.array(complete)
    values[pruned] = np.maximum(values[pruned], np.median(values[complete]))
    return np.asarray(values)


def _positive(costs: Sequence[float | None]) -> Array:
    """Costs as numbers more than 0; nan for those that are not known."""
    known = np.array([np.nan if cost is None else cost for cost in costs], dtype=float)
    return np.where(known > 0.0, known, np.nan)


def _shown(trial: FrozenTrial, sign: float) -> float:
    if trial.state == TrialState.COMPLETE:
        assert trial.value is not None
        return sign * trial.value
    if trial.intermediate_values:
        return sign * max(trial.intermediate_values.items())[1]
    return float("nan")


def _ends(values: Array) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def _derived(seed: int, number: int, name: str) -> int:
    """A seed of its own for each suggestion, in whatever order they are asked for."""
    digest = hashlib.sha256(f"{seed}:{number}:{name}".encode()).digest()
    return int.from_bytes(digest[:4], "big")  # numpy's RandomState takes 32 bits
