"""Checks before money is spent: requests that only read, and a few small objects."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from tune_jobs.backends.data_science.doctor.repeating import RepeatingClient
from tune_jobs.backends.data_science.doctor.report import Findings
from tune_jobs.backends.data_science.doctor.target import Target
from tune_jobs.backends.data_science.log_search import find_stream
from tune_jobs.backends.data_science.run_metrics import NAMESPACE
from tune_jobs.oci import policies
from tune_jobs.oci.connection import Connection
from tune_jobs.runtime.oci_answers import MAX_SKEW, NO_ANSWER, describe_answer, read_answer
from tune_jobs.runtime.upload import parse_uri

_JOB_SHAPE_LIMIT = re.compile(r"(core-)?count$")


class Prerequisites:
    """Checks of what a study needs.

    Args:
        connection: The connection to OCI.
        target: What the study's job runs on.
        max_parallel: Number of job runs that are live at a time.
        findings: Where results are added.
    """

    def __init__(
        self, connection: Connection, target: Target, max_parallel: int, findings: Findings
    ) -> None:
        import oci

        self._oci, self._connection, self._target = oci, connection, target
        self._max_parallel, self._findings = max_parallel, findings

    def check(self) -> bool:
        """Check everything; return whether OCI answers this caller at all."""
        if not self._check_caller():
            return False
        self._check_place()
        self._check_shape()
        self._check_limits()
        self._check_options()
        return True

    def _client(self, kind: Any) -> Any:
        return RepeatingClient(self._connection.client(kind))

    @property
    def _science(self) -> Any:
        return self._client(self._oci.data_science.DataScienceClient)

    def _check_caller(self) -> bool:
        """Check who asks, with the first request, which also tells the time."""
        connection, findings = self._connection, self._findings
        who = f"{connection.kind}, region {connection.region_in_use}"
        try:
            # Not repeated: most likely the network is out of reach.
            client = self._connection.client(self._oci.data_science.DataScienceClient)
            answer = client.list_job_runs(self._target.compartment, limit=1)
        except Exception as error:  # whatever the SDK raises
            findings.add_error("job runs", error, policies.RUNS)
            meaning = read_answer(error, now=time.time())
            if meaning.kind == NO_ANSWER or getattr(error, "status", None) == 401:
                findings.add("caller", "refused", who, meaning.advice)
                return False
            answer = error
        else:
            findings.add("job runs", "holds")
        findings.add("caller", "holds", who)
        self._check_clock(getattr(answer, "headers", None) or {})
        return True

    def _check_clock(self, headers: Any) -> None:
        try:
            ahead = parsedate_to_datetime(headers["date"]).timestamp() - time.time()
        except (KeyError, TypeError, ValueError):
            self._findings.add("clock-header", "differs", f"Date: {headers.get('date')}")
            return
        self._findings.add("clock-header", "holds")
        is_right = abs(ahead) < MAX_SKEW
        fix = "" if is_right else "set this machine's clock (such as with NTP)"
        verdict = "holds" if is_right else "differs"
        self._findings.add("clock", verdict, f"OCI's clock is {ahead:+.0f} s ahead", fix)  # type: ignore[arg-type]

    def _ask(self, id: str, policy: policies.Policy, call: Callable[[], Any]) -> Any:
        """Return the data of an answer; None if the request was refused, which is added."""
        with self._findings.asking(id, policy):
            data = call().data
            self._findings.add(id, "holds")
            return data
        return None

    def _check_place(self) -> None:
        target, science = self._target, self._science
        identity = self._client(self._oci.identity.IdentityClient)
        if target.compartment.startswith("ocid1.compartment."):
            self._ask(
                "compartment",
                policies.COMPARTMENTS,
                lambda: identity.get_compartment(target.compartment),
            )
        self._ask("project", policies.PROJECTS, lambda: science.get_project(target.project))
        self._ask("jobs", policies.JOBS, lambda: science.list_jobs(target.compartment, limit=1))
        if session := os.environ.get("NB_SESSION_OCID"):
            self._ask(
                "notebook session",
                policies.SESSION,
                lambda: science.get_notebook_session(session),
            )

    def _check_shape(self) -> None:
        """Check that the job's shape is one that jobs may use."""
        with self._findings.asking("shapes-listed", policies.JOBS):
            answer = self._oci.pagination.list_call_get_all_results(
                self._science.list_job_shapes, self._target.compartment
            )
            names = [shape.name for shape in answer.data]
            self._findings.judge("shapes-listed", bool(names), f"{len(names)} shapes")
            missing = [name for name in self._target.shapes if name not in names]
            if names and missing:
                detail = f"{', '.join(missing)} not among {', '.join(sorted(names))}"
                self._findings.add("shape", "differs", detail, "use a shape of this list")
            elif names:
                self._findings.add("shape", "holds", ", ".join(self._target.shapes))

    def _check_limits(self) -> None:
        """Compare the limits of the shape with the number of runs, where they can be found."""
        limits = self._client(self._oci.limits.LimitsClient)
        tenancy = self._find_tenancy()
        if not tenancy or not self._target.shape:
            self._findings.add("limits", "not tried", "the tenancy or the shape is unknown")
            return
        with self._findings.asking("limits", policies.LIMITS):
            values = limits.list_limit_values(tenancy, "data-science").data
            words = _split_shape(self._target.shape)
            names = [v.name for v in values if words <= {*v.name.split("-")}]
            names = [name for name in names if _JOB_SHAPE_LIMIT.search(name)]
            if not names:
                detail = f"no limit is named like {self._target.shape}"
                self._findings.add("limits", "not tried", detail)
                return
            answer = limits.get_resource_availability("data-science", names[0], tenancy).data
            per_run = self._target.ocpus if "core" in names[0] else 1.0
            wanted = self._max_parallel * per_run
            detail = f"{names[0]}: {answer.available} available, max_parallel needs {wanted:g}"
            enough = answer.available is None or answer.available >= wanted
            fix = "" if enough else "lower max_parallel, or request a higher limit"
            self._findings.add("limits", "holds" if enough else "differs", detail, fix)

    def _find_tenancy(self) -> str | None:
        arguments = self._connection.client_arguments()
        named = arguments["config"].get("tenancy")
        return (
            named
            or getattr(arguments["signer"], "tenancy_id", None)
            or os.environ.get("TENANCY_OCID")
        )

    def _check_options(self) -> None:
        """Check what only some studies have: log group, subnet, conda environment, image."""
        target = self._target
        if target.log_group:
            logging = self._client(self._oci.logging.LoggingManagementClient)
            self._ask(
                "log group",
                policies.LOG_GROUPS,
                lambda: logging.get_log_group(target.log_group),
            )
            self._check_log_search()
        else:
            self._findings.add("log group", "not tried", "the job has none: no log while it runs")
        if target.subnet:
            network = self._client(self._oci.core.VirtualNetworkClient)
            self._ask("subnet", policies.NETWORK, lambda: network.get_subnet(target.subnet))
        if target.conda and target.conda.startswith("oci://"):
            self._check_conda(target.conda)
        elif target.conda:
            self._findings.add("conda", "not tried", f"{target.conda}: --run shows what is in it")
        if target.image:
            self._check_image(target.image)
            self._check_metrics()

    def _check_metrics(self) -> None:
        """Check the metrics that say what containers use which do not start the runner."""
        client = self._client(self._oci.monitoring.MonitoringClient)
        details = self._oci.monitoring.models.ListMetricsDetails(namespace=NAMESPACE)
        self._ask(
            "metrics",
            policies.METRICS,
            lambda: client.list_metrics(self._target.compartment, details),
        )

    def _check_log_search(self) -> None:
        client = self._client(self._oci.loggingsearch.LogSearchClient)
        now = time.time()
        # The log group may be in another compartment than the job.
        stream = find_stream(
            self._connection, [str(self._target.log_group)], self._target.compartment
        )
        details = self._oci.loggingsearch.models.SearchLogsDetails(
            time_start=_rfc3339(now - 60.0),
            time_end=_rfc3339(now),
            search_query=f'search "{stream}"',
        )
        self._ask("log content", policies.LOG_CONTENT, lambda: client.search_logs(details, limit=1))

    def _check_conda(self, uri: str) -> None:
        client = self._client(self._oci.object_storage.ObjectStorageClient)
        bucket, namespace, name = parse_uri(uri)
        with self._peeking("conda"):
            namespace = namespace or client.get_namespace().data
            client.head_object(namespace, bucket, name)
            self._findings.add("conda", "holds", uri)

    @contextmanager
    def _peeking(self, id: str) -> Iterator[None]:
        """Leave open what this caller may not see: the runs need it, the caller does not."""
        try:
            yield
        except Exception as error:  # whatever the SDK raises
            self._findings.add(id, "not tried", f"{describe_answer(error)}; runs may see it")

    def _check_image(self, image: str) -> None:
        client = self._client(self._oci.artifacts.ArtifactsClient)
        name = image.split("/", 2)[-1]
        with self._peeking("image"):
            found = client.list_container_images(
                self._target.compartment, display_name=name
            ).data.items
            detail = image if found else f"{name} is not in the registry of the compartment"
            self._findings.add("image", "holds" if found else "not tried", detail)


def _split_shape(shape: str) -> set[str]:
    """Return the words that name the limit of a shape: standard and e4 of VM.Standard.E4.Flex."""
    words = {word for word in shape.lower().split(".") if not word.isdigit()}
    return words - {"vm", "bm", "flex"}


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
