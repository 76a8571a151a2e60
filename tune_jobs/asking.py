"""Asking Optuna for configurations that the constraints accept."""

from __future__ import annotations

from typing import Any

from optuna.trial import TrialState

from tune_jobs.errors import SpaceError
from tune_jobs.marks import REFUSED_ATTRIBUTE
from tune_jobs.space import Space
from tune_jobs.space_check import out_of_range
from tune_jobs.study_mirror import StudyMirror

MAX_REFUSALS = 1000
"""Configurations in a row that the constraints may refuse."""


def ask(mirror: StudyMirror, space: Space) -> tuple[int, dict[str, Any]]:
    """A new trial: its id in the mirror, and what goes on its command line.

    A refused configuration becomes a pruned trial without a value: the sampler learns to stay
    away, and no run is started.

    Raises:
        SpaceError: the constraints leave (almost) nothing.
    """
    refusal = None
    for _ in range(MAX_REFUSALS):
        trial = mirror.study.ask()
        params = space.sample(trial)
        refusal = out_of_range(mirror.trial(trial._trial_id)) or space.refusal(params)
        if refusal is None:
            return trial._trial_id, params
        trial.set_user_attr(REFUSED_ATTRIBUTE, refusal)
        mirror.study.tell(trial, state=TrialState.PRUNED)
    raise SpaceError(
        f"{MAX_REFUSALS} configurations in a row were refused ({refusal}): the constraints "
        "leave (almost) nothing of the search space"
    )
