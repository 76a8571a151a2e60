"""Faults of the decisions: `tune_jobs.core`."""

# ruff: noqa: E501 (sources are quoted as they are)

from __future__ import annotations

from tests.mutants.model import Mutant

MACHINE = "tune_jobs/core/machine.py"
OUTCOMES = "tune_jobs/core/outcomes.py"
RECOVERY = "tune_jobs/core/recovery.py"

_END = (
    Mutant(
        name="core-pruned-run-completes",
        breaks="a trial is pruned if its pruner says so, although its run ended before the stop",
        file=OUTCOMES,
        old="    if attempt.is_pruning:\n",
        new="    if attempt.is_pruning and update.state != RunState.SUCCEEDED:\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-pruned-run-retried",
        breaks="a pruned run is never retried",
        file=OUTCOMES,
        old="    if attempt.is_pruning:\n",
        new="    if attempt.is_pruning and update.state != RunState.LOST:\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-lost-run-fails-its-trial",
        breaks="a run that was lost is retried",
        file=OUTCOMES,
        old="(update.transient or update.state == RunState.LOST)",
        new="update.transient",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-retried-for-ever",
        breaks="attempts of a trial are limited",
        file=OUTCOMES,
        old=" and attempt.attempt < limit",
        new="",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-interrupted-run-fails-its-trial",
        breaks="Ctrl-C: the next call runs the interrupted configurations again",
        file=OUTCOMES,
        old="        return not attempt.is_final\n",
        new="        return False\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-canceled-final-run-retried",
        breaks="a final run that a person cancels is over",
        file=OUTCOMES,
        old="        return not attempt.is_final\n",
        new="        return True\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-delay-ignored",
        breaks="a retry waits, so that the cause can go away",
        file=MACHINE,
        old="            if self._not_before.get(attempt.name, now) > now:\n",
        new="            if False:\n",
        tests=("tests/core/test_machine.py::test_a_retry_waits_for_its_delay",),
    ),
    Mutant(
        name="core-canceled-trial-retried",
        breaks="a trial that a person cancels fails; its run is not retried",
        file=MACHINE,
        old="                action=Action.FINISH,\n                trial_state",
        new="                trial_state",
        tests=(
            "tests/core/test_machine.py::test_a_canceled_trial_fails_and_completes_its_command",
        ),
    ),
    Mutant(
        name="core-cancel-marked-done-early",
        breaks="a command is marked as done after it took effect",
        file=MACHINE,
        old="                return instructions  # completed when the trial has failed\n",
        new="                return [*instructions, e.CompleteControl(control.id)]\n",
        tests=(
            "tests/core/test_machine.py::test_a_canceled_trial_fails_and_completes_its_command",
        ),
    ),
)

_TURN = (
    Mutant(
        name="core-stopped-before-recorded",
        breaks="PRUNING is written before the run is stopped",
        file=MACHINE,
        old="        self._to_cancel.append(attempt.name)\n        return [e.RecordPruning(decided)]\n",
        new="        return [e.RecordPruning(decided), e.Cancel(attempt.name)]\n",
        tests=("tests/core/test_machine.py::test_a_pruned_run_is_stopped_after_its_commit",),
    ),
    Mutant(
        name="core-stopping-frees-slot",
        breaks="a run that is being stopped holds its slot (max_parallel)",
        file=MACHINE,
        old="        holding = len(self._live) + ",
        new="        holding = sum(not a.is_pruning for a in self._live.values()) + ",
        tests=(
            "tests/core/test_machine.py::test_runs_that_are_stopped_or_retried_hold_their_slots",
        ),
    ),
    Mutant(
        name="core-waiting-frees-slot",
        breaks="an attempt that waits for its retry holds its slot (max_parallel)",
        file=MACHINE,
        old=" + len(self._waiting) + self._uncommitted\n        free",
        new=" + self._uncommitted\n        free",
        tests=(
            "tests/core/test_machine.py::test_runs_that_are_stopped_or_retried_hold_their_slots",
        ),
    ),
    Mutant(
        name="core-deferred-run-never-stopped",
        breaks="a run that was left to finish and does not is stopped",
        file=MACHINE,
        old="            instructions += self._prune(attempt, cause)\n        if reason := self.budget.exhausted",
        new="            pass\n        if reason := self.budget.exhausted",
        tests=(
            "tests/core/test_machine.py::test_a_run_that_will_end_soon_is_stopped_only_if_it_does_not",
        ),
    ),
    Mutant(
        name="core-always-deferred",
        breaks="a run whose remaining time is unknown is stopped when it is pruned",
        file="tune_jobs/core/prune_deferral.py",
        old="seconds_left is None or seconds_left > overhead",
        new="seconds_left is not None and seconds_left > overhead",
        tests=("tests/core/test_machine.py::test_a_pruned_run_is_stopped_after_its_commit",),
    ),
)

