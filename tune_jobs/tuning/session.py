"""What is open while a study is worked on: its ledger, its store and its job runs."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from tune_jobs.backends.base import BackendService
from tune_jobs.core.attempts import Attempt, AttemptState, Invocation, find_last_event
from tune_jobs.core.controllers import JOB_RUN, LOCAL, ControllerRecord, close_abandoned
from tune_jobs.errors import StudyError
from tune_jobs.metric_store.store import MetricStore, absolute, study_folder
from tune_jobs.storage.bucket.dialect import relax, settle
from tune_jobs.storage.controllers import ControllerRows
from tune_jobs.storage.controls import Controls
from tune_jobs.storage.database import find_ledger_engine
from tune_jobs.storage.heartbeat import Heartbeat
from tune_jobs.storage.lease import Claim, Lease, StudyOwned, find_owner
from tune_jobs.storage.ledger import Ledger
from tune_jobs.storage.owner_identity import describe, is_this_process
from tune_jobs.storage.retry import DatabaseRetry
from tune_jobs.storage.stall_watch import StallWatch
from tune_jobs.tuning.failure_hints import describe_failure, find_hint
from tune_jobs.tuning.messages import Messages
from tune_jobs.tuning.spec import TuningSpec
from tune_jobs.tuning.tracker import RunTracker

HAND_OVER = 60.0
"""Seconds within which an owner hands a study over on request."""

RELEASE_SECONDS = 5.0
"""Seconds to wait for the database when the study is released."""

_owned_here: set[str] = set()
_owned_lock = threading.Lock()


def build_retry(spec: TuningSpec, messages: Messages) -> DatabaseRetry:
    """Return the retries of operations on a study's database."""
    return DatabaseRetry(repr(find_ledger_engine(spec.study).url), messages.warn)


