"""Faults of the ledger, the lease and the writers: `tune_jobs.storage`."""

# ruff: noqa: E501 (sources are quoted as they are)

from __future__ import annotations

from tests.mutants.model import Mutant

LEASE = "tune_jobs/storage/lease.py"
WRITER = "tune_jobs/storage/rdb_writer.py"
ROWS = "tune_jobs/storage/trial_rows.py"
WRITERS = "tune_jobs/storage/writers.py"
FENCE = "tune_jobs/storage/fence.py"

_LEASE = (
    Mutant(
        name="lease-fence-ignored",
        breaks="only the owner writes",
        file=LEASE,
        old="        self._is_lost = True\n        self.check()\n",
        new="",
        tests=("tests/storage/test_lease.py",),
    ),
    Mutant(
        name="lease-taken-without-waiting",
        breaks="a live owner of another machine is not replaced",
        file=LEASE,
        old="            if self._clock() - seen >= self.intervals.ttl:\n",
        new="            if self._clock() - seen >= 0.0:\n",
        tests=("tests/storage/test_lease.py",),
    ),
    Mutant(
        name="lease-taken-from-one-that-woke-up",
        breaks="take-over is compare-and-swap: an owner that shows life keeps the study",
        file=LEASE,
        old="owners.c.token == claim.token, owners.c.beat == claim.beat)",
        new="owners.c.token == claim.token)",
        tests=("tests/storage/test_lease.py",),
    ),
    Mutant(
        name="lease-taken-by-two",
        breaks="one process owns a study: of two challengers one wins",
        file=LEASE,
        old="                    if taken.rowcount != 1 and now.owner != self._identity:\n",
        new="                    if taken.rowcount != 1 and now.owner is None:\n",
        tests=("tests/storage/test_lease.py",),
    ),
    Mutant(
        name="lease-computing-owner-replaced",
        breaks="an owner that computes without a heartbeat, as in a sampler, is not replaced",
        file=LEASE,
        old="                _check_busy(claim.owner, cpu, self.intervals.ttl)\n",
        new="",
        tests=("tests/storage/test_owner_life.py",),
    ),
    Mutant(
        name="lease-release-frees-successor",
        breaks="an owner that was replaced does not free the study of its successor",
        file=LEASE,
        old="owners.c.study == self._study, owners.c.token == token)",
        new="owners.c.study == self._study)",
        tests=("tests/storage/test_lease.py",),
    ),
    Mutant(
        name="lease-child-owns-too",
        breaks="a child that the owner forks is not the owner",
        file=LEASE,
        old="        return self._pid != os.getpid()\n",
        new="        return False\n",
        tests=("tests/storage/test_owner_life.py", "tests/tuning/test_recovery.py"),
    ),
    Mutant(
        name="lease-verified-too-late",
        breaks="an owner that was suspended for longer than others wait verifies before it acts",
        file=LEASE,
        old="self._verified > self.intervals.ttl / 2:",
        new="self._verified > self.intervals.ttl * 2:",
        tests=("tests/storage/test_lease.py",),
    ),
    Mutant(
        name="lease-other-namespace-taken-for-dead",
        breaks="an owner in another container is never known to be dead",
        file="tune_jobs/storage/owner_identity.py",
        old="(self.host, self.boot, namespaces) == (*here, _read_namespaces())",
        new="(self.host, self.boot) == here",
        tests=("tests/storage/test_owner_life.py",),
    ),
    Mutant(
        name="lease-number-of-dead-owner-reused",
        breaks="a dead owner of this machine is replaced at once, though its number is in use again",
        file="tune_jobs/storage/owner_identity.py",
        old="    return start != parsed.start if start else not _exists(parsed.pid)\n",
        new="    return not start and not _exists(parsed.pid)\n",
        tests=("tests/storage/test_owner_life.py",),
    ),
    Mutant(
        name="heartbeat-of-a-hung-tuner",
        breaks="a tuner that hangs loses the study",
        file="tune_jobs/storage/heartbeat.py",
        old="        elif self._clock() - self._seen_alive <= STUCK:\n",
        new="        else:\n",
        tests=("tests/storage/test_owner_life.py",),
    ),
    Mutant(
        name="heartbeat-after-the-work",
        breaks="an owner that is not at work any more does not keep the study",
        file="tune_jobs/storage/heartbeat.py",
        old="was_idle, self._was_idle = self._was_idle, not self._is_working()",
        new="was_idle, self._was_idle = self._was_idle, False",
        tests=("tests/storage/test_owner_life.py", "tests/tuning/test_objective.py"),
    ),
)

