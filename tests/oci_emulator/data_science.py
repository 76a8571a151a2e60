"""Data Science: jobs, their artifacts, and job runs that execute them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

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
from tests.oci_emulator.run_life import Run, RunLife
from tests.oci_emulator.world import World, principal_of

MAX_PAGE = 100
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
_PERMISSIONS = {
    "get_project": ("read", "data-science-projects"),
    "get_notebook_session": ("read", "data-science-notebook-sessions"),
    "list_job_shapes": ("inspect", "data-science-jobs"),  # [assumed]
    "list_jobs": ("inspect", "data-science-jobs"),
    "get_job": ("read", "data-science-jobs"),
    "head_job_artifact": ("read", "data-science-jobs"),
    "get_job_artifact_content": ("read", "data-science-jobs"),
    "update_job": ("use", "data-science-jobs"),
    "list_job_runs": ("inspect", "data-science-job-runs"),
    "get_job_run": ("read", "data-science-job-runs"),
    "update_job_run": ("use", "data-science-job-runs"),
}
"""Verb and resource that an operation needs; the others need to manage jobs or job runs."""

_LISTS = {
    "list_jobs": ("id", "createdBy", "displayName", "lifecycleState"),
    "list_job_runs": ("id", "jobId", "createdBy", "displayName", "lifecycleState"),
    "list_job_shapes": (),
}
"""Filters of listings."""

_PAGING = ("compartmentId", "limit", "page", "sortBy", "sortOrder")
_STATES = {
    "list_jobs": ("CREATING", "ACTIVE", "DELETING", "FAILED", "DELETED"),
    "list_job_runs": (
        *("ACCEPTED", "IN_PROGRESS", "FAILED", "SUCCEEDED", "CANCELING", "CANCELED"),
        *("DELETED", "NEEDS_ATTENTION"),
    ),
}
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
        self._map = Map(
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

    def runs(self) -> list[Run]:
        """Return all job runs, oldest first."""
        return list(self._runs.values())

    def vanish(self, run_id: str) -> None:
        """Remove a run without a trace."""
        del self._runs[run_id]

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
        try:
            return str(self._map.bind("").match(request.path, request.method)[0])
        except HTTPException:
            return "none"

    def handle(self, request: Request, body: bytes) -> Response:
        """See `Service.handle`."""
        try:
            name, values = self._map.bind("").match(request.path, request.method)
        except HTTPException:
            raise ServiceError(
                404, "NotFound", f"there is no {request.method} {request.path}"
            ) from None
        answer: Callable[..., Response] = getattr(self, f"_{name}")
        with self._world.lock:
            _check_filters(name, request)
            self._authorize(name, request, body, values.get("id", ""))
            return answer(request, body, **values)

    def _authorize(self, name: str, request: Request, body: bytes, id: str) -> None:
        """Check that the principal may do this where the resource is.

        Raises:
            ServiceError: If it may not (404).
        """
        of_run = "job_run" in name
        default = ("manage", "data-science-job-runs" if of_run else "data-science-jobs")
        verb, resource = _PERMISSIONS.get(name, default)
        if id in self._jobs:
            place = self._jobs[id]["compartmentId"]
        elif id in self._runs:
            place = self._runs[id].facts["compartmentId"]
        elif id or "compartmentId" in request.args:
            place = request.args.get("compartmentId", self._world.compartment)
        else:
            place = _parse(body).get("compartmentId") or self._world.compartment
        self._world.require(request, verb, resource, place)

    # -- jobs -----------------------------------------------------------------------------------

    def _create_job(self, request: Request, body: bytes) -> Response:
        if known := self._find_by_token(request, body):
            return _json(self._jobs[known])
        details = validate("CreateJobDetails", _parse(body))
        self._check_location(request, details)
        infrastructure = details.get("jobInfrastructureConfigurationDetails") or {}
        self._check_network(request, infrastructure)
        job = {
            "displayName": f"datasciencejob{len(self._jobs)}",
            "jobConfigurationDetails": {"jobType": "DEFAULT"},
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
        return _json(job)

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
        return _json(self._job(id))

    def _update_job(self, request: Request, body: bytes, id: str) -> Response:
        _check_etag(request, _etag(self._job(id)))
        self._job(id).update(validate("UpdateJobDetails", _parse(body)))
        return _json(self._job(id))

    def _list_jobs(self, request: Request, body: bytes) -> Response:
        jobs = [
            {name: job[name] for name in _JOB_SUMMARY}
            for job in reversed(self._jobs.values())
            if _matches(request, job, ("id", "displayName", "lifecycleState", "compartmentId"))
        ]
        return _page(request, jobs)

    def _change_job_compartment(self, request: Request, body: bytes, id: str) -> Response:
        job = self._job(id)
        _check_etag(request, _etag(job))
        job["compartmentId"] = self._parse_compartment(request, body, "data-science-jobs")
        return Response(status=204)

    def _parse_compartment(self, request: Request, body: bytes, resource: str) -> str:
        target = str(_parse(body).get("compartmentId"))
        if target not in self._world.access.compartments:
            raise not_found(f"compartment {target}")
        self._world.require(request, "manage", resource, target)
        return target

    def _delete_job(self, request: Request, body: bytes, id: str) -> Response:
        _check_etag(request, _etag(self._job(id)))
        runs = [run for run in self._runs.values() if run.facts["jobId"] == id]
        if any(run.is_live for run in runs):
            raise ServiceError(409, "IncorrectState", f"job {id} has live runs")
        if runs and request.args.get("deleteRelatedJobRuns") != "true":
            raise ServiceError(409, "IncorrectState", f"job {id} has runs")
        for run in runs:
            del self._runs[run.id]
        del self._jobs[id]
        return Response(status=204)

    def _create_job_artifact(self, request: Request, body: bytes, id: str) -> Response:
        self._job(id)
        if id in self._artifacts:
            raise incorrect_state(f"job {id} has an artifact, which cannot be replaced")
        name = request.headers.get("content-disposition", "").partition("filename=")[2].strip('"')
        if not name:
            raise invalid("content-disposition must name the file")
        self._artifacts[id] = (body, name)
        return Response(status=204)

    def _head_job_artifact(self, request: Request, body: bytes, id: str) -> Response:
        if id not in self._artifacts:
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
        shapes = [
            {
                "name": name,
                "coreCount": 64 if name.endswith("Flex") else 1,
                "memoryInGBs": 1024 if name.endswith("Flex") else 15,
                "shapeSeries": "NVIDIA_GPU" if "GPU" in name else "INTEL_SKYLAKE",
            }
            for name in self._world.limits.shapes
        ]
        return _page(request, shapes)

    def _get_project(self, request: Request, body: bytes, id: str) -> Response:
        if id != self._world.project:
            raise not_found(f"project {id}")
        return _json(
            {
                "id": id,
                "timeCreated": rfc3339(self._world.clock()),
                "displayName": "project",
                "compartmentId": self._world.compartment,
                "createdBy": self._world.user,
                "lifecycleState": "ACTIVE",
            }
        )

    def _get_notebook_session(self, request: Request, body: bytes, id: str) -> Response:
        """Return the only notebook session, whose infrastructure is the default of jobs."""
        if id != NOTEBOOK_SESSION:
            raise not_found(f"notebook session {id}")
        return _json(
            {
                "id": id,
                "timeCreated": rfc3339(self._world.clock()),
                "createdBy": self._world.user,
                "displayName": "notebook",
                "projectId": self._world.project,
                "compartmentId": self._world.compartment,
                "lifecycleState": "ACTIVE",
                "notebookSessionConfigDetails": {
                    "shape": "VM.Standard.E3.Flex",
                    "blockStorageSizeInGBs": 120,
                    "subnetId": "ocid1.subnet.oc1..notebook",
                    "notebookSessionShapeConfigDetails": {"ocpus": 3.0, "memoryInGBs": 24.0},
                },
            }
        )

    # -- job runs -------------------------------------------------------------------------------

    def _create_job_run(self, request: Request, body: bytes) -> Response:
        if known := self._find_by_token(request, body):
            return _json(self._run(known).shown(self._world.clock()))
        details = validate("CreateJobRunDetails", _parse(body))
        self._check_location(request, details)
        job = self._job(details["jobId"])
        container = job.get("jobEnvironmentConfigurationDetails") or details.get(
            "jobEnvironmentConfigurationOverrideDetails"
        )
        if job["id"] not in self._artifacts and not container:
            raise incorrect_state(f"job {job['id']} has no artifact")
        override = details.get("jobInfrastructureConfigurationOverrideDetails") or {}
        self._check_network(request, override)
        self._life.check_limits(self._runs.values())
        run = self._new_run(job, details, principal_of(request).id)
        self._check_log(request, run)
        self._runs[run.id] = run
        self._record_token(request, body, run.id)
        self._life.start(run, job, self._artifacts.get(job["id"]), list(self._runs.values()))
        return _json(run.shown(self._world.clock()))

    def _check_log(self, request: Request, run: Run) -> None:
        """Check that the caller may create the run's log, on whose behalf it is created."""
        if log := run.facts.get("logDetails"):
            place = self._world.compartment_of(log)
            verb = "manage" if run.creates_log else "read"
            self._world.require(request, verb, "log-groups", place)

    def _new_run(self, job: dict[str, Any], details: dict[str, Any], creator: str = "") -> Run:
        # An override replaces the job's block [assumed].
        infrastructure = _override(job, details, "jobInfrastructureConfiguration")
        log = _override(job, details, "jobLogConfiguration")
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
        run = Run(facts, self._world.clock)
        run.creates_log = bool(log.get("enableLogging") and log.get("enableAutoLogCreation"))
        return run

    def _run(self, run_id: str) -> Run:
        if run_id not in self._runs:
            raise not_found(f"job run {run_id}")
        return self._runs[run_id]

    def _get_job_run(self, request: Request, body: bytes, id: str) -> Response:
        return _json(self._run(id).shown(self._world.clock()))

    def _check_run_etag(self, request: Request, run: Run) -> None:
        _check_etag(request, _etag(run.shown(self._world.clock())))

    def _update_job_run(self, request: Request, body: bytes, id: str) -> Response:
        self._check_run_etag(request, self._run(id))
        self._run(id).facts.update(validate("UpdateJobRunDetails", _parse(body)))
        return self._get_job_run(request, body, id)

    def _list_job_runs(self, request: Request, body: bytes) -> Response:
        at = self._world.clock() - float(request.environ.get("emulator.stale", 0.0))
        return _page(request, list(self._select(request, at)))

    def _select(self, request: Request, at: float) -> Iterator[dict[str, Any]]:
        runs = list(self._runs.values())
        if request.args.get("sortBy", "timeCreated") == "displayName":
            runs.sort(key=lambda run: str(run.facts["displayName"]))
        if request.args.get("sortOrder", "DESC") == "DESC":
            runs.reverse()
        filters = ("id", "jobId", "createdBy", "displayName", "compartmentId")
        state = request.args.get("lifecycleState")
        for run in runs:
            if run.accepted <= at and _matches(request, run.facts, filters):
                shown = run.shown(at)
                if state in (None, shown["lifecycleState"]):
                    yield {name: shown.get(name) for name in _RUN_SUMMARY}

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
            raise incorrect_state(f"job run {id} is {state}")
        self._life.cancel(run)
        return Response(status=204)

    def _delete_job_run(self, request: Request, body: bytes, id: str) -> Response:
        self._check_run_etag(request, self._run(id))
        if self._run(id).is_live:
            raise incorrect_state(f"job run {id} is live")
        del self._runs[id]
        return Response(status=204)

    # -- retry tokens ---------------------------------------------------------------------------

    def _find_by_token(self, request: Request, body: bytes) -> str | None:
        """Return what a request with the same token has created."""
        token = request.headers.get("opc-retry-token", "")
        if len(token) > 64:
            raise invalid("opc-retry-token has more than 64 characters")
        earlier, created, at = self._tokens.get(token, (b"", "", 0.0))
        if not created or self._world.clock() - at > TOKEN_SECONDS:
            return None
        if created not in self._jobs and created not in self._runs:
            raise ServiceError(409, "InvalidatedRetryToken", "what it created was deleted")
        if json.loads(earlier) != json.loads(body):
            raise invalid("opc-retry-token was used with another body")
        return created

    def _record_token(self, request: Request, body: bytes, created: str) -> None:
        if token := request.headers.get("opc-retry-token"):
            self._tokens[token] = (body, created, self._world.clock())


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise invalid("the body is not JSON") from None


