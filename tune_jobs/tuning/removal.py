"""Remove a study: its job runs and their files, its rows, and the database that only it had."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tune_jobs.backends.base import CreatesJobs
from tune_jobs.core.controllers import LOCAL, PENDING_SECONDS
from tune_jobs.core.job_runs import RunUpdate
from tune_jobs.errors import StudyError, TuneJobsError
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.lease import StudyOwned
from tune_jobs.storage.removal import has_database_alone, remove_rows, remove_whole_database
from tune_jobs.tuning.messages import Messages
from tune_jobs.tuning.session import RunSession, Session
from tune_jobs.tuning.spec import TuningSpec

STOP_SECONDS = 60.0
"""Seconds to wait for the ends of job runs."""


@dataclass(frozen=True)
class Removal:
    """What removing a study would remove.

    Args:
        study: Its name.
        trials, runs: Number of its trials and job runs.
        live: Names of the runs whose ends are not recorded.
        storage: Its storage, without the password.
        folder: URI of its files.
        whole: Whether the whole database goes, a bucket's with this study only.
        has_jobs: Whether its backend creates jobs, which are removed as far as that is permitted.
    """

    study: str
    trials: int
    runs: int
    live: tuple[str, ...]
    storage: str
    folder: str
    whole: bool
    has_jobs: bool = False

    def __str__(self) -> str:
        live = f" ({len(self.live)} of them perhaps live: they are stopped)" if self.live else ""
        database = "the database" if self.whole else "its rows in"
        jobs = "the jobs that it created, with their runs, " if self.has_jobs else ""
        return (
            f"study {self.study!r}: {self.trials} trials, {self.runs} job runs{live}; "
            f"{database} {self.storage}, {jobs}and all files of its runs below {self.folder}"
        )


def plan_removal(spec: TuningSpec, messages: Messages | None = None) -> Removal:
    """Return what removing a study would remove.

    Args:
        spec: What is tuned.
        messages: Where messages go.

    Raises:
        StudyOwned: If a process is tuning it, or a controller is about to.
    """
    with Session(spec, messages) as session:
        _check_free(session)
        url = session.ledger.engine.url
        return Removal(
            study=spec.study.study_name,
            trials=len(spec.study.get_trials(deepcopy=False)),
            runs=len(session.ledger.read_attempts()),
            live=tuple(a.name for a in session.ledger.read_open_attempts()),
            storage=url.render_as_string(hide_password=True),
            folder=session.store.uri,
            whole=has_database_alone(spec.study),
            has_jobs=isinstance(spec.backend, CreatesJobs),
        )


def remove_study(spec: TuningSpec, removal: Removal, messages: Messages) -> None:
    """Remove a study as planned; an interrupted removal can be repeated.

    Raises:
        StudyOwned: If a process is tuning it by now.
        BackendError: If its live runs cannot be stopped.
        StoreError: If files cannot be removed.
    """
    if removal.live:
        with RunSession(spec, messages, own=True) as session:
            _stop_runs(session, removal.live)
    with Session(spec, messages) as session:
        session.own()
        _remove_jobs(session)  # they are found by what is removed next
        session.store.remove_everything()
        remove_rows(spec.study, session.ledger.engine, session.ledger.uid)
    if removal.whole:
        remove_whole_database(spec.study)


def _remove_jobs(session: Session) -> None:
    """Remove the jobs at a service that the study created, as far as that is permitted."""
    backend, ledger, say = session.spec.backend, session.ledger, session.messages.say
    if not isinstance(backend, CreatesJobs):
        return
    records = ControllerRows(ledger.engine, ledger.uid).read()
    controllers = [each.run_id for each in records if each.place != LOCAL and each.run_id]
    try:
        removed = backend.remove_jobs(ledger.store, session.folder, controllers, say)
    except TuneJobsError as error:
        say(f"the jobs of the study were not removed: {error}")
    else:
        say(f"removed {len(removed)} jobs with their runs")


def _check_free(session: Session) -> None:
    name = session.spec.study.study_name
    if (owner := session.await_owner()) is not None:
        raise StudyOwned(
            f"{owner} is tuning study {name!r}: end it first with `tune-jobs stop --cancel-runs`"
        )
    for record in ControllerRows(session.ledger.engine, session.ledger.uid).read():
        if record.may_begin(time.time()):
            raise StudyOwned(
                f"{record.name} of study {name!r} was launched by {record.user} and is about to "
                f"begin: wait for it, or end its job run {record.run_id}; a controller that has "
                f"not begun within {PENDING_SECONDS / 60:.0f} minutes is ignored"
            )


def _stop_runs(session: RunSession, names: tuple[str, ...]) -> None:
    """Stop runs and wait for their ends.

    Raises:
        StudyError: If they do not end.
    """
    live = {name for name, update in session.service.find(names).items() if _is_live(update)}
    for name in live:
        session.service.cancel(name)
    give_up_at = time.monotonic() + STOP_SECONDS
    while live and time.monotonic() < give_up_at:
        live -= {update.name for update in session.service.wait(1.0) if not _is_live(update)}
    if live:
        raise StudyError(
            f"{', '.join(sorted(live)[:5])} did not end within {STOP_SECONDS:.0f} s: nothing was "
            "removed; repeat the command"
        )


def _is_live(update: RunUpdate) -> bool:
    return not update.state.is_terminal
