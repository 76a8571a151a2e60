"""Life cycle of job runs: their states over time, and their execution.

ACCEPTED ──▶ IN_PROGRESS ──▶ SUCCEEDED | FAILED
    └─────────────┴────────▶ CANCELING ──▶ CANCELED
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from tests.oci_emulator.errors import ServiceError
from tests.oci_emulator.execution import Execution, Program
from tests.oci_emulator.images import Image, read_image
from tests.oci_emulator.log_search import LogSearch
from tests.oci_emulator.nodes import OVERRIDE, NodesExecution, find_groups, iterate_programs
from tests.oci_emulator.object_storage import rfc3339
from tests.oci_emulator.policies import Principal, Target
from tests.oci_emulator.world import World

_LIVE = ("ACCEPTED", "IN_PROGRESS", "CANCELING", "NEEDS_ATTENTION")
_ENDED = ("SUCCEEDED", "FAILED", "CANCELED")


class Run:
    """Job run: its request, and its states with their times, past and planned."""

    def __init__(self, facts: dict[str, Any], clock: Callable[[], float]) -> None:
        self.id = str(facts["id"])
        self._clock = clock
        self.facts, self.accepted = facts, clock()
        accepted = self.accepted
        self._events: list[tuple[float, str, str]] = [(accepted, "ACCEPTED", "")]
        self.execution: Execution | NodesExecution | None = None
        self.creates_log = False
        self.shape = str(facts["jobInfrastructureConfigurationDetails"].get("shapeName", ""))
        self.nodes = 1

    def plan(self, at: float, state: str, details: str = "") -> None:
        """Plan a state from a time on."""
        self._events.append((at, state, details))

    def change(self, at: float, state: str, details: str = "") -> None:
        """Change the state at a time, and discard what was planned after it."""
        self._events = [e for e in self._events if e[0] <= at]
        self._events.append((at, state, details))

    def state(self, at: float) -> str:
        """Return the state at a time."""
        return self._event(at)[1]

    @property
    def is_live(self) -> bool:
        """Whether it uses capacity now."""
        return self.state(self._clock()) not in _ENDED

    def _event(self, at: float) -> tuple[float, str, str]:
        return [e for e in self._events if e[0] <= at][-1]

    def shown(self, at: float) -> dict[str, Any]:
        """Return what the service shows at a time."""
        now, state, details = self._event(at)
        started = next((t for t, s, _ in self._events if s == "IN_PROGRESS" and t <= at), None)
        return {
            **self.facts,
            "timeAccepted": rfc3339(self.accepted),
            "timeStarted": None if started is None else rfc3339(started),
            "timeFinished": rfc3339(now) if state in _ENDED else None,
            "lifecycleState": state,
            "lifecycleDetails": details or None,
        }


class RunLife:
    """Execution of runs, or simulation of their duration.

    Attributes:
        duration: Returns the seconds that a run takes which is not executed.
        next_failures: Details of the failures of the next runs, after they are accepted.
        next_states: States in which the next runs remain.
        seconds_per_minute: Length of a minute of the maximum runtime.
    """

    def __init__(
        self, world: World, log: LogSearch, sign_in: Callable[[Run], dict[str, str]]
    ) -> None:
        self._world, self._log, self._sign_in = world, log, sign_in
        self._threads: list[threading.Thread] = []
        self._executions: list[Execution | NodesExecution] = []
        self._closed = threading.Event()
        self.duration: Callable[[Run], float] = lambda run: 0.0
        self.next_failures: list[str] = []
        self.next_states: list[str] = []
        self.seconds_per_minute = 60.0

    def check_limits(self, runs: Iterable[Run]) -> None:
        """Check that another run is within the limit."""
        limit = self._world.limits.max_live_runs
        if limit is not None and sum(run.is_live for run in runs) >= limit:
            code = "TooManyRuns" if self._world.deviates("limit-code") else "LimitExceeded"
            raise ServiceError(400, code, f"The limit of {limit} concurrent job runs is exceeded")

    def ended(self, run: Run) -> Run:
        """Return a run that has ended."""
        run.plan(run.accepted, "IN_PROGRESS")
        run.plan(run.accepted, "SUCCEEDED")
        return run

    def start(
        self,
        run: Run,
        job: dict[str, Any],
        artifact: tuple[bytes, str] | None,
        runs: list[Run],
    ) -> None:
        """Start a run that was accepted."""
        begin = run.accepted + self._world.delays.accepted
        capacity = self._world.limits.capacity.get(run.shape)
        others = sum(r.nodes for r in runs if r is not run and r.is_live and r.shape == run.shape)
        job_view, facts = next(iter(_view(run, job)))
        image = _merge_container(facts, job_view).get("image")
        if self.next_failures:
            run.plan(begin, "FAILED", self.next_failures.pop(0))
        elif image and not self._may(run, "read", "repos", run.facts["compartmentId"]):
            run.plan(begin, "FAILED", f"Failed to pull the image {image}: access denied.")
        elif not self._may_read_conda(run, job_view):
            run.plan(begin, "FAILED", "Failed to download the conda environment: not authorized.")
        elif self.next_states:
            run.plan(begin, self.next_states.pop(0))
        elif capacity is not None and others + run.nodes > capacity:
            word = "nodes" if self._world.deviates("capacity-wording") else "host capacity"
            run.plan(begin, "FAILED", f"Out of {word} for shape {run.shape}.")
        elif not self._world.execute:
            run.plan(begin, "IN_PROGRESS")
            run.plan(begin + self.duration(run), "SUCCEEDED")
        else:
            thread = threading.Thread(
                target=self._execute,
                args=(run, self._build_execution(run, job, artifact), begin),
                daemon=True,
            )
            self._threads.append(thread)
            thread.start()

    def _build_execution(
        self, run: Run, job: dict[str, Any], artifact: tuple[bytes, str] | None
    ) -> Execution | NodesExecution:
        folder, env = self._world.folder / "runs" / run.id[-12:], self._service_env(run)
        endpoint, line = self._world.endpoint, partial(self._log_line, run)

        def build(job: dict[str, Any], facts: dict[str, Any]) -> Program:
            layout = self._world.images.get(_merge_container(facts, job).get("image", ""))
            image = read_image(layout) if layout else None
            return _build_program(facts, job, artifact, image, self._world)

        is_ignored = self._world.deviates("node-override")
        if groups := find_groups(job, {**run.facts, OVERRIDE: None} if is_ignored else run.facts):
            programs = [*iterate_programs(groups, lambda group: build(group.job, group.facts))]
            execution = NodesExecution(folder, programs, env, endpoint, line)
            execution.has_variables = not self._world.deviates("node-variables")
            execution.ends_at_failure = not self._world.deviates("node-failure")
            return execution
        return Execution(folder, build(job, run.facts), env, endpoint, line)

    def cancel(self, run: Run) -> None:
        """Cancel a run."""
        now = self._world.clock()
        run.change(now, "CANCELING")
        if run.execution is None:
            run.plan(now + self._world.delays.canceling, "CANCELED")
        else:
            run.execution.stop(self._find_grace())

    def _find_grace(self) -> float | None:
        """Return the seconds between TERM and KILL; None to kill at once."""
        if self._world.deviates("cancel-sigterm"):
            return None
        return 0.2 if self._world.deviates("cancel-grace") else self._world.delays.grace

    def close(self) -> None:
        """End all executions."""
        self._closed.set()
        for execution in self._executions:
            execution.stop(0.5)
        self.join()

    def join(self) -> None:
        """Wait until no run is executed."""
        for thread in self._threads:
            thread.join(10.0)

    def _execute(self, run: Run, execution: Execution | NodesExecution, begin: float) -> None:
        run.execution = execution
        self._executions.append(execution)
        if self._closed.wait(max(0.0, begin - self._world.clock())):
            return
        with self._world.lock:
            canceled = run.state(self._world.clock()) == "CANCELING"
            if not canceled:
                run.change(self._world.clock(), "IN_PROGRESS")
        code, problem = -1, ""
        if not canceled:
            try:
                code = execution.run(self.seconds_per_minute, self._world.delays.grace)
            except (OSError, ValueError) as error:
                problem = f"Job run artifact could not be executed: {error}"
        with self._world.lock:
            self._end(run, execution, code, problem)

    def _end(
        self, run: Run, execution: Execution | NodesExecution, code: int, problem: str
    ) -> None:
        now = self._world.clock()
        if run.state(now) == "CANCELING":
            ends_failed = self._world.deviates("cancel-canceled")
            end = ("FAILED", "Job run was stopped.") if ends_failed else ("CANCELED", "")
            run.plan(now + self._world.delays.canceling, *end)
        elif execution.timed_out:
            minutes = execution.minutes
            word = "quantum" if self._world.deviates("runtime-wording") else "maximum runtime"
            run.change(now, "FAILED", f"Job run exceeded its {word} of {minutes} minutes.")
        elif code == 0 or self._world.deviates("nonzero-fails"):
            run.change(now, "SUCCEEDED")
        else:
            shown = 128 - code if code < 0 else code
            word = "status" if self._world.deviates("exit-code-wording") else "exit code"
            failed = f"Job run artifact execution failed with {word} {shown}."
            run.change(now, "FAILED", problem or failed)

    def _log_line(self, run: Run, line: str) -> None:
        log = run.facts.get("logDetails")
        if log and self._may(run, "use", "log-content", self._world.compartment_of(log)):
            self._log.add(log["logGroupId"], log["logId"], run.id, line)

    def _may(self, run: Run, verb: str, resource: str, compartment: str) -> bool:
        """Return whether a run itself may do something, by its resource principal."""
        who = principal_of_run(run.id, run.facts["compartmentId"])
        return self._world.access.allows(who, verb, resource, Target(compartment))

    def _may_read_conda(self, run: Run, job: dict[str, Any]) -> bool:
        """Return whether a run may read its published conda environment, if it has one."""
        env = job["jobConfigurationDetails"].get("environmentVariables") or {}
        if "CONDA_ENV_BUCKET" not in env:
            return True
        who = principal_of_run(run.id, run.facts["compartmentId"])
        place = Target(self._world.compartment, env["CONDA_ENV_BUCKET"])
        return self._world.access.allows(who, "read", "objects", place)

    def _service_env(self, run: Run) -> dict[str, str]:
        if self._world.deviates("service-variables"):
            return self._sign_in(run)
        return {
            "TENANCY_OCID": self._world.tenancy,
            "PROJECT_OCID": self._world.project,
            "PROJECT_COMPARTMENT_OCID": self._world.compartment,
            "JOB_OCID": run.facts["jobId"],
            "JOB_COMPARTMENT_OCID": run.facts["compartmentId"],
            "JOB_RUN_OCID": run.id,
            "JOB_RUN_COMPARTMENT_OCID": run.facts["compartmentId"],
            **self._sign_in(run),
        }


def _view(run: Run, job: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return job and run, or what each node group has of them."""
    groups = find_groups(job, run.facts)
    return [(group.job, group.facts) for group in groups] or [(job, run.facts)]


