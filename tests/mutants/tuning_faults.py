"""Faults of the engine and of the sessions: `tune_jobs.tuning`."""

# ruff: noqa: E501 (sources are quoted as they are)

from __future__ import annotations

from tests.mutants.model import Mutant

ENGINE = "tune_jobs/tuning/engine.py"
SESSION = "tune_jobs/tuning/session.py"
TRACKER = "tune_jobs/tuning/tracker.py"
FINAL = "tune_jobs/tuning/final_run.py"
OBJECTIVE = "tune_jobs/tuning/objective.py"

_ENGINE = (
    Mutant(
        name="engine-lease-never-verified",
        breaks="a suspended owner that wakes up between its commit and its act does not act",
        file=ENGINE,
        old="        self._session.verify()\n",
        new="",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-lease-verified-after-the-act",
        breaks="a suspended owner that wakes up between its commit and its act does not act",
        file=ENGINE,
        old="        self._session.verify()\n        self.handle(committed)\n",
        new="        self.handle(committed)\n        self._session.verify()\n",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-recorded-after-the-start",
        breaks="every run that was started is an attempt of the ledger",
        file=ENGINE,
        old="""\
        ledger.record_intended(connection, [i.attempt for i in intended])

    def _act(self, instruction: e.Instruction) -> e.Event | None:
        \"\"\"Carry out an effect outside of this process.\"\"\"
        session = self._session
        match instruction:
            case e.Submit(attempt):
                session.messages.detail(partial(_describe_start, attempt))
                run_id = session.runs.submit(attempt)
""",
        new="""\

    def _act(self, instruction: e.Instruction) -> e.Event | None:
        \"\"\"Carry out an effect outside of this process.\"\"\"
        session = self._session
        match instruction:
            case e.Submit(attempt):
                session.messages.detail(partial(_describe_start, attempt))
                run_id = session.runs.submit(attempt)
                with session.ledger.engine.begin() as connection:
                    session.ledger.record_intended(connection, [attempt])
""",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-pruning-not-recorded",
        breaks="PRUNING is written before the run is stopped, so a pruned run is never retried",
        file=ENGINE,
        old="        ledger.record_pruning(connection, turn.pruning)\n",
        new="",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-acceptance-not-recorded",
        breaks="an update with the run's identifier makes the attempt SUBMITTED",
        file=ENGINE,
        old="        ledger.record_submitted(connection, "
        "[(s.name, s.run_id, s.at) for s in turn.submitted])\n",
        new="",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-successor-s-runs-stopped",
        breaks="another tuner takes over: the runs continue there",
        file=ENGINE,
        old="            except (KeyboardInterrupt, SystemExit, TuningStopped):\n",
        new="            except (KeyboardInterrupt, SystemExit, TuningStopped, LeaseLost):\n",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-machine-s-trouble-stops-runs",
        breaks="the machine is in trouble (full disk): the call ends, its runs continue",
        file=ENGINE,
        old="            except (KeyboardInterrupt, SystemExit, TuningStopped):\n",
        new="            except (KeyboardInterrupt, SystemExit, TuningStopped, MachineTrouble):\n",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-interruption-leaves-runs",
        breaks="Ctrl-C: the runs are stopped",
        file=ENGINE,
        old="                elif not self._session.is_inherited:\n                    self.stop_runs()\n",
        new="",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-termination-stops-runs",
        breaks="SIGTERM to a controller: its runs continue, and the next one adopts them",
        file=ENGINE,
        old="                if self.interruption.leaves:\n",
        new="                if False:\n",
        tests=("tests/detached/test_local.py",),
    ),
    Mutant(
        name="engine-stop-not-awaited",
        breaks="once no process tunes, no run is live: the end of stopped runs is awaited",
        file=ENGINE,
        old="            while self._session.runs.live and self._clock() < give_up_at:\n"
        "                self._session.runs.wait(TICK)\n",
        new="",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-starts-after-interruption",
        breaks="after Ctrl-C nothing new is started",
        file=ENGINE,
        old="new_trials=not self.interruption.asked",
        new="new_trials=True",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-handed-over-runs-stopped",
        breaks="another tuner takes over: the runs continue there",
        file=ENGINE,
        old="        if self.machine.control.end is End.CANCEL:\n",
        new="        if self.machine.control.end is not None:\n",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="engine-hopeless-end-not-recorded",
        breaks="a failure of all runs ends the call; its attempt is closed and retried by the next",
        file=ENGINE,
        old="        committed = self.write()\n        if self.machine.fatal:\n            kind = MachineTrouble if self.machine.in_trouble else BackendError\n            raise kind(self.machine.fatal)\n",
        new="        if self.machine.fatal:\n            kind = MachineTrouble if self.machine.in_trouble else BackendError\n            raise kind(self.machine.fatal)\n        committed = self.write()\n",
        tests=("tests/tuning/test_turns.py",),
    ),
)

