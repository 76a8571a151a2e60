"""Show a study that another process tunes; only reads the study and its ledger."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from tune_jobs.core.snapshot import Progress, Snapshot
from tune_jobs.core.trial_attributes import counts_as_finished
from tune_jobs.storage.activity import find_patience
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.lease import find_owner
from tune_jobs.tuning.session import Session


def watch(
    session: Session,
    progress: Progress,
    max_parallel: int,
    record_ends: Callable[[], None] = lambda: None,
) -> None:
    """Show the study's progress until it has no owner, and no controller is about to begin.

    Args:
        session: The open study.
        progress: Where it is shown.
        max_parallel: The tuner's limit.
        record_ends: Called while a controller is awaited: records the end of one that failed.
    """
    owner = _await_controller(session, record_ends)
    session.messages.say(f"watching {owner}" if owner else "no process is tuning this study")
    began = time.monotonic() if owner else None
    earlier = _snapshot(session, max_parallel).done
    look = partial(_snapshot, session, max_parallel, began, earlier)
    while owner is not None:
        progress.update(look)
        # Another process works, perhaps on another machine.
        time.sleep(session.lease.intervals.progress)
        owner = _owner(session)
    progress.update(look, last=True)


def _await_controller(session: Session, record_ends: Callable[[], None]) -> str | None:
    """Return the owner; wait for one while a controller is about to begin."""
    rows = ControllerRows(session.ledger.engine, session.ledger.uid)
    said = False
    while (owner := _owner(session)) is None:
        record_ends()
        records = session.retry.call(rows.read)
        if find_patience(records, time.time()) is not None:
            break
        if not said:
            said = True
            session.messages.say(f"waiting for {records[-1].name}, which is about to begin")
        time.sleep(session.lease.intervals.progress)
    return owner


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
        elapsed=None if began is None else time.monotonic() - began,
        earlier=earlier,
        no_best=no_best.summary if no_best else "",
    )