def _json(facts: Any, headers: dict[str, str] | None = None) -> Response:
    response = Response(json.dumps(facts), content_type="application/json", headers=headers)
    response.headers["etag"] = _etag(facts)
    return response


def _etag(facts: Any) -> str:
    """Return the etag of a resource, which changes with what is shown of it."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _check_etag(request: Request, etag: str) -> None:
    if request.headers.get("if-match", etag) not in ("*", etag):
        raise etag_mismatch()


def _override(job: dict[str, Any], details: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a block of a run: its override if there is one, or else the job's."""
    block = details.get(f"{name}OverrideDetails") or job.get(f"{name}Details") or {}
    return dict(block)


def _check_filters(operation: str, request: Request) -> None:
    """Check the query of a listing.

    Raises:
        ServiceError: If it has an unknown parameter or value (400).
    """
    if operation not in _LISTS:
        return
    unknown = set(request.args) - {*_PAGING, *_LISTS[operation]}
    if unknown:
        raise invalid(f"{operation} has no parameter {sorted(unknown)[0]!r}")
    choices = {
        "lifecycleState": _STATES.get(operation, ()),
        "sortBy": ("timeCreated", "displayName"),
        "sortOrder": ("ASC", "DESC"),
    }
    for name, allowed in choices.items():
        if request.args.get(name, allowed[0] if allowed else None) not in (*allowed, None):
            raise invalid(f"{name} {request.args[name]!r} is not one of {', '.join(allowed)}")


def _matches(request: Request, facts: dict[str, Any], names: tuple[str, ...]) -> bool:
    if "compartmentId" not in request.args:
        raise invalid("compartmentId is required")
    return all(request.args[n] == facts.get(n) for n in names if n in request.args)


def _page(request: Request, items: list[dict[str, Any]]) -> Response:
    limit = int(request.args.get("limit", MAX_PAGE))
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"limit {limit} is not in 1..{MAX_PAGE}")
    start = int(request.args.get("page", "p0")[1:])
    has_next = start + limit < len(items)
    headers = {"opc-next-page": f"p{start + limit}"} if has_next else {}
    return _json(items[start : start + limit], headers)