_SESSION = (
    Mutant(
        name="session-never-released",
        breaks="once no process tunes, the study has no owner",
        file=SESSION,
        old="            self.lease.release(retry.call)\n",
        new="            pass\n",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="session-two-tuners-in-a-process",
        breaks="one tuner works on a study, also in one process",
        file=SESSION,
        old="            if self.ledger.uid in _owned_here:\n",
        new="            if False:\n",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="session-owned-before-locked",
        breaks="a second start never harms a suspended first: runs are locked before the take-over",
        file=SESSION,
        old="""\
            if claim is not None and not claim.is_contested:
                self._take(claim, take_over)
            self.store.check_writable()
            self.service = self._open_backend()
            stack.callback(self.service.close)
            if claim is not None and claim.is_contested:
""",
        new="""\
            if claim is not None:
                self._take(claim, take_over)
            self.store.check_writable()
            self.service = self._open_backend()
            stack.callback(self.service.close)
            if False:
""",
        tests=(
            "tests/tuning/test_recovery.py::test_a_second_start_does_not_harm_a_suspended_tuner",
        ),
    ),
    Mutant(
        name="session-stale-command-executed",
        breaks="a command to an owner that is gone is void",
        file=SESSION,
        old='stale = [c.id for c in pending if c.command != "cancel"]',
        new="stale = [c.id for c in pending if not c.command]",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="session-cancellation-lost",
        breaks="the next owner cancels the trial that an earlier one was asked to cancel",
        file=SESSION,
        old='stale = [c.id for c in pending if c.command != "cancel"]',
        new="stale = [c.id for c in pending]",
        tests=("tests/tuning/test_turns.py",),
    ),
    Mutant(
        name="recovery-takes-foreign-trials",
        breaks="a running trial of another program is left alone",
        file="tune_jobs/tuning/recovery.py",
        old=" and t.user_attrs.get(RUN_ATTRIBUTE)]",
        new="]",
        tests=(
            "tests/tuning/test_recovery.py::test_a_running_trial_of_another_process_is_left_alone",
        ),
    ),
    Mutant(
        name="recovery-runs-final-run-as-trial",
        breaks="an open final run is resumed by train_best, not by optimize",
        file="tune_jobs/tuning/recovery.py",
        old=" if not a.is_final]",
        new="]",
        tests=(
            "tests/tuning/test_final_run.py::test_final_runs_are_not_trials",
            "tests/tuning/test_final_run.py::test_a_final_run_survives_its_tuner",
        ),
    ),
    Mutant(
        name="recovery-pruner-not-asked-again",
        breaks="recovery: the pruner of an adopted run is asked again",
        file="tune_jobs/tuning/study_trials.py",
        old="        return known if known is not None and trial.should_prune() else None\n",
        new="        return None\n",
        tests=(
            "tests/tuning/test_recovery.py::test_the_pruner_is_asked_again_about_an_adopted_run",
        ),
    ),
    Mutant(
        name="retry-pruner-asked-once-per-trial",
        breaks="a retried run is pruned at a step that its trial has already",
        file="tune_jobs/tuning/study_trials.py",
        old="        name, steps = report.attempt.name, report.reading.steps\n",
        new="        name, steps = str(report.attempt.trial), report.reading.steps\n",
        tests=("tests/tuning/test_pruning_retries.py",),
    ),
    Mutant(
        name="recovery-costs-forgotten",
        breaks="max_run_hours and max_cost hold for all runs of the study",
        file="tune_jobs/tuning/optimize.py",
        old="            session.ledger.read_ended_attempts(),\n            session.read_controllers(),\n",
        new="            (),\n            session.read_controllers(),\n",
        tests=("tests/tuning/test_costs.py::test_a_second_call_counts_what_the_first_one_spent",),
    ),
)

_TRACKER = (
    Mutant(
        name="tracker-end-not-held-back",
        breaks="the store has only old metrics: the end of the run is held back",
        file=TRACKER,
        old="            for name, update in self._complete(latest, missing).items()\n",
        new="            for name, update in latest.items()\n",
        tests=("tests/tuning/test_tracker.py",),
    ),
    Mutant(
        name="tracker-older-value-taken",
        breaks="the store has only old metrics for two minutes: a new attempt, no older value",
        file=TRACKER,
        old="complete[name] = replace(update, state=RunState.FAILED, cause=cause, transient=True)",
        new="complete[name] = replace(update, cause=cause)",
        tests=("tests/tuning/test_tracker.py",),
    ),
    Mutant(
        name="tracker-unread-end-forgotten",
        breaks="the store does not respond: an end that was reported meanwhile is kept",
        file=TRACKER,
        old="            self._unread = list(latest.values())  # read again with the next call\n",
        new="",
        tests=("tests/tuning/test_tracker.py",),
    ),
    Mutant(
        name="tracker-store-not-retried",
        breaks="the store does not respond: it is retried for ten minutes",
        file=TRACKER,
        old="        if now - self._trouble_since > STORE_PATIENCE:\n",
        new="        if now - self._trouble_since >= 0.0:\n",
        tests=("tests/tuning/test_tracker.py",),
    ),
    Mutant(
        name="tracker-store-retried-for-ever",
        breaks="the store does not respond: it is retried for ten minutes",
        file=TRACKER,
        old="        if now - self._trouble_since > STORE_PATIENCE:\n",
        new="        if False:\n",
        tests=("tests/tuning/test_tracker.py",),
    ),
    Mutant(
        name="tracker-last-value-not-read",
        breaks="a trial has the value that its run wrote last",
        file=TRACKER,
        old="        fresh |= {n for n, update in latest.items() if update.state == RunState.SUCCEEDED}\n",
        new="",
        tests=(
            "tests/tuning/test_tracker.py::test_the_metrics_of_a_run_without_a_history_are_read_once_more_at_its_end",
        ),
    ),
)