_TRANSACTIONS = (
    Mutant(
        name="commit-in-doubt-repeated",
        breaks="a commit whose response was lost is not written twice",
        file=WRITER,
        old="                if in_doubt:\n                    return in_doubt[-1]\n",
        new="",
        tests=("tests/storage/test_rdb_writer.py::test_a_commit_in_doubt_creates_a_trial_once",),
    ),
    Mutant(
        name="commit-in-doubt-taken-for-done",
        breaks="a commit that did not take effect is written again",
        file=WRITER,
        old="                outage.wait(error)\n            else:\n",
        new="                outage.wait(error)\n                if in_doubt:\n"
        "                    return in_doubt[-1]\n            else:\n",
        tests=("tests/storage/test_rdb_writer.py::test_a_commit_in_doubt_creates_a_trial_once",),
    ),
    Mutant(
        name="commit-that-took-effect-is-a-loss",
        breaks="the heartbeat says whether a commit whose response was lost took effect",
        file=LEASE,
        old="            raise AlreadyCommitted\n",
        new="            pass\n",
        tests=(
            "tests/storage/test_lease.py::test_the_heartbeat_shows_whether_a_commit_took_effect",
        ),
    ),
    Mutant(
        name="commit-of-another-taken-for-own",
        breaks="only the owner writes: a successor's heartbeat is not the answer to one's commit",
        file=LEASE,
        old="(now.token, now.beat) == (self._token, self._beat + 1):",
        new="now.beat > self._beat:",
        tests=(
            "tests/storage/test_lease.py::test_the_heartbeat_of_a_successor_is_no_answer_to_ones_own_commit",
        ),
    ),
    Mutant(
        name="trial-finished-twice",
        breaks="a trial is finished exactly once, also beside other programs",
        file=ROWS,
        old='    .where(trials.c.trial_id == bindparam("trial"), trials.c.state == TrialState.RUNNING)\n',
        new='    .where(trials.c.trial_id == bindparam("trial"))\n',
        tests=(
            "tests/storage/test_rdb_writer.py::test_a_trial_that_another_program_finished_stays_as_it_is",
        ),
    ),
    Mutant(
        name="trial-number-given-twice",
        breaks="an attempt's name contains its trial's number, though others add trials",
        file=ROWS,
        old="    if before.scalar_one() != created[0].number:\n",
        new="    if before.scalar_one() < created[0].number:\n",
        tests=(
            "tests/storage/test_rdb_writer.py::test_a_number_that_another_program_took_is_not_given_again",
        ),
    ),
    Mutant(
        name="claim-always-succeeds",
        breaks="an enqueued trial is claimed by one process",
        file=ROWS,
        old="    if int(connection.execute(_CLAIM, claim).rowcount) == 0:\n        return False\n",
        new="    connection.execute(_CLAIM, claim)\n",
        tests=(
            "tests/storage/test_rdb_writer.py::test_a_trial_that_another_program_claimed_is_not_claimed",
        ),
    ),
    Mutant(
        name="claim-in-doubt-is-a-loss",
        breaks="a claim whose response was lost took effect: the trial is run",
        file="tune_jobs/storage/rdb_writer.py",
        old="                in_doubt = results or in_doubt\n",
        new="",
        tests=("tests/storage/test_rdb_writer.py::test_a_claim_in_doubt_is_made_once",),
    ),
    Mutant(
        name="late-answer-revives-pruned-run",
        breaks="a pruned run is never retried, though the backend accepts it late",
        file="tune_jobs/storage/attempt_rows.py",
        old="    .where(attempts.c.state == AttemptState.INTENDED.value)\n",
        new="",
        tests=("tests/storage/test_ledger.py::test_a_run_that_is_accepted_late_stays_pruned",),
    ),
    Mutant(
        name="database-never-retried",
        breaks="a locked database: the turn is written when it responds",
        file="tune_jobs/storage/retry.py",
        old='        return "locked" in message or "busy" in message or is_trouble_message(message)\n',
        new="        return is_trouble_message(message)\n",
        tests=("tests/storage/test_rdb_writer.py::test_which_errors_of_sqlite_pass",),
    ),
    Mutant(
        name="full-disk-ends-the-call",
        breaks="a full disk: the turn is written when there is room again",
        file="tune_jobs/storage/retry.py",
        old='        return "locked" in message or "busy" in message or is_trouble_message(message)\n',
        new='        return "locked" in message or "busy" in message\n',
        tests=("tests/storage/test_rdb_writer.py::test_which_errors_of_sqlite_pass",),
    ),
    Mutant(
        name="hopeless-error-retried",
        breaks="a turn that fails for good ends the call",
        file="tune_jobs/storage/retry.py",
        old='        return "locked" in message or "busy" in message or is_trouble_message(message)\n',
        new="        return True\n",
        tests=("tests/storage/test_rdb_writer.py::test_which_errors_of_sqlite_pass",),
    ),
    Mutant(
        name="database-retried-for-ever",
        breaks="a database that does not respond is retried for ten minutes",
        file="tune_jobs/storage/retry.py",
        old=" or now - self._failing_since > self._retry.patience:",
        new=":",
        tests=(
            "tests/storage/test_rdb_writer.py::test_reads_that_succeed_do_not_renew_the_patience_with_a_write",
        ),
    ),
)

