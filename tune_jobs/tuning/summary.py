"""What is said at the end of a call: the best trials, failures, and why it ended."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from functools import partial

from optuna.trial import FrozenTrial

from tune_jobs.core.failures import explain_outcome, group_failures
from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE
from tune_jobs.core.trial_lines import describe_best
from tune_jobs.errors import StoreError
from tune_jobs.tuning.session import RunSession

SHOWN_BEST = 3
SHOWN_FAILURES = 3


def summarize(
    session: RunSession, trials: Sequence[FrozenTrial], finished: Collection[int], reason: str
) -> None:
    """Say what came of a call.

    Args:
        session: Where it is said.
        trials: All trials of the study.
        finished: Numbers of those that finished in this call.
        reason: Why it ended before its number of trials; empty otherwise.
    """
    messages, spec = session.messages, session.spec
    names = [metric.name for metric in spec.objectives.metrics]
    for trial in spec.find_best(trials)[:SHOWN_BEST]:
        messages.result(partial(describe_best, trial, names, _find_outputs(session, trial)))
    no_best = spec.explain_no_best(trials)
    if no_best is not None and finished:
        messages.warn(explain_outcome(no_best, trials))
    else:
        ours = [trial for trial in trials if trial.number in finished]
        for group in group_failures(ours)[:SHOWN_FAILURES]:
            messages.say(group.summary)
    if reason:
        messages.say(f"ended: {reason}")


def _find_outputs(session: RunSession, trial: FrozenTrial) -> str:
    """Return where a trial's outputs are; empty if it has none."""
    attempt = trial.user_attrs.get(RUN_ATTRIBUTE)
    if not attempt:
        return ""
    with contextlib.suppress(StoreError):
        if session.store.outputs(attempt):
            return session.store.outputs_uri(attempt)
    return ""
