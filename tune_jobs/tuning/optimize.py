"""One call of ``optimize``: Optuna suggests trials, and every trial is a job run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import optuna
from optuna.trial import FrozenTrial

from tune_jobs.core import events as e
from tune_jobs.core.budget import Budget
from tune_jobs.core.commands import End
from tune_jobs.core.limits import Limits, Tally
from tune_jobs.core.machine import TuningMachine
from tune_jobs.core.promotion import Ladder
from tune_jobs.core.snapshot import Progress, Snapshot
from tune_jobs.core.trial_attributes import displayed_state
from tune_jobs.core.trial_lines import describe_trial
from tune_jobs.core.usage import RunStatistics
from tune_jobs.storage.callbacks import run_callbacks
from tune_jobs.storage.mirror import StudyMirror
from tune_jobs.tuning.engine import Engine
from tune_jobs.tuning.messages import logger
from tune_jobs.tuning.recovery import recover_study
from tune_jobs.tuning.session import RunSession
from tune_jobs.tuning.study_trials import StudyTrials
from tune_jobs.tuning.summary import summarize

SHOWN = 8
"""Live runs that the progress shows."""

Callback = Callable[[optuna.Study, FrozenTrial], None]


class Optimization:
    """A call of ``optimize``.

    Args:
        session: The open study, owned by this process.
        limits: What may be spent.
        progress: The display.
        callbacks: Called with the study and each finished trial.
    """

    def __init__(
        self,
        session: RunSession,
        limits: Limits,
        progress: Progress,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self._session, self._progress, self._callbacks = session, progress, callbacks
        self._spec = session.spec
        lease = session.lease if session.lease.held else None
        self.mirror = StudyMirror(self._spec.study, lease, session.retry)
        self._trials = StudyTrials(session, self.mirror)
        trials = self.mirror.trials()
        statistics = RunStatistics(
            self._spec.options.prices or {},
            session.ledger.read_ended_attempts(),
            session.read_controllers(),
        )
        ladder = None
        if self._spec.promotion is not None:
            (maximize,) = self._spec.objectives.maximize
            ladder = Ladder.from_trials(self._spec.promotion, trials, maximize=maximize)
        self.machine = TuningMachine(
            Budget(limits, statistics, trials),
            self._spec.backend.name,
            ladder,
            self._spec.divergence,
        )
        self.engine = Engine(
            session,
            self.machine,
            self._trials,
            on_turn=lambda: progress.update(self.snapshot),
            on_finished=self._finished,
        )
        self._began = session.clock()
        self._best: tuple[Tally, list[FrozenTrial], str] | None = None
        self._numbers: set[int] = set()  # of the trials that have finished in this call

    def end(self, how: End) -> None:
        """Request the end of the call, from any thread."""
        self.engine.post(e.EndRequested(how))

    def run(self) -> None:
        """Run trials until a limit is reached and every run has ended; see `Engine.run`."""
        self.engine.run(self.recover)
        for instruction in self.machine.last_checkpoints(self._session.clock()):
            self.engine.perform(instruction)
        self._progress.update(self.snapshot, last=True)
        logger.info(self.snapshot().line())
        summarize(self._session, self.mirror.trials(), self._numbers, self.machine.end_reason)

    def recover(self) -> None:
        """Take over what an earlier call left open."""
        recover_study(self.engine, self._session, self.mirror)

    def _finished(self, number: int) -> None:
        """Show a finished trial and run the callbacks."""
        self._numbers.add(number)
        self._show(self.mirror.trial(number))
        if self._callbacks:
            trial = self.mirror.copy_trial(number)
            if run_callbacks(self._spec.study, self._callbacks, trial):
                self.end(End.FINISH)

    def _show(self, trial: FrozenTrial) -> None:
        messages = self._session.messages
        line = partial(describe_trial, trial, [m.name for m in self._spec.objectives.metrics])
        # Many suggestions may be refused or known; what fails without a run is a message already.
        had_run = displayed_state(trial) == trial.state.name
        (messages.result if had_run else messages.detail)(line)

    def snapshot(self) -> Snapshot:
        """Return the progress of the call."""
        machine, now = self.machine, self._session.clock()
        tally, limits = machine.budget.tally, machine.budget.limits
        best, no_best = self._find_best()
        live = list(machine.live.values())
        return Snapshot(
            study=self._spec.study.study_name,
            # Attempts that an earlier call left open count too, and may exceed n_trials.
            n_trials=None if limits.n_trials is None else max(limits.n_trials, tally.started),
            complete=tally.complete,
            pruned=tally.pruned,
            failed=tally.failed,
            live=len(live),
            max_parallel=limits.max_parallel,
            metric=", ".join(m.name for m in self._spec.objectives.metrics),
            best=tuple((t.number, tuple(t.values)) for t in best[:3]),
            best_params=dict(best[0].params) if best else {},
            elapsed=now - self._began,
            promoted=tally.promoted,
            running=tuple(map(self._trials.running, live[:SHOWN])),
            costs=machine.budget.costs(machine.live, now),
            no_best=no_best,
        )

    def _find_best(self) -> tuple[list[FrozenTrial], str]:
        """Return the best trials, or why there are none; computed anew if the tally changed."""
        tally = self.machine.budget.tally
        if self._best is None or self._best[0] != tally:
            trials = self.mirror.trials()
            no_best = self._spec.explain_no_best(trials)
            self._best = tally, self._spec.find_best(trials), no_best.summary if no_best else ""
        return self._best[1:]
