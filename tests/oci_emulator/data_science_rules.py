"""Rules for requests to Data Science: permissions, parameters, etags, pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from werkzeug import Request, Response

from tests.oci_emulator.errors import invalid

MAX_PAGE = 100

PERMISSIONS = {
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

LISTS = {
    "list_jobs": ("id", "createdBy", "displayName", "lifecycleState"),
    "list_job_runs": ("id", "jobId", "createdBy", "displayName", "lifecycleState"),
    "list_job_shapes": (),
}
"""Filters of listings."""

PAGING = ("compartmentId", "limit", "page", "sortBy", "sortOrder")
STATES = {
    "list_jobs": ("CREATING", "ACTIVE", "DELETING", "FAILED", "DELETED"),
    "list_job_runs": (
        *("ACCEPTED", "IN_PROGRESS", "FAILED", "SUCCEEDED", "CANCELING", "CANCELED"),
        *("DELETED", "NEEDS_ATTENTION"),
    ),
}


def parse_body(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise invalid("the body is not JSON") from None


def as_json(facts: Any, headers: dict[str, str] | None = None) -> Response:
    response = Response(json.dumps(facts), content_type="application/json", headers=headers)
    response.headers["etag"] = build_etag(facts)
    return response


def build_etag(facts: Any) -> str:
    """Return the etag of a resource, which changes with what is shown of it."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def override_block(job: dict[str, Any], details: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a block of a run: its override if there is one, or else the job's."""
    block = details.get(f"{name}OverrideDetails") or job.get(f"{name}Details") or {}
    return dict(block)


def check_filters(operation: str, request: Request) -> None:
    """Check the query of a listing.

    Raises:
        ServiceError: If it has an unknown parameter or value (400).
    """
    if operation not in LISTS:
        return
    unknown = set(request.args) - {*PAGING, *LISTS[operation]}
    if unknown:
        raise invalid(f"{operation} has no parameter {sorted(unknown)[0]!r}")
    choices = {
        "lifecycleState": STATES.get(operation, ()),
        "sortBy": ("timeCreated", "displayName"),
        "sortOrder": ("ASC", "DESC"),
    }
    for name, allowed in choices.items():
        if request.args.get(name, allowed[0] if allowed else None) not in (*allowed, None):
            raise invalid(f"{name} {request.args[name]!r} is not one of {', '.join(allowed)}")


def matches_filters(request: Request, facts: dict[str, Any], names: tuple[str, ...]) -> bool:
    if "compartmentId" not in request.args:
        raise invalid("compartmentId is required")
    return all(request.args[n] == facts.get(n) for n in names if n in request.args)


def select_page(request: Request, items: list[dict[str, Any]]) -> Response:
    limit = int(request.args.get("limit", MAX_PAGE))
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"limit {limit} is not in 1..{MAX_PAGE}")
    start = int(request.args.get("page", "p0")[1:])
    has_next = start + limit < len(items)
    headers = {"opc-next-page": f"p{start + limit}"} if has_next else {}
    return as_json(items[start : start + limit], headers)


def check_size(infrastructure: Mapping[str, Any]) -> None:
    """Check that a flexible shape has a size.

    Raises:
        ServiceError: If it has none.
    """
    shape = infrastructure.get("shapeName") or ""
    if shape.endswith(".Flex") and not infrastructure.get("jobShapeConfigDetails"):
        raise invalid(f"jobShapeConfigDetails is required for the flexible shape {shape}")
