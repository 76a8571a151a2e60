"""Check configurations that people ask for, before they are enqueued."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from tune_jobs.core.scratch import unannounced
from tune_jobs.errors import SpaceError
from tune_jobs.space.search_space import Space

_DRAWS = 30
"""Ways in which what is left open is filled, until one gives a valid configuration."""


def check_request(space: Space, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return requested parameters as a trial stores them, if a trial can have them.

    What is left open is sampled when the trial starts, so it suffices that some values of it give
    a valid configuration.

    Args:
        space: The search space.
        params: Parameters by name. Constants of the space may be among them, and are left out.

    Raises:
        SpaceError: If a trial cannot have them; the message names the parameter, the value and
            the allowed ones.
    """
    with unannounced():
        scratch = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    problem: str | None = None
    for _ in range(_DRAWS):
        scratch.enqueue_trial(dict(params))
        trial = scratch.ask()
        try:
            drawn = space.sample(trial, params)
            refusal = space.refusal(drawn)
        except SpaceError as error:
            refusal = str(error)
        if refusal is None:
            return {name: trial.params[name] for name in params if name in trial.params}
        problem = problem or refusal
        if trial.params.keys() <= params.keys():
            break  # nothing is left open
    raise SpaceError(problem or "")
