"""Show a study that another process tunes; only reads the study and its ledger."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial

from tune_jobs.core.snapshot import Progress, Snapshot
from tune_jobs.core.trial_attributes import counts_as_finished
from tune_jobs.storage.lease import find_owner
from tune_jobs.tuning.session import Session

LOOK_SECONDS = 1.0
"""Seconds between two looks."""


def watch(session: Session, progress: Progress, max_parallel: int) -> None:
    """Show the study's progress until it has no owner."""
    owner = _owner(session)
    session.messages.say(f"watching {owner}" if owner else "no process is tuning this study")
    began = time.time() if owner else None
    earlier = _snapshot(session, max_parallel).done
    look = partial(_snapshot, session, max_parallel, began, earlier)
    while owner is not None:
        progress.update(look)
        time.sleep(LOOK_SECONDS)  # another process works, perhaps on another machine
        owner = _owner(session)
    progress.update(look, last=True)


def _owner(session: Session) -> str | None:
    return session.retry.call(lambda: find_owner(session.ledger.engine, session.ledger.uid))


def _snapshot(
    session: Session, max_parallel: int, began: float | None = None, earlier: int = 0
) -> Snapshot:
    study = session.spec.study
    trials = study.get_trials(deepcopy=False)
    states = Counter(t.state.name for t in trials if counts_as_finished(t))
    live = [a for a in session.ledger.read_open_attempts() if not a.is_final]
    best, no_best = session.spec.find_best(trials), session.spec.explain_no_best(trials)
    return Snapshot(
        study=study.study_name,
        n_trials=None,
        complete=states["COMPLETE"],
        pruned=states["PRUNED"],
        failed=states["FAIL"],
        live=len(live),
        max_parallel=max(max_parallel, len(live)),
        metric=", ".join(m.name for m in session.spec.objectives.metrics),
        best=tuple((t.number, tuple(t.values)) for t in best[:3]),
        best_params=dict(best[0].params) if best else {},
        elapsed=None if began is None else time.time() - began,
        earlier=earlier,
        no_best=no_best.summary if no_best else "",
    )
