"""Register of what tune_jobs assumes about OCI's services.

Whatever the code relies on and cannot verify without the services has an entry here. The emulator
of the tests implements each entry, and can deviate from it; ``tune-jobs doctor`` tries in a tenancy
those that can be tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Standing = Literal["verified", "documented", "assumed"]
Trial = Literal["requests", "run", ""]


@dataclass(frozen=True)
class Assumption:
    """Statement about a service.

    Args:
        id: Short name.
        statement: What the code relies on.
        used: Where, as a module below ``tune_jobs``.
        source: Where it comes from.
        standing: ``verified`` against the service, ``documented`` by OCI or its SDK, or
            ``assumed``.
        tried: How ``tune-jobs doctor`` tries it: by requests, or with job runs; empty if it cannot
            be tried at will.
    """

    id: str
    statement: str
    used: str
    source: str
    standing: Standing
    tried: Trial


_API = "API reference of Data Science"
_SDK = "models and docstrings of the oci SDK"
_STORAGE = "API reference of Object Storage"
_ADS = "source and tests of ADS"
_ITEM = "analogy with other services"

_STORE_MODULE = "metric_store.object_storage"
_JOB, _RUNS = "backends.data_science.job", "backends.data_science.job_runs"
_REQUEST, _FAILURES = "backends.data_science.request", "backends.oci_runs.failures"
_LIVE, _RUNNER = "backends.oci_runs.live_runs", "runtime.runner"
_ARTIFACT = "backends.data_science.artifact"

_ROWS: tuple[tuple[str, str, str, str, Standing, Trial], ...] = (
    # Object Storage
    (
        *("put-if-absent", "a PUT with if-none-match: * over an object answers 412"),
        *(_STORE_MODULE, _STORAGE, "documented", "requests"),
    ),
    (
        "condition-first",
        "a caller who may only create gets 412, not 404, for an existing object",
        *("storage.bucket.oci_store", _ITEM, "assumed", ""),
    ),
    (
        *("put-replaces", "a PUT over an object replaces it, for the next GET at once"),
        *(_STORE_MODULE, _STORAGE, "documented", "requests"),
    ),
    (
        *("etag-changes", "an object that is replaced has another etag in the listing"),
        *(_STORE_MODULE, _STORAGE, "documented", "requests"),
    ),
    (
        *("listed-at-once", "a listing has an object as soon as it was put"),
        *(_STORE_MODULE, _STORAGE, "documented", "requests"),
    ),
    (
        *("list-pages", "a listing that is cut off says where the next one starts"),
        *(_STORE_MODULE, _STORAGE, "documented", "requests"),
    ),
    (
        *("get-range", "a GET with a range answers 206 with these bytes only"),
        *(_STORE_MODULE, _STORAGE, "documented", "requests"),
    ),
    (
        *("names-kept", "objects' names may have blanks, plus signs and non-ASCII letters"),
        *("runtime.left_files", _STORAGE, "documented", "requests"),
    ),
    (
        *("missing-404", "a GET of an object that does not exist answers 404"),
        *(_STORE_MODULE, _STORAGE, "documented", "requests"),
    ),
    (
        *("clock-header", "answers have the service's time in their header Date"),
        *("runtime.oci_answers", "HTTP", "documented", "requests"),
    ),
    # jobs
    (
        *("shapes-listed", "GET /jobShapes lists the shapes that jobs may use"),
        *("backends.data_science.doctor", _API, "documented", "requests"),
    ),
    ("job-active", "a job is ACTIVE as soon as it is created", _JOB, _ADS, "assumed", "run"),
    (
        *("job-as-sent", "a job is shown with the environment and arguments that were sent"),
        *(_JOB, _SDK, "documented", "run"),
    ),
    (
        *("job-found", "the listing of jobs finds a job by its name, and shows its tags"),
        *(_JOB, _SDK, "documented", "run"),
    ),
    (
        *("artifact-head", "HEAD of a job's artifact answers 200 once it is uploaded"),
        *(_JOB, _SDK, "documented", "run"),
    ),
    (
        *("artifact-fixed", "the artifact of a job cannot be replaced"),
        *(_JOB, _API, "documented", "run"),
    ),
    # job runs: requests
    (
        *("token-repeats", "a repeated request with the same retry token starts no second run"),
        *(_RUNS, _SDK, "documented", "run"),
    ),
    (
        *("run-as-sent", "a run is shown with the name and tags that were sent"),
        *(_RUNS, _SDK, "documented", "run"),
    ),
    (
        *("run-listed", "the listing has a run within a minute of its creation"),
        *(_LIVE, _ITEM, "assumed", "run"),
    ),
    (
        *("newest-first", "the listing of a job's runs can be sorted, the newest first"),
        *(_RUNS, _SDK, "documented", "run"),
    ),
    (
        *("summary-complete", "the listing shows a run's state, details, tags and times"),
        *(_RUNS, _SDK, "documented", "run"),
    ),
    ("states-known", "runs have only states that the SDK knows", _LIVE, _SDK, "documented", "run"),
    (
        *("times-ordered", "a run that ended shows when it was accepted, started and finished"),
        *(_LIVE, _SDK, "documented", "run"),
    ),
    # job runs: what a run finds
    (
        *("arguments-split", "arguments are split as a POSIX shell splits words"),
        *(_REQUEST, _ADS, "assumed", "run"),
    ),
    (
        *("arguments-newline", "an argument may have a line break"),
        *(_REQUEST, _ITEM, "assumed", "run"),
    ),
    (
        *("arguments-replace", "the arguments of a run replace those of its job"),
        *(_REQUEST, _ADS, "documented", "run"),
    ),
    (
        *("environment-arrives", "environment variables arrive as they were sent"),
        *(_REQUEST, _SDK, "documented", "run"),
    ),
    (
        *("environment-wins", "a variable of a run overrides that of its job"),
        *(_REQUEST, _ADS, "documented", "run"),
    ),
    (
        *("environment-merged", "variables of a job remain in runs that have their own"),
        *(_REQUEST, _ADS, "assumed", "run"),
    ),
    (
        *("service-variables", "a run has JOB_RUN_OCID and the service's other variables"),
        *(_RUNNER, "documentation of job runs", "documented", "run"),
    ),
    (
        *("starts-in-folder", "the entry point starts in the folder of the unpacked archive"),
        *(_ARTIFACT, _ITEM, "assumed", "run"),
    ),
    (
        *("python-version", "the conda environment has Python 3.8 or later"),
        *(_RUNNER, "list of service environments", "documented", "run"),
    ),
    (
        *("oci-installed", "the conda environment has the oci package"),
        *("runtime.upload", "list of service environments", "documented", "run"),
    ),
    (
        *("resource-principal", "a run finds a resource principal in its environment"),
        *("runtime.upload", "documentation of job runs", "documented", "run"),
    ),
    (
        *("store-from-run", "a run may write to the metric store"),
        *("runtime.upload", "policies of the tenancy", "documented", "run"),
    ),
    (
        *("output-logged", "the Logging service finds what a run printed, by the run's OCID"),
        *("backends.data_science.log_search", _ADS, "assumed", "run"),
    ),
    # job runs: ends
    ("nonzero-fails", "a run whose exit code is not 0 is FAILED", _LIVE, _API, "documented", "run"),
    (
        *("exit-code-wording", "the details of a failed run have the words: exit code N"),
        *(_FAILURES, _ADS, "assumed", "run"),
    ),
    ("cancel-sigterm", "a canceled run gets SIGTERM first", _RUNNER, _ITEM, "assumed", "run"),
    (
        *("cancel-grace", "a canceled run has seconds until it is killed"),
        *(_RUNNER, _ITEM, "assumed", "run"),
    ),
    ("cancel-canceled", "a canceled run ends CANCELED", _LIVE, _API, "documented", "run"),
    (
        *("cancel-ended", "canceling a run that has ended answers 409 or 404"),
        *(_RUNS, _ITEM, "assumed", "run"),
    ),
    (
        *("delete-related", "a job can be deleted with its ended runs"),
        *("backends.data_science.doctor", _SDK, "documented", "run"),
    ),
    (
        *("deleted-gone", "a deleted run answers 404, or is DELETED"),
        *(_RUNS, _ITEM, "assumed", "run"),
    ),
    # what cannot be tried at will
    (
        *("token-one-day", "a retry token is remembered for 24 hours"),
        *(_RUNS, _SDK, "documented", ""),
    ),
    (
        *("infrastructure-replaced", "the infrastructure of a run replaces all of its job's"),
        *("backends.oci_runs.shapes", _ITEM, "assumed", ""),
    ),
    (
        *("capacity-wording", "a run that finds no host fails with the word: capacity"),
        *(_FAILURES, _ITEM, "assumed", ""),
    ),
    (
        *("limit-code", "a run beyond a service limit is refused with LimitExceeded"),
        *(_FAILURES, "list of API errors", "documented", ""),
    ),
    (
        *("runtime-wording", "a run over its time limit fails with the words: maximum runtime"),
        *(_FAILURES, _ITEM, "assumed", ""),
    ),
    (
        *("container-arguments", "arguments are appended to an image's entrypoint and cmd"),
        *(_REQUEST, _ITEM, "assumed", ""),
    ),
    (
        *("log-override", "the log configuration of a run replaces its job's"),
        *("backends.data_science.log_search", _SDK, "documented", ""),
    ),
    (
        *(
            "node-variables",
            "a node has its rank, the number of nodes, and all addresses",
        ),
        *("runtime.nodes", _ADS, "assumed", ""),
    ),
    (
        *("node-override", "a run of a multi-node job overrides the job's node group by its name"),
        *("backends.data_science.node_groups", _SDK, "assumed", ""),
    ),
    (
        *("node-failure", "a node that fails ends the run, and its other nodes get SIGTERM"),
        *("backends.data_science.run_ends", _ITEM, "assumed", ""),
    ),
    (
        *("if-match", "a request with another etag in if-match answers 412 and does nothing"),
        *("backends.data_science.doctor", _SDK, "documented", ""),
    ),
    (
        *("current-stage", "the bundle in stage CURRENT is that of the version in use"),
        *("runtime.secret_values", _SDK, "documented", ""),
    ),
    (
        *("deleted-secret", "the bundle of a secret that is being deleted answers 404"),
        *("runtime.secret_values", _ITEM, "assumed", ""),
    ),
    (
        "metric-names",
        "metrics of job runs are CpuUtilization, MemoryUtilization, GpuUtilization, in percent",
        *("backends.data_science.run_metrics", "Oracle's sample of a monitor", "assumed", ""),
    ),
    (
        *("filters-checked", "a listing refuses parameters that it does not have"),
        *(_RUNS, _ITEM, "assumed", ""),
    ),
)

ASSUMPTIONS: Mapping[str, Assumption] = {row[0]: Assumption(*row) for row in _ROWS}
"""All entries by id."""