def _merge_container(facts: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    return {
        **(job.get("jobEnvironmentConfigurationDetails") or {}),
        **(facts.get("jobEnvironmentConfigurationOverrideDetails") or {}),
    }


def _build_program(
    facts: dict[str, Any],
    job: dict[str, Any],
    artifact: tuple[bytes, str] | None,
    image: Image | None,
    world: World,
) -> Program:
    own, override = job["jobConfigurationDetails"], facts["jobConfigurationOverrideDetails"]
    container = _merge_container(facts, job)
    settings = {**own, **{k: v for k, v in override.items() if v is not None}}
    arguments = settings.get("commandLineArguments") or ""
    if world.deviates("arguments-replace"):
        arguments = f"{own.get('commandLineArguments') or ''} {arguments}"
    program = Program(
        artifact=artifact,
        command=(
            image.command(container)
            if image
            else (*(container.get("entrypoint") or ()), *(container.get("cmd") or ()))
        ),
        image=image,
        arguments=split_arguments(arguments, world),
        env=_merge_environment(own, override, world),
        minutes=settings.get("maximumRuntimeInMinutes"),
        starts_at_home=world.deviates("starts-in-folder"),
        hidden=_find_hidden(world),
    )
    if container and world.deviates("container-arguments"):
        return replace(program, arguments=())
    return program


def split_arguments(arguments: str, world: World) -> tuple[str, ...]:
    """Return the words of a command line, as a POSIX shell splits them."""
    if world.deviates("arguments-newline"):
        arguments = arguments.replace("\n", " ")
    if world.deviates("arguments-split"):
        return tuple(filter(None, arguments.split(" ")))
    return tuple(shlex.split(arguments))


def _merge_environment(
    own: dict[str, Any], override: dict[str, Any], world: World
) -> dict[str, str]:
    """Return the variables of a job and its run."""
    of_job = own.get("environmentVariables") or {}
    of_run = override.get("environmentVariables") or {}
    if world.deviates("environment-merged"):
        of_job = {name: value for name, value in of_job.items() if name in of_run}
    merged = {**of_job, **of_run}
    if world.deviates("environment-wins"):
        merged = {**of_run, **of_job}
    if world.deviates("environment-arrives"):
        merged = {name: value.strip() for name, value in merged.items()}
    return merged


def _find_hidden(world: World) -> str:
    """Return Python that the interpreter of a run executes first."""
    hidden = world.preamble
    if world.deviates("oci-installed"):
        hidden += "sys.modules['oci'] = None\n"
    if world.deviates("python-version"):
        hidden += "sys.version_info = type('V', (tuple,), {'major': 3, 'minor': 7})((3, 7, 0))\n"
    return hidden


def principal_of_run(run_id: str, compartment: str) -> Principal:
    """Return the principal of a job run."""
    return Principal(run_id, "datasciencejobrun", compartment)
