"""Data Science: jobs, their artifacts, and job runs that execute them."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

from werkzeug import Request, Response
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from tests.oci_emulator.errors import ServiceError, incorrect_state, invalid, not_found
from tests.oci_emulator.job_model import validate
from tests.oci_emulator.log_search import LogSearch
from tests.oci_emulator.object_storage import rfc3339
from tests.oci_emulator.run_life import Run, RunLife
from tests.oci_emulator.world import World

MAX_PAGE = 100
TOKEN_SECONDS = 86_400.0
NOTEBOOK_SESSION = "ocid1.datasciencenotebooksession.oc1..emulated"

_RULES = [
    ("GET", "/notebookSessions/<id>", "get_notebook_session"),
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
        self, world: World, log: LogSearch, principal: Callable[[], dict[str, str]]
    ) -> None:
        self._world = world
        self._map = Map(
            [Rule(f"/20190101{path}", methods=[m], endpoint=name) for m, path, name in _RULES]
        )
        self._jobs: dict[str, dict[str, Any]] = {}
        self._artifacts: dict[str, tuple[bytes, str]] = {}
        self._runs: dict[str, Run] = {}
        self._tokens: dict[str, tuple[bytes, str, float]] = {}
        self._life = RunLife(world, log, principal)
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
            return answer(request, body, **values)

    # -- jobs -----------------------------------------------------------------------------------

    def _create_job(self, request: Request, body: bytes) -> Response:
        if known := self._find_by_token(request, body):
            return _json(self._jobs[known])
        details = validate("CreateJobDetails", _parse(body))
        self._check_location(details)
        job = {
            "displayName": f"datasciencejob{len(self._jobs)}",
            "jobConfigurationDetails": {"jobType": "DEFAULT"},
            "freeformTags": {},
            "definedTags": {},
            **{name: value for name, value in details.items() if value is not None},
            "id": self._world.new_ocid("datasciencejob"),
            "timeCreated": rfc3339(self._world.clock()),
            "createdBy": self._world.user,
            "lifecycleState": "ACTIVE",
        }
        self._jobs[job["id"]] = job
        self._record_token(request, body, job["id"])
        return _json(job)

    def _check_location(self, details: dict[str, Any]) -> None:
        for name, known in (
            ("compartmentId", self._world.compartment),
            ("projectId", self._world.project),
        ):
            if details[name] != known:
                raise not_found(f"{name} {details[name]}")

    def _job(self, job_id: str) -> dict[str, Any]:
        if job_id not in self._jobs:
            raise not_found(f"job {job_id}")
        return self._jobs[job_id]

    def _get_job(self, request: Request, body: bytes, id: str) -> Response:
        return _json(self._job(id))

    def _update_job(self, request: Request, body: bytes, id: str) -> Response:
        self._job(id).update(validate("UpdateJobDetails", _parse(body)))
        return _json(self._job(id))

    def _list_jobs(self, request: Request, body: bytes) -> Response:
        jobs = [
            {name: job[name] for name in _JOB_SUMMARY}
            for job in reversed(self._jobs.values())
            if _matches(request, job, ("id", "displayName", "lifecycleState", "compartmentId"))
        ]
        return _page(request, jobs)

    def _delete_job(self, request: Request, body: bytes, id: str) -> Response:
        self._job(id)
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
        response = Response(data if request.method == "GET" else b"")
        response.headers["content-length"] = str(len(data))
        response.headers["content-disposition"] = f"attachment; filename={name}"
        return response

    _get_job_artifact_content = _head_job_artifact

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
        self._check_location(details)
        job = self._job(details["jobId"])
        container = job.get("jobEnvironmentConfigurationDetails") or details.get(
            "jobEnvironmentConfigurationOverrideDetails"
        )
        if job["id"] not in self._artifacts and not container:
            raise incorrect_state(f"job {job['id']} has no artifact")
        self._life.check_limits(self._runs.values())
        run = self._new_run(job, details)
        self._runs[run.id] = run
        self._record_token(request, body, run.id)
        self._life.start(run, job, self._artifacts.get(job["id"]), list(self._runs.values()))
        return _json(run.shown(self._world.clock()))

    def _new_run(self, job: dict[str, Any], details: dict[str, Any]) -> Run:
        infrastructure = {
            **(job.get("jobInfrastructureConfigurationDetails") or {}),
            **(details.get("jobInfrastructureConfigurationOverrideDetails") or {}),
        }
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
            "createdBy": self._world.user,
            "jobInfrastructureConfigurationDetails": infrastructure,
        }
        if log.get("enableLogging"):
            log_id = log.get("logId") or self._world.new_ocid("log")
            facts["logDetails"] = {"logGroupId": log["logGroupId"], "logId": log_id}
        return Run(facts, self._world.clock())

    def _run(self, run_id: str) -> Run:
        if run_id not in self._runs:
            raise not_found(f"job run {run_id}")
        return self._runs[run_id]

    def _get_job_run(self, request: Request, body: bytes, id: str) -> Response:
        return _json(self._run(id).shown(self._world.clock()))

    def _update_job_run(self, request: Request, body: bytes, id: str) -> Response:
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

    def _cancel_job_run(self, request: Request, body: bytes, id: str) -> Response:
        run = self._run(id)
        state = run.state(self._world.clock())
        if state not in ("ACCEPTED", "IN_PROGRESS", "NEEDS_ATTENTION"):
            raise incorrect_state(f"job run {id} is {state}")
        self._life.cancel(run)
        return Response(status=204)

    def _delete_job_run(self, request: Request, body: bytes, id: str) -> Response:
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
    response.headers["etag"] = secrets.token_hex(8)
    return response


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