_RECOVERY = (
    Mutant(
        name="core-live-run-abandoned",
        breaks="recovery: a live run is adopted",
        file=RECOVERY,
        old="            adopt.append((attempt, update))\n",
        new="            lost.append(replace(attempt, state=AttemptState.LOST))\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-ended-run-abandoned",
        breaks="recovery: the result of a run that has ended is collected",
        file=RECOVERY,
        old="            harvest.append((attempt, update))\n",
        new="            lost.append(replace(attempt, state=AttemptState.LOST))\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-intended-taken-for-lost",
        breaks="recovery: an attempt that was never submitted is submitted",
        file=RECOVERY,
        old="            submit.append(attempt)\n",
        new="            lost.append(replace(attempt, state=AttemptState.LOST))\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-lost-taken-for-intended",
        breaks="recovery: a run that the backend lost gets a new attempt",
        file=RECOVERY,
        old="        elif attempt.state == AttemptState.INTENDED:\n",
        new="        elif not attempt.is_pruning:\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-run-of-finished-trial-continues",
        breaks="recovery: a live run of a finished trial is stopped",
        file=RECOVERY,
        old="                stop.append(attempt)\n",
        new="                pass\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-stop-of-finished-trial-forgotten",
        breaks="recovery: a live run of a finished trial is stopped",
        file=MACHINE,
        old="        self._to_cancel += [a.name for a in plan.stop]\n",
        new="",
        tests=(
            "tests/core/test_machine.py::test_what_an_earlier_owner_decided_to_stop_is_stopped_after_the_commit",
        ),
    ),
    Mutant(
        name="core-adopted-pruned-run-continues",
        breaks="recovery: a run is stopped whose owner was killed after it wrote PRUNING",
        file=MACHINE,
        old="        self._to_cancel += [a.name for a, _ in plan.adopt if a.is_pruning]\n",
        new="",
        tests=(
            "tests/core/test_machine.py::test_what_an_earlier_owner_decided_to_stop_is_stopped_after_the_commit",
        ),
    ),
    Mutant(
        name="core-recovered-trials-uncounted",
        breaks="n_trials counts what a call finishes, adopted trials included",
        file=MACHINE,
        old="        self.budget.start(len(resumed) + len(event.unrecorded) - event.continued)\n",
        new="",
        tests=(
            "tests/core/test_machine.py::test_what_an_earlier_owner_left_open_counts_as_started",
        ),
    ),
    Mutant(
        name="core-unrecorded-trial-forgotten",
        breaks="recovery: a trial that was claimed and not recorded is run",
        file=MACHINE,
        old="        instructions += [e.Intend(ticket) for ticket in event.unrecorded]\n",
        new="",
        tests=(
            "tests/core/test_machine.py::test_what_an_earlier_owner_left_open_counts_as_started",
        ),
    ),
    Mutant(
        name="core-interrupted-final-run-collected",
        breaks="a final run that was interrupted with its call is run again",
        file=RECOVERY,
        old="    return attempt.is_final and update.state == RunState.CANCELED\n",
        new="    return False\n",
        tests=("tests/core/test_outcomes.py",),
    ),
)

_LIMITS = (
    Mutant(
        name="core-deadline-ignored",
        breaks="nothing new is started after the timeout",
        file="tune_jobs/core/limits.py",
        old="        return 0\n    return max(0, limits.max_parallel - tally.live)\n",
        new="        pass\n    return max(0, limits.max_parallel - tally.live)\n",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-live-runs-cost-nothing",
        breaks="max_run_hours and max_cost include what live runs will have used",
        file="tune_jobs/core/budget.py",
        old="self.costs(live, now).used, run)",
        new="self.costs(live, now).spent, run)",
        tests=("tests/tuning/test_costs.py",),
    ),
    Mutant(
        name="core-earlier-success-forgotten",
        breaks="only a study without a single success is given up as always failing",
        file="tune_jobs/core/limits.py",
        old="    works = tally.ever_complete or ",
        new="    works = tally.complete or ",
        tests=("tests/core/test_outcomes.py",),
    ),
    Mutant(
        name="core-infeasible-trial-best",
        breaks="only a feasible trial can be the best, or reach the target",
        file="tune_jobs/core/best_trials.py",
        old="        if self.violations:\n            return Standing.INFEASIBLE\n",
        new="",
        tests=("tests/core/test_best_trials.py",),
    ),
    Mutant(
        name="core-undefined-constraint-satisfied",
        breaks="a constraint that is NaN is violated",
        file="tune_jobs/core/best_trials.py",
        old="if not value <= 0.0}",
        new="if value > 0.0}",
        tests=("tests/core/test_best_trials.py",),
    ),
)

_PROMOTION = (
    Mutant(
        name="core-promoted-twice",
        breaks="a configuration is promoted once",
        file="tune_jobs/core/promotion.py",
        old="        self.leave(number)\n        budget = ",
        new="        budget = ",
        tests=("tests/tuning/test_promotion.py",),
    ),
    Mutant(
        name="core-promoted-again-after-restart",
        breaks="a configuration is promoted only once, by any process",
        file="tune_jobs/core/promotion.py",
        old="                ladder.leave(rung.after)\n",
        new="",
        tests=("tests/tuning/test_promotion.py",),
    ),
    Mutant(
        name="core-infeasible-trial-promoted",
        breaks="infeasible trials rank behind feasible ones",
        file="tune_jobs/core/promotion.py",
        old="(violation, self._sign * value, number)",
        new="(0.0, self._sign * value, number)",
        tests=(
            "tests/core/test_machine.py::test_infeasible_configurations_are_promoted_after_all_feasible_ones",
        ),
    ),
    Mutant(
        name="core-checkpoints-removed-too-early",
        breaks="checkpoints stay while a run may resume from them",
        file="tune_jobs/core/promotion.py",
        old="in self.eliminated(more) if more is not None else ():",
        new="in self.eliminated(more or 0):",
        tests=("tests/tuning/test_promotion.py",),
    ),
)

CORE = (*_END, *_TURN, *_RECOVERY, *_LIMITS, *_PROMOTION)
