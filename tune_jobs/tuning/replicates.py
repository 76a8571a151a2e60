"""The same configuration again, with other seeds: what is noise, and what is not."""

from __future__ import annotations

import optuna

from tune_jobs.core.trial_attributes import ARGUMENTS_ATTRIBUTE, REPLICATE_ATTRIBUTE
from tune_jobs.errors import ConfigError
from tune_jobs.tuning.final_run import choose
from tune_jobs.tuning.session import TuningSpec


def enqueue_replicates(definition: TuningSpec, trial: int, n: int, argument: str) -> None:
    """See `Tuner.replicate`."""
    study: optuna.Study = definition.study
    if argument in definition.space.names:
        raise ConfigError(f"replicate: {argument!r} is tuned; name the argument of the seed")
    chosen = choose(study, definition.objectives, trial, None)
    earlier = sum(
        t.user_attrs.get(REPLICATE_ATTRIBUTE) == trial for t in study.get_trials(deepcopy=False)
    )
    for seed in range(earlier + 1, earlier + n + 1):
        study.enqueue_trial(
            chosen.params,
            user_attrs={REPLICATE_ATTRIBUTE: trial, ARGUMENTS_ATTRIBUTE: {argument: seed}},
        )
