"""Take over the trials that an earlier call on a study left open."""

from __future__ import annotations

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from tune_jobs.core.promotion import trial_rung
from tune_jobs.core.trial_attributes import RUN_ATTRIBUTE, is_promoted
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.engine import Engine
from tune_jobs.tuning.session import Session


def recover_study(engine: Engine, session: Session, mirror: StudyMirror) -> None:
    """Adopt, collect, retry or close what is open in the ledger of a study."""
    open_attempts = [a for a in session.ledger.read_open_attempts() if not a.is_final]
    trials = mirror.trials()
    finished = frozenset(t.number for t in trials if t.state.is_finished())
    unrecorded = _unrecorded(session, trials)
    numbers = {a.trial for a in open_attempts if a.trial is not None} | set(unrecorded)
    ours = sorted(numbers - finished)
    for number in ours:
        mirror.own(number)
    rungs = {number: rung for number in ours if (rung := trial_rung(trials[number])) is not None}
    engine.recover(
        open_attempts,
        finished,
        rungs=rungs,
        unrecorded=unrecorded,
        continued=sum(is_promoted(trials[number]) for number in ours),
    )


def _unrecorded(session: Session, trials: Sequence[FrozenTrial]) -> list[int]:
    """Return running trials of this study that have no attempt in the ledger.

    Their owner was killed just then: it had only claimed an enqueued trial; or, where Optuna's
    storage and the ledger are not written in one transaction, it had created a new one.
    """
    ours = [t for t in trials if t.state == TrialState.RUNNING and t.user_attrs.get(RUN_ATTRIBUTE)]
    recorded = session.ledger.read_trial_numbers() if ours else set()
    return [t.number for t in ours if t.number not in recorded]
