"""Suggest trials that the constraints accept and whose configuration is new."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.events import NotSuggested
from tune_jobs.core.requests import Key, configuration_key, read_requested_params
from tune_jobs.core.trial_attributes import (
    ARGUMENTS_ATTRIBUTE,
    CAUSE_ATTRIBUTE,
    DIVERGED_ATTRIBUTE,
    REFUSED_ATTRIBUTE,
    REPLICATE_ATTRIBUTE,
    SAME_ATTRIBUTE,
)
from tune_jobs.errors import SpaceError
from tune_jobs.space.search_space import Space
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.options import Duplicates

MAX_REFUSALS = 1000
"""Consecutive refused suggestions after which the space counts as empty."""

MAX_SAME = 50
"""Consecutive known configurations after which the space counts as exhausted."""

MAX_REQUESTS = 100
"""Refused enqueued trials after which they are committed before the next one is looked at."""

SEED = "seed"
"""The script's argument in which replicates differ."""


@dataclass(frozen=True)
class Refusal:
    """Why a trial is finished without a run, and in which state.

    Samplers learn from a PRUNED trial to avoid its configuration; they ignore a FAIL.
    """

    reason: str
    state: TrialState

    def record(self, trial: optuna.Trial) -> None:
        """Set the attributes of the trial."""
        trial.set_user_attr(REFUSED_ATTRIBUTE, self.reason)
        if self.state == TrialState.FAIL:
            trial.set_user_attr(CAUSE_ATTRIBUTE, self.reason)


def draw_configuration(
    space: Space, trial: optuna.Trial, frozen: FrozenTrial, *, enqueued: bool
) -> dict[str, Any] | Refusal:
    """Return the configuration of a new trial, or why it is refused.

    Args:
        space: The search space.
        trial: The trial, to suggest its parameters.
        frozen: The same trial, before any parameter was suggested.
        enqueued: Whether the trial was enqueued instead of suggested by the sampler.
    """
    try:
        params = space.sample(trial, read_requested_params(frozen))
        reason = space.refusal(params)
    except SpaceError as error:
        return Refusal(str(error), TrialState.FAIL)
    if reason is None:
        return params
    return Refusal(reason, TrialState.FAIL if enqueued else TrialState.PRUNED)


class TrialSource:
    """Suggests trials, one at a time.

    Args:
        mirror: The study.
        space: The search space.
        duplicates: What happens to a configuration that an earlier trial had; see `Tuner`.
        notice: Called with a message about each trial that fails without a run.
    """

    def __init__(
        self,
        mirror: StudyMirror,
        space: Space,
        duplicates: Duplicates,
        notice: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._mirror, self._space, self._duplicates = mirror, space, duplicates
        self._notice = notice
        self._only_known = False
        self.forget()

    def forget(self) -> None:
        """Forget what is known of earlier trials: they have other numbers now."""
        self._first: dict[Key, int] = {}
        self._known = 0

    @property
    def exhausted(self) -> str:
        """Why nothing is left to try, or an empty string."""
        if self._only_known:
            return f"nothing is left to try: the last {MAX_SAME} suggestions were all tried before"
        return "the sampler has nothing left to suggest" if self._mirror.exhausted else ""

    def suggest(self) -> tuple[int, dict[str, Any]] | NotSuggested:
        """Return the number and the parameters of a new trial.

        An enqueued trial that cannot be run as it was enqueued fails. A configuration that a
        constraint forbids becomes a pruned trial without a run, so that the sampler learns to avoid
        it. A known configuration becomes a trial with the values of the earlier one, unless the
        space turns out to be exhausted.

        Raises:
            SpaceError: If the constraints leave (almost) nothing of the space.
        """
        requests, suggested, refused, same = 0, list[int](), 0, 0
        while True:
            trial = self._mirror.ask()
            enqueued = self._mirror.is_stored(trial.number)
            drawn = self._draw(trial, enqueued=enqueued)
            if enqueued:
                if not isinstance(drawn, Refusal):
                    return trial.number, drawn  # also one that was run before
                requests += 1
                if requests == MAX_REQUESTS:
                    return NotSuggested(until_end=False)
                continue
            suggested.append(trial.number)
            if isinstance(drawn, Refusal):
                refused += 1
                _check_not_empty(refused, drawn.reason)
                continue
            earlier = self._earlier(self._mirror.trial(trial.number))
            if earlier is None or self._is_replicate(trial, earlier):
                return trial.number, drawn
            if not earlier.state.is_finished():
                self._mirror.discard(trial.number)
                return NotSuggested()
            self._reuse(trial, earlier)
            same += 1
            if same == MAX_SAME:
                self._end(suggested)
            if self.exhausted:
                return NotSuggested()

    def _draw(self, trial: optuna.Trial, *, enqueued: bool) -> dict[str, Any] | Refusal:
        """Draw a configuration; finish the trial if it is refused."""
        frozen = self._mirror.trial(trial.number)
        drawn = draw_configuration(self._space, trial, frozen, enqueued=enqueued)
        if isinstance(drawn, Refusal):
            drawn.record(trial)
            self._mirror.tell(trial.number, state=drawn.state)
            if drawn.state == TrialState.FAIL:
                self._notice(f"trial {trial.number} is refused: {drawn.reason}")
        return drawn

    def _end(self, suggested: Sequence[int]) -> None:
        """End the suggestions; leave no trial that only shows that nothing is new."""
        self._only_known = True
        for number in reversed(suggested):
            self._mirror.discard(number)
        self._known = min(self._known, suggested[0])

    def _earlier(self, trial: FrozenTrial) -> FrozenTrial | None:
        """Return the first trial of the same configuration, unless this one has to run anyway."""
        if self._duplicates == "run":
            return None
        trials = self._mirror.trials()
        for other in trials[self._known : trial.number]:
            if REFUSED_ATTRIBUTE not in other.user_attrs:
                self._first.setdefault(configuration_key(other.params), other.number)
        self._known = trial.number
        number = self._first.get(configuration_key(trial.params))
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


def _check_not_empty(refused: int, reason: str) -> None:
    if refused == MAX_REFUSALS:
        raise SpaceError(
            f"{MAX_REFUSALS} configurations in a row were refused ({reason}): the constraints "
            "leave (almost) nothing of the search space"
        )
