"""Replicates: the same configuration with other seeds, to tell a difference from noise."""

from __future__ import annotations

from tune_jobs.core.trial_attributes import ARGUMENTS_ATTRIBUTE, REPLICATE_ATTRIBUTE
from tune_jobs.errors import ConfigError
from tune_jobs.tuning.choice import find_trial
from tune_jobs.tuning.spec import TuningSpec


def enqueue_replicates(spec: TuningSpec, trial: int, n: int, argument: str) -> None:
    """See `Tuner.replicate`."""
    if argument in spec.space.names:
        raise ConfigError(
            f"replicate: the search space tunes {argument!r}; name the argument of the seed"
        )
    chosen = find_trial(spec, trial)
    earlier = sum(
        t.user_attrs.get(REPLICATE_ATTRIBUTE) == trial
        for t in spec.study.get_trials(deepcopy=False)
    )
    for seed in range(earlier + 1, earlier + n + 1):
        spec.study.enqueue_trial(
            chosen.params,
            user_attrs={REPLICATE_ATTRIBUTE: trial, ARGUMENTS_ATTRIBUTE: {argument: seed}},
        )