class Session:
    """The durable part of a study: its ledger, metric store, lease and commands.

    Args:
        spec: What is tuned, and how.
        messages: Where messages go.

    Attributes:
        is_working: Whether the owner is at work, so that its lease is renewed; while the thread
            lives that opened the session.
        on_idle: Called regularly while it is not.

    Raises:
        StudyError: If the study's runs are in another store than the one given.
        StoreError: If the store cannot be opened.
    """

    def __init__(self, spec: TuningSpec, messages: Messages | None = None) -> None:
        self.spec = spec
        self.messages = messages or Messages()
        store = spec.options.store
        wanted = absolute(os.fspath(store or spec.backend.default_store))
        self.retry = build_retry(spec, self.messages)
        self.ledger = Ledger(spec.study, wanted, self.retry)
        if store is not None and self.ledger.store != wanted:
            raise StudyError(
                f"the runs of study {spec.study.study_name!r} are in {self.ledger.store}, "
                f"not in {wanted}: pass that store, or none"
            )
        self.folder = study_folder(spec.study.study_name, self.ledger.uid)
        self.store = MetricStore(self.ledger.store, self.folder, spec.backend.store_options)
        self.lease = Lease(self.ledger.engine, self.ledger.uid)
        self.lease.notice = self.messages.say
        self.controls = Controls(self.ledger.engine, self.ledger.uid)
        self._owns = False
        self.is_working: Callable[[], bool] = threading.current_thread().is_alive
        self.on_idle: Callable[[], None] = lambda: None
        self._heartbeat: Heartbeat | None = None
        self._stall_watch: StallWatch | None = None

    def read_controllers(self) -> list[ControllerRecord]:
        """Return the study's controllers; called by its owner.

        The end of those that were killed is recorded: they count no longer than what is known.
        """
        rows = ControllerRows(self.ledger.engine, self.ledger.uid)
        records = self.retry.call(rows.read)
        last_event = find_last_event(self.ledger.read_attempts()) if records else 0.0
        closed = close_abandoned(records, _find_own_id(records), last_event)
        for record in (each for each in closed if each not in records):
            rows.change(record.name, finished=record.finished)
        return closed

    def own(self, *, take_over: bool = False) -> None:
        """Become the owner of the study.

        Args:
            take_over: Whether to ask a live owner to hand the study over, and to wait for it.

        Raises:
            StudyOwned: If another owner is alive.
        """
        claim = self._begin_to_own(take_over)
        if claim is not None:
            self._take(claim, take_over)

    def _begin_to_own(self, take_over: bool) -> Claim | None:
        """Keep other tuners of this process away, and wait until the study can be taken.

        Returns:
            None if no other process can see the study.
        """
        with _owned_lock:
            if self.ledger.uid in _owned_here:
                raise StudyOwned(
                    f"another tuner of this process is working on study "
                    f"{self.spec.study.study_name!r}: wait until its call has ended, or stop it"
                )
            _owned_here.add(self.ledger.uid)
            self._owns = True
        return self._claim(take_over) if self.ledger.durable else None

    def await_owner(self) -> str | None:
        """Return the process that tunes the study, if there is one; see `Lease.await_owner`."""
        return self.retry.call(self.lease.await_owner)

    def _claim(self, take_over: bool) -> Claim:
        """Wait until the study can be taken; changes nothing."""
        if take_over and find_owner(self.ledger.engine, self.ledger.uid) is not None:
            self.controls.request("hand_over")
        wait = HAND_OVER if take_over else 0.0
        return self.retry.call(lambda: self.lease.await_claim(wait))

    def _take(self, claim: Claim, take_over: bool) -> None:
        """Take the study, and renew its lease from now on."""
        # Commands to an owner that is gone are void, except for the cancellation of a trial. They
        # are read before: a command that arrives from now on may be for this owner.
        pending = self.retry.call(self.controls.read_pending)
        stale = [c.id for c in pending if c.command != "cancel"]
        if not self.retry.call(lambda: self.lease.take(claim)):
            self._take(self._claim(take_over), take_over)  # it has changed hands, or woken up
            return
        relax(self.ledger.engine, 0.8 * self.lease.intervals.commands)
        self.retry.call(lambda: self.controls.mark_done(*stale))
        self._heartbeat = Heartbeat(self.lease, lambda: self.is_working(), lambda: self.on_idle())
        self._heartbeat.start()
        if self.ledger.engine.url.get_backend_name() != "sqlite":  # which is locked, or answers
            self._stall_watch = StallWatch(self.retry)
            self._stall_watch.start()
        if claim.owner:
            self.messages.say(f"taking over from {describe(claim.owner)}, which is gone")

    def is_tuned(self) -> bool:
        """Return whether a process tunes the study; one in memory is tuned by this process."""
        if not self.ledger.durable:
            return True
        return find_owner(self.ledger.engine, self.ledger.uid) is not None

    def renew(self) -> None:
        """Renew the lease if it is due; see `Lease.renew`."""
        if self.lease.was_acquired:
            self._show_life()
            self.retry.call(self.lease.renew)

    def verify(self) -> None:
        """Verify the lease before an effect outside of the database; see `Lease.verify`."""
        if self.lease.was_acquired:
            self._show_life()
            self.retry.call(self.lease.verify)

    def _show_life(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.sign_of_life()

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked from the one that opened the session."""
        return self.lease.is_inherited

    def close(self) -> None:
        """Release the study; does nothing in a process that was forked meanwhile."""
        if self.is_inherited:
            return
        if self._heartbeat is not None:
            self._heartbeat.stop()
        if self._stall_watch is not None:
            self._stall_watch.stop()
        if self.lease.held:
            # Not for ever: the database may be stalled, and an owner that does not release expires.
            release = threading.Thread(target=self._release, daemon=True)
            try:
                release.start()
            except RuntimeError:  # Python starts no threads any more while it exits
                self._release()
            else:
                release.join(RELEASE_SECONDS)
        if self._owns:
            self._owns = False
            _owned_here.discard(self.ledger.uid)

    def _release(self) -> None:
        # Also after an interruption, which ends the waiting of all other operations.
        retry = DatabaseRetry(self.retry.where, patience=RELEASE_SECONDS)
        with contextlib.suppress(SQLAlchemyError, StudyError):
            self.lease.release(retry.call)
        settle(self.ledger.engine)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _find_own_id(records: Sequence[ControllerRecord]) -> str | None:
    """Return the recorded id of this process, if it is a controller."""
    local = (r.run_id for r in records if r.place == LOCAL and r.is_open and r.run_id)
    return next(filter(is_this_process, local), os.environ.get(JOB_RUN))


class RunSession(Session):
    """A session whose backend is open: it can start and watch job runs.

    Args:
        spec, messages: See `Session`.
        own: Whether to become the owner of the study first.
        take_over: See `Session.own`.

    Raises:
        StudyOwned: If another owner is alive.
        StoreError: If the store is not writable.
        BackendError: If no run can be started.
    """

    def __init__(
        self,
        spec: TuningSpec,
        messages: Messages | None = None,
        *,
        own: bool,
        take_over: bool = False,
    ) -> None:
        super().__init__(spec, messages)
        with contextlib.ExitStack() as stack:
            stack.callback(super().close)
            claim = self._begin_to_own(take_over) if own else None
            if claim is not None and not claim.is_contested:
                self._take(claim, take_over)
            self.store.check_writable()
            self.service = self._open_backend()
            stack.callback(self.service.close)
            if claim is not None and claim.is_contested:
                # A suspended owner may hold what belongs to the machine, such as local runs. Its
                # study is taken only after that, or neither of the two could continue.
                self._take(claim, take_over)
            stack.pop_all()
        self.clock = self.service.clock
        self.runs = RunTracker(self.service, self.store, self.messages.warn)

    def _open_backend(self) -> BackendService:
        return self.spec.backend.open(
            self.ledger.store,
            self.folder,
            self.spec.sources,
            keep_runs=self.ledger.durable,
            notice=self.messages.warn,
        )

    def close(self) -> None:
        """Close the backend and release the study."""
        if not self.is_inherited:
            self.service.close()
            super().close()

    def render(
        self, name: str, params: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
    ) -> Invocation:
        """Return the invocation of a configuration, with the run's own folders in it."""
        return self.spec.command_line.render(params, self.service.paths(name), overrides or {})

    def find_hint(self, attempt: Attempt, cause: str, log: str) -> str:
        """Return what to change about a run that failed; empty if that is not known."""
        paths = self.service.paths(attempt.name)
        return find_hint(describe_failure(self.spec, attempt, cause, log, Path(paths.work)))

    def intend(
        self, name: str, trial: int | None, invocation: Invocation, attempt: int = 1
    ) -> Attempt:
        """Return a new attempt under a name."""
        return Attempt(
            name=name,
            trial=trial,
            attempt=attempt,
            backend=self.spec.backend.name,
            state=AttemptState.INTENDED,
            invocation=invocation,
            intended=self.clock(),
        )
