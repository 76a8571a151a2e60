"""Data Science: jobs, their artifacts, and job runs that execute them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from werkzeug import Request, Response
from werkzeug.routing import Rule

from tests.oci_emulator import nodes
from tests.oci_emulator.data_science_facts import (
    describe_project,
    describe_session,
    describe_shapes,
)
from tests.oci_emulator.data_science_rules import (
    LISTS,
    PERMISSIONS,
    as_json,
    build_etag,
    check_filters,
    check_size,
    matches_filters,
    override_block,
    parse_body,
    select_page,
)
from tests.oci_emulator.errors import (
    ServiceError,
    etag_mismatch,
    incorrect_state,
    invalid,
    not_found,
)
from tests.oci_emulator.job_model import validate
from tests.oci_emulator.log_search import LogSearch
from tests.oci_emulator.object_storage import parse_range, rfc3339
from tests.oci_emulator.policies import Principal, Target
from tests.oci_emulator.routing import Routes
from tests.oci_emulator.run_life import Run, RunLife
from tests.oci_emulator.world import World, principal_of
from tune_jobs.runtime.processes import find_by_environment, kill_all

TOKEN_SECONDS = 86_400.0
NOTEBOOK_SESSION = "ocid1.datasciencenotebooksession.oc1..emulated"

_RULES = [
    ("GET", "/projects/<id>", "get_project"),
    ("GET", "/notebookSessions/<id>", "get_notebook_session"),
    ("GET", "/jobShapes", "list_job_shapes"),
    ("POST", "/jobs", "create_job"),
    ("GET", "/jobs", "list_jobs"),
    ("GET", "/jobs/<id>", "get_job"),
    ("PUT", "/jobs/<id>", "update_job"),
    ("DELETE", "/jobs/<id>", "delete_job"),
    ("POST", "/jobs/<id>/artifact", "create_job_artifact"),
    ("HEAD", "/jobs/<id>/artifact/content", "head_job_artifact"),
    ("GET", "/jobs/<id>/artifact/content", "get_job_artifact_content"),
    ("POST", "/jobRuns", "create_job_run"),
    ("GET", "/jobRuns", "list_job_runs"),
    ("GET", "/jobRuns/<id>", "get_job_run"),
    ("PUT", "/jobRuns/<id>", "update_job_run"),
    ("DELETE", "/jobRuns/<id>", "delete_job_run"),
    ("POST", "/jobRuns/<id>/actions/cancelJobRun", "cancel_job_run"),
    ("POST", "/jobRuns/<id>/actions/changeCompartment", "change_job_run_compartment"),
    ("POST", "/jobs/<id>/actions/changeCompartment", "change_job_compartment"),
]
_JOB_SUMMARY = (
    *("id", "timeCreated", "createdBy", "projectId", "compartmentId", "displayName"),
    *("lifecycleState", "freeformTags", "definedTags"),
)
_RUN_SUMMARY = (
    *("id", "timeAccepted", "timeStarted", "timeFinished", "createdBy", "projectId"),
    *("compartmentId", "jobId", "displayName", "lifecycleState", "lifecycleDetails"),
    *("freeformTags", "definedTags"),
)


class DataScience:
    """Service below ``/20190101``."""

    prefixes: tuple[str, ...] = ("/20190101",)

    def __init__(
        self, world: World, log: LogSearch, sign_in: Callable[[Run], dict[str, str]]
    ) -> None:
        self._world = world
        self._routes = Routes(
            [Rule(f"/20190101{path}", methods=[m], endpoint=name) for m, path, name in _RULES]
        )
        self._jobs: dict[str, dict[str, Any]] = {}
        self._artifacts: dict[str, tuple[bytes, str]] = {}
        self._runs: dict[str, Run] = {}
        self._tokens: dict[str, tuple[bytes, str, float]] = {}
        self._life = RunLife(world, log, sign_in)
        self.next_failures = self._life.next_failures
        self.next_states = self._life.next_states

    @property
    def duration(self) -> Callable[[Run], float]:
        """Returns the seconds that a run takes which is not executed."""
        return self._life.duration

    @duration.setter
    def duration(self, function: Callable[[Run], float]) -> None:
        self._life.duration = function

    def set_seconds_per_minute(self, seconds: float) -> None:
        """Set the length of a minute of the maximum runtime."""
        self._life.seconds_per_minute = seconds

    def artifacts(self) -> list[tuple[bytes, str]]:
        """Return the content and the name of each artifact."""
        return list(self._artifacts.values())

    def jobs(self) -> list[str]:
        """Return the OCIDs of all jobs."""
        return list(self._jobs)

    def join(self) -> None:
        """Wait until no run is executed."""
        self._life.join()

    def runs(self) -> list[Run]:
        """Return all job runs, oldest first."""
        return list(self._runs.values())

    def vanish(self, run_id: str) -> None:
        """Remove a run without a trace."""
        del self._runs[run_id]

    def break_down(self, run_id: str) -> None:
        """Kill every process of a run at once, as a machine that breaks."""
        while pids := find_by_environment("JOB_RUN_OCID", run_id):  # one may fork meanwhile
            kill_all(pids)

    def fill(self, job_id: str, count: int) -> None:
        """Add a number of runs that have ended."""
        for _ in range(count):
            run = self._life.ended(self._new_run(self._jobs[job_id], {"jobId": job_id}))
            self._runs[run.id] = run

    def close(self) -> None:
        """Stop all job runs."""
        self._life.close()

    def operation(self, request: Request) -> str:
        """See `Service.operation`."""
        return self._routes.operation(request)

    def handle(self, request: Request, body: bytes) -> Response:
        """See `Service.handle`."""
        name, values = self._routes.match(request)
        if name in LISTS and not self._world.deviates("filters-checked"):
            check_filters(name, request)
        answer: Callable[..., Response] = getattr(self, f"_{name}")
        with self._world.lock:
            self._authorize(name, request, body, values.get("id", ""))
            return answer(request, body, **values)

    def _authorize(self, name: str, request: Request, body: bytes, id: str) -> None:
        """Check that the principal may do this where the resource is.

        Raises:
            ServiceError: If it may not (404).
        """
        of_run = "job_run" in name
        default = ("manage", "data-science-job-runs" if of_run else "data-science-jobs")
        verb, resource = PERMISSIONS.get(name, default)
        if id in self._jobs:
            place = self._jobs[id]["compartmentId"]
        elif id in self._runs:
            place = self._runs[id].facts["compartmentId"]
        elif id or "compartmentId" in request.args:
            place = request.args.get("compartmentId", self._world.compartment)
        else:
            place = parse_body(body).get("compartmentId") or self._world.compartment
        self._world.require(request, verb, resource, place)

    # -- jobs -----------------------------------------------------------------------------------

    def _create_job(self, request: Request, body: bytes) -> Response:
        if known := self._find_by_token(request, body):
            return as_json(self._jobs[known])
        details = validate("CreateJobDetails", parse_body(body))
        self._check_location(request, details)
        infrastructure = details.get("jobInfrastructureConfigurationDetails") or {}
        check_size(infrastructure)
        nodes.check_job(details)
        self._check_network(request, {**infrastructure, **nodes.find_subnet(details)})
        job = {
            "displayName": f"datasciencejob{len(self._jobs)}",
            **nodes.choose_defaults(details),
            "freeformTags": {},
            "definedTags": {},
            **{name: value for name, value in details.items() if value is not None},
            "id": self._world.new_ocid("datasciencejob"),
            "timeCreated": rfc3339(self._world.clock()),
            "createdBy": principal_of(request).id,
            "lifecycleState": "ACTIVE",
        }
        self._jobs[job["id"]] = job
        self._record_token(request, body, job["id"])
        return as_json(job)

    def _check_location(self, request: Request, details: dict[str, Any]) -> None:
        """Check compartment and project, and what the request refers to.

        Raises:
            ServiceError: If something does not exist or may not be used (404).
        """
        place = details["compartmentId"]
        if place not in self._world.access.compartments:
            raise not_found(f"compartmentId {place}")
        if details["projectId"] != self._world.project:
            raise not_found(f"projectId {details['projectId']}")
        self._world.require(request, "read", "data-science-projects", self._world.compartment)

    def _check_network(self, request: Request, infrastructure: dict[str, Any]) -> None:
        """Check that caller and service may use the subnet, if there is one."""
        subnet = infrastructure.get("subnetId")
        if not subnet:
            return
        place = self._world.subnets.get(subnet, self._world.compartment)
        self._world.require(request, "use", "subnets", place)
        service = Principal("datascience", "service")
        for resource in ("subnets", "vnics"):
            if not self._world.access.allows(service, "use", resource, Target(place)):
                raise invalid(f"the Data Science service is not permitted to use subnet {subnet}")

    def _job(self, job_id: str) -> dict[str, Any]:
        if job_id not in self._jobs:
            raise not_found(f"job {job_id}")
        return self._jobs[job_id]

    def _get_job(self, request: Request, body: bytes, id: str) -> Response:
        return as_json(self._show_job(self._job(id)))

    def _show_job(self, job: dict[str, Any]) -> dict[str, Any]:
        settings = dict(job["jobConfigurationDetails"])
        if self._world.deviates("job-as-sent"):
            env = settings.get("environmentVariables") or {}
            settings["environmentVariables"] = {k: " ".join(v.split()) for k, v in env.items()}
        state = "CREATING" if self._world.deviates("job-active") else job["lifecycleState"]
        return {**job, "jobConfigurationDetails": settings, "lifecycleState": state}

    def _update_job(self, request: Request, body: bytes, id: str) -> Response:
        self._check_etag(request, self._job(id))
        self._job(id).update(validate("UpdateJobDetails", parse_body(body)))
        return as_json(self._job(id))

    def _list_jobs(self, request: Request, body: bytes) -> Response:
        jobs = [
            {
                **{name: job[name] for name in _JOB_SUMMARY},
                **({"freeformTags": {}} if self._world.deviates("job-found") else {}),
            }
            for job in reversed(self._jobs.values())
            if matches_filters(
                request, job, ("id", "displayName", "lifecycleState", "compartmentId")
            )
        ]
        return select_page(request, jobs)

    def _change_job_compartment(self, request: Request, body: bytes, id: str) -> Response:
        job = self._job(id)
        self._check_etag(request, job)
        job["compartmentId"] = self._parse_compartment(request, body, "data-science-jobs")
        return Response(status=204)

    def _parse_compartment(self, request: Request, body: bytes, resource: str) -> str:
        target = str(parse_body(body).get("compartmentId"))
        if target not in self._world.access.compartments:
            raise not_found(f"compartment {target}")
        self._world.require(request, "manage", resource, target)
        return target

    def _delete_job(self, request: Request, body: bytes, id: str) -> Response:
        self._check_etag(request, self._job(id))
        runs = [run for run in self._runs.values() if run.facts["jobId"] == id]
        if any(run.is_live for run in runs):
            raise ServiceError(409, "IncorrectState", f"job {id} has live runs")
        related = request.args.get("deleteRelatedJobRuns") == "true"
        if runs and (not related or self._world.deviates("delete-related")):
            raise ServiceError(409, "IncorrectState", f"job {id} has runs")
        for run in runs:
            self._remove_run(run)
        del self._jobs[id]
        return Response(status=204)

    def _create_job_artifact(self, request: Request, body: bytes, id: str) -> Response:
        self._job(id)
        if id in self._artifacts and not self._world.deviates("artifact-fixed"):
            raise incorrect_state(f"job {id} has an artifact, which cannot be replaced")
        name = request.headers.get("content-disposition", "").partition("filename=")[2].strip('"')
        if not name:
            raise invalid("content-disposition must name the file")
        self._artifacts[id] = (body, name)
        return Response(status=204)

    def _head_job_artifact(self, request: Request, body: bytes, id: str) -> Response:
        if id not in self._artifacts or self._world.deviates("artifact-head"):
            raise not_found(f"artifact of {id}")
        data, name = self._artifacts[id]
        headers = {"content-disposition": f"attachment; filename={name}"}
        status = 200
        if request.method == "GET" and "range" in request.headers:
            start, end = parse_range(request.headers["range"], len(data))
            headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
            data, status = data[start:end], 206
        response = Response(data if request.method == "GET" else b"", status, headers)
        response.headers["content-length"] = str(len(data))
        return response

    _get_job_artifact_content = _head_job_artifact

    def _list_job_shapes(self, request: Request, body: bytes) -> Response:
        is_empty = self._world.deviates("shapes-listed")
        return select_page(request, [] if is_empty else describe_shapes(self._world))

    def _get_project(self, request: Request, body: bytes, id: str) -> Response:
        if id != self._world.project:
            raise not_found(f"project {id}")
        return as_json(describe_project(self._world))

    def _get_notebook_session(self, request: Request, body: bytes, id: str) -> Response:
        """Return the only notebook session, whose infrastructure is the default of jobs."""
        if id != NOTEBOOK_SESSION:
            raise not_found(f"notebook session {id}")
        return as_json(describe_session(self._world, id))

    # -- job runs -------------------------------------------------------------------------------

    def _create_job_run(self, request: Request, body: bytes) -> Response:
        known = self._find_by_token(request, body)
        if known and not self._world.deviates("token-repeats"):
            return as_json(self._run(known).shown(self._world.clock()))
        details = validate("CreateJobRunDetails", parse_body(body))
        self._check_location(request, details)
        job = self._job(details["jobId"])
        nodes.check_run(job, details)
        container = nodes.is_container(job, details)
        if job["id"] not in self._artifacts and not container:
            raise incorrect_state(f"job {job['id']} has no artifact")
        override = details.get("jobInfrastructureConfigurationOverrideDetails") or {}
        check_size(override)
        self._check_network(request, override)
        self._life.check_limits(self._runs.values())
        run = self._new_run(job, details, principal_of(request).id)
        self._check_log(request, run)
        self._runs[run.id] = run
        self._record_token(request, body, run.id)
        self._life.start(run, job, self._artifacts.get(job["id"]), list(self._runs.values()))
        shown = run.shown(self._world.clock())
        if self._world.deviates("run-as-sent"):
            shown["displayName"] = shown["displayName"].upper()
        return as_json(shown)

    def _check_log(self, request: Request, run: Run) -> None:
        """Check that the caller may create the run's log, on whose behalf it is created."""
        if log := run.facts.get("logDetails"):
            place = self._world.compartment_of(log)
            verb = "manage" if run.creates_log else "read"
            self._world.require(request, verb, "log-groups", place)

    def _new_run(self, job: dict[str, Any], details: dict[str, Any], creator: str = "") -> Run:
        infrastructure = override_block(job, details, "jobInfrastructureConfiguration")
        groups = nodes.find_groups(job, details)
        if self._world.deviates("infrastructure-replaced"):
            own = job.get("jobInfrastructureConfigurationDetails") or {}
            infrastructure = {**own, **infrastructure}
        log = override_block(job, details, "jobLogConfiguration")
        if self._world.deviates("log-override"):
            log = job.get("jobLogConfigurationDetails") or {}
        facts = {
            "displayName": f"{job['displayName']}-run-{len(self._runs)}",
            "projectId": job["projectId"],
            "compartmentId": job["compartmentId"],
            "jobConfigurationOverrideDetails": {"jobType": "DEFAULT"},
            "freeformTags": {},
            "definedTags": {},
            **{name: value for name, value in details.items() if value is not None},
            "id": self._world.new_ocid("datasciencejobrun"),
            "createdBy": creator or self._world.user,
            "jobInfrastructureConfigurationDetails": infrastructure,
        }
        if log.get("enableLogging"):
            log_id = log.get("logId") or self._world.new_ocid("log")
            facts["logDetails"] = {"logGroupId": log["logGroupId"], "logId": log_id}
        if groups:
            facts["nodeGroupDetailsList"] = [nodes.show_group(group) for group in groups]
        run = Run(facts, self._world.clock)
        if groups:
            run.shape, run.nodes = nodes.find_shape(job, facts)
        run.creates_log = bool(log.get("enableLogging") and log.get("enableAutoLogCreation"))
        return run

    def _run(self, run_id: str) -> Run:
        if run_id not in self._runs:
            raise not_found(f"job run {run_id}")
        return self._runs[run_id]

    def _remove_run(self, run: Run) -> None:
        if self._world.deviates("deleted-gone"):
            run.facts["jobId"] = "ocid1.datasciencejob.oc1..deleted"
        else:
            del self._runs[run.id]

    def _get_job_run(self, request: Request, body: bytes, id: str) -> Response:
        return as_json(self._show_run(self._run(id)))

    def _show_run(self, run: Run) -> dict[str, Any]:
        shown = run.shown(self._world.clock())
        if self._world.deviates("states-known") and shown["lifecycleState"] == "CANCELING":
            shown["lifecycleState"] = "STOPPING"
        if self._world.deviates("times-ordered"):
            shown["timeStarted"] = None
        return shown

    def _check_etag(self, request: Request, facts: dict[str, Any]) -> None:
        wanted = request.headers.get("if-match", "*")
        if wanted not in ("*", build_etag(facts)) and not self._world.deviates("if-match"):
            raise etag_mismatch()

    def _check_run_etag(self, request: Request, run: Run) -> None:
        self._check_etag(request, run.shown(self._world.clock()))

    def _update_job_run(self, request: Request, body: bytes, id: str) -> Response:
        self._check_run_etag(request, self._run(id))
        self._run(id).facts.update(validate("UpdateJobRunDetails", parse_body(body)))
        return self._get_job_run(request, body, id)

    def _list_job_runs(self, request: Request, body: bytes) -> Response:
        at = self._world.clock() - float(request.environ.get("emulator.stale", 0.0))
        return select_page(request, list(self._select(request, at)))

    def _select(self, request: Request, at: float) -> Iterator[dict[str, Any]]:
        runs = list(self._runs.values())
        if request.args.get("sortBy", "timeCreated") == "displayName":
            runs.sort(key=lambda run: str(run.facts["displayName"]))
        descending = request.args.get("sortOrder", "DESC") == "DESC"
        if descending and not self._world.deviates("newest-first"):
            runs.reverse()
        if self._world.deviates("run-listed"):
            at -= 3600.0
        filters = ("id", "jobId", "createdBy", "displayName", "compartmentId")
        state = request.args.get("lifecycleState")
        for run in runs:
            if run.accepted <= at and matches_filters(request, run.facts, filters):
                shown = run.shown(at)
                if state in (None, shown["lifecycleState"]):
                    summary = {name: shown.get(name) for name in _RUN_SUMMARY}
                    if self._world.deviates("summary-complete"):
                        summary["lifecycleDetails"] = None
                    yield summary

    def _change_job_run_compartment(self, request: Request, body: bytes, id: str) -> Response:
        run = self._run(id)
        self._check_run_etag(request, run)
        target = self._parse_compartment(request, body, "data-science-job-runs")
        run.facts["compartmentId"] = target
        return Response(status=204)

    def _cancel_job_run(self, request: Request, body: bytes, id: str) -> Response:
        run = self._run(id)
        self._check_run_etag(request, run)
        state = run.state(self._world.clock())
        if state not in ("ACCEPTED", "IN_PROGRESS", "NEEDS_ATTENTION"):
            if self._world.deviates("cancel-ended"):
                return Response(status=204)
            raise incorrect_state(f"job run {id} is {state}")
        self._life.cancel(run)
        return Response(status=204)

    def _delete_job_run(self, request: Request, body: bytes, id: str) -> Response:
        self._check_run_etag(request, self._run(id))
        if self._run(id).is_live:
            raise incorrect_state(f"job run {id} is live")
        self._remove_run(self._runs[id])
        return Response(status=204)

    # -- retry tokens ---------------------------------------------------------------------------

    def _find_by_token(self, request: Request, body: bytes) -> str | None:
        """Return what a request with the same token has created."""
        token = request.headers.get("opc-retry-token", "")
        if len(token) > 64:
            raise invalid("opc-retry-token has more than 64 characters")
        earlier, created, at = self._tokens.get(token, (b"", "", 0.0))
        seconds = 0.0 if self._world.deviates("token-one-day") else TOKEN_SECONDS
        if not created or self._world.clock() - at > seconds:
            return None
        if created not in self._jobs and created not in self._runs:
            raise ServiceError(409, "InvalidatedRetryToken", "what it created was deleted")
        if json.loads(earlier) != json.loads(body):
            raise invalid("opc-retry-token was used with another body")
        return created

    def _record_token(self, request: Request, body: bytes, created: str) -> None:
        if token := request.headers.get("opc-retry-token"):
            self._tokens[token] = (body, created, self._world.clock())