_FINAL = (
    Mutant(
        name="final-recorded-after-its-start",
        breaks="every run that was started is an attempt of the ledger, a final run too",
        file=FINAL,
        old="""\
        return e.Finished(result, (attempt,))

    def commit(self, intents: Sequence[e.Intend | e.Retry], write: WriteLedger) -> e.Committed:
        \"\"\"See `Trials.commit`.\"\"\"
        intended = tuple(self._intend(intent) for intent in intents)
        self._writer.write(Changes(), lambda connection: write(intended, connection))
""",
        new="""\
        self._session.ledger.record_intended(None, [attempt])
        return e.Finished(result, (attempt,))

    def commit(self, intents: Sequence[e.Intend | e.Retry], write: WriteLedger) -> e.Committed:
        \"\"\"See `Trials.commit`.\"\"\"
        intended = tuple(self._intend(intent) for intent in intents)
        self._writer.write(Changes(), lambda connection: write((), connection))
""",
        tests=("tests/tuning/test_final_run.py",),
    ),
    Mutant(
        name="final-live-run-started-again",
        breaks="recovery: a final run whose call was killed is adopted",
        file=FINAL,
        old="    open_attempts = [a for a in earlier if a.told is None]\n",
        new="    open_attempts: list[Attempt] = []\n",
        tests=("tests/tuning/test_final_run.py::test_a_final_run_survives_its_tuner",),
    ),
    Mutant(
        name="final-without-fence",
        breaks="only the owner writes, a final run's call too",
        file=FINAL,
        old="        lease = session.lease if session.lease.held else None\n",
        new="        lease = None\n",
        tests=(
            "tests/tuning/test_final_run.py::test_a_final_run_that_lost_its_study_records_nothing",
        ),
    ),
    Mutant(
        name="final-success-without-provenance",
        breaks="a final run that the ledger calls successful has its provenance",
        file=FINAL,
        old="            self._session.store.write(provenance_path(attempt), document)\n"
        "            self.succeeded = attempt\n",
        new="            self.succeeded = attempt\n",
        tests=(
            "tests/tuning/test_final_run.py::test_it_trains_the_best_configuration_and_says_where_it_came_from",
        ),
    ),
)

_OBJECTIVE = (
    Mutant(
        name="objective-closed-before-told",
        breaks="Optuna's own loop: the attempt is closed with its trial's result, not before",
        file=OBJECTIVE,
        old="closes_with_result=lease is not None)",
        new="closes_with_result=False)",
        tests=(
            "tests/tuning/test_objective.py::test_a_result_and_the_end_of_its_attempt_are_one_transaction",
        ),
    ),
    Mutant(
        name="objective-recovers-nothing",
        breaks="recovery by Optuna's own loop",
        file=OBJECTIVE,
        old="        recover_study(self._engine, self._session, mirror)\n",
        new="",
        tests=("tests/tuning/test_objective.py::test_runs_of_a_killed_process_are_adopted",),
    ),
    Mutant(
        name="objective-interruption-leaves-runs",
        breaks="Ctrl-C in Optuna's own loop: the runs are stopped",
        file=OBJECTIVE,
        old="                self._engine.stop_runs()\n",
        new="",
        tests=(
            "tests/tuning/test_objective.py::test_an_interrupted_loop_stops_its_runs_and_is_resumed",
        ),
    ),
    Mutant(
        name="objective-writes-without-fence",
        breaks="only the owner writes, Optuna's own loop too",
        file=OBJECTIVE,
        old="        self._fenced = None if lease is None else fence_study(spec.study, mirror.writer)\n",
        new="        self._fenced = None\n",
        tests=(
            "tests/tuning/test_objective.py::test_a_process_that_lost_the_study_writes_nothing",
        ),
    ),
)

TUNING = (*_ENGINE, *_SESSION, *_TRACKER, *_FINAL, *_OBJECTIVE)
