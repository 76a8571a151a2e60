"""Run Optuna callbacks outside of Optuna's own loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import optuna
from optuna.trial import FrozenTrial


def run_callbacks(
    study: optuna.Study,
    callbacks: Sequence[Callable[[optuna.Study, FrozenTrial], None]],
    trial: FrozenTrial,
) -> bool:
    """Call each callback with the study and a finished trial, as `optuna.Study.optimize` does.

    Returns:
        Whether one of them called `optuna.Study.stop`, which Optuna allows only in its own loop.
    """
    local = study._thread_local
    before, study._stop_flag = local.in_optimize_loop, False
    local.in_optimize_loop = True
    try:
        for callback in callbacks:
            callback(study, trial)
        return study._stop_flag
    finally:
        local.in_optimize_loop, study._stop_flag = before, False