_JOURNAL = (
    Mutant(
        name="journal-closed-before-told",
        breaks="journal: the trial is finished before its attempt is closed",
        file=WRITERS,
        old="        for change in changes.changed:\n            self._apply(change)\n",
        new="        extra_writes(None)\n        extra_writes = lambda connection: None\n"
        "        for change in changes.changed:\n            self._apply(change)\n",
        tests=("tests/storage/test_writers.py",),
    ),
    Mutant(
        name="journal-fence-ignored",
        breaks="journal: only the owner writes",
        file=WRITERS,
        old="            self._lease.renew(at_once=True)",
        new="            self._lease.renew()",
        tests=("tests/storage/test_writers.py",),
    ),
    Mutant(
        name="journal-claimed-before-attempt-noted",
        breaks="journal: the coming attempt is noted before the trial is claimed",
        file=WRITERS,
        old="            self._storage.set_trial_user_attr(trial_id, RUN_ATTRIBUTE, attempt)\n"
        "            if self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):\n",
        new="            if self._storage.set_trial_state_values(trial_id, TrialState.RUNNING):\n"
        "                self._storage.set_trial_user_attr(trial_id, RUN_ATTRIBUTE, attempt)\n",
        tests=("tests/storage/test_writers.py",),
    ),
    Mutant(
        name="journal-finished-trial-written",
        breaks="journal: a trial that another process finished is left alone",
        file=WRITERS,
        old="        if storage.get_trial(trial_id).state.is_finished():\n",
        new="        if False:\n",
        tests=("tests/storage/test_writers.py",),
    ),
)

_LOOP = (
    Mutant(
        name="loop-result-without-end",
        breaks="Optuna's own loop: the attempt is closed with its trial's result",
        file=FENCE,
        old="self._with_result.pop(trial_id, _nothing))",
        new="_nothing)",
        tests=(
            "tests/tuning/test_objective.py::test_values_states_and_attempts",
            "tests/tuning/test_objective.py::test_a_result_and_the_end_of_its_attempt_are_one_transaction",
        ),
    ),
    Mutant(
        name="loop-interrupted-trial-fails",
        breaks="Ctrl-C in Optuna's own loop: the next call runs the configurations again",
        file=FENCE,
        old="        if trial_id in self._left_open:\n",
        new="        if False:\n",
        tests=(
            "tests/tuning/test_objective.py::test_an_interrupted_loop_stops_its_runs_and_is_resumed",
        ),
    ),
    Mutant(
        name="loop-trial-given-to-two-threads",
        breaks="Optuna's own loop: an enqueued trial is run once, whatever n_jobs",
        file=FENCE,
        old="        if is_taken:\n",
        new="        if False:\n",
        tests=(
            "tests/tuning/test_objective.py::test_a_trial_that_optuna_gave_to_two_threads_is_run_once",
        ),
    ),
    Mutant(
        name="loop-released-while-busy",
        breaks="Optuna's own loop owns the study while a trial of it is running",
        file=FENCE,
        old="            return bool(self._open or self._entering)\n",
        new="            return bool(self._entering)\n",
        tests=(
            "tests/tuning/test_objective.py::test_a_study_is_not_released_before_its_trial_is_told",
        ),
    ),
)

_CONTROLS = (
    Mutant(
        name="controls-of-another-study",
        breaks="a command is executed by the owner of its study",
        file="tune_jobs/storage/controls.py",
        old="controls.c.study == self._study, controls.c.done.is_(None)",
        new="controls.c.done.is_(None)",
        tests=("tests/storage/test_commands.py",),
    ),
    Mutant(
        name="controls-executed-again",
        breaks="a command is executed once",
        file="tune_jobs/storage/controls.py",
        old="controls.c.study == self._study, controls.c.done.is_(None)",
        new="controls.c.study == self._study",
        tests=("tests/storage/test_commands.py",),
    ),
)

STORAGE = (*_LEASE, *_TRANSACTIONS, *_JOURNAL, *_LOOP, *_CONTROLS)
