"""Faults of local job runs: `tune_jobs.backends.local`."""

# ruff: noqa: E501 (sources are quoted as they are)

from __future__ import annotations

from tests.mutants.model import Mutant

HOST = "tune_jobs/backends/local/host.py"
RUN = "tune_jobs/backends/local/run.py"
SERVICE = "tune_jobs/backends/local/service.py"

LOCAL = (
    Mutant(
        name="local-signal-leader-only",
        breaks="no run is live after its end: a run's whole process group is stopped",
        file=RUN,
        old="        os.killpg(pid, number)\n",
        new="        os.kill(pid, number)\n",
        tests=("tests/backends/test_local_ends.py::test_every_process_of_a_run_is_asked_to_end",),
    ),
    Mutant(
        name="local-leftovers-survive-their-host",
        breaks="kill -9 of tuner and local host: what is left of a run is killed before its retry",
        file=RUN,
        old="    if elsewhere := _end_leftovers(folder, history[-1]):\n",
        new='    if elsewhere := "":\n',
        tests=(
            "tests/backends/test_local_host.py::test_a_killed_host_is_replaced_and_its_runs_end",
        ),
    ),
    Mutant(
        name="local-what-left-the-group-survives",
        breaks="kill -9 of tuner and local host: also what left the run's group is killed",
        file=RUN,
        old="    kill_all(find_by_environment(_REPORTS, _reports_file(folder)))\n",
        new="",
        tests=(
            "tests/backends/test_local_host.py::test_a_run_that_its_host_could_not_record_is_found_by_its_environment",
        ),
    ),
    Mutant(
        name="local-unrecorded-process-lives",
        breaks="a run whose start could not be recorded does not stay alive",
        file=RUN,
        old="        _signal_group(process.pid, signal.SIGKILL)  # no run lives that is not recorded\n"
        "        process.wait()\n",
        new="",
        tests=(
            "tests/backends/test_local_trouble.py::test_a_run_whose_start_cannot_be_recorded_is_killed",
        ),
    ),
    Mutant(
        name="local-leftovers-of-another-process",
        breaks="a process that has the number of a dead run is left alone",
        file=RUN,
        old="    if identity is not None and is_alive(identity):\n",
        new="    if identity is not None:\n",
        tests=(
            "tests/backends/test_local_host.py::test_another_process_with_the_same_id_lives_on",
        ),
    ),
    Mutant(
        name="local-history-after-the-process",
        breaks="a run's history is written before its process starts: a name is started once",
        file=RUN,
        old='        _append_history(folder, {"event": "accepted", "time": started, "command": start.command})\n        process = _spawn(start, work, log, env)\n',
        new='        process = _spawn(start, work, log, env)\n        _append_history(folder, {"event": "accepted", "time": started, "command": start.command})\n',
        tests=(
            "tests/backends/test_local_trouble.py::test_a_run_that_cannot_be_recorded_is_not_started",
        ),
    ),
    Mutant(
        name="local-end-not-recorded",
        breaks="kill -9 of the tuner: the results of its runs are collected",
        file=RUN,
        old="            _append_history(self.start.folder, ended)\n",
        new="            pass\n",
        tests=("tests/backends/test_local.py::test_name_is_started_once",),
    ),
    Mutant(
        name="local-refusal-not-recorded",
        breaks="a run that could not be started is known to the next tuner",
        file=RUN,
        old="        _append_history(start.folder, ended)\n",
        new="        pass\n",
        tests=(
            "tests/backends/test_local_ends.py::test_a_run_that_could_not_be_started_is_known_to_the_next_tuner",
        ),
    ),
    Mutant(
        name="local-late-success-canceled",
        breaks="a run that ends well although it was to be stopped has its value",
        file=RUN,
        old="        if self.canceled and code != 0:\n",
        new="        if self.canceled:\n",
        tests=(
            "tests/backends/test_local_ends.py::test_a_run_that_ends_well_although_it_was_to_be_stopped_has_its_value",
        ),
    ),
    Mutant(
        name="local-children-outlive-their-run",
        breaks="no run is live after its end: what it started in its group is killed",
        file=RUN,
        old="        _signal_group(ended.si_pid, signal.SIGKILL)\n",
        new="",
        tests=("tests/backends/test_local.py::test_background_process_ends_with_its_run",),
    ),
    Mutant(
        name="local-start-not-idempotent",
        breaks="the local host starts a name once",
        file=HOST,
        old="run = launch(start, connection.env, self._machine) if known is None else None",
        new="run = launch(start, connection.env, self._machine) if start.id not in self._runs else None",
        tests=("tests/backends/test_local.py::test_name_is_started_once",),
    ),
    Mutant(
        name="local-live-run-started-again",
        breaks="the local host starts a name once",
        file=HOST,
        old="if known is None else None",
        new='if known is None or known["event"] == "live" else None',
        tests=("tests/backends/test_conformance.py::TestLocalBackend",),
    ),
    Mutant(
        name="local-runs-die-with-their-tuner",
        breaks="kill -9 of the tuner: its runs continue",
        file=HOST,
        old="            if not connection.keep:\n",
        new="            if True:\n",
        tests=("tests/backends/test_conformance.py::TestLocalBackend",),
    ),
    Mutant(
        name="local-runs-outlive-a-study-in-memory",
        breaks="the process of an in-memory study ends: its runs are stopped",
        file=HOST,
        old="            if not connection.keep:\n",
        new="            if False:\n",
        tests=(
            "tests/tuning/test_recovery.py::test_runs_of_a_study_in_memory_end_with_its_process",
        ),
    ),
    Mutant(
        name="local-never-killed",
        breaks="a run that ignores TERM is killed after the grace period",
        file=HOST,
        old="            self._later(run.start.grace, lambda: self._kill(run))\n",
        new="",
        tests=("tests/backends/test_local.py::test_run_that_ignores_term_is_killed",),
    ),
    Mutant(
        name="local-time-limit-is-a-cancellation",
        breaks="a run that reaches its time limit fails; it is not retried",
        file=HOST,
        old="self._stop(run, cause, canceled=False))",
        new="self._stop(run, cause, canceled=True))",
        tests=(
            "tests/backends/test_local_ends.py::test_a_run_that_reaches_its_time_limit_has_failed",
        ),
    ),
    Mutant(
        name="local-adopted-run-has-no-connection",
        breaks="another tuner adopts a run: its updates go there",
        file=HOST,
        old='        self._owners[run_id] = connection\n        return {"event": "live"',
        new='        return {"event": "live"',
        tests=("tests/backends/test_conformance.py::TestLocalBackend",),
    ),
    Mutant(
        name="local-host-leaves-its-runs",
        breaks="kill -9 of the tuner: the host stays while a run is live",
        file=HOST,
        old="        while self._runs or self._connections or not self._may_leave:\n",
        new="        while self._connections or not self._may_leave:\n",
        tests=("tests/backends/test_conformance.py::TestLocalBackend",),
    ),
    Mutant(
        name="local-update-during-recovery-lost",
        breaks="an end that is reported while a tuner recovers is not lost",
        file=SERVICE,
        old="                self._early += early  # for `wait`\n",
        new="",
        tests=(
            "tests/backends/test_local_ends.py::test_an_end_that_comes_before_the_answer_to_find_is_told",
        ),
    ),
    Mutant(
        name="local-runs-of-two-tuners",
        breaks="the local runs of a study belong to one tuner of a machine",
        file=SERVICE,
        old="fcntl.LOCK_EX",
        new="fcntl.LOCK_SH",
        tests=(
            "tests/backends/test_conformance.py::TestLocalBackend",
            "tests/backends/test_sharing.py",
        ),
    ),
    Mutant(
        name="local-child-keeps-the-lock",
        breaks="a child that the user's process forked does not keep a study locked",
        file="tune_jobs/backends/local/forks.py",
        old="    for descriptor in _locks:\n        os.close(descriptor)\n",
        new="",
        tests=(
            "tests/tuning/test_recovery.py::test_a_child_that_outlives_its_tuner_keeps_nothing",
        ),
    ),
)
