"""Suggest trials that the constraints accept and whose configuration is new."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.trial_attributes import (
    ARGUMENTS_ATTRIBUTE,
    CAUSE_ATTRIBUTE,
    DIVERGED_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    SAME_ATTRIBUTE,
)
from tune_jobs.errors import SpaceError
from tune_jobs.space.compatibility import out_of_range
from tune_jobs.space.search_space import Space
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.options import Duplicates

MAX_REFUSALS = 1000
"""Consecutive refused configurations after which the space counts as empty."""

MAX_SAME = 50
"""Consecutive known configurations after which the space counts as exhausted."""

SEED = "seed"
"""The script's argument in which replicates differ."""

Key = tuple[tuple[str, str], ...]


class TrialSource:
    """Suggests trials, one at a time.

    Args:
        mirror: The study.
        space: The search space.
        duplicates: What happens to a configuration that an earlier trial had; see `Tuner`.
    """

    def __init__(self, mirror: StudyMirror, space: Space, duplicates: Duplicates) -> None:
        self._mirror, self._space, self._duplicates = mirror, space, duplicates
        self.forget()

    def forget(self) -> None:
        """Forget what is known of earlier trials: they have other numbers now."""
        self._first: dict[Key, int] = {}
        self._known = 0

    def suggest(self) -> tuple[int, dict[str, Any]] | None:
        """Return the number and the parameters of a new trial.

        A refused configuration becomes a pruned trial without a run, so that the sampler learns to
        avoid it. A known configuration becomes a trial with the values of the earlier one.

        Returns:
            None if the space is exhausted, or if the configuration is that of a live run.

        Raises:
            SpaceError: If the constraints leave (almost) nothing of the space.
        """
        refusal, refused, same = None, 0, 0
        while refused < MAX_REFUSALS:
            trial = self._mirror.ask()
            params = self._space.sample(trial)
            frozen = self._mirror.trial(trial.number)
            refusal = out_of_range(frozen) or self._space.refusal(params)
            if refusal is not None:
                refused += 1
                trial.set_user_attr(REFUSED_ATTRIBUTE, refusal)
                self._mirror.tell(trial.number, state=TrialState.PRUNED)
                continue
            earlier = self._earlier(frozen)
            if earlier is None or self._is_replicate(trial, earlier):
                return trial.number, params
            if not earlier.state.is_finished():
                self._mirror.discard(trial.number)
                return None
            self._reuse(trial, earlier)
            same += 1
            if same == MAX_SAME:
                self._mirror.study.stop()
            if self._mirror.exhausted:
                return None
        raise SpaceError(
            f"{MAX_REFUSALS} configurations in a row were refused ({refusal}): the constraints "
            "leave (almost) nothing of the search space"
        )

    def _earlier(self, trial: FrozenTrial) -> FrozenTrial | None:
        """Return the first trial of the same configuration, unless this one has to run anyway."""
        if self._duplicates == "run" or "fixed_params" in trial.system_attrs:
            return None
        trials = self._mirror.trials()
        for other in trials[self._known : trial.number]:
            if REFUSED_ATTRIBUTE not in other.user_attrs:
                self._first.setdefault(_key(other), other.number)
        self._known = trial.number
        number = self._first.get(_key(trial))
        if number is None:
            return None
        earlier = trials[number]
        # A failed one may succeed this time, and one of another process may never end.
        others = not earlier.state.is_finished() and self._mirror.is_foreign(earlier.number)
        reusable = DIVERGED_ATTRIBUTE in earlier.user_attrs and self._duplicates == "reuse"
        failed = earlier.state == TrialState.FAIL and not reusable
        return None if others or failed else earlier

    def _is_replicate(self, trial: optuna.Trial, earlier: FrozenTrial) -> bool:
        """Make a trial a replicate if known configurations become replicates."""
        if self._duplicates != "replicate":
            return False
        trial.set_user_attr(REPLICATE_ATTRIBUTE, earlier.number)
        trial.set_user_attr(ARGUMENTS_ATTRIBUTE, {SEED: trial.number})
        return True

    def _reuse(self, trial: optuna.Trial, earlier: FrozenTrial) -> None:
        """Finish a trial with the result of an earlier one."""
        trial.set_user_attr(SAME_ATTRIBUTE, earlier.number)
        trial.set_user_attr(CAUSE_ATTRIBUTE, f"the same configuration as trial {earlier.number}")
        for name, value in earlier.constraints.items():
            trial.set_constraint(name, value)
        if DIVERGED_ATTRIBUTE in earlier.user_attrs:
            trial.set_user_attr(DIVERGED_ATTRIBUTE, True)
        values = earlier.values if earlier.state == TrialState.COMPLETE else None
        self._mirror.tell(trial.number, values, state=earlier.state)


def _key(trial: FrozenTrial) -> Key:
    return tuple(sorted((name, repr(value)) for name, value in trial.params.items()))
